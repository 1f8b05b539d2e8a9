"""SKILL-MIX as an lm-eval task: the class behind every YAML file in skillmix_tasks/harness.

    task: skillmix_k4
    skillmix: {k: 4, split: all, pack: language}

lm-eval generates the first turn; then, in the filters, the task asks its model for the second turn, puts all
answers on disk, and has them judged at once. What process_results gets, and the samples log, is for each
generation a JSON string (skillmix_tasks.scoring.points): lm-eval would log a dict as Python text.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from lm_eval.api.filter import Filter, FilterEnsemble
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.utils import create_iterator
from pydantic import ValidationError

from grading import Budget, Panel, State, UserError
from grading.cost.stats import total
from grading.errors import show_user_errors_in_one_line
from grading.failure import limit_hint, sentence
from grading.home import verdict_store
from grading.keys import know_arguments, redact
from grading.panel import panel_name, panel_record
from grading.safety.bounds import cut
from grading.safety.text import encodable
from grading.store.replies import VerdictStore
from skillmix_tasks.checks import splitter_versions
from skillmix_tasks.harness.beforehand import check_judges, refuse_chat_api, warn_of_one_turn
from skillmix_tasks.harness.documents import Documents
from skillmix_tasks.harness.gathered import GatheredCoverage
from skillmix_tasks.harness.logs import show_our_logs
from skillmix_tasks.harness.private import hide_texts
from skillmix_tasks.harness.settings import read_settings
from skillmix_tasks.harness.student import generate, student_identity, takes_seed
from skillmix_tasks.harness.task_files import TaskSpec
from skillmix_tasks.items.draw import Item, sample_items
from skillmix_tasks.items.hub import read_hub_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack, bundled_packs
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.controls import ControlReport, judge_controls
from skillmix_tasks.scoring.metrics import GENERATIONS, METRICS, item_metrics
from skillmix_tasks.scoring.points import judge_replies, judged_points
from skillmix_tasks.stored.answers import AnswerHeader, StoredAnswer, answers_folder, check_writable, write_answers
from skillmix_tasks.stored.record import Controls, PackRecord, RunRecord, Ungrounded

_BOUNDS = ("full_marks_low", "full_marks_high")
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
            self._spec = TaskSpec.model_validate(config.pop("skillmix"))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise UserError(
                f"The task file of {config['task']} is invalid under `skillmix` ({wrong}): write k, split and "
                "pack."
            ) from error
        # lm-eval merges the user's metadata with model_args, which may hold addresses and tokens: what is
        # needed is taken out, and nothing of it reaches the results.
        metadata = config.pop("metadata")
        self._settings = read_settings(metadata)
        self._model_args = {key: value for key, value in metadata.items() if key != "skillmix"}
        know_arguments(self._model_args)
        self._judges = self._settings.judges()
        self._pack, self._items, self._items_commit = self._draw(config["task"])
        if self._settings.controls and not self._pack.controls:
            raise UserError(
                f"The pack {self._pack.about.id!r} has no control answers: leave out the setting `controls`, or "
                "write a controls.yaml for a pack of your own."
            )
        self.lm: LM | None = None
        self._chat: Callable[..., Any] | None = None
        self._system: str | None = None
        self._states: Counter[str] = Counter()
        self._grounds: Counter[str] = Counter()
        self.budget = Budget()
        self.controls: dict[str, ControlReport] = {}  # by the pack's hash; of all tasks of a run
        self._costs: list[dict[str, Any]] = []
        self._whole = False
        self._answers: Path | None = None
        self._stored_student: dict[str, Any] | None = None
        self._in_parts = 0  # answers
        self._panel: Panel | None = None  # of all parts
        self._rank, self._world_size = 0, 1
        super().__init__(config=config | _COMMON | {"metadata": {"version": self._spec.full_version}})
        self._filters = [FilterEnsemble(name=_FILTER, filters=[lambda: _Judging(self)])]

    def _draw(self, task: str) -> tuple[Pack, list[Item], str | None]:
        """The pack, the items, and the commit of the data set on the Hub that they came from, if they did."""
        settings = self._settings
        if settings.items_from is None:
            pack = load_pack(settings.pack or self._spec.pack)
            drawn = sample_items(
                pack,
                task=task,
                k=self._spec.k,
                split=self._spec.split,
                seed=settings.seed,
                number=settings.items,
                drop_common=settings.drop_common,
            )
            return pack, drawn, None
        if settings.pack is not None or settings.drop_common:
            raise UserError(
                "The setting `items_from` brings its own pack and items: leave out `pack` and `drop_common`."
            )
        found = read_hub_items(settings.items_from, task=task, split=self._spec.split, number=settings.items)
        return found.pack, found.items, found.commit

    def replay(self, answers: Path, student: dict[str, Any]) -> None:
        """Take the answers for `student`'s, which stand in the file `answers` already."""
        self._answers = answers
        self._stored_student = student

    def begin_parts(self, answers: int, others: Iterable[SkillMixTask]) -> None:
        """From now on an evaluation covers a part of the items, and all parts together hold so many `answers`.

        One panel serves them all, under one budget with `others`. Nothing is concluded from a part.
        """
        self._in_parts = answers
        self._join(others)

    def end_parts(self) -> None:
        """From now on an evaluation, or what is aggregated, is whole again."""
        self._in_parts = 0
        if self._panel is not None:
            self._panel.close()
            self._panel = None

    @property
    def in_batches(self) -> bool:
        """Whether judging goes through the Batch API."""
        return self._settings.batch

    @property
    def pack_id(self) -> str:
        """The id of the pack."""
        return self._pack.about.id

    @property
    def item_hashes(self) -> list[str]:
        """The content hash of each item, by its index."""
        return [item.hash for item in self._items]

    # -- documents

    def download(self, *_: Any, **__: Any) -> None:
        """Items are drawn, not downloaded."""
        self.dataset = {"test": Documents(len(self._items), self._document)}

    def _document(self, index: int) -> dict[str, Any]:
        private = self._pack.about.private
        return {
            "task": self.config.task,
            "index": index,
            **self._items[index].record(private=private),
            "pack": self._pack.about.id,
            "private": private,
        }

    def fewshot_docs(self) -> None:
        """There are no examples; lm-eval would keep a copy of all documents for them."""

    def doc_to_text(self, doc: dict[str, Any], doc_to_text: Any = None) -> str:  # noqa: ARG002
        """The prompt of the first turn, or of the only one where there is no chat template."""
        return self._prompts(doc["index"])[0]

    def doc_to_target(self, doc: dict[str, Any], doc_to_target: Any = None) -> str:  # noqa: ARG002
        """No text is the right answer; the item's name stands here for the log."""
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
        documents: Sequence[dict[str, Any]] = self.eval_docs
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
        """Refuse what cannot work before anything is generated, then build the requests of the first turn."""
        if kwargs.get("cache_requests"):
            raise UserError(
                "SKILL-MIX tasks do not work with --cache_requests, whose key knows neither pack nor seed: "
                "leave it out; building the requests takes no time."
            )
        self._chat = kwargs.get("chat_template")
        self.lm = getattr(self._chat, "__self__", None)
        self._system = kwargs.get("system_instruction")
        self._rank, self._world_size = kwargs.get("rank", 0), kwargs.get("world_size", 1)
        self._forget_earlier_run()
        if self._chat is None:
            # What a task can know of its model: the address, and the words of the command.
            refuse_chat_api(str(self._model_args.get("base_url", "")), *sys.argv)
        if self._stored_student is None:
            check_writable(answers_folder())
        if not self._predict_only:
            render(self._pack, "judge", self._items[0])  # a template that cannot be filled is found out now
            check_judges(self._judges, batch=self._settings.batch)
            VerdictStore(verdict_store()).close()
        if self._turns == 1:
            warn_of_one_turn()
        super().build_all_requests(**kwargs)
        if not self._in_parts:
            # A run that was interrupted may have left tasks; they have spent nothing.
            self._join(_incomplete)
        _incomplete.append(self)

    def _join(self, others: Iterable[SkillMixTask]) -> None:
        """Share budget and controls with the other tasks of the run, of which none has been judged."""
        self.budget, self.controls = self._settings.budget(self._world_size), {}
        for task in others:
            if task.budget.caps == self.budget.caps:
                self.budget, self.controls = task.budget, task.controls
                break

    def fewshot_context(self, doc: dict[str, Any], *_: Any, **__: Any) -> Any:
        """The context of the first turn, as the model's chat template renders it."""
        return self._context([self.doc_to_text(doc)])

    def construct_requests(self, doc: dict[str, Any], ctx: Any, **kwargs: Any) -> list[Instance]:
        """Three instances, not `repeats`, each with its own seed where the model takes one."""
        seed = self.config.generation_kwargs.get("seed", self._settings.seed)
        seeded = takes_seed(self.lm, self._model_args)
        return [
            Instance(
                request_type="generate_until",
                doc=doc,
                arguments=(
                    ctx,
                    dict(self.config.generation_kwargs) | ({"seed": seed + generation} if seeded else {}),
                ),
                idx=generation,
                metadata=kwargs["metadata"],
            )
            for generation in range(GENERATIONS)
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
        """Ask for the second turn and put all answers of this rank on disk."""
        instances: list[Instance] = self.instances
        if not all(instance.resps for instance in instances):
            return  # of an earlier run in this process that was interrupted
        # Ranks with fewer items got padding, whose replies stand behind the real one.
        replies = [[_text(instance.resps[0])] for instance in instances]
        if self._turns == 2:
            second = [
                Instance(
                    request_type="generate_until",
                    doc=instance.doc,
                    arguments=(self._second_context(instance, first), instance.arguments[1]),
                    idx=instance.idx,
                    metadata=instance.metadata,
                )
                for instance, [first] in zip(instances, replies, strict=True)
            ]
            assert self.lm is not None
            for reply, both in zip(generate(self.lm, second), replies, strict=True):
                both.append(_text(reply))
        for instance, both in zip(instances, replies, strict=True):
            instance.resps = both
        if self._answers is None:
            self._answers = write_answers(answers_folder(), self._header(), self._stored(replies))
            logger.info("The answers are in %s", self._answers)
            if not self._predict_only:
                logger.info("If judging is interrupted, continue with: skillmix grade %s", self._answers)

    def _second_context(self, instance: Instance, first: str) -> Any:
        prompts = self._prompts(instance.doc["index"])
        return self._context([prompts[0], first, prompts[1]])

    def _stored(self, replies: list[list[str]]) -> list[StoredAnswer]:
        return [
            StoredAnswer(
                index=instance.doc["index"],
                hash=instance.doc["hash"],
                generation=instance.idx,
                replies=tuple(texts),
            )
            for instance, texts in zip(self.instances, replies, strict=True)
        ]

    def _header(self) -> AnswerHeader:
        pack = self._settings.pack
        if pack is not None and pack not in bundled_packs():
            pack = str(Path(pack).resolve())  # grading may be started in another directory
        return AnswerHeader(
            task=self.config.task,
            version=self._spec.full_version,
            student=self._student(),
            settings=self._settings.model_dump(exclude={"judge", "judge_base_url", "votes", "price"})
            | {"pack": pack},
            judge=[judge.model_dump(mode="json") for judge in self._judges],
            pack_hash=self._pack.hash,
            turns=self._turns,
            system_instruction=self._system,
            generation_kwargs=self.config.generation_kwargs,
            rank=self._rank,
            world_size=self._world_size,
        )

    def judge(self, replies: list[list[str]], docs: list[dict[str, Any]]) -> list[str]:
        """The records of all generations of this rank, as JSON strings in the order of `replies`."""
        asked = [
            (self._items[doc["index"]], self._prompts(doc["index"]), texts[-1])
            for texts, doc in zip(replies, docs, strict=True)
        ]
        if self._predict_only:
            records = judge_replies(self._pack, asked, None)
        else:
            panel = self._panel or Panel(
                self._judges,
                verdict_store(),
                concurrency=self._settings.concurrency,
                adaptive=self._settings.adaptive,
                budget=self.budget,
                ungrounded=self._settings.ungrounded,
                batch=self._settings.batch,
            )
            if self._in_parts:
                self._panel = panel
            try:
                # They need one process only, and the results are made by the first.
                if self._settings.controls and self._rank == 0 and self._pack.hash not in self.controls:
                    self.controls[self._pack.hash] = judge_controls(self._pack, panel)
                if self._in_parts:
                    panel.expect(self._in_parts)
                records = judge_replies(self._pack, asked, panel)
            finally:
                if not self._in_parts:
                    panel.close()
            self._costs = [panel.record()]
        if self._pack.about.private:
            hide_texts(self.instances, records)
        return [json.dumps(record, ensure_ascii=False) for record in records]

    # -- results

    def aggregation(self) -> dict[str, Any]:
        """lm-eval's aggregation for each metric; the one of coverage fails a run that lacks too much.

        lm-eval asks anew for each metric, coverage first. Where no item lacks a verdict, the mean serves, whose
        standard error is exact and the same for any order of the items; else `nanmean`, with a bootstrap.
        """
        scores = dict.fromkeys(METRICS, mean) if self._whole else {}
        return cast("dict[str, Any]", super().aggregation()) | {"coverage": self._enough_coverage} | scores

    def _enough_coverage(self, items: list[float]) -> float:
        if self._in_parts:
            return float(mean(items))
        # Only here have all ranks been gathered, so that none waits for one that has failed.
        gathered = [item for item in items if isinstance(item, GatheredCoverage)]
        self._states = sum((item.states for item in gathered), Counter())
        self._grounds = sum((item.grounds for item in gathered), Counter())
        self._costs = [item.cost for item in gathered if item.cost is not None]
        missing = sum(1 - item for item in items)
        self._whole = missing == 0
        if missing > self._settings.max_missing * len(items):
            states = ", ".join(f"{state}: {count}" for state, count in self._states.most_common())
            raise UserError(
                f"{self.config.task}: {missing / len(items):.0%} of the items got no verdict from "
                f"{panel_name(self._judges)} (points without one: {states}), more than max_missing = "
                f"{self._settings.max_missing:.0%}{self._causes()}. All answers and verdicts are saved: "
                f"{self._remedy()}{self._other_ranks()}."
            )
        return float(mean(items))

    def _causes(self) -> str:
        """Why votes are missing, in the endpoint's own words and with what to type."""
        found = [
            sentence((total(self._costs) or {}).get("failures") or (), "vote"),
            limit_hint(self._states, max(judge.max_tokens for judge in self._judges)),
        ]
        return "".join(f"; {one}" for one in found if one)

    def _remedy(self) -> str:
        again = f"`skillmix grade {self._answers}"
        if not self._states[State.OVER_BUDGET.value]:
            return f"fix the judge, then run {again}`"
        option = "--max-usd DOLLARS" if self._settings.max_usd is not None else "--max-tokens TOKENS"
        return f"{self.budget.reason}, and {again} {option}` goes on from here (what was bought is free)"

    def _other_ranks(self) -> str:
        if self._world_size == 1:
            return ""
        return f" with the files of all {self._world_size} ranks, whose paths they printed"

    def process_results(self, doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
        """The metrics of one item from the records of its generations."""
        if self._predict_only:
            return cast("dict[str, Any]", super().process_results(doc, results))
        records = [json.loads(record) for record in results]
        metrics: dict[str, Any] = item_metrics([record["points"] for record in records])
        states = Counter(state for record in records for state in record["states"].values())
        grounds = Counter(
            judged=sum(len(judged_points(record)) for record in records),
            ungrounded=sum(len(record["ungrounded"]) for record in records),
        )
        cost = self._costs.pop() if self._costs else None  # with the first item of this rank
        return metrics | {"coverage": GatheredCoverage(metrics["coverage"], states, grounds, cost)}

    def dump_config(self) -> dict[str, Any]:
        """The task's part of the results JSON: the protocol, the judge and what grading cost."""
        config = cast("dict[str, Any]", super().dump_config())
        config.pop("process_results", None)
        config["metric_list"] = [{"metric": metric} for metric in (*METRICS, "coverage", *_BOUNDS)]
        config["metadata"] = {"version": self._spec.full_version, "skillmix": self._record().model_dump()}
        return config

    def _record(self) -> RunRecord:
        about = self._pack.about
        return RunRecord(
            k=self._spec.k,
            split=self._spec.split,
            pack=PackRecord(id=about.id, version=about.version, hash=self._pack.hash, lists=self._pack.lists),
            turns=self._turns,
            generations=GENERATIONS,
            items_from=self._items_from_record(),
            seed=self._settings.seed,
            drop_common=self._settings.drop_common,
            splitters=splitter_versions(),
            judge=None if self._predict_only else self._judge_record(),
            grading=total(self._costs),
            controls=self._controls_record(),
            points_without_verdict=dict(self._states),
            ungrounded=None if self._predict_only else self._ungrounded_record(),
            student=self._student(),
        )

    # -- helpers

    def _forget_earlier_run(self) -> None:
        """A task object may be evaluated again, and a run before may have left tasks of another model."""
        _incomplete[:] = [task for task in _incomplete if task.lm is self.lm]
        if self._stored_student is None:
            self._answers = None
        self._states, self._grounds, self._costs, self._whole = Counter(), Counter(), [], False

    def _judge_record(self) -> dict[str, Any]:
        refused = sorted({name for cost in self._costs for name in cost["refused_parameters"]})
        return panel_record(self._judges) | {"refused_parameters": refused}

    def _items_from_record(self) -> dict[str, Any] | None:
        source = self._settings.items_from
        return source.model_dump() | {"commit": self._items_commit} if source else None

    def _controls_record(self) -> Controls | None:
        report = self.controls.get(self._pack.hash)
        return Controls.model_validate(report.record()) if report else None

    def _ungrounded_record(self) -> Ungrounded:
        points, judged = self._grounds["ungrounded"], self._grounds["judged"]
        return Ungrounded(
            rule=self._settings.ungrounded,
            points=points,
            judged_points=judged,
            share=points / judged if judged else None,
        )

    def _student(self) -> dict[str, Any]:
        return self._stored_student or student_identity(self.lm, self._model_args)

    @property
    def _predict_only(self) -> bool:
        return "bypass" in self._metric_fn_list

    @property
    def _turns(self) -> int:
        return 2 if self.lm is not None else 1

    def _prompts(self, index: int) -> list[str]:
        names = ("turn1", "turn2") if self._turns == 2 else ("single",)
        return [render(self._pack, name, self._items[index]) for name in names]

    def _context(self, turns: list[str]) -> Any:
        """The rendered context of alternating user and assistant turns; a string, or what a chat API takes."""
        if self._chat is None:
            return f"{self._system}\n\n{turns[0]}" if self._system else turns[0]
        history = [{"role": "system", "content": self._system}] if self._system else []
        for number, text in enumerate(turns):
            history.append({"role": "assistant" if number % 2 else "user", "content": text})
        return self._chat(history)


class _Judging(Filter):  # type: ignore[misc]
    """The one filter: it sees all replies of the task at once."""

    def __init__(self, task: SkillMixTask) -> None:
        self._task = task

    def apply(self, resps: list[list[str]], docs: list[dict[str, Any]]) -> list[str]:
        return self._task.judge(resps, docs)


_COMMON: dict[str, Any] = {
    "output_type": "generate_until",
    "test_split": "test",
    "num_fewshot": 0,
    "process_results": "process_results",  # the method; lm-eval then looks up no metric functions
    "metric_list": [
        *({"metric": metric, "aggregation": "nanmean", "higher_is_better": True} for metric in METRICS),
        *(
            {"metric": metric, "aggregation": "mean", "higher_is_better": True}
            for metric in ("coverage", *_BOUNDS)
        ),
    ],
}


def _text(reply: str | None) -> str:
    """A student's reply as it is stored and judged: without keys, and cut with a mark if it is too long."""
    return "" if reply is None else cut(redact(encodable(reply)))
