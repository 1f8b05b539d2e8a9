"""What becomes of one try: the teacher's turns, what code finds in them, and the judge's verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from grading import Decision, Panel, State, Usage, Vote
from grading.backend import Message, Reply
from grading.protocol.reasoning import split_reasoning
from grading.safety.text import encodable
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.losses import LossCode
from skillmix_tasks.scoring.points import Checked, check_reply
from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC, grading_request, skill_points
from training.data.rows import Check, Evidence, Point, Row, Tokens
from training.texts.reasons import Reason, no_verdict, not_met
from training.texts.teacher import Teacher

_TURNS: Final[tuple[Literal[1, 2], ...]] = (1, 2)


@dataclass
class Draft:
    """One try. `reason` says why it cannot be accepted; None as long as nothing speaks against it."""

    item: Item
    prompts: list[str]
    answers: list[str] = field(default_factory=list)
    checks: list[Checked] = field(default_factory=list)
    votes: Sequence[Vote] = ()
    teacher_usage: Usage = field(default_factory=Usage)
    judge_usage: Usage = field(default_factory=Usage)
    failure: str = ""  # what the endpoint said, if it failed for good
    reason: str | None = None

    @property
    def text(self) -> str:
        """The answer that is judged."""
        return self.checks[-1].extraction.text

    def row(self, pack: Pack, teacher: str, judge: str) -> Row:
        """The row of an accepted text; the specs are JSON text."""
        first, last = self.checks[0], self.checks[-1]
        two = len(self.answers) == 2
        granted = {
            point: vote.marks[point].evidence
            for vote in self.votes
            for point in vote.marks
            if vote.marks[point].earned
        }
        points = [*skill_points(self.item), TOPIC, SENSE, LENGTH]
        return Row.of_item(
            pack,
            self.item,
            turns=len(self.answers),
            prompt1=self.prompts[0],
            answer1=self.answers[0],
            prompt2=self.prompts[1] if two else "",
            answer2=self.answers[1] if two else "",
            text1=first.extraction.text,
            text2=last.extraction.text if two else "",
            sentences1=first.sentences,
            sentences2=last.sentences if two else None,
            checks=[Check.of(turn, check) for turn, check in zip(_TURNS, self.checks, strict=False)],
            points=[Point(criterion=point, earned=True) for point in points],
            evidence=[Evidence(criterion=point, quote=granted[point]) for point in points if point in granted],
            teacher=teacher,
            judge=judge,
            teacher_tokens=_tokens(self.teacher_usage),
            judge_tokens=_tokens(self.judge_usage),
        )


def write_drafts(
    teacher: Teacher, pack: Pack, items: Sequence[Item], *, turns: int, progress: bool
) -> list[Draft]:
    """Have the teacher answer all items, turn by turn; a draft without a reply goes no further."""
    names = ("turn1", "turn2")[:turns] if turns == 2 else ("single",)
    drafts = [Draft(item, [render(pack, name, item) for name in names]) for item in items]
    for turn in range(turns):
        going = [draft for draft in drafts if draft.reason is None]
        title = f"k = {items[0].k}: writing turn {turn + 1} of {turns}" if items else ""
        replies = teacher.write([_conversation(draft, turn) for draft in going], progress=progress and title)
        for draft, reply in zip(going, replies, strict=True):
            _take(draft, reply)
    return drafts


def check_draft(draft: Draft) -> None:
    """Let code look at each turn's answer; the last one has to be sound."""
    draft.checks = [
        check_reply(draft.item, answer, draft.prompts[: turn + 1]) for turn, answer in enumerate(draft.answers)
    ]
    last = draft.checks[-1]
    if last.void is not None:
        draft.reason = Reason.FORMAT.value
    elif LENGTH in last.lost:
        draft.reason = Reason.TOO_LONG.value
    elif last.lost:
        named = any(loss.code is LossCode.NAMES_SKILL for loss in last.lost.values())
        draft.reason = (Reason.SKILL_NAMED if named else Reason.COPIED).value


def judge_drafts(panel: Panel, pack: Pack, drafts: Sequence[Draft], *, progress: bool) -> None:
    """Have all of `drafts` judged at once; those without full marks get the reason."""
    requests = [grading_request(pack, draft.item, draft.text) for draft in drafts]
    title = f"k = {drafts[0].item.k}: judging" if drafts else ""
    verdicts = panel.grade(requests, progress=progress and title) if requests else []
    for draft, verdict in zip(drafts, verdicts, strict=True):
        draft.votes = verdict.votes
        draft.judge_usage = sum((vote.usage for vote in verdict.votes), Usage())
        draft.reason = _missed(verdict.decisions)
        if draft.reason == no_verdict(State.API_FAILED):
            draft.failure = next(vote.detail for vote in verdict.votes if vote.state is State.API_FAILED)


def _missed(decisions: dict[str, Decision]) -> str | None:
    """Why these are no full marks: the first point that is denied, else the first without a verdict."""
    for point, decision in decisions.items():
        if decision.earned is False:
            return not_met(point)
    return next((no_verdict(one.state) for one in decisions.values() if one.earned is None), None)


def _conversation(draft: Draft, turn: int) -> tuple[Message, ...]:
    said: list[Message] = []
    for prompt, answer in zip(draft.prompts, draft.answers, strict=False):
        said += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return (*said, {"role": "user", "content": draft.prompts[turn]})


def _take(draft: Draft, reply: Reply) -> None:
    draft.teacher_usage += reply.usage
    split = split_reasoning(reply.text)
    reasons = split.open or (split.reasoning and not split.visible.strip())
    if reply.state is State.REASONING_ONLY or (reasons and reply.state in (State.GRADED, State.TRUNCATED)):
        draft.reason = Reason.REASONING_ONLY.value
    elif reply.state is State.GRADED:
        draft.answers.append(encodable(split.visible))
    elif reply.state in (State.API_FAILED, State.OVER_BUDGET):
        draft.reason, draft.failure = no_verdict(reply.state), reply.detail
    else:  # refused, cut off or empty
        draft.reason = Reason.FORMAT.value


def _tokens(usage: Usage) -> Tokens:
    return Tokens(prompt=usage.prompt, completion=usage.completion)
