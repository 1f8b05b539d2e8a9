"""The curves of a run, drawn from its log without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_curves(path: Path, log: list[dict[str, Any]]) -> None:
    """Write a PNG of the loss (with that on the validation split, if measured), the learning rate and the pace."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, pace = figure.subplots(1, 3)
    trained = [line for line in log if "loss" in line]
    measured = [line for line in log if "eval_loss" in line]
    steps = [line["step"] for line in trained]
    loss.plot(steps, [line["loss"] for line in trained], linewidth=1, label="training")
    if measured:
        points = [line["step"] for line in measured]
        loss.plot(points, [line["eval_loss"] for line in measured], marker="o", markersize=3, label="validation")
        loss.legend()
    rate.plot(steps, [line["learning_rate"] for line in trained], linewidth=1)
    pace.plot(steps, [line["tokens"] / line["seconds"] for line in trained], linewidth=1)
    for axes, title in ((loss, "loss"), (rate, "learning rate"), (pace, "useful tokens a second, so far")):
        axes.set_title(title)
        axes.set_xlabel("step")
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})
