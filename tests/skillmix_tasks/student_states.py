"""The states of an answer by the kind of student, each from a real run of `skillmix eval`, as a table in Markdown.

    python -m tests.skillmix_tasks.student_states

Local students are a tiny model whose template begins the reasoning; vLLM is the stand-in of tests.stand_ins.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

from tests.forks import Fork, skillmix
from tests.servers.chat import ChatServer
from tests.servers.told import Answer, Came, ToldServer
from tests.skillmix_tasks.running import MODELS, environment, metadata
from tests.skillmix_tasks.test_students import FORMS, asked, ordinary, replied
from tests.skillmix_tasks.test_thinking_model import ANSWER, TEMPLATE, THOUGHT, write_chain_model

# What a local model says, and whether its template begins the reasoning.
CHAINS: dict[str, tuple[list[str], bool]] = {
    "answered": (["<think>", THOUGHT, "</think>", ANSWER, "</s>"], True),
    "cut_off": (["<think>", THOUGHT, THOUGHT], True),
    "reasoning_only": (["<think>", THOUGHT, "</s>"], True),
    "empty": (["<|assistant|>", "</s>"], False),
}
KINDS = ("hf", "vllm", "local-chat-completions", "openai-chat-completions")
STATES = ("answered", "cut_off", "reasoning_only", "filtered", "api_failed", "refused", "empty")


def with_stand_ins(*arguments: str) -> None:
    """The command, with vLLM's stand-in on the path."""
    from tests import stand_ins

    with stand_ins.used():
        skillmix(*arguments)


def evaluated(kind: str, state: str, folder: Path, judge_url: str) -> CompletedProcess[str] | None:
    """A run with answers in `state`; None where this kind of student has no such state."""
    given = ["eval", "--model", kind, "--apply_chat_template", "--tasks", "skillmix_k2", "--limit", "1"]
    given += metadata(judge="judge-1", judge_base_url=judge_url, votes=1, reasoning_tokens=16)
    given += ["--output_path", str(folder / "out"), "--log_samples"]
    variables = environment(folder / "home", OPENAI_API_KEY="k" * 24)
    if kind in ("hf", "vllm"):
        if state not in CHAINS:
            return None
        chain, thinks = CHAINS[state]
        write_chain_model(folder / "model", chain, TEMPLATE if thinks else TEMPLATE.replace("<think>", ""))
        given += ["--model_args", f"pretrained={folder / 'model'}", "--gen_kwargs", "max_gen_toks=16"]
        given += ["--device", "cpu"] if kind == "hf" else []
        return Fork(with_stand_ins, *given, cwd=folder, env=variables).wait(300)
    form = next(body for name, body in FORMS if name == state)

    def answer(came: Came) -> Answer:
        # A first request that fails ends the run.
        first = state == "api_failed" and asked(came)["seed"] == 0
        return ordinary(came) if first or len(asked(came)["messages"]) > 1 else replied(form)

    with ToldServer(answer) as server:
        given += ["--model_args", f"model=student-1,base_url={server.base_url}"]
        return Fork(skillmix, *given, cwd=folder, env=variables).wait(300)


def cell(state: str, done: CompletedProcess[str], folder: Path) -> tuple[str, str]:
    """The states of the answers with the run's exit code, and what the run prints of the state."""
    samples = next((folder / "out").glob("**/samples_*.jsonl"), None)
    lines = samples.read_text().splitlines() if samples else []
    found = {json.loads(text)["student"]["state"] for line in lines for text in json.loads(line)["filtered_resps"]}
    said = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    said = said or [line for line in done.stderr.splitlines() if "hold no text to judge" in line]
    words = re.sub(r"^.*skillmix_k2: |; the answers are in .*|/tmp\S*", "", said[0]) if said else "the table alone"
    named = re.findall(rf"\b({'|'.join(STATES)}): \d", words)
    assert state in (found or named), f"{found or named}: {done.stderr[-3000:]}"
    return f"`{state}`, exit {done.returncode}", words


def rows() -> Iterator[list[str]]:
    """The rows of the table."""
    with ChatServer() as judge:
        judge.set(earn=1.0, models=MODELS)
        for state in STATES:
            cells, words = [], ""
            for kind in KINDS:
                with tempfile.TemporaryDirectory() as name:
                    done = evaluated(kind, state, Path(name), judge.base_url)
                    found, words = cell(state, done, Path(name)) if done else ("cannot occur", words)
                cells.append(found)
            yield [f"`{state}`", *cells, words]


def table(lines: Iterator[list[str]]) -> Iterator[str]:
    """The table's lines."""
    head = ["answers", *(f"`{kind}`" for kind in KINDS), "what the run prints"]
    for line in (head, ["---"] * len(head), *lines):
        yield f"| {' | '.join(line)} |"


if __name__ == "__main__":
    for line in table(rows()):
        print(line, flush=True)  # noqa: T201
