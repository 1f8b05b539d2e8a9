"""lm-eval's results and samples on disk: verified after lm-eval wrote them, and in parts for a run in parts."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from lm_eval.loggers import EvaluationTracker

from grading import UserError
from grading.safety.atomic import sync

_DRAFT = "draft"  # where lm-eval's file names have the time


class CheckedTracker(EvaluationTracker):  # type: ignore[misc]
    """Writes as lm-eval does, which only logs a failed write; `lost` names incomplete files. An incomplete file is
    removed, so that nobody takes it for the run's.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lost: list[str] = []

    def save_results_aggregated(self, results: dict[str, Any], samples: Any = None) -> None:
        """Write the results and verify that they can be read again."""
        super().save_results_aggregated(results=results, samples=samples)
        if self.output_path:
            path = Path(self.output_path)
            stem = path.stem if path.suffix == ".json" else "results"
            self._verify(self._folder() / f"{stem}_{self._date()}.json", _is_json)

    def save_results_samples(self, task_name: str, samples: Any) -> None:
        """Add the samples of a task and verify that there are as many lines."""
        if not self.output_path:
            return
        file = self._folder() / f"samples_{task_name}_{self._date()}.jsonl"
        number = len(samples) + (_lines(file) if file.exists() else 0)
        super().save_results_samples(task_name=task_name, samples=samples)
        self._verify(file, lambda path: _lines(path) == number)

    def _verify(self, file: Path, is_complete: Callable[[Path], bool]) -> None:
        if file.exists() and is_complete(file):
            sync(file)
        else:
            self.lost.append(file.name)
            if file.exists():
                file.unlink()

    def _folder(self) -> Path:
        # lm-eval takes a path with this ending for the name of the results file.
        path = Path(self.output_path)
        return path.parent if path.suffix == ".json" else path / self.general_config_tracker.model_name_sanitized

    def _date(self) -> str:
        return getattr(self, "date_id", "without-results")


class SampleFiles:
    """Writes the files of lm_eval --output_path --log_samples to `output`; use as a context manager.

    Samples are added part by part to files in a hidden folder, and get their names when the results are there; if
    the run ends before, they are removed. UserError if the disk refuses.
    """

    def __init__(self, output: Path, model: str) -> None:
        self._output = output
        self._tracker = _tracker(output, model)
        self._folder = self._tracker._folder()  # noqa: SLF001
        self._added: set[str] = set()
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
        self._added.add(task)

    def finish(self, results: dict[str, Any]) -> None:
        """Write the results, to which lm-eval adds a hash of the samples, and put the samples in place."""
        hidden = self._drafts._folder()  # noqa: SLF001
        drafts = {task: hidden / f"samples_{task}_{_DRAFT}.jsonl" for task in self._added}
        if self._drafts.lost:
            raise self._unwritable("some samples are missing")
        self._tracker.save_results_aggregated(
            results=results, samples={task: _samples(draft) for task, draft in drafts.items()}
        )
        if self._tracker.lost:
            raise self._unwritable("there are no results")
        for draft in drafts.values():
            draft.rename(self._folder / f"{draft.stem.removesuffix(_DRAFT)}{self._tracker.date_id}.jsonl")
        sync(self._folder)

    def _unwritable(self, reason: str | None) -> UserError:
        return UserError(
            f"The results cannot be written to {self._output} ({reason}): free space, fix its permissions, or "
            "name another folder with -o; no verdict is lost."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hidden.cleanup()


def _tracker(output: Path, model: str) -> CheckedTracker:
    tracker = CheckedTracker(output_path=str(output))
    tracker.general_config_tracker.log_experiment_args(
        model_source="stored answers",
        model_args={"model": model},
        system_instruction=None,
        chat_template=None,
        fewshot_as_multiturn=False,
    )
    return tracker


def _lines(path: Path) -> int:
    """The number of complete lines."""
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def _samples(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
