"""The leaderboard as a static Space: the published rows, each with its source, and one's own evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub_cards.cards import environment, render_card, tags
from hub_cards.evaluations import Evaluation
from hub_cards.files import File
from hub_cards.publication import Publication
from hub_cards.report.runs import Score
from hub_cards.report.stats.intervals import Interval
from skillmix_tasks.published import PublishedRow, load_published

MARK = "space"
_TITLE = "SKILL-MIX leaderboard"


def space(evaluations: Sequence[Evaluation], *, repo: str) -> Publication:
    """The Space with its card."""
    from huggingface_hub import SpaceCardData

    metadata = SpaceCardData(
        title=_TITLE,
        emoji="🧩",
        colorFrom="indigo",
        colorTo="gray",
        sdk="static",
        app_file="index.html",
        pinned=False,
        license="apache-2.0",
        short_description="Can a model show k language skills in one text?",
        tags=tags(MARK, "leaderboard"),
    )
    sources = list({row.source.page: row.source for row in load_published()}.values())
    card = render_card("space", metadata, repo=repo, sources=sources, own=len(evaluations))
    return Publication(card, tuple(space_files(evaluations)))


def space_files(evaluations: Sequence[Evaluation]) -> list[File]:
    """The page: one file that asks for no other, with every text escaped."""
    template = environment().overlay(autoescape=True).get_template("space.html.jinja")
    page = template.render(
        title=_TITLE,
        own=[_own(one) for one in evaluations],
        published=[_published(row) for row in load_published()],
    )
    return [File("index.html", (page.strip() + "\n").encode())]


def _own(one: Evaluation) -> dict[str, Any]:
    run = one.run
    return {
        "student": run.student.name,
        "split": run.split,
        "k": run.k,
        "cells": [_cell(score, one.interval(metric)) for metric, score in run.scores.items()],
        "judge": run.judge.name,
        "coverage": f"{run.coverage:.2f}",
        "items": run.items,
    }


def _cell(score: Score | None, interval: Interval | None) -> str:
    if score is None or interval is None:
        return "no verdict"
    return f"{score.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _published(row: PublishedRow) -> dict[str, Any]:
    scores = (row.full_marks, row.all_skills, row.skill_fraction)
    return {
        "student": row.student + ("" if row.training == "none" else f" + {row.training}"),
        "split": row.split or "not stated",
        "k": row.k,
        "cells": ["not stated" if score is None else f"{score:.2f}" for score in scores],
        "judge": row.judge,
        "source": row.source,
    }
