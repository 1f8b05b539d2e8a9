"""SKILL-MIX: packs of skills and topics, items, prompts, rubric, checks, metrics and the lm-eval task.

from grading import open_judge
from skillmix_tasks import score_answers, task_items

items = task_items("skillmix_k2", number=2)
scores = score_answers(items, ["Answer: ...", "Answer: ..."], open_judge("my-judge", base_url="http://localhost:8000/v1"))
"""

import grading

if not hasattr(grading, "GradingRequest"):
    # `grading` is a common word: a folder of the user's may come before ours on the import path.
    raise ImportError(
        f"The package `grading` of skillmix-tasks is hidden by {next(iter(grading.__path__))}: "
        "rename that folder, or run from another directory."
    )

from grading import __version__
from skillmix_tasks.answers import Score, TaskItem, score_answers, task_items
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack, Skill, Topic
from skillmix_tasks.scoring.metrics import item_metrics

__all__ = [
    "Item",
    "Pack",
    "Score",
    "Skill",
    "TaskItem",
    "Topic",
    "__version__",
    "item_metrics",
    "load_pack",
    "score_answers",
    "task_items",
]
