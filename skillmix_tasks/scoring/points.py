"""From the student's replies to judged generations: extraction, checks in code, then the judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from grading import Panel, State, UserError, Verdict, Vote
from grading.safety.bounds import MOST_TEXT, brief, cut, is_cut
from skillmix_tasks import checks
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.scoring.losses import Loss, LossCode
from skillmix_tasks.scoring.reply import NO_ANSWER, AnswerState, StudentReply, as_reply
from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC, grading_request, skill_points

MOST_ANSWER = 50_000  # characters; the longest requested answer, seven sentences, has some 1,500


@dataclass(frozen=True)
class Checked:
    """The findings of code in one reply.

    `lost` maps the points that code has decided against to the reason; when `void` names a reason, all points are
    lost and no vote is requested.
    """

    extraction: checks.Extraction
    sentences: int
    sentences_doubtful: bool
    void: str | None = None
    lost: dict[str, Loss] = field(default_factory=dict)


def check_reply(item: Item, reply: str, prompts: Sequence[str]) -> Checked:
    """Everything that code decides about `reply`, which answers `prompts` (one or two turns)."""
    extraction = checks.extract_answer(reply, item.skills)
    if len(extraction.text) > MOST_ANSWER:
        extraction = replace(extraction, text=cut(extraction.text, MOST_ANSWER))
    answer = extraction.text
    counts = checks.sentence_counts(answer)
    void = None
    if isinstance(reply, StudentReply) and reply.state is AnswerState.REFUSED:
        void = "refused"
    elif is_cut(reply):
        void = f"the reply is cut after {MOST_TEXT:,} characters"
    elif len(answer) > MOST_ANSWER:
        void = f"longer than {MOST_ANSWER:,} characters"
    elif checks.is_empty(answer):
        void = "empty"
    elif checks.echoes_prompt(answer, "\n\n".join(prompts)):
        void = "echo of the prompt"
    lost: dict[str, Loss] = {}
    for point, skill in zip(skill_points(item), item.skills, strict=True):
        if named := checks.find_named(answer, skill):
            lost[point] = Loss(code=LossCode.NAMES_SKILL, found=named)
        elif copied := checks.find_copied(answer, (skill.definition, skill.example)):
            part: Literal["definition", "example"] = "example" if copied.index else "definition"
            lost[point] = Loss(code=LossCode.COPIES_SKILL, part=part, found=copied.run)
    if counts.count > item.limit:
        lost[LENGTH] = Loss(code=LossCode.TOO_LONG, sentences=counts.count)
    elif (words := checks.count_words(answer)) > checks.WORDS * item.limit:
        lost[LENGTH] = Loss(code=LossCode.TOO_LONG, words=words)
    return Checked(extraction, counts.count, counts.disagrees(item.limit), void, lost)


def judge_replies(
    pack: Pack,
    asked: Sequence[tuple[Item, Sequence[str], Sequence[str]]],
    panel: Panel | None,
    title: str = "Judging",
) -> list[dict[str, Any]]:
    """Judge answers, each with its item, its prompts and its replies; the records keep the order.

    Of the replies the last counts. A record holds the answer, what code found, every vote with its evidence, and
    `points`: for each of the k + 3 points True, False, or None with the reason under `states`. `ungrounded` names
    the points whose grants had no true evidence, whatever they then count as. `student` has the state of the
    answer; a reply without an answer has no points. Without a panel nothing is judged. `title` is of the bar.
    """
    checked: list[tuple[Item, list[StudentReply], Checked]] = []
    for item, prompts, replies in asked:
        if isinstance(replies, str):  # a sequence, too, of its characters
            raise UserError(
                f"The replies of an answer are a list of texts, one for each turn, not {brief(replies, 60)}: "
                "write [text]."
            )
        answers = [as_reply(reply) for reply in replies]
        checked.append((item, answers, check_reply(item, answers[-1], prompts)))
    requests = {
        index: grading_request(pack, item, check.extraction.text)
        for index, (item, answers, check) in enumerate(checked)
        if panel and check.void is None and answers[-1].state.scored
    }
    verdicts: dict[int, Verdict] = {}
    if panel and requests:
        verdicts = dict(zip(requests, panel.grade(list(requests.values()), progress=title), strict=True))
    return [
        _record(item, check, verdicts.get(index), student_record(answers), judged=panel is not None)
        for index, (item, answers, check) in enumerate(checked)
    ]


def student_record(replies: Sequence[StudentReply]) -> dict[str, Any]:
    """The student's part of a record: the state of the last reply, and the reasoning of each reply."""
    facts = [reply.facts for reply in replies]
    tokens = [one.reasoning_tokens for one in facts if one.reasoning_tokens is not None]
    record: dict[str, Any] = {"state": facts[-1].state.value}
    record |= facts[-1].model_dump(include={"cut", "detail"}, exclude_defaults=True)
    if any(one.reasoning or one.reasoning_tokens for one in facts):
        record |= {"reasoning": [one.reasoning for one in facts]}
    return record | ({"reasoning_tokens": sum(tokens)} if tokens else {})


def _record(
    item: Item, check: Checked, verdict: Verdict | None, student: dict[str, Any], *, judged: bool
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "answer": check.extraction.text,
        "extraction": check.extraction.state,
        "sentences": check.sentences,
        "sentences_doubtful": check.sentences_doubtful,
        "void": check.void,
        "lost_in_code": {point: loss.model_dump() for point, loss in check.lost.items()},
        "student": student,
    }
    points = [*skill_points(item), TOPIC, SENSE, LENGTH]
    if judged and not AnswerState(student["state"]).scored:
        nothing: dict[str, Any] = {"lost_in_code": {}, "void": None, "ungrounded": [], "votes": []}
        unknown = {"points": dict.fromkeys(points), "states": dict.fromkeys(points, NO_ANSWER)}
        return record | nothing | unknown
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
    if record["void"] or not AnswerState(record["student"]["state"]).scored:
        return []
    return [point for point in record["points"] if point != LENGTH and point not in record["lost_in_code"]]


def _vote(vote: Vote) -> dict[str, Any]:
    record = asdict(vote)
    if vote.state is State.GRADED:
        del record["detail"], record["reply"]
    return record
