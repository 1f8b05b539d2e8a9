"""SKILL-MIX: packs of skills and topics, items, prompts, rubric, checks, metrics and the lm-eval task."""

import grading

if not hasattr(grading, "GradingRequest"):
    # `grading` is a common word: a folder of the user's may stand before ours on the import path.
    raise ImportError(
        f"The package `grading` of skillmix-tasks is hidden by {next(iter(grading.__path__))}: "
        "rename that folder, or run from another directory."
    )
