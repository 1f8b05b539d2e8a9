"""Control answers: a pack's texts with known correct verdicts, judged before a run's answers.

A judge fails a control when it denies a good one a point, or grants another one a point that it must not have. A
point granted without true evidence counts as granted here: what is tested is the judge, not a student.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from grading import Decision, GradingRequest, Panel, State, Verdict
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.pack import Control, Pack
from skillmix_tasks.scoring.rubric import grading_request

logger = logging.getLogger(__name__)

# Sentences on failed controls that no command has printed yet.
_untold: list[str] = []


class Outcome(StrEnum):
    """What became of one control."""

    PASSED = "passed"
    FAILED = "failed"
    NO_VERDICT = "no_verdict"  # none of its points is wrong, and one that matters was not decided


@dataclass(frozen=True)
class ControlReport:
    """How a judge did on a pack's controls: the outcome of each by its name."""

    pack: str
    judge: str
    kinds: dict[str, str]
    outcomes: dict[str, Outcome]

    def names(self, outcome: Outcome) -> list[str]:
        """The controls with that outcome, in the pack's order."""
        return [name for name, one in self.outcomes.items() if one is outcome]

    def record(self) -> dict[str, Any]:
        """The figures as results carry them."""
        return {
            "passed": len(self.names(Outcome.PASSED)),
            "of": len(self.outcomes),
            "kinds": {
                kind: {
                    "passed": sum(self.kinds[name] == kind for name in self.names(Outcome.PASSED)),
                    "of": list(self.kinds.values()).count(kind),
                }
                for kind in dict.fromkeys(self.kinds.values())
            },
            "failed": self.names(Outcome.FAILED),
            "no_verdict": self.names(Outcome.NO_VERDICT),
        }

    def sentence(self) -> str | None:
        """What a run says whose judge failed a control; None if it failed none."""
        failed = self.names(Outcome.FAILED)
        if not failed:
            return None
        record = self.record()
        kinds = ", ".join(f"{kind} {one['passed']} of {one['of']}" for kind, one in record["kinds"].items())
        return (
            f"Controls failed: {self.judge} is wrong about {len(failed)} of the {record['of']} control answers of "
            f"the pack {self.pack} ({', '.join(failed)}); passed: {kinds}. Do not trust the scores of this run."
        )


def judge_controls(pack: Pack, panel: Panel) -> ControlReport:
    """Judge the controls of `pack` and log what a user has to know of them.

    Of a private pack they are named by their number, from 1.
    """
    requests = [control_request(pack, control) for control in pack.controls]
    verdicts = panel.grade(requests, progress="Judging control answers")
    names = [
        f"control {number}" if pack.about.private else control.id
        for number, control in enumerate(pack.controls, start=1)
    ]
    report = ControlReport(
        pack.about.id,
        panel.name,
        {name: control.kind for name, control in zip(names, pack.controls, strict=True)},
        {
            name: outcome(control, verdict)
            for name, control, verdict in zip(names, pack.controls, verdicts, strict=True)
        },
    )
    if sentence := report.sentence():
        logger.warning(sentence)
        _untold.append(sentence)
    if lost := report.names(Outcome.NO_VERDICT):
        logger.warning("%d of %d control answers got no verdict: %s", len(lost), len(names), ", ".join(lost))
    return report


def control_request(pack: Pack, control: Control) -> GradingRequest:
    """What the judge is asked about a control: the same as about a student's answer to such an item."""
    return grading_request(pack, control_item(pack, control), control.text)


def control_item(pack: Pack, control: Control) -> Item:
    """The item that a control answers; it is drawn by no task."""
    skills = {skill.id: skill for skill in pack.skills}
    [topic] = [topic for topic in pack.topics if topic.id == control.topic]
    return Item(control.id, "", control.k, "all", tuple(skills[id_] for id_ in control.skills), topic)


def outcome(control: Control, verdict: Verdict) -> Outcome:
    """Compare a verdict with what a fair judge says."""
    if control.kind == "good":
        right = [decision.earned for decision in verdict.decisions.values()]
    else:
        right = [_denied(one) for point, one in verdict.decisions.items() if point not in control.earned]
    if False in right:
        return Outcome.FAILED
    return Outcome.NO_VERDICT if None in right else Outcome.PASSED


def _denied(decision: Decision) -> bool | None:
    if decision.state is State.UNGROUNDED:
        return False
    return None if decision.earned is None else not decision.earned


def take_failures() -> list[str]:
    """The sentences on failed controls of this process that were not taken before, for a command's first line."""
    taken = _untold.copy()
    _untold.clear()
    return taken
