"""The end of a run: the data set of its rows, the proof that it leaks no task, and the summary page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.panel import panel_name
from skillmix_tasks.stored.facts import cost_of
from training.data.dataset import FEW, Config, build_dataset
from training.data.leakage import Leakage, check_leaks
from training.data.mix import Mix
from training.texts.counts import rate
from training.texts.generate import Outcome, Run
from training.texts.summary import write_summary


@dataclass(frozen=True)
class Report:
    """The results of a run. Without an accepted text there is no data set, and nothing that could leak."""

    run: Run
    out: Path
    outcome: Outcome
    configs: list[Config]
    leakage: Leakage | None
    validation: float

    def record(self) -> dict[str, Any]:
        """The report as JSON; `teacher` and `judge` are this process's spending, `counts` the texts' cost."""
        return {
            "out": str(self.out),
            "endings": {str(k): ending for k, ending in self.outcome.endings.items()},
            "counts": self.outcome.counts.model_dump(mode="json"),
            "configs": {config.name: config.splits for config in self.configs},
            "leakage": self.leakage.record() if self.leakage else None,
            "notes": self.notes(),
            "teacher": self.outcome.teacher,
            "judge": self.outcome.judge,
        }

    def text(self) -> str:
        lines = []
        for k, counted in sorted(self.outcome.counts.kinds.items()):
            lines.append(f"k = {k}: {rate(counted.tally)} accepted; {self.outcome.endings[k]}.")
            lines += [f"    {number:6,} {reason}" for reason, number in counted.rejected.most_common()]
        for who, cost in (("teacher", self.outcome.teacher), ("judge", self.outcome.judge)):
            dollars = cost["spent"]["dollars"]
            lines.append(
                f"The {who} gave {cost['calls']:,} replies, and the store {cost['votes_from_store']:,} more"
                + ("." if dollars is None else f"; this run paid ${dollars:,.2f}.")
            )
        if self.leakage is None:
            lines.append("No text was accepted, so there is no data set.")
        else:
            names = ", ".join(f"{one.name} ({sum(one.splits.values()):,})" for one in self.configs)
            verdict = "it leaks: see `skillmix leaks`" if self.leakage.leaks else "no leak"
            lines.append(f'load_dataset("{self.out}", CONFIG) with {names}; {verdict}.')
        lines += self.notes()
        return "\n".join(lines)

    def notes(self) -> list[str]:
        """Notes on missing parts, with the reason."""
        small = [
            f"{one.name} has {one.splits['train']} rows and no validation split: that takes {FEW} rows of one k."
            for one in self.configs
            if len(one.ks) == 1 and "validation" not in one.splits and one.splits["train"] < FEW
        ]
        return small if self.validation else []

    def closing(self) -> dict[str, object]:
        """The last lines of the command."""
        texts = {k: counted.tally.accepted for k, counted in sorted(self.outcome.counts.kinds.items())}
        spent = (
            f"{who} {words}"
            for who, cost, specs in (
                ("teacher", self.outcome.teacher, [self.run.teacher]),
                ("judge", self.outcome.judge, self.run.judges),
            )
            if (words := cost_of([cost], free=all(spec.kind == "transformers" for spec in specs)))
        )
        return {
            "teacher": self.run.teacher.model,
            "judge": panel_name(self.run.judges),
            "turns": self.run.turns,
            "votes": f"{sum(judge.votes for judge in self.run.judges)} for each text",
            "texts": ", ".join(f"{number:,} with k = {k}" for k, number in texts.items()),
            "cost": "; ".join(spent),
            "results": self.out,
            "summary": self.out / "summary.md",
        }


def finish(run: Run, out: Path, outcome: Outcome, *, validation: float, mix: Mix | None) -> Report:
    """Make data set and summary of a run's accepted texts, in its folder `out`."""
    configs: list[Config] = []
    leakage = None
    if outcome.counts.accepted:
        configs = build_dataset(out, seed=run.seed, validation=validation, mix=mix)
        leakage = check_leaks(out, pack=run.pack_name)
    about = [
        f"Written by {run.teacher.model} in {'two turns' if run.turns == 2 else 'one turn'}, "
        f"judged by {panel_name(run.judges)}; pack {run.pack.about.id} {run.pack.about.version}, seed {run.seed}.",
        *(f"k = {k} ended: {ending}." for k, ending in outcome.endings.items()),
    ]
    write_summary(out, outcome.counts, run.pack, about=about)
    return Report(run, out, outcome, configs, leakage, validation)
