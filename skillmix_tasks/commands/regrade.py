"""`skillmix grade`: judge stored answers, from our answer files or lm-eval's sample files, without a student.

lm-eval itself makes the results: a model that repeats the stored replies replaces the student, so that
table, results and samples are those of an unbroken run. It evaluates the items in parts, so that no more texts are
in memory than those of one part, and aggregates the scores of all.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lm_eval import evaluate, simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator_utils import _process_results
from lm_eval.tasks import TaskManager
from tqdm import tqdm

from grading import UserError
from skillmix_tasks.harness.logs import quiet_lm_eval
from skillmix_tasks.harness.run import GatheredCoverage, TaskRun
from skillmix_tasks.harness.settings import read_settings
from skillmix_tasks.harness.task import SkillMixTask
from skillmix_tasks.harness.task_files import bundled_tasks, harness_folder
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import bundled_packs, earlier_versions
from skillmix_tasks.scoring.metrics import GENERATIONS
from skillmix_tasks.scoring.reply import StudentReply
from skillmix_tasks.stored.places import StoredTask, find_answers, runs_in
from skillmix_tasks.stored.sample_files import SampleFiles
from skillmix_tasks.stored.trust import settings_to_follow

logger = logging.getLogger(__name__)

# Items of one part: enough to keep a judge busy, and their prompts, votes and samples take some tens of MB.
_PART = 300
_PART_IN_BATCHES = 10_000  # a batch may take a day, and the parts follow one another


class StoredStudent(LM):  # type: ignore[misc]
    """A model that repeats stored replies: `replies` by task, item hash and generation."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: dict[tuple[str, str, int], tuple[StudentReply, ...]] = {}

    @property
    def tokenizer_name(self) -> str:
        """lm-eval requires the name of a chat model's tokenizer; this model has none."""
        return ""

    def apply_chat_template(
        self,
        chat_history: list[dict[str, str]],
        add_generation_prompt: bool = True,  # noqa: ARG002
    ) -> str:
        """The history as JSON, from which `generate_until` reads the requested turn."""
        return json.dumps(chat_history)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[StudentReply]:  # noqa: ARG002
        return [self._reply(request) for request in requests]

    def _reply(self, request: Instance) -> StudentReply:
        replies = self.replies[str(request.task_name), request.doc["hash"], request.idx]
        if len(replies) == 1:
            return replies[0]
        history: list[dict[str, str]] = json.loads(request.args[0])
        return replies[sum(message["role"] == "assistant" for message in history)]

    def loglikelihood(self, requests: list[Instance]) -> Any:
        """No task of ours needs it."""
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


class _Scores:
    """The items' metrics as lm-eval keeps them: by task, then by metric and filter."""

    def __init__(self) -> None:
        self.values: dict[str, dict[tuple[str, str], list[Any]]] = defaultdict(lambda: defaultdict(list))
        self._latest: dict[str, GatheredCoverage] = {}

    def add(self, task: str, samples: Sequence[dict[str, Any]]) -> None:
        """Take the metrics out of lm-eval's samples of a part."""
        for sample in samples:
            for metric in sample["metrics"]:
                self.values[task][metric, sample["filter"]].append(sample[metric])
        # One grader serves all parts, so its last figures are the cost of all of them.
        if task in self._latest:
            self._latest[task].cost = None
        self._latest[task] = samples[0]["coverage"]


def regrade(
    files: Sequence[Path],
    overrides: dict[str, Any],
    *,
    include_path: Path | None = None,
    output: Path | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Judge the answers in `files` and return lm-eval's results.

    `overrides` are settings (skillmix_tasks.harness.settings) that replace those of the run; without a judge among
    them, the run's own judge is taken, or for sample files the environment's. Names in a file that is not from the
    user's own runs are followed only with `trust` (skillmix_tasks.stored.trust). `include_path` holds YAML
    files of tasks that are not ours. With `output`, results and samples are written there as lm_eval --output_path
    --log_samples does.
    """
    stored = {one.task: one for one in find_answers(files, GENERATIONS)}
    turns = {one.turns for one in stored.values()}
    if len(turns) > 1:
        raise UserError("Some of these answers have one turn and some two: grade them in two commands.")
    students = {json.dumps(one.student, sort_keys=True) for one in stored.values()}
    if len(students) > 1:
        raise UserError("These answers are from different students: grade each student in a command of its own.")
    tasks = {
        name: _load(one, settings_to_follow(one, _of_pack(one, overrides), trust=trust), include_path)
        for name, one in stored.items()
    }
    model = _model_name(next(iter(stored.values())))
    with ExitStack() as stack:
        written = stack.enter_context(SampleFiles(output, model)) if output is not None else None
        results, scores = _evaluate_parts(stored, tasks, written, chat=turns == {2})
        # lm-eval's aggregation of the scores of all items, as at the end of one evaluation.
        gathered = {
            name: {"task": task, "raw_metrics": scores.values[name], "logged_samples": []}
            for name, task in tasks.items()
        }
        with quiet_lm_eval():
            results |= _process_results(gathered, {})._to_eval_results()  # noqa: SLF001
        results["config"] |= {
            "model": "stored answers",
            "model_args": {"model": model},
        }
        if written is not None:
            written.finish(results)
    return results


def regrade_all(
    paths: Sequence[Path],
    overrides: dict[str, Any],
    *,
    include_path: Path | None = None,
    output: Path | None = None,
    trust: bool = False,
) -> list[dict[str, Any]]:
    """Judge the answers in files and folders, run after run, and return lm-eval's results of each; see `regrade`.

    The runs share a cap in equal parts. If a run fails, the others are still graded, with a UserError at the end.
    """
    runs = runs_in(paths)
    settings = read_settings({"skillmix": overrides})
    if settings.judge is not None:
        settings.judges()  # a judge that cannot be used is said once, and not for each run
    capped = overrides | settings.part_of_caps(len(runs))
    graded: list[dict[str, Any]] = []
    failed: list[UserError] = []
    for number, files in enumerate(runs, start=1):
        if len(runs) > 1:
            logger.info("Run %d of %d: %s", number, len(runs), ", ".join(map(str, files)))
        try:
            graded.append(regrade(files, capped, include_path=include_path, output=output, trust=trust))
        except UserError as error:
            if len(runs) == 1:
                raise
            logger.error("Run %d of %d failed: %s", number, len(runs), error)  # noqa: TRY400 - no traceback
            failed.append(error)
    if failed:
        where = f"; the others are in {output}" if output and graded else ""
        raise UserError(
            f"{len(failed)} of {len(runs)} runs could not be graded{where}. The first: {failed[0]}"
        ) from failed[0]
    return graded


def _model_name(stored: StoredTask) -> str:
    """The student's name, after which lm-eval names a folder: one of dots only would lead out of the output's."""
    name = str(stored.student.get("model", ""))
    if not name.strip(". "):
        raise UserError(f"{stored.path} names no student: its header holds {name!r} in place of a model's name.")
    return name


def _evaluate_parts(
    stored: Mapping[str, StoredTask],
    tasks: Mapping[str, SkillMixTask],
    written: SampleFiles | None,
    *,
    chat: bool,
) -> tuple[dict[str, Any], _Scores]:
    """The scores of all items, and the results of the first part, whose head is that of the complete run."""
    items = [(name, item) for name, one in stored.items() for item in one.in_order()]
    size = _PART_IN_BATCHES if any(task.run.settings.batch for task in tasks.values()) else _PART
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    student, scores = StoredStudent(), _Scores()
    results: dict[str, Any] = {}
    with (
        ExitStack() as stack,
        tqdm(total=len(items), desc="Grading stored answers", unit="item", disable=len(parts) == 1) as bar,
    ):
        others: list[TaskRun] = []
        for name, task in tasks.items():
            stack.enter_context(task.run.in_parts(GENERATIONS * len(stored[name].items), others))
            others.append(task.run)
        for part in parts:
            names: dict[str, list[str]] = defaultdict(list)
            for name, item in part:
                names[name].append(item)
            student.replies = {
                (name, *key): replies
                for name, these in names.items()
                for key, replies in stored[name].replies(these).items()
            }
            judged = _evaluate(
                student,
                {name: tasks[name] for name in names},
                {name: [stored[name].items[item].index for item in these] for name, these in names.items()},
                chat=chat,
                first=not results,
            )
            for name, samples in judged.pop("samples").items():
                scores.add(name, samples)
                if written is not None:
                    written.add(name, samples)
            results = results or judged
            bar.update(len(part))
    return results, scores


def _evaluate(
    student: StoredStudent,
    tasks: dict[str, SkillMixTask],
    samples: dict[str, list[int]],
    *,
    chat: bool,
    first: bool,
) -> dict[str, Any]:
    """lm-eval's results of one part; only those of the first part have the environment."""
    common: dict[str, Any] = {
        "samples": samples,
        "apply_chat_template": chat,
        "log_samples": True,
        "bootstrap_iters": 0,
    }
    with quiet_lm_eval():
        if first:
            ours, manager = list(tasks.values()), _manager({}, None)
            results: dict[str, Any] = simple_evaluate(model=student, tasks=ours, task_manager=manager, **common)
        else:
            known = {"tasks": tasks, "groups": {}}
            results = evaluate(lm=student, task_dict=known, fewshot_as_multiturn=True, **common)
    return results


def _manager(settings: dict[str, Any], include_path: Path | None) -> TaskManager:
    paths = [str(harness_folder()), *([str(include_path)] if include_path else [])]
    return TaskManager(include_path=paths, include_defaults=False, metadata={"skillmix": settings})


def _task(manager: TaskManager, name: str) -> SkillMixTask:
    task = manager.load([name])["tasks"][name]
    assert isinstance(task, SkillMixTask)
    return task


def _other_item(stored: StoredTask, task: SkillMixTask) -> int | None:
    """The index of the first stored item that is not one of `task`; None if the answers are to its items."""
    hashes = [item.hash for item in task.run.items]
    others = (one.index for name, one in stored.items.items() if hashes[one.index : one.index + 1] != [name])
    return next(others, None)


def _of_pack(stored: StoredTask, overrides: dict[str, Any]) -> dict[str, Any]:
    """The overrides without a pack that is not the stored answers'."""
    given, own = overrides.get("pack"), stored.pack
    if own is None and stored.settings.get("pack", "") is None and (spec := bundled_tasks().get(stored.task)):
        own = spec.pack
    if given is None or own is None or (named := load_pack(given).about.id) == own:
        return overrides
    if own not in bundled_packs():
        raise UserError(
            f"{stored.path} has answers with the pack {own}, and --pack names {named}: grade them in a command of "
            f"their own, with the folder of {own}."
        )
    logger.warning("%s is graded with its own pack %s, not with %s.", stored.path, own, named)
    return {name: value for name, value in overrides.items() if name != "pack"}


def _with_own_pack(
    stored: StoredTask, task: SkillMixTask, settings: dict[str, Any], include_path: Path | None
) -> SkillMixTask:
    """The task with the bundled pack that the answers are to, in its version; UserError for another pack."""
    own = stored.pack or task.run.pack.about.id
    if own not in bundled_packs() and own != task.run.pack.about.id:
        raise UserError(
            f"{stored.path} has answers to {stored.task} with the pack {own}, which is not bundled: add "
            "--pack FOLDER, the folder of that pack; answers with bundled packs keep theirs."
        )

    def with_pack(pack: str) -> SkillMixTask:
        return _task(_manager(settings | {"pack": pack}, include_path), stored.task)

    if own != task.run.pack.about.id:
        task = with_pack(own)
    if _other_item(stored, task) is None:
        return task
    for folder in earlier_versions(own):
        earlier = with_pack(str(folder))
        if _other_item(stored, earlier) is None:
            logger.warning(
                "%s has answers to %s of the pack %s: they are graded with that version of the pack.",
                stored.path,
                stored.task,
                folder.name,
            )
            return earlier
    return task


def _load(stored: StoredTask, settings: dict[str, Any], include_path: Path | None) -> SkillMixTask:
    last = max(item.index for item in stored.items.values())
    settings["items"] = max(settings.get("items", 0), 1 + last)
    manager = _manager(settings, include_path)
    if stored.task not in manager.all_subtasks:
        raise UserError(
            f"{stored.path} has answers to the task {stored.task}, which is not known here: "
            "name the folder of its YAML file with --include-path."
        )
    task = _task(manager, stored.task)
    if settings.get("pack") is None:
        task = _with_own_pack(stored, task, settings, include_path)
    task.run.replay(stored.path, stored.student, stored.sampling)
    if (index := _other_item(stored, task)) is not None:
        raise UserError(
            f"Item {index} of {stored.task} is not the one that was answered in {stored.path}: the pack, the seed "
            "or drop_common differs; install the version of the run, or give the run's settings with "
            "--set pack=..., --set seed=..."
        )
    pack = task.run.pack
    if stored.pack_hash not in (None, pack.hash):
        logger.warning(
            "%s was answered with the pack %s of the hash %s, whose items are the same: the results name the pack "
            "as it is now, %s.",
            stored.path,
            pack.about.id,
            stored.pack_hash,
            pack.hash,
        )
    return task
