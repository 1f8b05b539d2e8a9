"""The picture of the papers: a metric against k, drawn without a display and the same on every run.

All panels of a figure are together in a PNG and an SVG file, with a legend. The page draws its own plots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
from matplotlib.figure import Figure

from grading.intervals import Interval

# Each is on white with a contrast of 4.5 or more.
COLOURS = ("#0b5cad", "#b0440a", "#17714a", "#7f36ad", "#a3123f", "#56606c", "#00707c", "#755800")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST = len(COLOURS)  # lines in a figure
_INK, _MUTED, _RULE = "#1b1f24", "#5a626c", "#d4d8dd"
_WIDTH, _HEIGHT, _ABOVE = 3.5, 2.7, 0.3  # inches of a panel, and above it
_DASHES = ((), (5, 2), (2, 1.5), (7, 2, 2, 2))
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "skillmix",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _RULE,
    "axes.axisbelow": True,
    "axes.titley": 1.02,
}


class Point(Protocol):
    """A score, with its interval if it is known."""

    @property
    def value(self) -> float:
        """From 0 to 1."""

    @property
    def interval(self) -> Interval | None:
        """At 95 %."""


@dataclass(frozen=True)
class Line:
    """One student or split: its scores by k. `style` chooses colour and marker, and is below MOST."""

    name: str
    style: int
    cells: Mapping[int, Point]


@dataclass(frozen=True)
class Panel:
    """One pair of axes; `bound` is drawn by k if there is one."""

    title: str
    lines: Sequence[Line]
    bound: dict[int, float]


def draw_figure(panels: Sequence[Panel], title: str, path: Path) -> list[Path]:
    """Draw panels in a row with one legend; write them to `path` as .png and .svg.

    Returns the two paths. Everything has its place: finding places by what is drawn takes matplotlib most of its
    time.
    """
    entries = len({line.name for panel in panels for line in panel.lines}) + any(panel.bound for panel in panels)
    below = 0.15 + 0.2 * -(-entries // len(panels))
    width, height = _WIDTH * len(panels), _ABOVE + _HEIGHT + below
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        handles: dict[str, Any] = {}
        for number, panel in enumerate(panels):
            place = (
                (_WIDTH * number + 0.34) / width,
                (below + 0.44) / height,
                (_WIDTH - 0.4) / width,
                (_HEIGHT - 0.7) / height,
            )
            axes = figure.add_axes(place)
            _draw(axes, panel)
            handles |= {label: one for one, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        if handles:
            figure.legend(handles.values(), handles, loc="lower center", ncols=len(panels), frameon=False)
        figure.suptitle(_shown(title), fontsize=10, y=1 - 0.08 / height)
        image, drawing = (path.with_name(f"{path.name}.{ending}") for ending in ("png", "svg"))
        figure.savefig(image, dpi=160, metadata={"Software": None})  # which would name the release of matplotlib
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return [image, drawing]


def _draw(axes: Any, panel: Panel) -> None:
    ks = sorted({k for line in panel.lines for k in line.cells})
    shift = 0.28 / max(1, len(panel.lines))  # so that intervals of several lines do not hide one another
    for place, line in enumerate(panel.lines):
        colour, offset = COLOURS[line.style], (place - (len(panel.lines) - 1) / 2) * shift
        points = sorted(line.cells.items())
        axes.plot(
            [k + offset for k, _ in points],
            [cell.value for _, cell in points],
            color=colour,
            marker=MARKERS[line.style],
            markersize=5,
            linewidth=1.4,
            dashes=_DASHES[line.style % len(_DASHES)],
            label=_shown(line.name),
        )
        for k, cell in points:
            if cell.interval is not None:
                axes.vlines(k + offset, cell.interval.low, cell.interval.high, color=colour, linewidth=1.1)
    if panel.bound:
        places = sorted(panel.bound)
        axes.plot(
            places,
            [panel.bound[k] for k in places],
            color=_MUTED,
            linewidth=1.2,
            dashes=(1, 1.5),
            label="novelty bound",
        )
    axes.set_ylim(-0.02, 1.02)
    if ks:
        axes.set_xlim(ks[0] - 0.5, ks[-1] + 0.5)
        axes.set_xticks(ks)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_xlabel("k, number of skills")
    axes.xaxis.set_label_coords(0.5, -0.11)
    axes.set_title(panel.title, loc="left", fontsize=9, color=_INK)
    axes.tick_params(length=0)


def _shown(name: str) -> str:
    """A name as matplotlib shows it: dollars would begin a formula, and what begins with _ is hidden."""
    shown = name.replace("$", r"\$")
    return f"\u2009{shown}" if shown.startswith("_") else shown
