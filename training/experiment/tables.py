"""The paper's tables and its figure, from the results of an experiment.

OUT/table-2.md, .csv, .png      a table for readers, with one line for each score, and as a picture
OUT/figure-2-MODEL.png, .svg    full marks against k, one picture for each model; figure-2.md and .csv
OUT/claims.md, .csv             training.experiment.claims
OUT/tables.json                 all of it, as the report shows it
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from grading import UserError
from grading.intervals import Interval
from grading.safety.bounds import own_yaml, read_bytes
from grading.safety.text import plain
from skillmix_tasks.items.pack import Split
from skillmix_tasks.scoring.metrics import METRIC_NAMES, METRICS
from training.comparison import SPLITS
from training.experiment.claims import claims_table, judge_claims
from training.experiment.layout import DASH, Section, Table, Written, write_all, write_table, write_text
from training.experiment.measured import BASE, TEACHER, Measured, Read, TaskKey, TaskScores, read_all
from training.intervals import Share
from training.plots import MOST, Line, Panel, draw_figure
from training.published import load_published
from training.seeds import mean_of
from training.texts.counts import Counts

PAPER = "2409.19808"
_TRIED = {1: 5_000, 2: 10_000, 3: 10_000}  # the paper's tries by k
_KEPT = 13_957  # its texts with full marks, of all k
_INFERRED = (
    "The paper's tables were not at hand: that this is the content under this number is inferred, and may be "
    "wrong."
)


class TableSpec(BaseModel, extra="forbid", frozen=True):
    """An entry of tables.yaml."""

    number: int
    title: str
    caption: str
    splits: tuple[Split, ...] | None = None
    ks: tuple[int, ...] | None = None
    arms: tuple[str, ...] | None = None
    judges: Literal["first", "each", "both"] = "first"
    drop_common: bool = False
    source: Literal["stated", "inferred"]


@dataclass(frozen=True)
class Cell:
    """One score over all seeds; `items` have a verdict of every seed, of `asked`."""

    value: float
    error: float | None
    interval: Interval
    items: int
    asked: int
    seeds: int


@dataclass(frozen=True)
class _Row:
    judge: str
    model: str
    arm: str
    split: Split
    cells: dict[tuple[str, int], Cell]  # by metric and k

    @property
    def full_marks(self) -> dict[int, Cell]:
        return {k: cell for (metric, k), cell in self.cells.items() if metric == METRICS[0]}


def write_tables(
    measured: Sequence[Measured],
    *,
    arms: Sequence[str],
    out: Path,
    conclusive: bool,
    texts: Sequence[Path] = (),
) -> list[Path]:
    """Write every table, Figure 2 and the claims into `out`; returns the files.

    `arms` is the order of the rows. `texts` are the folders of `skillmix generate`, for Table 1. Without
    `conclusive` no claim gets a verdict: the run only proves the chain. UserError for results that cannot be read
    or do not compare.
    """
    if not measured:
        raise UserError("The experiment has no results yet: run its evaluation first.")
    counts = _counts(texts)
    study = _Study(measured, read_all(measured), arms)
    out.mkdir(parents=True, exist_ok=True)
    tables = [_texts_table(counts), *map(study.table, table_specs())]
    written = [path for table in tables for path in write_table(table, out)]
    pictures = study.draw(out, counts)
    figure = study.figure()
    claims = claims_table(
        judge_claims(study.read, study.models, study.judges[0]), study.judges[0], conclusive=conclusive
    )
    written += pictures
    written += write_text(figure, out, [path for path in pictures if path.suffix == ".png"])
    written += write_text(claims, out)
    return [*written, write_all(Written(conclusive, [claims, *tables, figure]), out)]


@cache
def table_specs() -> tuple[TableSpec, ...]:
    """The tables of tables.yaml."""
    return tuple(TableSpec.model_validate(entry) for entry in own_yaml("training.experiment", "tables.yaml"))


_FIGURE = TableSpec(
    number=2, title="Full marks against k", caption="Each training set, and the teacher.", source="inferred"
)


class _Study:
    """The scores of an experiment, found by model, arm, judge and task."""

    def __init__(self, measured: Sequence[Measured], read: Read, arms: Sequence[str]) -> None:
        self.read = read
        self.judges = list(dict.fromkeys(one.judge for one in measured))
        self.models = list(dict.fromkeys(one.model for one in measured))
        others = (one.arm for one in measured if one.arm != TEACHER)
        order = list(dict.fromkeys((BASE, *arms, *others, TEACHER)))
        # A model with each of its arms: the teacher has no other, and the others do not have the teacher's.
        self.students = sorted(
            {(one.model, one.arm) for one in measured},
            key=lambda one: (self.models.index(one[0]), order.index(one[1])),
        )
        self.keys = sorted({key for tasks in read.values() for key in tasks}, key=lambda key: (key.split, key.k))

    def table(self, spec: TableSpec) -> Table:
        """The table of `spec`; what was not measured is a dash."""
        rows = list(self._rows(spec))
        ks = spec.ks or sorted({key.k for key in self.keys if key.drop_common == spec.drop_common})
        several = len({row.judge for row in rows}) > 1
        metrics = METRICS[:1] if spec.judges == "both" else METRICS
        beside = spec.judges == "first"
        sections = [
            Section(
                METRIC_NAMES[metric].capitalize(),
                [*(["judge"] if several else []), "model", "training", "split", *(f"k = {k}" for k in ks)],
                [
                    [
                        *([row.judge] if several else []),
                        row.model,
                        row.arm,
                        SPLITS[row.split],
                        *(self._text(row, metric, k, spec) for k in ks),
                    ]
                    for row in rows
                ],
                names=2 + several,
            )
            for metric in metrics
        ]
        records = [
            {
                "judge": row.judge,
                "model": row.model,
                "training": row.arm,
                "split": row.split,
                "k": k,
                "metric": metric,
                **_record(row.cells.get((metric, k))),
                "paper": _paper(row, metric, k, spec) if beside else None,
            }
            for row in rows
            for metric in metrics
            for k in ks
        ]
        shown = "Each cell: our score with its 95 % interval" + (
            f" / the paper's score, judged by GPT-4; {DASH} where it is not known."
            if beside
            else f"; {DASH}: none."
        )
        notes = [spec.caption, shown]
        seeds = {cell.seeds for row in rows for cell in row.cells.values()}
        if max(seeds, default=1) > 1:
            notes.append(
                "Scores of several seeds are joined: the interval is that of items and trainings together."
            )
        if not any(row.cells for row in rows):
            notes.append("Nothing of this table was measured.")
        if spec.source == "inferred":
            notes.append(_INFERRED)
        judges = "both " + " and ".join(self.judges[:2]) if spec.judges == "both" else self.judges[0]
        if spec.judges != "each":
            notes.insert(1, f"Judged by {plain(judges)}.")
        return Table(f"Table {spec.number}", spec.title, notes, sections, records)

    def _rows(self, spec: TableSpec) -> Iterator[_Row]:
        splits = spec.splits or tuple(sorted({key.split for key in self.keys}, key=list(SPLITS).index))
        judges = self.judges if spec.judges == "each" else self.judges[:1]
        for judge in judges:
            for model, arm in self.students:
                for split in splits if spec.arms is None or arm in spec.arms else ():
                    yield _Row(judge, model, arm, split, dict(self._cells(spec, judge, model, arm, split)))

    def _cells(
        self, spec: TableSpec, judge: str, model: str, arm: str, split: str
    ) -> Iterator[tuple[tuple[str, int], Cell]]:
        for key in self.keys:
            if key.split != split or key.drop_common != spec.drop_common:
                continue
            if spec.judges == "both":
                if (both := self._both(model, arm, key)) is not None:
                    yield (METRICS[0], key.k), both
                continue
            runs = self._by_seed(judge, model, arm, key).values()
            for place, metric in enumerate(METRICS):
                found = [
                    {item: None if one is None else one[place] for item, one in run.scores.items()} for run in runs
                ]
                if (cell := cell_of(found)) is not None:
                    yield (metric, key.k), cell

    def _both(self, model: str, arm: str, key: TaskKey) -> Cell | None:
        if len(self.judges) < 2:
            return None
        first, second = (self._by_seed(judge, model, arm, key) for judge in self.judges[:2])
        return cell_of([full_from_both(first[seed], second[seed], model, arm) for seed in first if seed in second])

    def _by_seed(self, judge: str, model: str, arm: str, key: TaskKey) -> dict[int | None, TaskScores]:
        return {
            one.seed: tasks[key]
            for one, tasks in self.read.items()
            if (one.judge, one.model, one.arm) == (judge, model, arm) and key in tasks
        }

    def _text(self, row: _Row, metric: str, k: int, spec: TableSpec) -> str:
        cell = row.cells.get((metric, k))
        ours = DASH
        if cell is not None:
            ours = f"{cell.value:.2f} [{cell.interval.low:.2f}, {cell.interval.high:.2f}]"
            if spec.judges == "both":
                ours = f"{cell.value * cell.items:.3g} of {cell.items} = {ours}"
            if cell.items < cell.asked:
                ours += f" ({cell.items} of {cell.asked} items)"
        if spec.judges != "first":
            return ours
        theirs = _paper(row, metric, k, spec)
        return f"{ours} / {DASH if theirs is None else f'{theirs:.2f}'}"

    def figure(self) -> Table:
        """The scores of Figure 2."""
        made = self.table(_FIGURE)
        records = [record for record in made.records if record["metric"] == METRICS[0]]
        return Table("Figure 2", made.title, made.notes, made.sections[:1], records)

    def draw(self, out: Path, counts: Counts) -> list[Path]:
        """Figure 2: a picture for each model that was trained.

        A teacher that was not measured has the share of its texts that was kept, in the panel of train skills.
        """
        rows = [row for row in self._rows(_FIGURE) if row.cells]
        teacher = [row for row in rows if row.arm == TEACHER]
        written: list[Path] = []
        for model in dict.fromkeys(row.model for row in rows if row.arm != TEACHER):
            mine = [row for row in rows if row.model == model and row.arm != TEACHER]
            names = list(dict.fromkeys(row.arm for row in mine))[: MOST - 1]
            panels = []
            for split in dict.fromkeys(row.split for row in mine):
                lines = [
                    Line(row.arm, names.index(row.arm), row.full_marks)
                    for row in mine
                    if row.split == split and row.arm in names
                ]
                lines += [
                    Line(f"{row.model} (teacher)", MOST - 1, row.full_marks)
                    for row in teacher
                    if row.split == split
                ]
                if not teacher and split == "train" and (kept := _kept(counts)):
                    lines.append(Line("the teacher's texts (share kept)", MOST - 1, kept))
                panels.append(Panel(SPLITS[split], lines, {}))
            written += draw_figure(
                panels, f"{model}, judged by {self.judges[0]}", out / f"figure-2-{_slug(model)}"
            )
        return written


def cell_of(runs: Sequence[dict[str, float | None]]) -> Cell | None:
    """The score over the seeds of an arm, on the items with a verdict of every seed; None without any."""
    if not runs:
        return None
    asked = sorted(set().union(*runs))
    known = [item for item in asked if all(run.get(item) is not None for run in runs)]
    if not known:
        return None
    mean = mean_of([[run[item] or 0.0 for item in known] for run in runs])
    return Cell(mean.value, mean.error, mean.interval, len(known), len(asked), len(runs))


def full_from_both(first: TaskScores, second: TaskScores, model: str, arm: str) -> dict[str, float | None]:
    """For each item whether two judges both gave full marks to one of its answers; None without their verdicts.

    UserError if they did not judge the same answers.
    """
    found: dict[str, float | None] = {}
    for item in first.answers.keys() & second.answers.keys():
        one, other = first.answers[item], second.answers[item]
        if [answer.text for answer in one] != [answer.text for answer in other]:
            raise UserError(
                f"The two judges did not judge the same answers of {model} ({arm}): run `skillmix grade --judge` "
                "for the second on the answers that the first judged."
            )
        if first.scores[item] is None or second.scores[item] is None:
            found[item] = None
        else:
            found[item] = float(any(a.full and b.full for a, b in zip(one, other, strict=True)))
    return found


def _record(cell: Cell | None) -> dict[str, Any]:
    figures = {} if cell is None else vars(cell) | vars(cell.interval)
    return {name: figures.get(name) for name in ("value", "error", "low", "high", "items", "asked", "seeds")}


def _paper(row: _Row, metric: str, k: int, spec: TableSpec) -> float | None:
    training = "none" if row.arm == BASE else row.arm
    for one in load_published():
        if (
            one.source.arxiv == PAPER
            and _same_model(one.student, row.model)
            and (one.training, one.split, one.k) == (training, row.split, k)
            and one.common_dropped == spec.drop_common
        ):
            value: float | None = getattr(one, metric)
            return value
    return None


def _same_model(published: str, ours: str) -> bool:
    """meta-llama/Llama-2-13b-chat-hf is the paper's LLaMA-2-13B-Chat."""
    return published.lower() == ours.rpartition("/")[2].lower().removesuffix("-hf")


def _counts(folders: Iterable[Path]) -> Counts:
    total = Counts()
    for folder in folders:
        try:
            total += Counts.model_validate_json(read_bytes(folder / "counts.json"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{folder} holds no counts of `skillmix generate` ({type(error).__name__}): name the folder of "
                "its --out."
            ) from error
    return total


def _kept(counts: Counts) -> dict[int, Share]:
    """The share of decided texts that was kept, for each k whose texts show train skills alone."""
    tallies = {k: kind.tally for k, kind in sorted(counts.kinds.items()) if k > 1 and kind.tally.decided}
    return {k: Share(one.share, one.interval, one.decided, one.decided) for k, one in tallies.items()}


def _texts_table(counts: Counts) -> Table:
    rows, records = [], []
    ks = sorted(counts.kinds.keys() | _TRIED.keys())
    for k in ks:
        tally = counts.kinds[k].tally if k in counts.kinds else None
        share = DASH
        if tally is not None and tally.decided:
            share = f"{tally.share:.2f} [{tally.interval.low:.2f}, {tally.interval.high:.2f}]"
        tried = _TRIED.get(k)
        ours = [f"{tally.attempted:,}", f"{tally.accepted:,}"] if tally else [DASH, DASH]
        rows.append([str(k), f"{ours[0]} / {f'{tried:,}' if tried else DASH}", f"{ours[1]} / {DASH}", share])
        records.append(
            {
                "k": k,
                "tries": tally.attempted if tally else None,
                "decided": tally.decided if tally else None,
                "kept": tally.accepted if tally else None,
                "paper_tries": tried,
                "paper_kept": None,
            }
        )
    kept = f"{counts.accepted:,}" if counts.kinds else DASH
    rows.append(["all", DASH, f"{kept} / {_KEPT:,}", DASH])
    return Table(
        "Table 1",
        "Texts of the teacher",
        [
            "Tries of each k, the texts kept with full marks, and their share of the tries that were decided, "
            f"with its 95 % interval. Cells: ours / the paper's; {DASH} where it is not known.",
            _INFERRED,
        ],
        [Section("", ["k", "tries", "kept", "share kept"], rows)],
        records,
    )


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name.rpartition("/")[2]).strip("-") or "model"
