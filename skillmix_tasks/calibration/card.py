"""The calibration's card in Markdown."""

from __future__ import annotations

from importlib.resources import files

from grading.protocol.prompt import PROMPT_VERSION
from grading.safety.templates import environment
from skillmix_tasks.calibration import record as calibration
from skillmix_tasks.calibration.record import Calibration


def card(one: Calibration) -> str:
    """All figures of a calibration, with the thresholds of its verdict."""
    source = files("skillmix_tasks.calibration").joinpath("calibration.md.jinja").read_text(encoding="utf-8")
    template = environment(lstrip_blocks=True, keep_trailing_newline=True).from_string(source)
    return template.render(
        one=one,
        prompt=PROMPT_VERSION,
        refusals={metric: rates.refusal() for metric, rates in one.errors.items()},
        least_kappa=calibration.LEAST_KAPPA,
        least_agreement=calibration.LEAST_AGREEMENT,
        most_surplus=calibration.MOST_SURPLUS,
        most_undecided=calibration.MOST_UNDECIDED,
    )
