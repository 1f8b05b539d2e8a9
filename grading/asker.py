"""Opens a model as its spec says, and answers calls to it from the store, or by the model within a budget."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic

from grading.backend import Backend, Group, Reply, VoteCall
from grading.cost.budget import Budget, Cost, Gate, cost_of, require_price
from grading.cost.estimate import CallEstimator
from grading.cost.stats import GradingStats
from grading.errors import UserError
from grading.failure import Failures, sentence
from grading.home import StorePlace
from grading.models.spec import LOCAL_PREFIX, ModelSpec, Spec
from grading.store.batches import BatchStore
from grading.store.claims import Claims
from grading.store.replies import VerdictStore
from grading.verdict import State, Usage

_LOOK = 0.2  # seconds between two looks for the replies that another run pays for
_SAY_WAITING = 45.0  # seconds between two log lines about that

logger = logging.getLogger(__name__)
Keep = Callable[[VoteCall, Reply], None]  # takes the reply to a call


def open_backend(
    spec: ModelSpec, concurrency: int, *, adaptive: bool = True, batches: StorePlace | None = None
) -> Backend:
    """Return the model; `concurrency` bounds the requests in flight of an HTTP endpoint, see Asker.

    With `batches`, where the verdict store is, calls go through the endpoint's Batch API.
    """
    if spec.kind == "transformers":
        if batches:
            raise UserError(
                f"The {spec.role} {LOCAL_PREFIX}{spec.model} runs in this process and has no Batch API: leave out "
                "the setting `batch`."
            )
        from grading.local.backend import LocalBackend  # needs torch

        return LocalBackend(
            spec.model,
            temperature=spec.temperature or 0.0,
            max_tokens=spec.max_tokens,
            batch_size=spec.batch_size,
            dtype=spec.dtype,
        )
    if batches:
        from grading.batch.backend import BatchBackend

        return BatchBackend(spec, api_key=spec.api_key(), store=batches)
    from grading.endpoint.backend import OpenAIBackend

    return OpenAIBackend(spec, api_key=spec.api_key(), concurrency=concurrency, adaptive=adaptive)


class Asker(Generic[Spec]):
    """A model with the store of its replies; the caller counts in `stats`.

    `store` is where the store is; `concurrency` bounds the requests in flight to an HTTP endpoint; with `adaptive`
    their number follows the endpoint's limits, without it concurrency is fixed. `budget` caps what all askers that
    share it spend. With `batch` calls go through the endpoint's Batch API and are priced accordingly, as `spec`
    then says. A run that works in parts sets `total_texts` to the number of texts in all parts: the estimate is
    then logged once, in proportion to the first part.
    """

    def __init__(
        self,
        spec: Spec,
        store: StorePlace,
        backend: Backend,
        *,
        budget: Budget,
        batch: bool,
    ) -> None:
        self.spec = spec.in_batches() if batch else spec
        self.stats = GradingStats()
        self.budget = budget
        self.total_texts: int | None = None
        self._batch = batch
        self._told: set[str] = set()  # what a run that works in parts has logged
        if budget.max_usd is not None:
            require_price(spec)
        self._estimator = CallEstimator(spec.max_tokens)
        self._backend = backend
        self._store = VerdictStore(store)
        self._claims = Claims(store)

    def check(self) -> None:
        """Raise UserError, in one sentence, if the model cannot answer; costs nothing."""
        self._backend.check()

    def close(self) -> None:
        self._claims.close()
        self._store.close()

    def ask(self, calls: Mapping[str, VoteCall], keep: Keep, *, announced: int = 0) -> None:
        """Hand the reply to each of `calls`, which are given by their keys, to `keep`, in any order.

        Calls that the budget does not cover get the state OVER_BUDGET; the first calls leave first. With
        `announced`, the number of texts, the estimate of the calls is logged.
        """
        wanted = dict(calls)
        waited = -_SAY_WAITING
        while wanted:
            known = self._store.read(wanted)
            for key, reply in known.items():
                call = wanted.pop(key)
                self._estimator.learn(call, reply.usage)
                keep(call, self._estimator.completed(call, reply))
            mine = self._claims.take(wanted, self._store.damaged)
            missing = [wanted.pop(key) for key in list(wanted) if key in mine]
            if announced and (missing or wanted):
                self._announce([*missing, *wanted.values()], stored=len(known), texts=announced)
                announced = 0
            if missing:
                with self._claims.held():
                    self._buy(missing, keep)
            elif wanted:  # another run pays for them
                if time.monotonic() - waited > _SAY_WAITING:
                    waited = time.monotonic()
                    logger.warning(
                        "Another run with this store is requesting %d %ss: this run waits for them.",
                        len(wanted),
                        self.spec.product,
                    )
                time.sleep(_LOOK)

    def _buy(self, missing: Sequence[VoteCall], keep: Keep) -> None:
        """Ask the model for the replies to `missing`, as far as the budget allows, and hand them to `keep`."""
        if not self._batch:
            self._warn_of_batches({call.key for call in missing})
        gate = Gate(missing, self.budget, self.spec, self._estimator)
        intake = _Intake(self._store, self.spec.model, gate, keep)
        self._answer(gate, intake)
        while gate.opens_again():
            self._answer(gate, intake)
        while intake.read():
            pass
        if intake.estimated and self._is_news("usage"):
            self._warn_of_usage(intake.estimated)
        if intake.failures and self._is_news("failures"):
            causes = sentence(intake.failures.record(self.spec.remedy), self.spec.product)
            logger.warning("%s: %s.", self.spec.model, causes)
        self.budget.turn_away(len(gate.waiting))
        for call in gate.waiting:
            keep(call, Reply(State.OVER_BUDGET, detail=f"not asked: {self.budget.reason}"))
        if gate.waiting and self._is_news("cap"):
            self._warn_of_cap(len(gate.waiting), gate.most(gate.waiting[0]))

    def _answer(self, gate: Gate, intake: _Intake) -> None:
        """Buy the replies to the calls that the gate lets out now."""
        try:
            with closing(self._backend.replies(gate)) as groups:
                for group in groups:
                    if group:
                        intake.save(group)
                    else:
                        intake.read()
        finally:
            self._store.commit()  # what was paid for before an interruption
            gate.close()

    def _is_news(self, what: str) -> bool:
        """Whether a line about `what` is to be logged: once in a run that works in parts."""
        known = what in self._told
        if self.total_texts is not None:
            self._told.add(what)
        return not known

    def _announce(self, missing: Sequence[VoteCall], *, stored: int, texts: int) -> None:
        """Log what `missing` will use and cost, before the first call; for all parts of a run with its first."""
        expected = sum((self._estimator.expected(call) for call in missing), Usage())
        self.stats.expected_calls += len(missing)
        self.stats.expected += expected
        if not self._is_news("estimate"):
            return
        factor = (self.total_texts or texts) / texts
        expected = expected.times(factor)
        price = self.spec.price
        dollars = ""
        if price:
            most = sum((self._estimator.most(call) for call in missing), Usage()).times(factor)
            dollars = f", about ${price.dollars(expected):.2f} and at most ${price.dollars(most):.2f}"
        logger.info(
            "%s: %d %ss to request (%d more are stored), about %s prompt and %s completion tokens%s%s",
            self.spec.model,
            round(len(missing) * factor),
            self.spec.product,
            round(stored * factor),
            f"{expected.prompt:,}",
            f"{expected.completion:,}",
            dollars,
            f"; estimated from the first {texts:,} of up to {self.total_texts:,} answers" if factor > 1 else "",
        )
        if self.budget.exceeded_by(cost_of(expected, self.spec)):
            logger.warning("This estimate is above %s: the run will stop at the cap.", self.budget.caps)

    def _warn_of_usage(self, replies: int) -> None:
        logger.warning(
            "%s of %s reported no valid token usage: `spent` holds an estimate from their length%s.",
            f"{replies} replies" if self.total_texts is None else "Replies",
            self.spec.model,
            f", and under {self.budget.caps} each counts with the most that it may have cost"
            if self.budget.caps
            else "",
        )

    def _warn_of_cap(self, turned_away: int, most: Cost) -> None:
        product = self.spec.product
        logger.warning(
            "%s: %s not requested. The next %s may cost up to %s. A run with a higher cap continues from here; "
            "stored %ss cost nothing.",
            self.budget.reason,
            f"{turned_away} {product}s were" if self.total_texts is None else f"further {product}s are",
            product,
            most,
            product,
        )

    def _warn_of_batches(self, missing: set[str]) -> None:
        """Warn if an open batch holds a call that is about to be paid for."""
        with closing(BatchStore(self._store.place)) as batches:
            held = [batch for batch in batches.open() if not missing.isdisjoint(batch.keys)]
        if held:
            logger.warning(
                "%d of these %ss are in open batches (%s) and are now paid for a second time. The setting `batch` "
                "fetches them instead.",
                sum(key in missing for batch in held for key in batch.keys),
                self.spec.product,
                ", ".join(batch.remote or "not known to be submitted" for batch in held),
            )


@dataclass
class _Intake:
    """Takes the replies of one `ask`: pays for each, puts it on disk, and only then hands it to `keep`."""

    _store: VerdictStore
    _model: str
    _gate: Gate
    _keep: Keep
    _saved: deque[tuple[VoteCall, Reply]] = field(default_factory=deque)
    failures: Failures = field(default_factory=Failures)
    estimated: int = 0  # replies whose usage is an estimate

    def save(self, group: Group) -> None:
        taken = []
        for call, reply in group:
            completed = self._gate.settle(call, reply)
            self.estimated += completed.estimated
            if reply.failure:  # it may pass, and is retried
                self.failures.add(reply.failure)
                self._store.fail(call.key, self._model, reply.failure)
            else:
                self._store.add(call.key, self._model, reply if completed.estimated else completed)
            taken.append((call, completed))
        self._store.commit()
        self._saved.extend(taken)

    def read(self) -> bool:
        """Pass one saved reply on; False if none is left."""
        if not self._saved:
            return False
        call, reply = self._saved.popleft()
        self._keep(call, reply)
        return True
