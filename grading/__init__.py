"""A judge for any text against any list of yes/no criteria.

from pathlib import Path
from grading import Criterion, Grader, GradingRequest, resolve_judge

grader = Grader(resolve_judge("gpt-5.4-2026-03-05"), store=Path("verdicts.sqlite"))
request = GradingRequest("Write a haiku about rain.", (Criterion("rain", "It is about rain."),), answer)
[verdict] = grader.grade([request])
verdict.decisions["rain"].earned  # True, False, or None with a named state
"""

import grading.versions  # noqa: F401  (first: a package of the wrong version would fail in the imports below)

# isort: split
from grading.cost.budget import Budget as Budget
from grading.cost.stats import GradingStats as GradingStats
from grading.engine import Grader as Grader
from grading.errors import UserError as UserError
from grading.models.judge import JudgeSpec as JudgeSpec
from grading.models.judge import resolve_judge as resolve_judge
from grading.models.price import Price as Price
from grading.panel import Panel as Panel
from grading.verdict import Criterion as Criterion
from grading.verdict import Decision as Decision
from grading.verdict import GradingRequest as GradingRequest
from grading.verdict import Mark as Mark
from grading.verdict import State as State
from grading.verdict import UngroundedRule as UngroundedRule
from grading.verdict import Usage as Usage
from grading.verdict import Verdict as Verdict
from grading.verdict import Vote as Vote
