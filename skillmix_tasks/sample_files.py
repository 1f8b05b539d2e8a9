"""lm-eval's results and samples on disk, for a run that comes in parts."""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lm_eval.loggers import EvaluationTracker

from grading import UserError

_DRAFT = "draft"  # where lm-eval's file names have the time


class SampleFiles:
    """Writes what lm_eval --output_path --log_samples writes to `output`; use as a context manager.

    Samples are added part by part to files in a hidden folder, and get their names when the results are there; if
    the run ends before, they are removed. UserError if the disk refuses.
    """

    def __init__(self, output: Path, model: str) -> None:
        self._output = output
        self._tracker = _tracker(output, model)
        self._model = str(self._tracker.general_config_tracker.model_name_sanitized)
        # lm-eval takes a path with this ending for the name of the results file.
        self._folder = output.parent if output.suffix == ".json" else output / self._model
        self._added: Counter[str] = Counter()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._hidden = tempfile.TemporaryDirectory(prefix=".samples-", dir=self._folder)
        except OSError as error:
            raise self._unwritable(error.strerror) from error
        self._drafts = _tracker(Path(self._hidden.name), model)
        self._drafts.date_id = _DRAFT

    def add(self, task: str, samples: list[dict[str, Any]]) -> None:
        """Append samples of a task, which lm-eval brings into the form of its files."""
        log = logging.getLogger("lm_eval.loggers.evaluation_tracker")
        level = log.level
        log.setLevel(logging.WARNING)  # it would name the hidden folder
        try:
            self._drafts.save_results_samples(task_name=task, samples=samples)
        finally:
            log.setLevel(level)
        self._added[task] += len(samples)

    def finish(self, results: dict[str, Any]) -> None:
        """Write the results, to which lm-eval adds a hash of the samples, and put the samples in place."""
        drafts = {task: self._draft(task) for task in self._added}
        for task, number in self._added.items():
            # lm-eval does not fail when it cannot write.
            if not drafts[task].exists() or _lines(drafts[task]) != number:
                raise self._unwritable("some samples are missing")
        self._tracker.save_results_aggregated(
            results=results, samples={task: _samples(draft) for task, draft in drafts.items()}
        )
        date = getattr(self._tracker, "date_id", _DRAFT)
        if not any(self._folder.glob(f"*_{date}.json")):
            raise self._unwritable("there are no results")
        for draft in drafts.values():
            draft.rename(self._folder / f"{draft.stem.removesuffix(_DRAFT)}{date}.jsonl")

    def _draft(self, task: str) -> Path:
        return Path(self._hidden.name) / self._model / f"samples_{task}_{_DRAFT}.jsonl"

    def _unwritable(self, reason: str | None) -> UserError:
        return UserError(
            f"The results cannot be written to {self._output} ({reason}): free space, mend its permissions, or "
            "name another folder with -o; no verdict is lost."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hidden.cleanup()


def _tracker(output: Path, model: str) -> EvaluationTracker:
    tracker = EvaluationTracker(output_path=str(output))
    tracker.general_config_tracker.log_experiment_args(
        model_source="stored answers",
        model_args={"model": model},
        system_instruction=None,
        chat_template=None,
        fewshot_as_multiturn=False,
    )
    return tracker


def _lines(path: Path) -> int:
    """How many lines are whole."""
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def _samples(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
