"""A judge for any text against any list of yes/no criteria.

from grading import open_judge

judge = open_judge("my-judge", base_url="http://localhost:8000/v1")
[verdict] = judge.grade_texts(["It poured."], {"rain": "It is about rain."}, context="Write one line about rain.")
verdict.earned["rain"]  # True, False, or None where verdict.decisions["rain"].state says why
"""

# First: a package of the wrong version would fail in the imports below.
from grading.versions import installed_version

# isort: split
from grading.cost.budget import Budget
from grading.cost.stats import GradingStats
from grading.engine import Grader
from grading.errors import UserError
from grading.models.judge import JudgeSpec, resolve_judge
from grading.models.price import Price
from grading.panel import Panel, open_judge
from grading.verdict import (
    Criterion,
    Decision,
    GradingRequest,
    Mark,
    State,
    UngroundedRule,
    Usage,
    Verdict,
    Vote,
)

__version__ = installed_version()

__all__ = [
    "Budget",
    "Criterion",
    "Decision",
    "Grader",
    "GradingRequest",
    "GradingStats",
    "JudgeSpec",
    "Mark",
    "Panel",
    "Price",
    "State",
    "UngroundedRule",
    "Usage",
    "UserError",
    "Verdict",
    "Vote",
    "__version__",
    "open_judge",
    "resolve_judge",
]
