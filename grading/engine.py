"""Grading: from answers and criteria to verdicts, every paid reply on disk before it counts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from grading.backend import Reply, VoteCall
from grading.batch_store import BatchStore
from grading.budget import Budget, Gate, cost_of, require_price
from grading.estimate import CallEstimator
from grading.judge import JudgeSpec
from grading.parse import read_vote
from grading.progress import VoteBar
from grading.prompt import build_messages
from grading.stats import GradingStats
from grading.store import VerdictStore, vote_key
from grading.untrusted import shown
from grading.verdict import GradingRequest, State, UngroundedRule, Usage, Verdict, Vote
from grading.votes import Ballot, decide

logger = logging.getLogger(__name__)


class Grader:
    """A judge together with the store of its replies.

    `store` is the path of the verdict store; `concurrency` bounds the requests in flight to an HTTP endpoint;
    with `adaptive` they follow what the endpoint allows, without it they are as many as that at all times.
    `budget` caps what this grader and all others with the same budget spend together; None leaves it open.
    `ungrounded` is what grants without true evidence count as in the end (see docs/verdicts.md).
    With `batch` the votes go through the endpoint's Batch API (grading.batch) and are priced accordingly.
    A run whose answers come in parts calls `grade` for each with one grader, and sets `answers` to their number in
    all: what the run will take is then told once, in proportion to the first part.
    Making one reads no network and loads no model.
    """

    def __init__(
        self,
        judge: JudgeSpec,
        store: Path,
        *,
        concurrency: int = 32,
        adaptive: bool = True,
        budget: Budget | None = None,
        ungrounded: UngroundedRule = "no_verdict",
        batch: bool = False,
    ) -> None:
        self.judge = judge.in_batches() if batch else judge
        self.ungrounded: UngroundedRule = ungrounded
        self._batch = batch
        self.stats = GradingStats()
        self.answers: int | None = None
        self._told_estimate = self._told_cap = False
        self.budget = budget or Budget()
        if self.budget.max_usd is not None:
            require_price(judge)
        self._estimator = CallEstimator(judge.max_tokens)
        self._identity = judge.identity()
        self._backend = judge.backend(concurrency, adaptive=adaptive, batches=store if batch else None)
        self._store = VerdictStore(store)

    def check(self) -> None:
        """Raise UserError, in one sentence, if the judge cannot answer; costs nothing."""
        self._backend.check()

    def record(self) -> dict[str, Any]:
        """What grading did and cost so far, as results carry it."""
        return self.stats.record(self.judge, self.budget)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def grade(self, requests: Sequence[GradingRequest], *, progress: bool = True) -> list[Verdict]:
        """Judge every request with `judge.votes` votes; verdicts come in the order of the requests.

        A vote that is no verdict, or that grants a criterion without true evidence, is asked once more in each
        run, under a new number. Never raises for a bad reply: that is a state in the vote. Votes for which the
        budget does not suffice have the state OVER_BUDGET; the first requests get theirs first.
        """
        asked = [_Asked(request, self._identity, self.judge) for request in requests]
        known: dict[str, Vote] = {}
        turned_away = self.stats.states[State.OVER_BUDGET.value]
        with VoteBar(self.judge, self.stats, disable=not progress) as bar:
            self._answer((call for one in asked for call in one.calls), known, bar, announced=len(asked))
            again = asked
            while calls := [call for one in again for call in one.ask_again(known)]:
                self._answer(calls, known, bar)
                # What an earlier run asked again and did not get either is no try of this run.
                again = [one for one in again if one.latest and all(known[c.key].stored for c in one.latest)]
        turned_away = self.stats.states[State.OVER_BUDGET.value] - turned_away
        if turned_away and not self._told_cap:
            self._told_cap = self.answers is not None
            logger.warning(
                "%s is reached: %s not asked for. A run with a higher cap goes on from here; the votes that are "
                "stored cost nothing.",
                self.budget.caps,
                f"{turned_away} votes were" if self.answers is None else "further votes are",
            )
        return [
            decide(
                [Ballot([known[call.key] for call in one.calls], self.judge.votes)],
                [criterion.id for criterion in one.request.criteria],
                self.ungrounded,
            )
            for one in asked
        ]

    def _answer(
        self, calls: Iterable[VoteCall], known: dict[str, Vote], bar: VoteBar, *, announced: int = 0
    ) -> None:
        """Add the vote of each call to `known`, by key, from the store or else from the judge.

        What the calls will take is announced if they are for so many `announced` answers.
        """
        # Equal answers to one question make equal calls, which are asked once.
        wanted = {call.key: call for call in calls if call.key not in known}
        bar.expect(len(wanted))

        def keep(call: VoteCall, reply: Reply, *, stored: bool) -> None:
            vote = replace(read_vote(call, reply, stored=stored), judge=self.judge.model)
            known[call.key] = vote
            self.stats.count(vote)
            self.stats.refused |= reply.refused
            bar.advance()

        for key, reply in self._store.read(wanted).items():
            self._estimator.learn(wanted[key], reply.usage)
            keep(wanted[key], reply, stored=True)
        missing = [call for key, call in wanted.items() if key not in known]
        if announced and missing:
            self._announce(missing, stored=len(wanted) - len(missing), answers=announced)
            if not self._batch:
                self._warn_of_batches({call.key for call in missing})
        gate = Gate(missing, self.budget, self.judge, self._estimator)

        def receive(call: VoteCall, reply: Reply) -> None:
            gate.settle(call, reply)
            if reply.state is not State.API_FAILED:  # a failure cost nothing and may pass
                reply = replace(reply, refused=self._backend.refused)
                self._store.add(call.key, self.judge.model, reply)
            keep(call, reply, stored=False)

        try:
            self._backend.run(gate, receive, self._store.commit)
            while gate.opens_again():
                self._backend.run(gate, receive, self._store.commit)
        finally:
            self._store.commit()  # what came before an interruption was paid for, too
            gate.close()
        self.budget.turn_away(len(gate.waiting))
        for call in gate.waiting:
            detail = f"not asked: {self.budget.caps} is reached"
            keep(call, Reply(State.OVER_BUDGET, detail=detail), stored=False)

    def _announce(self, missing: Sequence[VoteCall], *, stored: int, answers: int) -> None:
        """Log what `missing` will use and cost, before the first call; for all parts of a run with its first."""
        expected = sum((self._estimator.expected(call) for call in missing), Usage())
        self.stats.expected_calls += len(missing)
        self.stats.expected += expected
        if self._told_estimate:
            return
        whole = (self.answers or answers) / answers
        self._told_estimate = self.answers is not None
        expected = expected.times(whole)
        price = self.judge.price
        dollars = ""
        if price:
            most = sum((self._estimator.most(call) for call in missing), Usage()).times(whole)
            dollars = f", about ${price.dollars(expected):.2f} and at most ${price.dollars(most):.2f}"
        logger.info(
            "%s gives %d votes (%d more are stored): about %s prompt and %s completion tokens%s%s",
            self.judge.model,
            round(len(missing) * whole),
            round(stored * whole),
            f"{expected.prompt:,}",
            f"{expected.completion:,}",
            dollars,
            f"; reckoned from the first {answers:,} of {self.answers:,} answers" if whole > 1 else "",
        )
        if self.budget.exceeded_by(cost_of(expected, self.judge)):
            logger.warning("That is more than %s allows: judging will stop there.", self.budget.caps)

    def _warn_of_batches(self, missing: set[str]) -> None:
        """Say so if votes are about to be bought that an open batch holds."""
        batches = BatchStore(self._store.path)
        try:
            held = [batch for batch in batches.open() if not missing.isdisjoint(batch.keys)]
        finally:
            batches.close()
        if held:
            logger.warning(
                "%d of these votes are in open batches (%s) and are now paid for a second time: with the setting "
                "`batch` they would be fetched from there.",
                sum(key in missing for batch in held for key in batch.keys),
                ", ".join(batch.remote or "not known to be submitted" for batch in held),
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
        """A further call, with a new number, for each of the latest votes that has to be asked again."""
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
