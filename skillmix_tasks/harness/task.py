"""SKILL-MIX as an lm-eval task: the class behind every YAML file in skillmix_tasks/harness.

    task: skillmix_k4
    skillmix: {k: 4, split: all, pack: language}

lm-eval generates the first turn; then, in the filters, the task asks its model for the second turn, writes all
answers to disk, and judges them at once. process_results gets, and the samples log, a JSON string for each
generation (skillmix_tasks.scoring.points): lm-eval would log a dict as Python text.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

from lm_eval.api.filter import FilterEnsemble
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.utils import create_iterator
from pydantic import ValidationError

from grading import UserError
from grading.errors import first_fault, show_user_errors_in_one_line
from grading.home import verdict_store
from grading.store.replies import VerdictStore
from skillmix_tasks.harness.lm_eval_internals import evaluated_model, scored_mean
from skillmix_tasks.harness.logs import show_our_logs
from skillmix_tasks.harness.preflight import check_judges, refuse_chat_api, warn_of_one_turn
from skillmix_tasks.harness.run import GatheredCoverage, TaskRun
from skillmix_tasks.harness.student import attach, check_template, student_identity
from skillmix_tasks.harness.task_files import TaskSpec
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.metrics import GENERATIONS, METRICS, item_metrics
from skillmix_tasks.scoring.points import judged_points
from skillmix_tasks.scoring.reply import AnswerState, StudentReply, as_reply, count_answers
from skillmix_tasks.stored.answers import answers_folder, check_writable, stored_answer, write_answers

_BESIDE = ("coverage", "full_marks_low", "full_marks_high", "answered")
_FILTER = "none"  # lm-eval's usual name, so that metric keys read "full_marks,none"

logger = logging.getLogger(__name__)

# Tasks of one run whose second turn is still to come: all answers are complete before any is judged.
_incomplete: list[SkillMixTask] = []


class SkillMixTask(ConfigurableTask):  # type: ignore[misc]
    """One SKILL-MIX task; `config` is the YAML file with lm-eval's metadata merged in."""

    def __init__(self, config: dict[str, Any]) -> None:
        show_user_errors_in_one_line()
        show_our_logs()
        config = {key: value for key, value in config.items() if key != "class"}
        try:
            spec = TaskSpec.model_validate(config.pop("skillmix"))
        except ValidationError as error:
            raise UserError(
                f"The task file of {config['task']} is invalid under `skillmix` ({first_fault(error)}): write k, "
                "split and pack."
            ) from error
        self.run = TaskRun(config["task"], spec, config.pop("metadata"))
        self.lm: LM | None = None
        self._chat: Callable[..., Any] | None = None
        self._system: str | None = None
        super().__init__(config=config | _COMMON | {"metadata": {"version": spec.full_version}})
        self._filters = [FilterEnsemble(name=_FILTER, filters=[lambda: self])]

    # -- documents

    def download(self, *_: Any, **__: Any) -> None:
        """Items are drawn, not downloaded."""
        self.dataset = {"test": Documents(len(self.run.items), self._document)}

    def _document(self, index: int) -> dict[str, Any]:
        about = self.run.pack.about
        return {
            "task": self.config.task,
            "index": index,
            **self.run.items[index].record(private=about.private),
            "pack": about.id,
            "private": about.private,
        }

    def fewshot_docs(self) -> None:
        """No examples; lm-eval would keep a copy of all documents for them."""

    def doc_to_text(self, doc: dict[str, Any], doc_to_text: Any = None) -> str:  # noqa: ARG002
        """The prompt of the first turn, or of the only turn without a chat template."""
        return self.run.prompts(doc["index"])[0]

    def doc_to_target(self, doc: dict[str, Any], doc_to_target: Any = None) -> str:  # noqa: ARG002
        """No text is the right answer: the item's name, for the log."""
        return str(doc["item"])

    def doc_iterator(
        self,
        *,
        rank: int = 0,
        limit: int | None = None,
        world_size: int = 1,
        samples: list[int] | None = None,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The documents of a rank; `samples` in the order given, under which lm-eval logs them."""
        documents = self.eval_docs
        if samples:
            if len(set(samples)) < len(samples) or not set(samples) <= set(range(len(documents))):
                raise UserError(
                    f"--samples for {self.config.task} may name each item once, from 0 to {len(documents) - 1}."
                )
            documents = [documents[index] for index in samples]
        limit = int(limit) if limit else None
        iterator = create_iterator(enumerate(documents), rank=rank, limit=limit, world_size=world_size)
        return cast("Iterator[tuple[int, dict[str, Any]]]", iterator)

    # -- the first turn

    def build_all_requests(self, **kwargs: Any) -> None:
        """Refuse invalid runs before anything is generated, then build the requests of the first turn."""
        if kwargs.get("cache_requests"):
            raise UserError(
                "SKILL-MIX tasks do not work with --cache_requests, whose key has neither pack nor seed: "
                "leave it out; building the requests takes no time."
            )
        run = self.run
        self._chat = kwargs.get("chat_template")
        self.lm = getattr(self._chat, "__self__", None)
        self._system = kwargs.get("system_instruction")
        run.rank, run.world_size = kwargs.get("rank", 0), kwargs.get("world_size", 1)
        run.turns = 2 if self.lm is not None else 1
        # A task object may be evaluated again, and a run before may have left tasks of another model.
        _incomplete[:] = [task for task in _incomplete if task.lm is self.lm]
        run.forget()
        if self._chat is None:
            # A task knows only the address of its model, and the words of the command.
            refuse_chat_api(str(run.model_args.get("base_url", "")), *sys.argv)
        if not run.replayed:
            run.student = student_identity(self.lm, run.model_args)
            check_writable(answers_folder())
            check_template(self.lm)
        if not self._predict_only:
            render(run.pack, "judge", run.items[0])  # finds a template that cannot be filled
            check_judges(run.judges, batch=run.settings.batch)
            VerdictStore(verdict_store()).close()
        if run.turns == 1:
            warn_of_one_turn()
        if not run.replayed:
            run.warn_of_few_items(kwargs.get("limit"))
        model = None if run.replayed else self.lm or evaluated_model()
        run.asked = attach(model, self.config.task, run.settings, run.model_args) if model is not None else None
        super().build_all_requests(**kwargs)
        if not run.replayed:
            logger.info(
                "%s: turn 1 of %d, %d replies of the student", self.config.task, run.turns, len(self.instances)
            )
        if not run.parts:
            # A run that was interrupted may have left tasks; they have spent nothing.
            run.join(task.run for task in _incomplete)
        _incomplete.append(self)

    def fewshot_context(self, doc: dict[str, Any], *_: Any, **__: Any) -> Any:
        """The context of the first turn, as the model's chat template renders it."""
        return self._context([self.doc_to_text(doc)])

    def construct_requests(self, doc: dict[str, Any], ctx: Any, **kwargs: Any) -> list[Instance]:
        """Three instances, not `repeats`, each with its own seed where the model takes one."""
        given = dict(self.config.generation_kwargs)
        student = self.run.asked
        arguments = [student.arguments(given, number) if student else given for number in range(GENERATIONS)]
        if student:
            self.run.sampled(arguments[0])
        return [
            _request(doc, (ctx, sampling), number, kwargs["metadata"]) for number, sampling in enumerate(arguments)
        ]

    # -- the second turn, and grading

    def apply_filters(self) -> None:
        """Complete the answers of all tasks of this run, then judge this one's."""
        waiting = _incomplete.copy()
        _incomplete.clear()  # before anything can fail: a later run in this process must not find them
        for task in waiting:
            task.complete_answers()
        super().apply_filters()

    def complete_answers(self) -> None:
        """Request the second turn and write all answers of this rank to disk."""
        instances: list[Instance] = self.instances
        if not all(instance.resps for instance in instances):
            return  # of an earlier run in this process that was interrupted
        # Ranks with fewer items got padding, whose replies follow the real one.
        replies = [[as_reply(instance.resps[0])] for instance in instances]
        if self.run.turns == 2:
            # Endpoints refuse an empty assistant turn, and there is nothing to improve: such an answer ends here.
            going = [
                (instance, both)
                for instance, both in zip(instances, replies, strict=True)
                if both[0].state is AnswerState.ANSWERED or self.run.replayed
            ]
            second = [
                _request(
                    instance.doc,
                    (self._second_context(instance, first), instance.arguments[1]),
                    instance.idx,
                    instance.metadata,
                )
                for instance, [first] in going
            ]
            assert self.lm is not None
            if second and not self.run.replayed:
                logger.info("%s: turn 2 of 2, %d replies of the student", self.config.task, len(second))
            if second or self.run.world_size > 1:  # other ranks may have some, and wait
                for reply, (_, both) in zip(self.lm.generate_until(second), going, strict=True):
                    both.append(as_reply(reply))
            for both in replies:
                if len(both) == 1:
                    both.append(StudentReply.failed(both[0].state, both[0].facts.detail))
        for instance, both in zip(instances, replies, strict=True):
            instance.resps = both
        if self._predict_only:
            self.run.count(replies)
        if self.run.answers is None:
            header = self.run.header(system=self._system, generation_kwargs=self.config.generation_kwargs)
            answers = [
                stored_answer(instance.doc["index"], instance.doc["hash"], instance.idx, turns)
                for instance, turns in zip(instances, replies, strict=True)
            ]
            self.run.answers = write_answers(answers_folder(), header, answers)
            logger.info("The answers are in %s", self.run.answers)
            if not self._predict_only:
                logger.info("If judging is interrupted, continue with: skillmix grade %s", self.run.answers)

    def _second_context(self, instance: Instance, first: str) -> Any:
        prompts = self.run.prompts(instance.doc["index"])
        return self._context([prompts[0], first, prompts[1]])

    def apply(self, resps: list[list[str]], docs: list[dict[str, Any]]) -> list[str]:
        """As the one filter of the task, which sees all replies of this rank: the records of TaskRun.judge."""
        indices = [doc["index"] for doc in docs]
        return self.run.judge(resps, indices, self.instances, judged=not self._predict_only)

    # -- results

    def aggregation(self) -> dict[str, Any]:
        """lm-eval's aggregation for each metric; the one of coverage fails a run with too few verdicts. lm-eval
        aggregates coverage first.
        """
        scores = dict.fromkeys(METRICS, scored_mean)
        return cast("dict[str, Any]", super().aggregation()) | {"coverage": self._coverage} | scores

    def _coverage(self, items: list[float]) -> float:
        if not self.run.parts:
            # Only here have all ranks been gathered, so that none waits for one that has failed.
            self.run.conclude(items)
        return float(mean(items))

    def process_results(self, doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
        """The metrics of one item from the records of its generations."""
        if self._predict_only:
            return cast("dict[str, Any]", super().process_results(doc, results))
        records = [json.loads(record) for record in results]
        metrics: dict[str, Any] = item_metrics([record["points"] for record in records])
        answers = count_answers(record["student"] for record in records)
        metrics["answered"] = answers[AnswerState.ANSWERED] / len(records)
        coverage = GatheredCoverage(metrics["coverage"])
        coverage.cost = self.run.costs.pop() if self.run.costs else None  # with the first item of this rank
        coverage.counts = {
            "states": Counter(state for record in records for state in record["states"].values()),
            "grounds": Counter(
                judged=sum(len(judged_points(record)) for record in records),
                ungrounded=sum(len(record["ungrounded"]) for record in records),
            ),
            "answers": answers,
            "extractions": Counter(
                record["extraction"] for record in records if record["student"]["state"] == AnswerState.ANSWERED
            ),
        }
        return metrics | {"coverage": coverage}

    def dump_config(self) -> dict[str, Any]:
        """The task's part of the results JSON."""
        config = cast("dict[str, Any]", super().dump_config())
        config.pop("process_results", None)
        config["metric_list"] = [{"metric": metric} for metric in (*METRICS, *_BESIDE)]
        record = self.run.record(judged=not self._predict_only)
        config["metadata"] = {"version": self.run.spec.full_version, "skillmix": record.model_dump()}
        return config

    @property
    def _predict_only(self) -> bool:
        return "bypass" in self._metric_fn_list

    def _context(self, turns: list[str]) -> Any:
        """The rendered context of alternating user and assistant turns; a string, or what a chat API takes."""
        if self._chat is None:
            return f"{self._system}\n\n{turns[0]}" if self._system else turns[0]
        history = [{"role": "system", "content": self._system}] if self._system else []
        for number, text in enumerate(turns):
            history.append({"role": "assistant" if number % 2 else "user", "content": text})
        return self._chat(history)


def _request(doc: dict[str, Any], arguments: tuple[Any, dict[str, Any]], number: int, metadata: Any) -> Instance:
    return Instance(request_type="generate_until", doc=doc, arguments=arguments, idx=number, metadata=metadata)


_COMMON: dict[str, Any] = {
    "output_type": "generate_until",
    "test_split": "test",
    "num_fewshot": 0,
    "process_results": "process_results",  # the method; lm-eval then looks up no metric functions
    "metric_list": [
        {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in (*METRICS, *_BESIDE)
    ],
}


class Documents:
    """A dataset for lm-eval: each document is made when it is read, as a run may have very many."""

    def __init__(self, number: int, make: Callable[[int], dict[str, Any]]) -> None:
        self._number = number
        self._make = make

    @property
    def features(self) -> dict[str, Any]:
        """The first document, whose keys are the names of all fields."""
        return self[0]

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._make, range(self._number))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._make(index)
