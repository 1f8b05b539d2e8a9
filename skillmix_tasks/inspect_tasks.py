"""The tasks for inspect_ai: the same items, prompts, checks, judge, store and metrics as in lm-eval.

    inspect eval skillmix/k4 --model openai/gpt-4.1-mini -T judge=MODEL -T items=20

Three epochs are the three generations of an item. An item's score is the best of them, and missing if a point of
one has no verdict. All answers that wait are judged at once, by one panel in one thread.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from inspect_ai import Epochs, Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, GenerateConfig, ModelOutput
from inspect_ai.scorer import Score, Scorer, ScoreReducer, Target, mean, score_reducer, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from grading import Panel, UserError
from grading.errors import show_user_errors_in_one_line
from grading.protocol.reasoning import Split, split_reasoning
from skillmix_tasks.harness.settings import MOST_TOKENS, Settings, read_settings
from skillmix_tasks.harness.task_files import TaskSpec, bundled_tasks
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.metrics import GENERATIONS, METRICS, item_metrics
from skillmix_tasks.scoring.points import judge_replies
from skillmix_tasks.scoring.reply import AnswerState, StudentReply, read_reply

_Asked = tuple[Item, Sequence[str], Sequence[StudentReply]]
_WORDS = {True: "earned", False: "lost", None: "no verdict"}
_NOT_HERE = ("batch", "controls", "items_from", "max_missing", "reasoning_effort", "sampling")


class JudgeQueue:
    """Judges the answers of many coroutines, all that wait at once, in a thread that calls `open_panel`."""

    def __init__(self, pack: Pack, open_panel: Callable[[], Panel]) -> None:
        self._pack = pack
        self._open_panel = open_panel
        self._panel: Panel | None = None  # of the one thread: a panel belongs to the thread that made it
        self._thread = ThreadPoolExecutor(1)
        self._waiting: SimpleQueue[tuple[_Asked, Future[dict[str, Any]]]] = SimpleQueue()

    async def judge(self, asked: _Asked) -> dict[str, Any]:
        """The record of an answer, see judge_replies."""
        answer: Future[dict[str, Any]] = Future()
        self._waiting.put((asked, answer))
        work = self._thread.submit(self._work)
        await asyncio.wrap_future(work)  # which raises the error
        return await asyncio.wrap_future(answer)

    def _work(self) -> None:
        taken = []
        try:
            while True:
                taken.append(self._waiting.get_nowait())
        except Empty:
            pass
        if not taken:
            return
        try:
            self._panel = self._panel or self._open_panel()
            records = judge_replies(self._pack, [asked for asked, _ in taken], self._panel)
        except BaseException as error:
            for _, answer in taken:
                answer.set_exception(error)
            raise
        for (_, answer), record in zip(taken, records, strict=True):
            answer.set_result(record)


@solver
def turns(seed: int) -> Solver:
    """The two turns; each generation has its own seed, as in lm-eval."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        own = seed + state.epoch - 1
        state = await generate(state, seed=own)
        first = _reply(state.output)
        last = StudentReply.failed(first.state, first.facts.detail)
        if first.state is AnswerState.ANSWERED:  # else there is nothing to improve
            state.messages[-1] = ChatMessageAssistant(content=str(first))  # without its reasoning
            state.messages.append(ChatMessageUser(content=state.metadata["second"]))
            state = await generate(state, seed=own)
            last = _reply(state.output)
        state.store.set("replies", [first.record(), last.record()])
        return state

    return solve


def _reply(output: ModelOutput) -> StudentReply:
    """The reply of one turn: its text, its reasoning and its state."""
    split = split_reasoning(output.completion)
    parts = output.choices[0].message.content if output.choices else ""
    if not isinstance(parts, str):
        beside = [part.reasoning for part in parts if part.type == "reasoning"]
        split = Split(split.visible, "\n".join([*beside, split.reasoning]).strip(), split.open)
    return read_reply(
        split,
        cut_off=output.stop_reason in ("max_tokens", "model_length"),
        filtered=output.stop_reason == "content_filter",
        reasoning_tokens=output.usage.reasoning_tokens if output.usage else None,
    )


@score_reducer(name="skillmix_best")
def best() -> ScoreReducer:
    """An item's score from its generations: the best, or none if a generation has no verdict."""

    def reduce(scores: list[Score]) -> Score:
        points = [(score.metadata or {})["points"] for score in scores]
        found = item_metrics(points)
        return Score(value={metric: found[metric] for metric in METRICS})

    return reduce


@scorer(metrics={metric: [mean(), stderr()] for metric in METRICS})
def points(queue: JudgeQueue, items: dict[str, Item]) -> Scorer:
    """The checks in code, the judge's votes, and the three metrics of one generation."""

    async def score(state: TaskState, target: Target) -> Score:
        replies = [StudentReply.of_record(record) for record in state.store.get("replies")]
        prompts = [state.input_text, state.metadata["second"]]
        record = await queue.judge((items[target.text], prompts, replies))
        found = item_metrics([record["points"]])
        return Score(
            value={metric: found[metric] for metric in METRICS},
            answer=record["answer"],
            explanation=", ".join(f"{point}: {_WORDS[earned]}" for point, earned in record["points"].items()),
            reason="no_verdict" if math.isnan(found["full_marks"]) else None,
            metadata=record,
        )

    return score


def make_task(name: str, spec: TaskSpec, settings: Settings) -> Task:
    """A task of ours as inspect_ai runs it."""
    judges, budget = settings.judges(), settings.budget(1)
    pack = load_pack(settings.pack or spec.pack)
    drawn = spec.draw(pack, name, settings.items, seed=settings.seed, drop_common=settings.drop_common)
    items = {item.hash: item for item in drawn}
    samples = [
        Sample(
            id=item.hash,
            input=render(pack, "turn1", item),
            target=item.hash,
            metadata={"second": render(pack, "turn2", item)} | item.record(private=pack.about.private),
        )
        for item in drawn
    ]
    return Task(
        dataset=MemoryDataset(samples, name=name),
        solver=turns(settings.seed),
        scorer=points(JudgeQueue(pack, partial(settings.open_panel, judges, budget)), items),
        epochs=Epochs(GENERATIONS, best()),
        config=GenerateConfig(temperature=0.7, max_tokens=MOST_TOKENS + settings.reasoning_tokens),
        name=name,
        version=spec.full_version,
        metadata={"judge": [judge.record() for judge in judges], "pack": pack.about.id, "pack_hash": pack.hash},
    )


def _register(name: str, spec: TaskSpec) -> None:
    def one(**settings: Any) -> Task:
        show_user_errors_in_one_line()
        if unused := [key for key in _NOT_HERE if key in settings]:
            raise UserError(
                f"The tasks of inspect_ai do not take the setting {unused[0]!r}: leave it out. How the student is "
                "sampled and reasons is set by inspect_ai's own options, such as --temperature."
            )
        return make_task(name, spec, read_settings({"skillmix": settings}))

    # inspect_ai puts a function's import package before its name, and ours is skillmix_tasks: a function of no
    # module keeps the name that it is given.
    one.__module__ = ""
    task(name=name.replace("_", "/", 1))(one)


for _name, _spec in bundled_tasks().items():
    _register(_name, _spec)
