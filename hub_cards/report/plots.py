"""The picture of the papers: a metric against k, drawn without a display and the same on every run.

Each panel comes as SVG for the page, whose colours follow the page's theme, and all panels of a figure together as
PNG and SVG files with a legend.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub_cards.report.board import Cell

# Each stands on white with a contrast of 4.5 or more; the page has a dark twin for each.
COLOURS = ("#0b5cad", "#b0440a", "#17714a", "#7f36ad", "#a3123f", "#56606c", "#00707c", "#755800")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST = len(COLOURS)  # lines in a figure
_INK, _MUTED, _RULE = "#1b1f24", "#5a626c", "#d4d8dd"
_THEME = {colour: f"var(--c{number})" for number, colour in enumerate(COLOURS, start=1)} | {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _RULE: "var(--rule)",
}
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
}


@dataclass(frozen=True)
class Line:
    """One student or split: its cells by k. `style` chooses colour and marker, and is below MOST."""

    name: str
    style: int
    cells: dict[int, Cell]


@dataclass(frozen=True)
class Panel:
    """One pair of axes; `bound` is drawn by k if there is one."""

    title: str
    lines: Sequence[Line]
    bound: dict[int, float]


def panel_svg(panel: Panel, name: str) -> str:
    """A panel for the page; `name` must differ from that of every other picture of the page."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure, [axes] = _figure(1)
        _draw(axes, panel)
        text = _svg(figure)
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    for colour, variable in _THEME.items():
        text = text.replace(colour, variable)
    # A picture is read out by the text beside it.
    return text.replace("<svg ", '<svg class="plot" aria-hidden="true" focusable="false" ', 1)


def write_figure(panels: Sequence[Panel], title: str, path: Path) -> list[Path]:
    """Write all panels in a row with one legend to `path` as .png and .svg; the two paths."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure, axes = _figure(len(panels))
        for one, panel in zip(axes, panels, strict=True):
            _draw(one, panel)
        handles = {label: h for one in axes for h, label in zip(*one.get_legend_handles_labels(), strict=True)}
        if handles:
            columns = min(4, len(handles))
            figure.legend(handles.values(), handles, loc="outside lower center", ncols=columns, frameon=False)
        figure.suptitle(title, fontsize=10)
        image, drawing = path.with_suffix(".png"), path.with_suffix(".svg")
        figure.savefig(image, dpi=160, metadata={"Software": None})  # which would name the release of matplotlib
        drawing.write_text(_svg(figure), encoding="utf-8")
    return [image, drawing]


def _figure(panels: int) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    several = panels > 1
    figure = Figure(figsize=(3.5 * panels, 3.4 if several else 2.7), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _svg(figure: Any) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return file.getvalue()


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
    axes.set_xlabel("k, number of skills")
    axes.set_title(panel.title, loc="left", fontsize=9, color=_INK)
    axes.tick_params(length=0)


def _shown(name: str) -> str:
    """A name as matplotlib shows it: dollars would begin a formula, and what begins with _ is hidden."""
    return (
        name.replace("$", r"\$").replace("_", "\u2009_", 1) if name.startswith("_") else name.replace("$", r"\$")
    )
