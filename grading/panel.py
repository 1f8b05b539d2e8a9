"""The way in from Python: one judge, or several whose votes count alike; a single judge is a panel of one.

judge = open_judge("my-judge", base_url="http://localhost:8000/v1")
[verdict] = judge.grade_texts(["It poured."], {"rain": "It is about rain."})
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from grading.cost.budget import Budget
from grading.cost.stats import sum_known, total
from grading.endpoint.throttle import MOST_IN_FLIGHT
from grading.engine import Grader
from grading.errors import UserError
from grading.home import StorePlace, named_store, verdict_store
from grading.models.judge import Judge, JudgeSpec, chosen_judges
from grading.verdict import Ballot, Criterion, GradingRequest, UngroundedRule, Verdict, Vote, decide


class Panel:
    """Graders that share a store and a budget; each judge casts its own number of votes.

    A side wins with more than half of all votes, see grading.verdict.decide. The other arguments are a Grader's.
    Making one opens the store and loads no model. Raises UserError if a judge is named twice.
    """

    def __init__(
        self,
        judges: Sequence[JudgeSpec],
        store: StorePlace,
        *,
        concurrency: int = 32,
        adaptive: bool = True,
        budget: Budget | None = None,
        ungrounded: UngroundedRule = "no_verdict",
        batch: bool = False,
        single_retry: bool = False,
    ) -> None:
        check_panel(judges)
        self.name = panel_name(judges)
        self.budget = budget or Budget()
        self._ungrounded: UngroundedRule = ungrounded
        self._grading = threading.Lock()  # the judges share a budget
        self._graders = [
            Grader(
                judge,
                store,
                concurrency=concurrency,
                adaptive=adaptive,
                budget=self.budget,
                ungrounded=ungrounded,
                batch=batch,
                single_retry=single_retry,
            )
            for judge in judges
        ]

    def check(self) -> None:
        """Raise UserError, in one sentence, if a judge cannot answer; costs nothing."""
        for grader in self._graders:
            grader.check()

    def expect(self, answers: int) -> None:
        """Announce the number of all answers, whose parts `grade` gets; see Asker."""
        for grader in self._graders:
            grader.expect(answers)

    def grade(self, requests: Sequence[GradingRequest], *, progress: bool | str = True) -> list[Verdict]:
        """Judge every request with all votes of all judges, one judge after another; see Grader.grade."""
        with self._grading:
            by_judge = [grader.grade(requests, progress=progress) for grader in self._graders]
        return [
            decide(
                [
                    Ballot(verdict.votes, grader.judge.votes)
                    for verdict, grader in zip(verdicts, self._graders, strict=True)
                ],
                [criterion.id for criterion in request.criteria],
                self._ungrounded,
            )
            for request, *verdicts in zip(requests, *by_judge, strict=True)
        ]

    async def agrade(self, requests: Sequence[GradingRequest], *, progress: bool | str = False) -> list[Verdict]:
        """Do what `grade` does without blocking the event loop, from any loop."""
        return await asyncio.to_thread(self.grade, requests, progress=progress)

    def grade_texts(
        self, texts: Sequence[str], criteria: Mapping[str, str], *, context: str | Sequence[str] = ""
    ) -> list[Verdict]:
        """Judge each of `texts` against all `criteria`, which map an id to a sentence; without a progress bar.

        `context` says what the writer was asked to do: one text for all, or a list with one for each.
        Raises UserError for invalid texts, criteria or contexts.
        """
        return self.grade(_requests(texts, criteria, context), progress=False)

    async def agrade_texts(
        self, texts: Sequence[str], criteria: Mapping[str, str], *, context: str | Sequence[str] = ""
    ) -> list[Verdict]:
        """Do what `grade_texts` does without blocking the event loop, from any loop."""
        return await self.agrade(_requests(texts, criteria, context))

    def dollars(self, votes: Iterable[Vote]) -> float | None:
        """The cost of `votes` of this panel; None if a price is unknown."""
        judges = {grader.judge.model: grader.judge for grader in self._graders}
        return sum_known(judges[vote.judge].dollars(vote.usage) for vote in votes)

    def record(self) -> dict[str, Any]:
        """The work and cost so far, as results record them; with several judges also for each."""
        records = [grader.record() for grader in self._graders]
        if len(records) == 1:
            return records[0]
        by_judge = {
            grader.judge.model: record | {"budget": None}
            for grader, record in zip(self._graders, records, strict=True)
        }
        # The judges share a budget, and their votes have different prices.
        return (total(records) or {}) | {"price": None, "budget": self.budget.record(), "by_judge": by_judge}

    def close(self) -> None:
        """Close the store."""
        for grader in self._graders:
            grader.close()


def open_judge(
    judge: Judge | Sequence[Judge] | None = None,
    *,
    base_url: str | None = None,
    votes: int | None = None,
    store: Path | str | None = None,
    concurrency: int = 32,
    max_usd: float | None = None,
    max_tokens: int | None = None,
    ungrounded: UngroundedRule = "no_verdict",
) -> Panel:
    """Return a judge, or a panel of several, that is ready to grade.

    `judge` is a name of `skillmix judges`, a model id of the endpoint `base_url`, `hf:DIRECTORY`, a JudgeSpec or
    its fields; None takes the judge of the environment, else the default one. Its replies are kept in `store`, a
    file or the address of a database (None: the commands' store), and never paid for twice. `max_usd` and
    `max_tokens` cap what it spends. Raises UserError before anything is asked if the judge cannot answer.
    """
    if not isinstance(concurrency, int) or not 1 <= concurrency <= MOST_IN_FLIGHT:
        raise UserError(
            f"concurrency = {concurrency!r} is not a number of requests: take 1 to {MOST_IN_FLIGHT:,}."
        )
    if ungrounded not in get_args(UngroundedRule):
        raise UserError(
            f"ungrounded = {ungrounded!r} is not a rule: take {' or '.join(get_args(UngroundedRule))}."
        )
    specs = chosen_judges(judge, base_url=base_url, votes=votes)
    opened = Panel(
        specs,
        verdict_store() if store is None else named_store(str(store)),
        concurrency=concurrency,
        budget=Budget(max_usd=max_usd, max_tokens=max_tokens),
        ungrounded=ungrounded,
    )
    try:
        opened.check()
    except UserError:
        opened.close()
        raise
    return opened


def _requests(
    texts: Sequence[str], criteria: Mapping[str, str], context: str | Sequence[str]
) -> list[GradingRequest]:
    if isinstance(texts, str):
        raise UserError("The texts to judge are a single str: give a list of texts, such as [text].")
    if not isinstance(texts, Sequence):
        raise UserError(
            f"The texts to judge are of the type {type(texts).__name__}: give a list of texts, such as [text]."
        )
    example = '{"rain": "It is about rain."}'
    if not isinstance(criteria, Mapping):
        raise UserError(
            f"The criteria are of the type {type(criteria).__name__}: give a dict that maps a name to a "
            f"sentence, such as {example}."
        )
    if not criteria:
        raise UserError(f"There are no criteria: give at least one, such as {example}.")
    for name, text in criteria.items():
        if not (isinstance(name, str) and isinstance(text, str)):
            raise UserError(f"The criterion {name!r}: {text!r} is not a name with a sentence, such as {example}.")
    if not isinstance(context, Sequence):
        raise UserError(
            f"The context is of the type {type(context).__name__}: give one text for all, or a list with one for "
            "each text."
        )
    wanted = tuple(Criterion(name, text) for name, text in criteria.items())
    contexts = [context] * len(texts) if isinstance(context, str) else context
    if len(contexts) != len(texts):
        raise UserError(
            f"There are {len(texts)} texts and {len(contexts)} contexts: give one context for each text."
        )
    return [GradingRequest(asked, wanted, text) for asked, text in zip(contexts, texts, strict=True)]


def check_panel(judges: Sequence[JudgeSpec]) -> None:
    """Raise UserError unless `judges` has at least one judge and each model once."""
    models = [judge.model for judge in judges]
    if not models:
        raise UserError("The list of judges is empty: name one or more.")
    if len(set(models)) < len(models):
        raise UserError(
            f"The panel {', '.join(models)} names a judge twice: give that judge more votes instead, with "
            '{"model": NAME, "votes": NUMBER}.'
        )


def panel_name(judges: Sequence[JudgeSpec]) -> str:
    """The judges' models in words."""
    return " and ".join(judge.model for judge in judges)


def panel_record(judges: Sequence[JudgeSpec]) -> dict[str, Any]:
    """The judges as results carry them: the spec of one, or those of all under `panel` with the votes in sum."""
    if len(judges) == 1:
        return judges[0].record()
    return {"panel": [judge.record() for judge in judges], "votes": sum(judge.votes for judge in judges)}
