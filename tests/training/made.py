"""Runs of the generating loop against a chat server, in this process or in one that is to be killed."""

from __future__ import annotations

import os
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from grading import Budget, resolve_judge
from training.data.folder import claimed
from training.texts.generate import Limits, Run, generate
from training.texts.outcome import Report, finish
from training.texts.plan import Kind, Plan
from training.texts.teacher import resolve_teacher


def tried(k: int, tries: int) -> Plan:
    return Plan(kinds=(Kind(k=k, skills="all" if k == 1 else "train", tries=tries),))


def run_at(
    base_url: str, plan: Plan, *, judges: tuple[str, ...] = ("judge-1",), votes: int = 3, **of_run: Any
) -> Run:
    return Run(
        plan=plan,
        pack_name="language",
        teacher=resolve_teacher("teacher-1", base_url=base_url),
        judges=tuple(resolve_judge(judge, base_url=base_url, votes=votes) for judge in judges),
        **of_run,
    )


def make(
    run: Run, out: Path, *, concurrency: int = 32, budget: Budget | None = None, batch: bool = False
) -> Report:
    """The whole command, but for its printing; concurrency 1 keeps the order of the requests."""
    limits = Limits(
        concurrency=concurrency,
        adaptive=concurrency > 1,
        budget=budget or Budget(),
        batch=batch,
        progress=False,
    )
    return finish(run, out, generate(run, out, limits), validation=0.1, mix=None)


KILLED_PLAN = Plan(
    kinds=(
        Kind(k=1, skills="all", tries=26),
        Kind(k=2, skills="train", accept=12),
    )
)
CONCURRENCY = 8


def make_to_be_killed(home: Path, out: Path, base_url: str) -> None:
    os.environ["SKILLMIX_HOME"] = str(home)
    make(run_at(base_url, KILLED_PLAN), out, concurrency=CONCURRENCY)


def make_little(home: Path, out: Path, base_url: str) -> None:
    os.environ["SKILLMIX_HOME"] = str(home)
    make(run_at(base_url, tried(1, 24)), out, concurrency=CONCURRENCY)


def lock_for_ever(out: Path, ready: Event) -> None:
    with claimed(out, {}):
        ready.set()
        time.sleep(600)
