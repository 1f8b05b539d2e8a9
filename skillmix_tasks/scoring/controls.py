"""Control answers: a pack's texts with known correct verdicts, judged before a run's answers.

A judge fails a control when it denies a good one a point, or grants another one a point that it must not have. A
point granted without true evidence counts as granted here: the judge is tested, not a student.
"""

from __future__ import annotations

import logging
from enum import StrEnum

from pydantic import BaseModel, Field

from grading import Decision, GradingRequest, Panel, State, Verdict
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.pack import Control, Pack
from skillmix_tasks.scoring.rubric import grading_request, skill_points

logger = logging.getLogger(__name__)

# Sentences on failed controls that no command has printed yet.
_untold: list[str] = []


class Outcome(StrEnum):
    """The outcome of one control."""

    PASSED = "passed"
    FAILED = "failed"
    NO_VERDICT = "no_verdict"  # no wrong point, and a relevant one was not decided


class Controls(BaseModel):
    """How many of the pack's control answers the judge got right, in all and by kind, and which not."""

    passed: int = Field(ge=0)
    of: int = Field(ge=1)
    kinds: dict[str, dict[str, int]] = {}
    failed: list[str]
    no_verdict: list[str] = []


def judge_controls(pack: Pack, panel: Panel) -> Controls:
    """Judge the controls of `pack` and log the failures.

    Of a private pack they are named by their number, from 1.
    """
    requests = [control_request(pack, control) for control in pack.controls]
    verdicts = panel.grade(requests, progress="Judging control answers")
    names: dict[Outcome, list[str]] = {one: [] for one in Outcome}
    wrongly = []
    by_kind: dict[str, list[Outcome]] = {}
    for number, (control, verdict) in enumerate(zip(pack.controls, verdicts, strict=True), start=1):
        found = outcome(control, verdict)
        name = f"control {number}" if pack.about.private else control.id
        names[found].append(name)
        if found is Outcome.FAILED:
            wrongly.append(f"{name}: {_wrongly(pack, control, verdict)}")
        by_kind.setdefault(control.kind, []).append(found)
    kinds = {kind: {"passed": of.count(Outcome.PASSED), "of": len(of)} for kind, of in by_kind.items()}
    failed, lost = names[Outcome.FAILED], names[Outcome.NO_VERDICT]
    if failed:
        shown = ", ".join(f"{kind} {one['passed']} of {one['of']}" for kind, one in kinds.items())
        sentence = (
            f"Controls failed: {len(failed)} of the {len(verdicts)} control answers of the pack {pack.about.id} "
            f"were judged wrongly by {panel.name} ({'; '.join(wrongly)}); passed: {shown}. "
            "Do not trust the scores of this run."
        )
        logger.warning(sentence)
        _untold.append(sentence)
    if lost:
        logger.warning("%d of %d control answers got no verdict: %s", len(lost), len(verdicts), ", ".join(lost))
    passed = len(names[Outcome.PASSED])
    return Controls(passed=passed, of=len(verdicts), kinds=kinds, failed=failed, no_verdict=lost)


def control_request(pack: Pack, control: Control) -> GradingRequest:
    """The request about a control: the same as about a student's answer to such an item."""
    return grading_request(pack, control_item(pack, control), control.text)


def control_item(pack: Pack, control: Control) -> Item:
    """The item that a control answers; it is drawn by no task."""
    skills = {skill.id: skill for skill in pack.skills}
    [topic] = [topic for topic in pack.topics if topic.id == control.topic]
    chosen = tuple(skills[id_] for id_ in control.skills)
    return Item(control.id, "", len(chosen), "all", chosen, topic)


def outcome(control: Control, verdict: Verdict) -> Outcome:
    """Compare a verdict with the known correct one."""
    right = _right(control, verdict).values()
    if False in right:
        return Outcome.FAILED
    return Outcome.NO_VERDICT if None in right else Outcome.PASSED


def _right(control: Control, verdict: Verdict) -> dict[str, bool | None]:
    """Whether the judge is right on each point that counts for this kind; None where it is not decided."""
    if control.kind == "good":
        return {point: one.earned for point, one in verdict.decisions.items()}
    return {point: _denied(one) for point, one in verdict.decisions.items() if point not in control.earned}


def _wrongly(pack: Pack, control: Control, verdict: Verdict) -> str:
    """What the judge did wrong, such as "granted metaphor, topic"; of a private pack "granted s1, topic"."""
    names = dict(zip(skill_points(control_item(pack, control)), control.skills, strict=True))
    skills = {} if pack.about.private else names
    points = [skills.get(point, point) for point, right in _right(control, verdict).items() if right is False]
    return f"{'denied' if control.kind == 'good' else 'granted'} {', '.join(points)}"


def _denied(decision: Decision) -> bool | None:
    if decision.state is State.UNGROUNDED:
        return False
    return None if decision.earned is None else not decision.earned


def take_failures() -> list[str]:
    """The sentences on failed controls of this process that were not taken before, for a command's first line."""
    taken = _untold.copy()
    _untold.clear()
    return taken
