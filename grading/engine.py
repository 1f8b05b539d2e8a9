"""Grading: from answers and criteria to verdicts, every paid reply on disk before it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grading.backend import Reply, VoteCall
from grading.judge import JudgeSpec
from grading.parse import read_vote
from grading.progress import VoteBar
from grading.prompt import build_messages
from grading.store import VerdictStore, vote_key
from grading.untrusted import shown
from grading.verdict import GradingRequest, State, Usage, Verdict, Vote
from grading.votes import decide


@dataclass
class GradingStats:
    """What grading did in this run: calls to the judge, votes read from the store, tokens and states."""

    calls: int = 0
    stored: int = 0
    usage: Usage = field(default_factory=Usage)  # of this run's calls
    states: Counter[str] = field(default_factory=Counter)  # of all votes, stored ones included

    def count(self, vote: Vote) -> None:
        """Add one vote."""
        self.states[vote.state.value] += 1
        if vote.stored:
            self.stored += 1
            return
        self.calls += 1
        self.usage = Usage(
            self.usage.prompt + vote.usage.prompt,
            self.usage.completion + vote.usage.completion,
            self.usage.cached + vote.usage.cached,
        )

    def record(self, judge: JudgeSpec) -> dict[str, Any]:
        """The figures as results carry them; `dollars` is None where no price is known."""
        return {
            "calls": self.calls,
            "votes_from_store": self.stored,
            "prompt_tokens": self.usage.prompt,
            "completion_tokens": self.usage.completion,
            "cached_tokens": self.usage.cached,
            "dollars": judge.price.dollars(self.usage) if judge.price else None,
            "vote_states": dict(self.states),
        }


class Grader:
    """A judge together with the store of its replies.

    `store` is the path of the verdict store; `concurrency` bounds the calls in flight to an HTTP endpoint.
    Making one reads no network and loads no model.
    """

    def __init__(self, judge: JudgeSpec, store: Path, *, concurrency: int = 32) -> None:
        self.judge = judge
        self.stats = GradingStats()
        self._identity = judge.identity()
        self._backend = judge.backend(concurrency)
        self._store = VerdictStore(store)

    def check(self) -> None:
        """Raise UserError, in one sentence, if the judge cannot answer; costs nothing."""
        self._backend.check()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def grade(self, requests: Sequence[GradingRequest], *, progress: bool = True) -> list[Verdict]:
        """Judge every request with `judge.votes` votes; verdicts come in the order of the requests.

        A vote that is no verdict, or that grants a criterion without true evidence, is asked once more in each
        run, under a new number. Never raises for a bad reply: that is a state in the vote.
        """
        asked = [_Asked(request, self._identity, self.judge) for request in requests]
        known: dict[str, Vote] = {}
        with VoteBar(self.judge, self.stats, disable=not progress) as bar:
            self._answer((call for one in asked for call in one.calls), known, bar)
            again = asked
            while calls := [call for one in again for call in one.ask_again(known)]:
                self._answer(calls, known, bar)
                # What an earlier run asked again and did not get either is no try of this run.
                again = [one for one in again if one.latest and all(known[c.key].stored for c in one.latest)]
        return [
            decide(
                [known[call.key] for call in one.calls],
                [criterion.id for criterion in one.request.criteria],
                self.judge.votes,
            )
            for one in asked
        ]

    def _answer(self, calls: Iterable[VoteCall], known: dict[str, Vote], bar: VoteBar) -> None:
        """Add the vote of each call to `known`, by key, from the store or else from the judge."""
        # Equal answers to one question make equal calls, which are asked once.
        wanted = {call.key: call for call in calls if call.key not in known}
        bar.expect(len(wanted))

        def keep(call: VoteCall, reply: Reply, *, stored: bool) -> None:
            vote = read_vote(call, reply, stored=stored)
            known[call.key] = vote
            self.stats.count(vote)
            bar.advance()

        def receive(call: VoteCall, reply: Reply) -> None:
            if reply.state is not State.API_FAILED:  # a failure cost nothing and may pass
                self._store.write(call.key, self.judge.model, reply)
            keep(call, reply, stored=False)

        for key, reply in self._store.read(wanted).items():
            keep(wanted[key], reply, stored=True)
        self._backend.run([call for key, call in wanted.items() if key not in known], receive)


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
    return vote.state is not State.API_FAILED  # the client has already tried that one again
