"""The way in from Python: open a judge, and let it judge texts against criteria.

judge = open_judge("my-judge", base_url="http://localhost:8000/v1")
[verdict] = judge.grade_texts(["It poured."], {"rain": "It is about rain."})
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from grading.cost.budget import Budget, require_price
from grading.endpoint.throttle import MOST_IN_FLIGHT
from grading.errors import UserError
from grading.home import named_store, verdict_store
from grading.models.judge import Judge, chosen_judges
from grading.panel import Panel
from grading.verdict import UngroundedRule


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
    if max_usd is not None:
        for spec in specs:
            require_price(spec)
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
