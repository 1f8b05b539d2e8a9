"""A run's state: one task's settings, items and answers, and the failures of all ranks."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from grading import Budget, Panel, State, UserError
from grading.cost.stats import total
from grading.failure import limit_hint, sentence
from grading.keys import register_argument_keys
from grading.panel import panel_name, panel_record
from grading.protocol.parse import is_quoted, normalise
from skillmix_tasks.checks import splitter_versions
from skillmix_tasks.checks.extract import ExtractionState
from skillmix_tasks.harness.settings import MOST_TOKENS, PINNED, read_settings
from skillmix_tasks.harness.student import Student
from skillmix_tasks.harness.task_files import TaskSpec
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.hub import read_hub_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack, bundled_packs
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.controls import Controls, judge_controls
from skillmix_tasks.scoring.losses import PRIVATE, Loss, LossCode
from skillmix_tasks.scoring.metrics import GENERATIONS
from skillmix_tasks.scoring.points import judge_replies, student_record
from skillmix_tasks.scoring.reply import NO_ANSWER, AnswerState, StudentReply, count_answers
from skillmix_tasks.scoring.rubric import LENGTH
from skillmix_tasks.stored.answers import AnswerHeader
from skillmix_tasks.stored.record import Answers, PackRecord, RunRecord, Ungrounded

_WORTH_A_WARNING = 0.02  # of the answers
_ADVICE = {
    AnswerState.CUT_OFF: "set reasoning_tokens, a separate limit for reasoning",
    AnswerState.REASONING_ONLY: "look at the samples: the answer may have gone into the reasoning",
    AnswerState.FILTERED: "use another endpoint, as this one's filter stops replies",
    AnswerState.API_FAILED: "run the same command again: only missing replies are requested",
    AnswerState.REFUSED: "look at the samples: the student declines, which counts as zero points",
    AnswerState.EMPTY: "look at the samples: the student says nothing, which counts as zero points",
}

logger = logging.getLogger(__name__)


class GatheredCoverage(float):
    """An item's coverage, with what else has to come from every rank: lm-eval gathers metrics alone.

    `counts` has four counters. `states` are the item's points without a verdict by their reason; `grounds` those
    that the judge decided (`judged`), and of them the ones whose grants had no true evidence (`ungrounded`);
    `answers` the states of its answers (skillmix_tasks.scoring.reply), `extractions` how the visible ones were
    found in their replies. `cost` is what grading cost on the item's rank, and None but on the first item of each.
    """

    __slots__ = ("cost", "counts")  # there is one for each item of a run

    counts: dict[str, Counter[str]]
    cost: dict[str, Any] | None


class TaskRun:
    """One task of a run: its settings, pack and items, the student, and the values gathered so far.

    `metadata` is lm-eval's merge of the user's --metadata and --model_args. `answers` is the file of the
    answers once there is one; `controls` are shared by all tasks of a run, by the pack's hash.
    """

    def __init__(self, task: str, spec: TaskSpec, metadata: dict[str, Any]) -> None:
        self.task = task
        self.spec = spec
        # The arguments may hold addresses and tokens: only the needed ones are read, and none reaches the
        # results.
        self.settings = read_settings(metadata)
        self.model_args = {key: value for key, value in metadata.items() if key != "skillmix"}
        register_argument_keys(self.model_args)
        self.judges = self.settings.judges()
        self.pack, self.items, self.items_commit = self._draw()
        if self.settings.controls and not self.pack.controls:
            raise UserError(
                f"The pack {self.pack.about.id!r} has no control answers: leave out the setting `controls`, or "
                "write a controls.yaml for a pack of your own."
            )
        self.budget = Budget()
        self.controls: dict[str, Controls] = {}
        self.student: dict[str, Any] = {}
        self.asked: Student | None = None  # None for stored answers
        self._sampling: dict[str, Any] | None = None
        self.turns = 1
        self.rank, self.world_size = 0, 1
        self.answers: Path | None = None
        self.replayed = False
        self.parts = 0  # answers in all parts, of an evaluation in parts
        self._panel: Panel | None = None  # of all parts
        self.forget()

    def forget(self) -> None:
        """Forget an earlier evaluation of the same task."""
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.costs: list[dict[str, Any]] = []
        if not self.replayed:
            self.answers = None

    def _draw(self) -> tuple[Pack, list[Item], str | None]:
        """The pack, the items, and the commit of the data set on the Hub that they came from, if they did."""
        settings, spec = self.settings, self.spec
        if settings.items_from is None:
            pack = load_pack(settings.pack or spec.pack)
            drawn = spec.draw(
                pack, self.task, settings.items, seed=settings.seed, drop_common=settings.drop_common
            )
            return pack, drawn, None
        if settings.pack is not None or settings.drop_common:
            raise UserError(
                "The setting `items_from` brings its own pack and items: leave out `pack` and `drop_common`."
            )
        return read_hub_items(settings.items_from, task=self.task, split=spec.split, number=settings.items)

    def warn_of_few_items(self, limit: int | None) -> None:
        """Warn if the pack gives fewer items than are set, and than `limit` lets through."""
        settings, pack, split = self.settings, self.pack, self.spec.split
        if len(self.items) >= min(settings.items, limit or settings.items):
            return
        logger.warning(
            "%s has %d items, not the %d that are set: no more can be made of the %d skills and %d topics "
            "that the pack %r has for it%s.",
            self.task,
            len(self.items),
            settings.items,
            sum(not (settings.drop_common and skill.common) for skill in pack.skills_of(split)),
            len(pack.topics_of(split)),
            pack.about.id,
            ", without common skills" if settings.drop_common else "",
        )

    def replay(self, answers: Path, student: dict[str, Any], sampling: dict[str, Any] | None) -> None:
        """Take the answers for `student`'s, which are in the file `answers` already."""
        self.answers, self.student, self._sampling, self.replayed = answers, student, sampling, True

    def sampled(self, arguments: dict[str, Any]) -> None:
        """Remember a generation's sampling, for the results."""
        tokens = arguments.get("max_gen_toks", MOST_TOKENS) - self.settings.reasoning_tokens
        names = ("temperature", "top_p", "top_k", "repetition_penalty")
        used = {name: arguments[name] for name in names if name in arguments}
        if max(0, used.get("top_k", 0)) == 0:  # -1 and 0 switch it off
            used["top_k"] = PINNED["top_k"]
        rest = {
            name: value
            for name, value in arguments.items()
            if name not in (*names, "max_gen_toks", "do_sample", "until", "seed") or (name == "until" and value)
        }
        self._sampling = used | rest | {"max_tokens": tokens, "reasoning_tokens": self.settings.reasoning_tokens}
        self._sampling["seeded"] = "seed" in arguments

    @contextmanager
    def in_parts(self, answers: int, others: Iterable[TaskRun]) -> Iterator[None]:
        """In the block an evaluation covers a part of the items, and all parts together hold so many `answers`.

        One panel serves them all, under one budget with `others`. Nothing is concluded from a part.
        """
        self.parts = answers
        self.join(others)
        try:
            yield
        finally:
            self.parts = 0
            if self._panel is not None:
                self._panel.close()
                self._panel = None

    def join(self, others: Iterable[TaskRun]) -> None:
        """Share budget and controls with the other tasks of the run, of which none has been judged."""
        self.budget, self.controls = self.settings.budget(self.world_size), {}
        for run in others:
            if run.budget.caps == self.budget.caps:
                self.budget, self.controls = run.budget, run.controls
                break

    def prompts(self, index: int) -> list[str]:
        """The prompts of all turns for an item."""
        names = ("turn1", "turn2") if self.turns == 2 else ("single",)
        return [render(self.pack, name, self.items[index]) for name in names]

    # -- judging

    def judge(
        self, replies: Sequence[Sequence[str]], indices: Sequence[int], instances: list[Instance], *, judged: bool
    ) -> list[str]:
        """The records of all generations of this rank, as JSON strings in the order of `replies`.

        `indices` are their items; of a private pack the texts in `instances` are hidden. Without `judged` the
        records hold what code finds alone.
        """
        asked = [
            (self.items[index], self.prompts(index), texts) for texts, index in zip(replies, indices, strict=True)
        ]
        if not judged:
            records = judge_replies(self.pack, asked, None)
        else:
            panel = self._panel or self.settings.open_panel(self.judges, self.budget)
            if self.parts:
                self._panel = panel
            try:
                # They need one process only, and the results are made by the first.
                if self.settings.controls and self.rank == 0 and self.pack.hash not in self.controls:
                    self.controls[self.pack.hash] = judge_controls(self.pack, panel)
                if self.parts:
                    panel.expect(self.parts)
                records = judge_replies(self.pack, asked, panel, f"{self.task}: judging")
            finally:
                if not self.parts:
                    panel.close()
            self.costs = [panel.record()]
        if self.pack.about.private:
            _hide_texts(instances, records)
        return [json.dumps(record, ensure_ascii=False) for record in records]

    # -- results

    def conclude(self, items: Sequence[float]) -> None:
        """Gather what all ranks report of their items; UserError if too many items have no score."""
        gathered = [item for item in items if isinstance(item, GatheredCoverage)]
        for name in ("states", "grounds", "answers", "extractions"):
            self._counts[name] = sum((item.counts[name] for item in gathered), Counter())
        self.costs = [item.cost for item in gathered if item.cost is not None]
        self.warn_of_answers()
        unscored = sum(NO_ANSWER in item.counts["states"] for item in gathered)
        missing = sum(1 - item for item in items)
        if missing > self.settings.max_missing * len(items):
            share = f"{self.task}: {missing / len(items):.0%} of the items"
            most = f"more than max_missing = {self.settings.max_missing:.0%}"
            if 2 * unscored >= missing:
                raise UserError(
                    f"{share} have no score, {most}: {self._unanswered(self.answers_record())}. All replies and "
                    f"verdicts are saved; the answers are in {self.answers}."
                )
            states = ", ".join(f"{state}: {count}" for state, count in self._counts["states"].most_common())
            raise UserError(
                f"{share} got no verdict from {panel_name(self.judges)} (points without one: {states}), {most}"
                f"{self._causes()}. All answers and verdicts are saved: {self._remedy()}."
            )

    def _causes(self) -> str:
        """Why votes are missing, in the endpoint's own words and with what to type."""
        found = [
            sentence((total(self.costs) or {}).get("failures") or (), "vote"),
            limit_hint(self._counts["states"], max(judge.max_tokens for judge in self.judges)),
        ]
        return "".join(f"; {one}" for one in found if one)

    def count(self, answers: Sequence[Sequence[StudentReply]]) -> None:
        """Count the answers of a run without a judge."""
        self._counts["answers"] = count_answers(student_record(replies) for replies in answers)
        self.warn_of_answers()

    def warn_of_answers(self) -> None:
        """Log one line if more than 2 % of the answers are in any state but answered."""
        answers = self.answers_record()
        if sum(answers.unanswered.values()) > _WORTH_A_WARNING * answers.total:
            logger.warning("%s: %s.", self.task, self._unanswered(answers))

    def _unanswered(self, answers: Answers) -> str:
        states = answers.unanswered
        number = sum(states.values())
        shown = ", ".join(f"{state}: {count}" for state, count in states.items())
        return (
            f"{number} of {answers.total} answers of the student hold no text to judge "
            f"({answers.share(number):.0%}; {shown}): {_ADVICE[next(iter(states))]}"
        )

    def answers_record(self) -> Answers:
        counts, found = self._counts["answers"], self._counts["extractions"]
        return Answers(
            states={state: counts[state] for state in AnswerState if counts[state]},
            extractions={state: found[state] for state in ExtractionState if found[state]},
            cut=counts["cut"],
            reasoned=counts["reasoned"],
            reasoning_tokens=counts["reasoning_tokens"]
            if counts["reasoned"] and not counts["uncounted"]
            else None,
        )

    def _remedy(self) -> str:
        again = f"`skillmix grade {self.answers}"
        ranks = f" with the files of all {self.world_size} ranks, whose paths they printed"
        others = ranks if self.world_size > 1 else ""
        if not self._counts["states"][State.OVER_BUDGET.value]:
            return f"fix the judge, then run {again}`{others}"
        option = "--max-usd DOLLARS" if self.settings.max_usd is not None else "--max-tokens TOKENS"
        return f"{self.budget.reason}, and {again} {option}` continues from here (what was bought is free){others}"

    def header(self, *, system: str | None, generation_kwargs: dict[str, Any]) -> AnswerHeader:
        """The header of this rank's file of answers."""
        pack = self.settings.pack
        if pack is not None and pack not in bundled_packs():
            pack = str(Path(pack).resolve())  # grading may be started in another directory
        return AnswerHeader(
            task=self.task,
            version=self.spec.full_version,
            student=self.student,
            settings=self.settings.model_dump(exclude={"judge", "judge_base_url", "votes", "price"})
            | {"pack": pack},
            judge=[judge.model_dump(mode="json") for judge in self.judges],
            pack_hash=self.pack.hash,
            turns=self.turns,
            system_instruction=system,
            generation_kwargs=generation_kwargs,
            sampling=self._sampling_record(),
            rank=self.rank,
            world_size=self.world_size,
        )

    def record(self, *, judged: bool) -> RunRecord:
        """The task's part of the results JSON: the protocol, the judge and what grading cost."""
        about, source = self.pack.about, self.settings.items_from
        refused = sorted({name for cost in self.costs for name in cost["refused_parameters"]})
        points, of = (self._counts["grounds"][name] for name in ("ungrounded", "judged"))
        ungrounded = Ungrounded(
            rule=self.settings.ungrounded, points=points, judged_points=of, share=points / of if of else None
        )
        return RunRecord(
            k=self.spec.k,
            split=self.spec.split,
            pack=PackRecord(id=about.id, version=about.version, hash=self.pack.hash, lists=self.pack.lists),
            turns=self.turns,
            generations=GENERATIONS,
            items_from=source.model_dump() | {"commit": self.items_commit} if source else None,
            seed=self.settings.seed,
            drop_common=self.settings.drop_common,
            splitters=splitter_versions(),
            judge=panel_record(self.judges) | {"refused_parameters": refused} if judged else None,
            grading=total(self.costs),
            controls=self.controls.get(self.pack.hash),
            points_without_verdict=dict(self._counts["states"]),
            ungrounded=ungrounded if judged else None,
            student=self.student,
            answers=self.answers_record() if self._counts["answers"] else None,
            sampling=self._sampling_record(),
        )

    def _sampling_record(self) -> dict[str, Any] | None:
        """The student's real sampling, and the parameters that its endpoint refused."""
        refused = self.asked.refused if self.asked else []
        if self._sampling is None or not refused:
            return self._sampling
        return {name: value for name, value in self._sampling.items() if name not in refused} | {
            "refused": refused
        }


def _hide_texts(instances: list[Instance], records: list[dict[str, Any]]) -> None:
    """Remove a private pack's texts from the samples: prompts, explanations, copies."""
    for instance, record in zip(instances, records, strict=True):
        instance.arguments = (PRIVATE, instance.arguments[1])
        instance.resps = [PRIVATE]
        own = not record["void"] and not set(record["lost_in_code"]) - {LENGTH}
        if not own:  # it names or copies a text of the pack
            record["answer"] = PRIVATE
            record["lost_in_code"] = dict.fromkeys(
                record["lost_in_code"], Loss(code=LossCode.PRIVATE).model_dump()
            )
        for name in ("reasoning", "detail"):  # they repeat the prompt
            record["student"].pop(name, None)
        shown = normalise(record["answer"] if own else "")
        for vote in record.get("votes", ()):
            # An invalid reply of the judge or an invalid quotation may repeat the criteria.
            vote.pop("reply", None)
            vote.pop("detail", None)
            for mark in vote["marks"].values():
                if not is_quoted(mark["evidence"], shown):
                    mark["evidence"] = PRIVATE if mark["evidence"] else ""
