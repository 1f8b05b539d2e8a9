"""The figures of the summary page, drawn without a display and the same on every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from skillmix_tasks.items.pack import Pack
from training.texts.counts import Counts, Tally, pair_tallies, skill_tallies

_BAR = "#4c72b0"
_WIDTH = 14  # inches
_SKILL = 0.16  # inches of height for each skill
_REASONS = 12  # the most frequent ones


def draw(path: Path, counts: Counts, pack: Pack) -> None:
    """Write a PNG: acceptance by skill on the left; by k, by pair, lengths and reasons on the right."""
    skills = skill_tallies(counts)
    figure = Figure(figsize=(_WIDTH, max(16.0, 2 + _SKILL * len(skills))), layout="constrained")
    grid = figure.add_gridspec(4, 2, width_ratios=(1, 1.3))
    _by_skill(figure.add_subplot(grid[:, 0]), skills, pack)
    _by_k(figure.add_subplot(grid[0, 1]), counts)
    _by_pair(figure.add_subplot(grid[1, 1]), pair_tallies(counts))
    _lengths(figure.add_subplot(grid[2, 1]), counts)
    _reasons(figure.add_subplot(grid[3, 1]), counts)
    # Without "Software", which would name the release of matplotlib.
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def _bars(axes: Any, names: list[str], tallies: list[Tally]) -> None:
    """Horizontal bars of accepted among decided, the first on top, each with its Wilson interval."""
    places = range(len(names))
    errors = [
        [max(0.0, tally.share - tally.interval.low) for tally in tallies],
        [max(0.0, tally.interval.high - tally.share) for tally in tallies],
    ]
    axes.barh(
        places,
        [tally.share for tally in tallies],
        xerr=errors,
        color=_BAR,
        error_kw={"elinewidth": 0.7, "ecolor": "#333333"},
    )
    axes.set_yticks(places, names)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.set_xlabel("accepted of decided")


def _by_skill(axes: Any, skills: dict[str, Tally], pack: Pack) -> None:
    known = [(skill.name, skills[skill.id]) for skill in pack.skills if skill.id in skills]
    decided = [one for one in known if one[1].decided]
    shown = sorted(decided, key=lambda entry: (-entry[1].share, entry[0]))
    _bars(axes, [name for name, _ in shown], [tally for _, tally in shown])
    axes.tick_params(axis="y", labelsize=7)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_title("by skill, all k")


def _by_k(axes: Any, counts: Counts) -> None:
    decided = [(k, kind.tally) for k, kind in sorted(counts.kinds.items()) if kind.tally.decided]
    _bars(axes, [f"k = {k}" for k, _ in decided], [tally for _, tally in decided])
    axes.set_title("by k")


def _by_pair(axes: Any, pairs: dict[str, Tally]) -> None:
    axes.set_title("by pair of categories, k = 2")
    if not pairs:
        axes.text(0.5, 0.5, "no texts with k = 2", ha="center", va="center")
        axes.set_axis_off()
        return
    names = sorted({name for pair in pairs for name in pair.split(" + ")})
    shares = [[float("nan")] * len(names) for _ in names]
    for pair, tally in pairs.items():
        if tally.decided:
            one, other = (names.index(name) for name in pair.split(" + "))
            shares[one][other] = shares[other][one] = tally.share
            for row, column in {(one, other), (other, one)}:
                text = f"{tally.share:.2f}\nof {tally.decided:,}"
                axes.text(column, row, text, ha="center", va="center", fontsize=8)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=20)
    axes.set_yticks(range(len(names)), names)
    axes.figure.colorbar(image, ax=axes)


def _lengths(axes: Any, counts: Counts) -> None:
    longest = max((length for kind in counts.kinds.values() for length in kind.words), default=0)
    width = max(1, longest // 30)  # whole words: other widths would hold now one length and now two
    for k, kind in sorted(counts.kinds.items()):
        if kind.words:
            lengths, numbers = zip(*sorted(kind.words.items()), strict=True)
            bins = range(0, longest + width + 1, width)
            axes.hist(lengths, weights=numbers, bins=bins, histtype="step", linewidth=1.5, label=f"k = {k}")
    if longest:
        axes.legend()
    axes.set_xlabel("words")
    axes.set_ylabel("accepted texts")
    axes.set_title("lengths")


def _reasons(axes: Any, counts: Counts) -> None:
    shown = counts.reasons()[:_REASONS]
    left = [0] * len(shown)
    for k, kind in sorted(counts.kinds.items()):
        numbers = [kind.rejected[reason] for reason in shown]
        axes.barh(range(len(shown)), numbers, left=left, label=f"k = {k}")
        left = [before + number for before, number in zip(left, numbers, strict=True)]
    axes.set_yticks(range(len(shown)), shown)
    axes.invert_yaxis()
    if shown:
        axes.legend()
    axes.set_xlabel("texts not accepted")
    axes.set_title("reasons")
