"""Grading: from answers and criteria to verdicts, every paid reply on disk before it counts."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from grading.asker import Asker, open_backend
from grading.backend import Reply, VoteCall
from grading.cost.budget import Budget
from grading.cost.progress import CallBar
from grading.errors import UserError
from grading.failure import limit_hint
from grading.home import StorePlace
from grading.models.judge import JudgeSpec
from grading.protocol.parse import read_vote
from grading.protocol.prompt import build_messages
from grading.protocol.untrusted import shown
from grading.store.replies import vote_key
from grading.verdict import Ballot, GradingRequest, State, UngroundedRule, Verdict, Vote, decide

logger = logging.getLogger(__name__)


class Grader:
    """A judge together with the store of its replies.

    `store` is where the verdict store is, a file or a server; `concurrency`, `adaptive`, `budget` (None leaves it
    open) and `batch` are an Asker's. `ungrounded` decides how grants without true evidence count (see
    docs/verdicts.md). With `single_retry` a lost vote is retried once in total, not once per run, so that all runs
    with one store decide alike. Making one opens the store and loads no model.
    """

    def __init__(
        self,
        judge: JudgeSpec,
        store: StorePlace,
        *,
        concurrency: int = 32,
        adaptive: bool = True,
        budget: Budget | None = None,
        ungrounded: UngroundedRule = "no_verdict",
        batch: bool = False,
        single_retry: bool = False,
    ) -> None:
        backend = open_backend(judge, concurrency, adaptive=adaptive, batches=store if batch else None)
        self._asker = Asker(judge, store, backend, budget=budget or Budget(), batch=batch)
        self.judge = self._asker.spec
        self.ungrounded: UngroundedRule = ungrounded
        self.stats, self.budget = self._asker.stats, self._asker.budget
        self._identity = judge.identity()
        self._single_retry = single_retry
        self._grading = threading.Lock()
        self._told_limit = False

    def check(self) -> None:
        """Raise UserError, in one sentence, if the judge cannot answer; costs nothing."""
        self._asker.check()

    def expect(self, answers: int) -> None:
        """Announce the number of all answers, whose parts `grade` gets; see Asker."""
        self._asker.total_texts = answers

    def record(self) -> dict[str, Any]:
        """The work and cost so far, as results record them."""
        return self.stats.record(self.judge, self.budget)

    def close(self) -> None:
        """Close the store."""
        self._asker.close()

    def grade(self, requests: Sequence[GradingRequest], *, progress: bool | str = True) -> list[Verdict]:
        """Judge every request with `judge.votes` votes; verdicts come in the order of the requests.

        An invalid vote, or one that grants a criterion without true evidence, is retried once in each run (see
        `single_retry`), under a new number. Never raises for a bad reply: that is a state in the vote. Votes that
        the budget does not cover have the state OVER_BUDGET; the first requests come first. Several threads may
        call it; one at a time is served. `progress` may be the bar's title.
        """
        refuse_others(requests)
        with self._grading:
            return self._grade(requests, progress=progress)

    async def agrade(self, requests: Sequence[GradingRequest], *, progress: bool | str = False) -> list[Verdict]:
        """Do what `grade` does without blocking the event loop, from any loop."""
        return await asyncio.to_thread(self.grade, requests, progress=progress)

    def _grade(self, requests: Sequence[GradingRequest], *, progress: bool | str) -> list[Verdict]:
        asked = [_Asked(request, self._identity, self.judge) for request in requests]
        known: dict[str, Vote] = {}
        title = progress if isinstance(progress, str) else "Judging"
        with CallBar(title, self.judge, self.stats, disable=not progress) as bar:
            self._answer((call for one in asked for call in one.calls), known, bar, announced=len(asked))
            again = asked
            while calls := [call for one in again for call in one.ask_again(known)]:
                self._answer(calls, known, bar)
                if self._single_retry:
                    break
                # A retry that an earlier run made does not count against this run.
                again = [one for one in again if one.latest and all(known[c.key].stored for c in one.latest)]
        self._warn_of_limit(known)
        return [
            decide(
                [Ballot([known[call.key] for call in one.calls], self.judge.votes)],
                [criterion.id for criterion in one.request.criteria],
                self.ungrounded,
            )
            for one in asked
        ]

    def _warn_of_limit(self, known: dict[str, Vote]) -> None:
        """Warn once if a tenth of the replies is truncated."""
        states = Counter(vote.state.value for vote in known.values())
        hint = limit_hint(states, self.judge.max_tokens)
        cut = states[State.TRUNCATED.value] + states[State.REASONING_ONLY.value]
        if hint and not self._told_limit and 10 * cut >= len(known):
            self._told_limit = True
            logger.warning("%d of %d votes of %s are lost: %s.", cut, len(known), self.judge.model, hint)

    def _answer(
        self, calls: Iterable[VoteCall], known: dict[str, Vote], bar: CallBar, *, announced: int = 0
    ) -> None:
        """Add the vote of each call to `known`, by key."""
        # Equal answers to one question make equal calls, which are made once.
        wanted = {call.key: call for call in calls if call.key not in known}
        bar.expect(len(wanted))

        def keep(call: VoteCall, reply: Reply) -> None:
            vote = read_vote(call, reply, judge=self.judge.model)
            known[call.key] = vote
            self.stats.count(vote.state, reply)
            bar.advance()

        self._asker.ask(wanted, keep, announced=announced)


def refuse_others(requests: Sequence[GradingRequest]) -> None:
    """Raise UserError for a single request in place of a list, and for values that are not requests."""
    if isinstance(requests, GradingRequest):
        raise UserError("grade takes a list of requests and got a single one: type grade([request]).")
    if not isinstance(requests, Sequence):
        raise UserError("grade takes a list of requests: type grade([request]).")
    if wrong := next((one for one in requests if not isinstance(one, GradingRequest)), None):
        raise UserError(
            f"grade takes a list of GradingRequest, not of {type(wrong).__name__}: for texts type "
            "open_judge(...).grade_texts(texts, criteria)."
        )


class _Asked:
    """One request with the calls that were made for it."""

    def __init__(self, request: GradingRequest, identity: dict[str, Any], judge: JudgeSpec) -> None:
        self.request = request
        self._messages = build_messages(request)
        self._answer = shown(request.answer)
        self._identity = identity
        self._seed = judge.seed
        self.calls = [self._call(number) for number in range(judge.votes)]
        self.latest = self.calls

    def ask_again(self, known: dict[str, Vote]) -> list[VoteCall]:
        """A further call, with a new number, for each of the latest votes that must be retried."""
        lost = sum(_worth_asking_again(known[call.key]) for call in self.latest)
        self.latest = [self._call(number) for number in range(len(self.calls), len(self.calls) + lost)]
        self.calls = self.calls + self.latest
        return self.latest

    def _call(self, number: int) -> VoteCall:
        return VoteCall(
            vote_key(self._identity, self._messages, number),
            number,
            self._messages,
            tuple(criterion.id for criterion in self.request.criteria),
            self._answer,
            self._seed + number,
        )


def _worth_asking_again(vote: Vote) -> bool:
    if vote.state is State.GRADED:
        return any(mark.state is State.UNGROUNDED for mark in vote.marks.values())
    # The client has already tried a failed call again, and a budget that is used up stays so.
    return vote.state not in (State.API_FAILED, State.OVER_BUDGET)
