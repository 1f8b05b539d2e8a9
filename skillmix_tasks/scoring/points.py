"""From the student's replies to judged generations: extraction, checks in code, then the judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from grading import GradingRequest, Panel, State, Verdict, Vote
from grading.safety.bounds import MOST_TEXT, cut, is_cut
from skillmix_tasks.checks import (
    WORDS,
    Extraction,
    count_words,
    echoes_prompt,
    extract_answer,
    find_copied,
    find_named,
    is_empty,
    sentence_counts,
)
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.scoring.losses import Loss, LossCode
from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC, grading_request, skill_points

MOST_ANSWER = 50_000  # characters; the longest that is asked for, seven sentences, has some 1,500


@dataclass(frozen=True)
class Checked:
    """What code found in one reply.

    `lost` maps the points that code has decided against to the reason; when `void` names a reason, all points
    are lost and the judge is not asked.
    """

    extraction: Extraction
    sentences: int
    sentences_doubtful: bool
    void: str | None = None
    lost: dict[str, Loss] = field(default_factory=dict)


def check_reply(item: Item, reply: str, prompts: Sequence[str]) -> Checked:
    """Everything that code decides about `reply`, which answers `prompts` (one or two turns)."""
    extraction = extract_answer(reply, item.skills)
    if len(extraction.text) > MOST_ANSWER:
        extraction = replace(extraction, text=cut(extraction.text, MOST_ANSWER))
    answer = extraction.text
    counts = sentence_counts(answer)
    void = None
    if is_cut(reply):
        void = f"the reply is cut after {MOST_TEXT:,} characters"
    elif len(answer) > MOST_ANSWER:
        void = f"longer than {MOST_ANSWER:,} characters"
    elif is_empty(answer):
        void = "empty"
    elif echoes_prompt(answer, "\n\n".join(prompts)):
        void = "echo of the prompt"
    lost: dict[str, Loss] = {}
    for point, skill in zip(skill_points(item), item.skills, strict=True):
        if named := find_named(answer, skill):
            lost[point] = Loss(code=LossCode.NAMES_SKILL, found=named)
        elif copied := find_copied(answer, (skill.definition, skill.example)):
            part: Literal["definition", "example"] = "example" if copied.index else "definition"
            lost[point] = Loss(code=LossCode.COPIES_SKILL, part=part, found=copied.run)
    if counts.count > item.limit:
        lost[LENGTH] = Loss(code=LossCode.TOO_LONG, sentences=counts.count)
    elif (words := count_words(answer)) > WORDS * item.limit:
        lost[LENGTH] = Loss(code=LossCode.TOO_LONG, words=words)
    return Checked(extraction, counts.count, counts.disagrees(item.limit), void, lost)


def judge_replies(
    pack: Pack, asked: Sequence[tuple[Item, Sequence[str], str]], panel: Panel | None
) -> list[dict[str, Any]]:
    """Judge final replies, each with its item and the prompts that it answers; the records keep the order.

    A record holds the answer, what code found, every vote with its evidence, and `points`: for each of the
    k + 3 points True, False, or None with the reason under `states`. `ungrounded` names the points whose grants
    had no true evidence, whatever they then count as. Without a panel nothing is judged.
    """
    checked = [check_reply(item, reply, prompts) for item, prompts, reply in asked]
    requests: dict[int, GradingRequest] = {}
    if panel:
        requests = {
            index: grading_request(pack, item, check.extraction.text)
            for index, ((item, _, _), check) in enumerate(zip(asked, checked, strict=True))
            if check.void is None
        }
    verdicts: dict[int, Verdict] = {}
    if panel and requests:
        verdicts = dict(zip(requests, panel.grade(list(requests.values())), strict=True))
    return [
        _record(item, check, verdicts.get(index))
        for index, ((item, _, _), check) in enumerate(zip(asked, checked, strict=True))
    ]


def _record(item: Item, check: Checked, verdict: Verdict | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "answer": check.extraction.text,
        "extraction": check.extraction.state,
        "sentences": check.sentences,
        "sentences_doubtful": check.sentences_doubtful,
        "void": check.void,
        "lost_in_code": {point: loss.model_dump() for point, loss in check.lost.items()},
    }
    points = [*skill_points(item), TOPIC, SENSE, LENGTH]
    if check.void:
        return record | {"points": dict.fromkeys(points, False), "states": {}, "ungrounded": [], "votes": []}
    if verdict is None:
        return record
    earned: dict[str, bool | None] = {}
    states, ungrounded = {}, []
    for point in points:
        if point in check.lost:
            earned[point] = False
        elif point == LENGTH:
            earned[point] = True
        else:
            decision = verdict.decisions[point]
            earned[point] = decision.earned
            if decision.earned is None:
                states[point] = decision.state.value
            if decision.state is State.UNGROUNDED:
                ungrounded.append(point)
    votes = [_vote(vote) for vote in verdict.votes]
    return record | {"points": earned, "states": states, "ungrounded": ungrounded, "votes": votes}


def judged_points(record: dict[str, Any]) -> list[str]:
    """The points of a record that were the judge's to decide."""
    if record["void"]:
        return []
    return [point for point in record["points"] if point != LENGTH and point not in record["lost_in_code"]]


def _vote(vote: Vote) -> dict[str, Any]:
    record: dict[str, Any] = {
        "number": vote.number,
        "judge": vote.judge,
        "state": vote.state.value,
        "marks": {
            point: {"earned": mark.earned, "evidence": mark.evidence, "state": mark.state.value}
            for point, mark in vote.marks.items()
        },
        "usage": asdict(vote.usage),
        "stored": vote.stored,
    }
    if vote.state is not State.GRADED:
        record |= {"detail": vote.detail, "reply": vote.reply}
    return record
