"""`skillmix grade`: judge stored answers, from our answer files or lm-eval's sample files, without a student.

lm-eval itself makes the results: a model that repeats the stored replies stands in for the student, so that
table, results and samples are those of an unbroken run.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from grading import UserError
from skillmix_tasks.answers import StoredAnswer, complete_items, is_answer_file, read_answers
from skillmix_tasks.linking import harness_folder
from skillmix_tasks.task import GENERATIONS, SkillMixTask


@dataclass
class _Stored:
    """The answers of one task, from all files that hold some."""

    task: str
    path: Path
    turns: int
    settings: dict[str, Any]
    student: dict[str, Any]
    run: str = ""
    ranks: list[int] = field(default_factory=list)
    world_size: int = 1
    answers: list[StoredAnswer] = field(default_factory=list)


class StoredStudent(LM):  # type: ignore[misc]
    """A model that says what was said before: the replies by task, item hash and generation."""

    def __init__(self, replies: dict[tuple[str, str, int], tuple[str, ...]]) -> None:
        super().__init__()
        self._replies = replies

    @property
    def tokenizer_name(self) -> str:
        """lm-eval wants one of a model that takes chats; there is no tokenizer here."""
        return ""

    def apply_chat_template(
        self,
        chat_history: list[dict[str, str]],
        add_generation_prompt: bool = True,  # noqa: ARG002
    ) -> str:
        """The history as JSON, from which `generate_until` reads which turn is asked for."""
        return json.dumps(chat_history)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:  # noqa: ARG002
        """The stored replies."""
        return [self._reply(request) for request in requests]

    def _reply(self, request: Instance) -> str:
        replies = self._replies[str(request.task_name), request.doc["hash"], request.idx]
        if len(replies) == 1:
            return replies[0]
        history: list[dict[str, str]] = json.loads(request.args[0])
        return replies[sum(message["role"] == "assistant" for message in history)]

    def loglikelihood(self, requests: list[Instance]) -> Any:
        """Not asked for by any task of ours."""
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> Any:
        """Not asked for by any task of ours."""
        raise NotImplementedError


def regrade(
    files: Sequence[Path],
    overrides: dict[str, Any],
    *,
    include_path: Path | None = None,
    output: Path | None = None,
) -> dict[str, Any]:
    """Judge the answers in `files` and return lm-eval's results.

    `overrides` are settings (skillmix_tasks.settings) that replace those of the run; without a judge among
    them, the run's own judge is taken, or for sample files the environment's. `include_path` holds YAML files
    of tasks that are not ours. With `output`, results and
    samples are written there as lm_eval --output_path --log_samples does.
    """
    stored = _read(files)
    turns = {one.turns for one in stored}
    if len(turns) > 1:
        raise UserError("Some of these answers have one turn and some two: grade them in two commands.")
    students = {json.dumps(one.student, sort_keys=True) for one in stored}
    if len(students) > 1:
        raise UserError("These answers are from different students: grade each student in a command of its own.")
    tasks, samples = [], {}
    replies: dict[tuple[str, str, int], tuple[str, ...]] = {}
    for one in stored:
        task = _load(one, overrides, include_path)
        items = complete_items(one.answers, GENERATIONS)
        for answers in items.values():
            _check_unchanged(task, one, answers[0])
            for answer in answers:
                replies[one.task, answer.hash, answer.generation] = answer.replies
        tasks.append(task)
        samples[one.task] = sorted(answers[0].index for answers in items.values())
    name = str(stored[0].student["model"])
    chat = turns == {2}
    results: dict[str, Any] = simple_evaluate(
        model=StoredStudent(replies),
        tasks=tasks,
        samples=samples,
        task_manager=_manager({}, None),
        apply_chat_template=chat,
        log_samples=True,
    )
    results["config"] |= {"model": "stored answers", "model_args": {"model": name}}
    logged = results.pop("samples")
    if output is not None:
        _write(results, logged, output, name)
    return results


def _read(files: Sequence[Path]) -> list[_Stored]:
    by_task: dict[str, _Stored] = {}
    for path in files:
        if not path.is_file():
            raise UserError(f"There is no file {path}.")
        for one in [_from_answers(path)] if is_answer_file(path) else _from_samples(path):
            known = by_task.setdefault(one.task, one)
            if known is not one:
                if known.run != one.run or known.turns != one.turns:
                    raise UserError(f"{known.path} and {path} are of different runs: grade them one by one.")
                known.answers += one.answers
                known.ranks += one.ranks
    for one in by_task.values():
        if one.world_size > 1 and sorted(one.ranks) != list(range(one.world_size)):
            raise UserError(
                f"{one.path} is of a run of {one.world_size} ranks: name the files of all of them, each once "
                f"({one.task}_*_rank*of{one.world_size}.jsonl)."
            )
    return list(by_task.values())


def _from_answers(path: Path) -> _Stored:
    header, answers = read_answers(path)
    return _Stored(
        task=header.task,
        path=path,
        turns=header.turns,
        settings=header.settings | {"judge": header.judge},
        student=header.student,
        run=header.run,
        ranks=[header.rank],
        world_size=header.world_size,
        answers=answers,
    )


def _from_samples(path: Path) -> list[_Stored]:
    found: dict[str, list[StoredAnswer]] = defaultdict(list)
    for number, line in enumerate(_lines(path), start=1):
        try:
            sample = json.loads(line)
            document = sample["doc"]
            if document["private"]:
                raise UserError(
                    f"{path} is of a private pack and holds no replies: grade the file of stored answers, "
                    "whose path the run printed."
                )
            for generation, replies in enumerate(sample["resps"]):
                # Validated from JSON, where a string is no list of replies and no reply is missing.
                answer = {"index": document["index"], "hash": document["hash"], "generation": generation}
                found[document["task"]].append(
                    StoredAnswer.model_validate(answer | {"replies": replies}, strict=False)
                )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}, is not a sample of a SKILL-MIX task: name samples_skillmix_*.jsonl "
                "files of lm_eval --log_samples, or files of stored answers."
            ) from error
    if not found:
        raise UserError(f"{path} is empty.")
    student = {"model": path.resolve().parent.name}  # lm-eval names the folder after the model
    return [
        _Stored(task, path, len(answers[0].replies), {}, student, ranks=[0], answers=answers)
        for task, answers in found.items()
    ]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}).") from error


def _manager(settings: dict[str, Any], include_path: Path | None) -> TaskManager:
    paths = [str(harness_folder()), *([str(include_path)] if include_path else [])]
    return TaskManager(include_path=paths, include_defaults=False, metadata={"skillmix": settings})


def _load(stored: _Stored, overrides: dict[str, Any], include_path: Path | None) -> SkillMixTask:
    settings = stored.settings | overrides
    settings["items"] = max(settings.get("items", 0), 1 + max(answer.index for answer in stored.answers))
    manager = _manager(settings, include_path)
    if stored.task not in manager.all_subtasks:
        raise UserError(
            f"{stored.path} has answers to the task {stored.task}, which is not known here: "
            "name the folder of its YAML file with --include-path."
        )
    task = manager.load([stored.task])["tasks"][stored.task]
    assert isinstance(task, SkillMixTask)
    task.replay(stored.path, stored.student)
    return task


def _check_unchanged(task: SkillMixTask, stored: _Stored, answer: StoredAnswer) -> None:
    hashes = task.item_hashes
    if answer.index >= len(hashes) or hashes[answer.index] != answer.hash:
        raise UserError(
            f"Item {answer.index} of {stored.task} is not the one that was answered in {stored.path}: the pack, "
            "the seed or drop_common differs; install the version of the run, or set what it had with "
            "--set pack=..., --set seed=..."
        )


def _write(results: dict[str, Any], samples: dict[str, Any], output: Path, name: str) -> None:
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(output))
    tracker.general_config_tracker.log_experiment_args(
        model_source="stored answers",
        model_args={"model": name},
        system_instruction=None,
        chat_template=None,
        fewshot_as_multiturn=False,
    )
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, logged in samples.items():
        tracker.save_results_samples(task_name=task, samples=logged)
