"""The summary of a run that made training texts: summary.md and summary.png, made of its counts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grading.safety.atomic import atomic_file, write_atomic
from grading.safety.templates import own_template
from skillmix_tasks.items.pack import Pack
from training.texts.charts import draw
from training.texts.counts import Counts, KindCounts, Spending, pair_tallies, rate, skill_tallies


def write_summary(folder: Path, counts: Counts, pack: Pack, *, about: Sequence[str] = ()) -> list[Path]:
    """Write summary.md and summary.png to `folder` and return their paths; the same counts give the same bytes.

    `about` are sentences for its beginning: the plan, the teacher, the judge, why the run ended.
    """
    counts.check()
    skills = skill_tallies(counts)
    kinds = [kind for _, kind in sorted(counts.kinds.items())]
    page = own_template("training", "templates", "summary.md.jinja").render(
        about=about,
        kinds=[_kind(k, kind) for k, kind in sorted(counts.kinds.items())],
        ks=sorted(counts.kinds),
        reasons=[(reason, [kind.rejected[reason] for kind in kinds]) for reason in counts.reasons()],
        pairs=[(name, rate(tally)) for name, tally in sorted(pair_tallies(counts).items())],
        skills=[
            (skill.name, skill.category, rate(skills[skill.id])) for skill in pack.skills if skill.id in skills
        ],
    )
    text, chart = folder / "summary.md", folder / "summary.png"
    write_atomic(text, page + "\n")
    with atomic_file(chart) as draft:
        draw(draft, counts, pack)
    return [text, chart]


def _kind(k: int, kind: KindCounts) -> dict[str, Any]:
    accepted = kind.tally.accepted
    return {
        "k": k,
        "attempted": kind.tally.attempted,
        "accepted": accepted,
        "rate": rate(kind.tally),
        "sentences": _middle(kind.sentences),
        "words": _middle(kind.words),
        "teacher": _each(kind.teacher, accepted),
        "judge": _each(kind.judge, accepted),
        "dollars": _dollars(kind, accepted),
    }


def _middle(lengths: Counter[int]) -> str:
    """The median and the range."""
    ordered = sorted(lengths.elements())
    return f"{ordered[len(ordered) // 2]} ({ordered[0]} to {ordered[-1]})" if ordered else "-"


def _each(spent: Spending, accepted: int) -> str:
    """All tokens of prompts and completions, for each accepted text."""
    return f"{spent.prompt / accepted:,.0f} + {spent.completion / accepted:,.0f}" if accepted else "-"


def _dollars(kind: KindCounts, accepted: int) -> str:
    """The cost of all calls, and per accepted text: rejected ones are paid for, too."""
    if kind.teacher.dollars is None or kind.judge.dollars is None:
        return "not known"
    spent = kind.teacher.dollars + kind.judge.dollars
    return f"${spent:,.2f}" + (f", ${spent / accepted:,.4f} a text" if accepted else "")
