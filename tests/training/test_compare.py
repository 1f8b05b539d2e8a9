"""`skillmix compare`: a trained run beside its base model, on the same items, and stopped in the middle."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import skillmix
from grading import UserError
from tests.servers.chat import ChatServer
from tests.tiny_model import byte_tokenizer, write_tiny_model
from training.compare import compare
from training.trained import TrainedRun, read_run
from training.tune.recipe import load_recipe

pytestmark = pytest.mark.slow

SMALL = ("--limit", "2", "--gen_kwargs", "max_gen_toks=8", "--batch_size", "6", "--device", "cpu")


def describe(folder: Path, *changes: str, **record: Any) -> Path:
    """A run's folder as `skillmix train` leaves it, but for the model."""
    folder.mkdir()
    recipe = load_recipe("smollm2-135m-cpu", changes).model_dump(mode="json")
    about = {"recipe": recipe, "base_model": {"name": "base", "revision": None, "fingerprint": "x"}} | record
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "result.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a tiny random model and an adapter that changes what it says."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("trained")
    model = write_tiny_model(folder / "base")
    run = describe(folder / "run", f"model={folder / 'base'}")
    get_peft_model(
        model, LoraConfig(target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    ).save_pretrained(str(run / "model"))
    byte_tokenizer().save_pretrained(run / "model")
    return run


def test_both_models_are_compared_and_a_stopped_comparison_goes_on(
    trained: Path, chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    chat_server.set(models=["judge-1"], earn=0.6)
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path))
    settings = {"judge": "judge-1", "judge_base_url": chat_server.base_url, "votes": 1}
    tasks = ("skillmix_heldout_k2", "skillmix_k1")
    # A cap that is reached in judging the base model.
    with pytest.raises(UserError, match="max_tokens = 1000 is reached"):
        compare(read_run(trained), tasks, settings | {"max_tokens": 2000}, arguments=SMALL)
    answers = sorted((trained / "evaluation").glob("*/answers/*.jsonl"))
    assert len(answers) == 4
    bought = chat_server.counts().replied["judge"]
    assert not (trained / "evaluation" / "comparison.md").exists()

    made = compare(read_run(trained), tasks, settings, arguments=SMALL)
    assert sorted((trained / "evaluation").glob("*/answers/*.jsonl")) == answers  # nothing is generated again
    assert bought < chat_server.counts().replied["judge"] <= 2 * 2 * 2 * 3 + 2  # and no vote bought twice
    assert [(row.task, row.split, row.k, row.items) for row in made.runs["run"]] == [
        ("skillmix_k1", "all", 1, 2),
        ("skillmix_heldout_k2", "heldout", 2, 2),
    ]
    students = [json.loads(file.open().readline())["student"] for file in answers]
    assert [("peft" in student) for student in students] == [True, True, False, False]

    record = json.loads((trained / "evaluation" / "comparison.json").read_text())
    for row in record["tasks"]:
        for side in ("before", "after"):
            [file] = (trained / "evaluation" / side).glob(f"*/samples_{row['task']}_*.jsonl")
            samples = [json.loads(line) for line in file.read_text().splitlines()]
            for metric, change in row["metrics"].items():
                assert change[side] == pytest.approx(sum(sample[metric] for sample in samples) / 2)
        for change in row["metrics"].values():
            assert change["change"] == pytest.approx(change["after"] - change["before"])
    table = (trained / "evaluation" / "comparison.md").read_text()
    assert table == made.text() + "\n"
    change = made.runs["run"][0].metrics["full_marks"]
    rest = table.partition("skillmix_k1 (all, k = 1), 2 items\n")[2]
    assert rest.index(f"| full marks     | {change.before:.2f}") < rest.index(
        "skillmix_heldout_k2 (held-out, k = 2)"
    )

    asked = chat_server.counts().received["judge"]
    slower = [*SMALL[:4], "-b", "1"]
    again = compare(read_run(trained), tasks[::-1], settings, arguments=slower)
    assert again.text() == made.text()
    assert str(again.facts["cost"]).startswith("nothing now; the runs spent ")
    assert chat_server.counts().received["judge"] == asked
    with pytest.raises(UserError, match=r"holds a run of `skillmix compare` with another list of tasks"):
        compare(read_run(trained), tasks[:1], settings, arguments=SMALL)
    with pytest.raises(UserError, match=r"holds a run of `skillmix compare` with another list of arguments"):
        compare(read_run(trained), tasks, settings, arguments=["--limit", "3", *SMALL[2:]])


def test_several_runs_share_their_base(
    trained: Path,
    chat_server: ChatServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, "training")
    chat_server.set(models=["judge-1"], earn=0.6)
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path))
    settings = {"judge": "judge-1", "judge_base_url": chat_server.base_url, "votes": 1}
    other = tmp_path / "other"
    shutil.copytree(trained, other, ignore=shutil.ignore_patterns("evaluation"))
    runs = [read_run(trained), read_run(other)]
    out = tmp_path / "both"
    made = compare(runs, ["skillmix_k1"], settings, out=out, arguments=SMALL)
    assert [path.parts[-3] for path in sorted(out.glob("*/answers/*.jsonl"))] == ["before", "other", "run"]
    assert "Model 1 of 3 (before): " in caplog.text
    assert "Model 3 of 3 (other; the one before took 0:0" in caplog.text
    assert "Judging the answers of model 3 of 3 (other)" in caplog.text
    # The two adapters are one and so are their answers: the votes of the second come from the store.
    assert chat_server.counts().replied["judge"] <= 2 * 2 * 3
    assert list(made.runs) == ["run", "other"]
    befores = [rows[0].metrics["full_marks"].before for rows in made.runs.values()]
    assert befores[0] == befores[1]
    text = (out / "comparison.md").read_text()
    assert text.index("## run\n\nskillmix_k1 (") < text.index("## other\n\nskillmix_k1 (")
    record = json.loads((out / "comparison.json").read_text())
    assert [one["task"] for one in record["runs"]["other"]["tasks"]] == ["skillmix_k1"]

    with pytest.raises(UserError, match="type --out DIR"):
        compare(runs, ["skillmix_k1"], settings)
    with pytest.raises(UserError, match="would be called run: rename"):
        compare([runs[0], runs[0]], ["skillmix_k1"], settings, out=out)
    foreign = replace(runs[1], fingerprint="y")
    with pytest.raises(UserError, match="was trained from another base model"):
        compare([runs[0], foreign], ["skillmix_k1"], settings, out=out)


@pytest.fixture
def fail(chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run `skillmix compare` in this process and return its one sentence."""
    chat_server.set(models=["judge-1"])
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SKILLMIX_JUDGE_BASE_URL", chat_server.base_url)

    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["skillmix", "compare", *map(str, arguments), "--judge", "judge-1"])
        with pytest.raises(SystemExit) as ended:
            skillmix.main()
        assert isinstance(ended.value.code, str)
        assert ended.value.code.startswith("Error: ")
        assert "\n" not in ended.value.code
        return ended.value.code

    return run


def test_what_a_user_gets_wrong(fail: Callable[..., str], tmp_path: Path):
    run = describe(tmp_path / "run", "model=some/model")
    assert "holds no run of `skillmix train`" in fail(tmp_path / "nothing")
    assert "There is no task 'skillmix_k9'" in fail(run, "--tasks", "skillmix_k9")
    assert "gives lm_eval --output_path itself" in fail(run, "--output_path=x")
    assert "Name the folder of a run" in fail("--limit", "2")
    assert "type --out DIR" in fail(run, run, "--limit", "2")
    assert "again with --merge" in fail(run, "--model", "vllm")
    assert "There is no setting 'vote'" in fail(run, "--set", "vote=1")
    assert "--set votes is not KEY=VALUE" in fail(run, "--set", "votes")
    assert "names no tasks: type --tasks" in fail(describe(tmp_path / "idle", "model=some/model", "eval_tasks=[]"))
    (run / "result.json").unlink()
    assert "is incomplete: type its `skillmix train` command again" in fail(run)


def test_how_lm_eval_is_told_of_the_models(tmp_path: Path):
    run = describe(
        tmp_path / "lora", "model=some/model", base_model={"name": "x", "revision": "abc", "fingerprint": "y"}
    )
    base = "pretrained=some/model,revision=abc"
    assert read_run(run).model_arguments("hf") == {"before": base, "after": f"{base},peft={run / 'model'}"}
    (run / "merged").mkdir()
    assert read_run(run).model_arguments("vllm") == {"before": base, "after": f"pretrained={run / 'merged'}"}
    full = describe(tmp_path / "full", "model=some/model", "method=full", "lora=null")
    assert isinstance(read_run(full), TrainedRun)
    assert read_run(full).model_arguments("vllm")["after"] == f"pretrained={full / 'model'}"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="it looks for the child in /proc")
def test_sigterm_ends_the_process_that_answers_too(trained: Path, chat_server: ChatServer, tmp_path: Path):
    chat_server.set(models=["judge-1"])
    judge = ("--judge", "judge-1", "--judge-base-url", chat_server.base_url)
    words = (
        "compare",
        str(trained),
        "--trust-file",
        "--out",
        str(tmp_path / "out"),
        "--tasks",
        "skillmix_k2",
        *judge,
        *SMALL,
    )
    command = (sys.executable, "-m", "skillmix", *words)
    with subprocess.Popen(command, env=os.environ | {"SKILLMIX_HOME": str(tmp_path)}) as started:
        place = Path(f"/proc/{started.pid}/task/{started.pid}/children")
        deadline = time.monotonic() + 120
        answering: list[str] = []
        while not answering:
            assert started.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
            found = place.read_text().split()
            answering = [pid for pid in found if b"\0eval\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        started.terminate()
        assert started.wait(300) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{answering[0]}").exists()
