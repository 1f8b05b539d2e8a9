"""Texts with full marks, until enough of each kind are accepted.

The teacher writes, code checks, the judge decides.

    OUT/run.json        the run: plan, pack, seed, turns, teacher, judge
    OUT/rows_k2.jsonl   the accepted texts, in the order of the plan
    OUT/counts.json     the outcome of every try

The plan's cells come in a fixed order, and replies come from the store where it has them. So a stopped run is
simply started again: it makes the same data set, and pays for nothing twice.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from grading import Budget, JudgeSpec, Panel, UserError
from grading.home import verdict_store
from grading.panel import panel_record
from grading.safety.atomic import atomic_file, write_atomic
from skillmix_tasks.cells import evaluation_cells
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack
from training.data.folder import claimed
from training.data.rows import rows_file, rows_files
from training.texts.counts import Counts, KindCounts, Tally
from training.texts.drafts import Draft, check_draft, judge_drafts, write_drafts
from training.texts.duplicates import Duplicates
from training.texts.plan import Kind, Plan, cells, check_cells
from training.texts.reasons import Reason, advice
from training.texts.teacher import Teacher, TeacherSpec

_WAVE = 500  # cells that are tried together, at most
_PROBE = 40  # cells that are tried first, also of a batch, to detect a teacher that cannot work
_BATCH_WAVE = 10_000  # a batch may take a day, so there must be few
_ENOUGH = 100  # decided tries, after which a kind may end early

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Everything that decides which texts come out.

    `pack_name` is a bundled pack or a directory. `turns` is 2, or 1 for a single turn that states the limit. A
    kind is given up when the upper end of the 95 % Wilson interval of its acceptance falls below `least_rate`.
    """

    plan: Plan
    pack_name: str
    teacher: TeacherSpec
    judges: tuple[JudgeSpec, ...]
    seed: int = 0
    turns: int = 2
    least_rate: float = 0.01

    @property
    def pack(self) -> Pack:
        return load_pack(self.pack_name)

    def record(self) -> dict[str, Any]:
        """The run as its folder carries it; no address."""
        return {
            "plan": self.plan.model_dump(mode="json"),
            "pack": {"id": self.pack.about.id, "version": self.pack.about.version, "hash": self.pack.hash},
            "seed": self.seed,
            "turns": self.turns,
            "least_rate": self.least_rate,
            "teacher": self.teacher.record(),
            "judge": panel_record(self.judges),
        }


@dataclass(frozen=True)
class Limits:
    """Limits of a run that change none of its texts."""

    concurrency: int = 32
    adaptive: bool = True
    batch: bool = False
    budget: Budget = field(default_factory=Budget)
    progress: bool = True


@dataclass(frozen=True)
class Outcome:
    """The results of a run: its counts, why each k ended, and this process's spending on teacher and judge."""

    counts: Counts
    endings: dict[int, str]
    teacher: dict[str, Any]
    judge: dict[str, Any]


def generate(run: Run, out: Path, limits: Limits | None = None) -> Outcome:
    """Make the rows of `run` in `out` and return the outcome of every try.

    Raises UserError if `out` holds another run, or a model cannot answer.
    """
    limits = limits or Limits()
    check_cells(run.pack, run.plan, run.seed)
    _log_wanted(run.plan)
    if not 0 <= run.least_rate <= 1:
        raise UserError(f"--least-rate {run.least_rate} is not a rate: give a number from 0 to 1.")
    options = {name: value for name, value in vars(limits).items() if name != "progress"}
    teacher = Teacher(run.teacher, verdict_store(), **options)
    # If each process retried a lost vote, a stopped run would get other texts than an unbroken one.
    panel = Panel(run.judges, verdict_store(), single_retry=True, **options)
    panel.expect(sum(kind.tries or 2 * (kind.accept or 0) for kind in run.plan.kinds))
    try:
        teacher.check()
        panel.check()
        with claimed(out, run.record(), begun=lambda: _has_texts(out)):
            loop = _Loop(run, out, teacher, panel, limits)
            endings = {kind.k: loop.fill(kind) for kind in run.plan.kinds}
            loop.counts.check()
            write_atomic(out / "counts.json", loop.counts.model_dump_json(indent=1) + "\n")
        return Outcome(loop.counts, endings, teacher.record(), panel.record())
    finally:
        teacher.close()
        panel.close()


def _log_wanted(plan: Plan) -> None:
    wants = [f"{kind.accept:,} texts with k = {kind.k}" for kind in plan.kinds if kind.accept]
    if wants:
        total = sum(kind.accept or 0 for kind in plan.kinds)
        logger.info("Wanted: %s%s.", ", ".join(wants), f"; {total:,} in all" if len(wants) > 1 else "")


class _Loop:
    """The kinds of one run, one after another; duplicates are sought among all of them."""

    def __init__(self, run: Run, out: Path, teacher: Teacher, panel: Panel, limits: Limits) -> None:
        self.counts = Counts()
        self._run = run
        self._out = out
        self._teacher = teacher
        self._panel = panel
        self._limits = limits
        # Each wave has bars of its own, which vanish on a screen and would pile up in a file.
        self._bars = limits.progress and sys.stderr.isatty()
        self._duplicates = Duplicates()
        self._excluded = evaluation_cells(run.pack, run.plan.ks)
        self._fresh: Counter[str | None] = Counter()  # outcomes of the tries that this process paid for
        self._specs = json.dumps(run.teacher.record()), json.dumps(panel_record(run.judges))

    def fill(self, kind: Kind) -> str:
        """Try cells until the kind is full or has to end; the reason for the end, as a sentence."""
        stream = cells(self._run.pack, kind, self._run.plan, self._run.seed, self._excluded)
        with (
            atomic_file(rows_file(self._out, kind.k)) as draft,
            draft.open("w", encoding="utf-8") as rows,
            tqdm(
                total=kind.accept or kind.tries,
                desc=f"Texts with k = {kind.k}",
                unit="text" if kind.accept else "try",
                disable=not self._limits.progress,
            ) as bar,
        ):
            while (ending := self._ending(kind)) is None:
                wave = list(islice(stream, self._size(kind)))
                if not wave:
                    ending = "the plan has no further cells"
                    break
                before = self._tally(kind).model_copy()
                self._try(kind, wave, rows)
                self._stop_if_useless(kind)
                after = self._tally(kind)
                bar.set_postfix(accepted=after.accepted, tried=after.attempted, refresh=False)
                bar.update(after.accepted - before.accepted if kind.accept else after.attempted - before.attempted)
        logger.info("k = %d: %s", kind.k, ending)
        return ending

    def _tally(self, kind: Kind) -> Tally:
        return self.counts.kinds.get(kind.k, KindCounts()).tally

    def _ending(self, kind: Kind) -> str | None:
        tally = self._tally(kind)
        if any(counted.rejected[Reason.OVER_BUDGET] for counted in self.counts.kinds.values()):
            return f"{self._limits.budget.reason}; with a higher cap the same command resumes"
        if kind.accept is not None and tally.accepted >= kind.accept:
            return f"{tally.accepted} texts are accepted"
        if kind.tries is not None and tally.attempted >= kind.tries:
            return f"{tally.attempted} cells were tried"
        if tally.decided >= _ENOUGH and (high := tally.interval.high) < self._run.least_rate:
            return (
                f"hopeless: {tally.accepted} of {tally.decided} texts have full marks, at most {high:.1%} of all "
                f"(95 % Wilson interval), less than the {self._run.least_rate:.1%} that were set; the commonest "
                f"reason is {self.counts.kinds[kind.k].rejected.most_common(1)[0][0]}"
            )
        return None

    def _size(self, kind: Kind) -> int:
        """How many cells to try next: so many that hardly more texts are accepted than are wanted."""
        tally = self._tally(kind)
        size = _BATCH_WAVE if self._limits.batch else _WAVE
        if not self.counts.accepted and (tally.attempted < _PROBE or not self._limits.batch):
            size = max(_PROBE - tally.attempted, _PROBE // 2)
        if kind.accept is not None:
            most = tally.interval.high if tally.decided else 1.0  # the rate of acceptance, at most
            size = min(size, math.ceil((kind.accept - tally.accepted) / most))
        return size if kind.tries is None else min(size, kind.tries - tally.attempted)

    def _try(self, kind: Kind, wave: list[Item], rows: TextIO) -> None:
        """Let the teacher write a text for each cell, and accept or reject it."""
        run, calls = self._run, self._calls()
        drafts = write_drafts(self._teacher, run.pack, wave, turns=run.turns, progress=self._bars)
        for draft in drafts:
            if draft.reason is None:
                check_draft(draft)
        judge_drafts(self._panel, run.pack, [one for one in drafts if one.reason is None], progress=self._bars)
        _stop_if_down(drafts)
        for draft in drafts:
            self._spend(draft)
            if draft.reason is None:
                draft.reason = self._repeated(kind, draft)
            if draft.reason is not None:
                self.counts.reject(draft.item, draft.reason)
                continue
            self._duplicates.add(draft.text)
            self.counts.accept(draft.item, draft.text, draft.checks[-1].sentences)
            rows.write(draft.row(run.pack, *self._specs).line())
        rows.flush()
        if self._calls() > calls:
            self._fresh.update(draft.reason for draft in drafts)

    def _calls(self) -> int:
        """Replies of teacher and judge that did not come from the store."""
        return sum(int(one.record()["calls"]) for one in (self._teacher, self._panel))

    def _stop_if_useless(self, kind: Kind) -> None:
        """Raise UserError if all of the first few dozen tries that this process paid for ended in one way."""
        if self._fresh.total() < _PROBE or len(self._fresh) != 1 or self.counts.accepted:
            return
        [reason] = self._fresh
        if reason is not None and (means := advice(reason)) is not None:
            raise UserError(
                f"All of the first {self._fresh.total()} texts with k = {kind.k} were rejected as {reason}: "
                f"{means}. All replies are kept; the same command tries further texts."
            )

    def _repeated(self, kind: Kind, draft: Draft) -> str | None:
        if kind.accept is not None and self._tally(kind).accepted >= kind.accept:
            return Reason.SURPLUS.value
        found = self._duplicates.find(draft.text)
        return None if found is None else found.value

    def _spend(self, draft: Draft) -> None:
        """Count what the text has cost whenever it was bought, so that a resumed run counts alike."""
        dollars = self._teacher.spec.dollars(draft.teacher_usage)
        self.counts.spend(draft.item.k, "teacher", draft.teacher_usage, dollars)
        self.counts.spend(draft.item.k, "judge", draft.judge_usage, self._panel.dollars(draft.votes))


def _has_texts(out: Path) -> bool:
    """Whether a run has ended a kind with accepted texts, or came to its end."""
    return (out / "counts.json").exists() or any(path.stat().st_size for path in rows_files(out).values())


def _stop_if_down(drafts: list[Draft]) -> None:
    """Raise UserError if most calls of a wave failed for good: more of them would, too."""
    failed = [draft for draft in drafts if draft.failure and draft.reason != Reason.OVER_BUDGET]
    if 2 * len(failed) > len(drafts):
        causes = Counter(str(draft.failure) for draft in failed).most_common(3)
        said = "; ".join(f"{count} times {cause}" for cause, count in causes)
        raise UserError(
            f"{len(failed)} of {len(drafts)} texts failed at the teacher's or the judge's endpoint "
            f"({said}): fix it, then run the same command again. All replies are saved."
        )
