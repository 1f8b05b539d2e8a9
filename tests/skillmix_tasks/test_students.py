"""Students as they are: each failure has a name, reasoning is no answer, and nothing is generated twice."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.forks import Fork, skillmix
from tests.servers.chat import ChatServer
from tests.servers.student import sound_text
from tests.servers.told import Answer, Came, ToldServer
from tests.skillmix_tasks.running import MODELS, environment, metadata, read_output, run
from tests.tiny_model import write_tiny_model

pytestmark = pytest.mark.slow

Body = dict[str, Any]
GOOD = "Answer: The red bee hums.\nExplanation: It shows."


def said(message: Body, finish: str = "stop", usage: Body | None = None) -> Body:
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 90} | (usage or {}),
    }


THOUGHT = [{"type": "thinking", "thinking": [{"type": "text", "text": "Bees?"}]}, {"type": "text", "text": GOOD}]
COUNTED = {"completion_tokens_details": {"reasoning_tokens": 40}}
# What a student's endpoint says in the first turn, and the state of the answer.
FORMS: list[tuple[str, Body]] = [
    ("answered", said({"content": GOOD})),
    ("cut_off", said({"content": None, "reasoning_content": "Let me see"}, "length")),
    ("cut_off", said({"content": "<think>Let me see"}, "length")),
    ("reasoning_only", said({"content": "<think>Let me see"})),
    ("reasoning_only", said({"content": "", "reasoning": "Let me see"})),
    ("filtered", said({"content": None}, "content_filter")),
    # With a usage that is charged and with a code that is final, so that no retry is waited for.
    ("api_failed", {"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 1}}),
    ("api_failed", {"error": {"message": "Provider error", "code": 400, "metadata": {"raw": "overloaded"}}}),
    ("refused", said({"content": None, "refusal": "I cannot help with that."})),
    ("empty", said({"content": ""})),
    ("empty", said({})),
    ("answered", said({"content": THOUGHT}, usage=COUNTED)),
    ("answered", said({"content": GOOD}, "length")),
    ("answered", said({"content": f"<think>Bees?</think>{GOOD}<|im_end|>"})),
    ("answered", said({"content": f"Bees?</think>\n{GOOD}"})),
]


def replied(body: Body, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def asked(came: Came) -> Body:
    body: Body = json.loads(came.body)
    return body


def ordinary(came: Came) -> Answer:
    body = asked(came)
    return replied(said({"content": sound_text(body["messages"], body.get("seed"))}))


def by_form() -> Callable[[Came], Answer]:
    """Each first turn gets the next form, a retry the same one; the others get a good answer."""
    known: dict[str, Body] = {}

    def answer(came: Came) -> Answer:
        body = asked(came)
        if len(body["messages"]) > 1:
            return ordinary(came)
        key = json.dumps([body["messages"], body["seed"]])
        return replied(known.setdefault(key, FORMS[min(len(known), len(FORMS) - 1)][1]))

    return answer


def evaluate(url: str, home: Path, *arguments: str, concurrent: int = 1, **settings: Any) -> list[str]:
    return [
        *("eval", "--model", "local-chat-completions", "--apply_chat_template", "--tasks", "skillmix_k2"),
        *("--model_args", f"model=student-1,base_url={url},num_concurrent={concurrent}"),
        *("--output_path", str(home / "out"), "--log_samples", *arguments, *metadata(**settings)),
    ]


@pytest.fixture
def formed(chat_server: ChatServer, tmp_path: Path) -> Iterator[tuple[str, Body, list[Body], ToldServer]]:
    """Log, results record, answers' records and server of a run with every form."""
    chat_server.set(earn=1.0, models=MODELS)
    with ToldServer(by_form()) as server:
        command = evaluate(
            f"{server.base_url}/chat/completions",
            tmp_path,
            *("--limit", "5"),
            concurrent=8,
            judge="judge-1",
            judge_base_url=chat_server.base_url,
            max_missing=1.0,
            votes=1,
        )
        done = run("skillmix", *command, env=environment(tmp_path / "home"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        output = read_output(tmp_path / "out")
        records = [json.loads(text) for one in output.samples["skillmix_k2"] for text in one["filtered_resps"]]
        results = output.results
        record = results["configs"]["skillmix_k2"]["metadata"]["skillmix"]
        record["table"] = results["results"]["skillmix_k2"]
        yield done.stderr, record, records, server
        # The samples say the same when they are graded again.
        done = run(
            *("skillmix", "grade", output.sample_files["skillmix_k2"], "--judge", "judge-1"),
            *("--judge-base-url", chat_server.base_url, "--votes", "1", "--set", "max_missing=1.0", "--json"),
            env=environment(tmp_path / "home"),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        again = json.loads(done.stdout)
        assert again["results"]["skillmix_k2"]["answered,none"] == record["table"]["answered,none"]
        assert again["configs"]["skillmix_k2"]["metadata"]["skillmix"]["answers"] == record["answers"]


def test_each_failure_of_a_student_has_its_name_and_is_no_silent_zero(formed) -> None:
    log, record, records, server = formed
    expected = [state for state, _ in FORMS]
    assert sorted(one["student"]["state"] for one in records) == sorted(expected)
    counts = {state: expected.count(state) for state in dict.fromkeys(expected)}
    assert record["answers"]["states"] == counts
    assert record["table"]["answered,none"] == pytest.approx(counts["answered"] / len(FORMS))
    assert record["table"]["coverage,none"] < 1
    for one in records:
        points = set(one["points"].values())
        match one["student"]["state"]:
            case "answered":
                assert None not in points
                assert "Bees?" not in one["answer"]
            case "refused" | "empty":
                assert points == {False}
                assert one["void"] == one["student"]["state"]
            case _:
                assert points == {None}
                assert set(one["states"].values()) == {"no_answer"}
    assert "answers of the student hold no text to judge" in log
    assert "overloaded" in json.dumps(records)
    # The second turn neither shows reasoning nor an empty assistant turn; reasoning is in the samples.
    second = [asked(came)["messages"] for came in server.came if len(asked(came)["messages"]) > 1]
    assert len(second) == counts["answered"]
    assert all(messages[1]["content"].startswith("Answer:") for messages in second)
    assert not any("Bees?" in json.dumps(messages) or "im_end" in json.dumps(messages) for messages in second)
    reasoned = [
        one["student"]["reasoning"]
        for one in records
        if one["student"]["state"] == "answered" and "reasoning" in one["student"]
    ]
    assert [turns[0].strip() for turns in reasoned] == ["Bees?"] * 3
    assert record["answers"]["reasoned"] >= 3


def test_a_run_without_answers_fails_and_says_what_to_type(tmp_path: Path, chat_server: ChatServer) -> None:
    chat_server.set(models=MODELS)
    thinking = said({"content": None, "reasoning_content": "Let me see"}, "length")
    with ToldServer(lambda _: replied(thinking)) as server:
        judge: dict[str, Any] = {"judge": "judge-1", "judge_base_url": chat_server.base_url}
        command = evaluate(server.base_url, tmp_path, "--limit", "1", **judge)
        done = run("skillmix", *command, env=environment(tmp_path / "home"), cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "100% of the items have no score" in sentence
    assert "reasoning_tokens" in sentence
    assert chat_server.counts().received["judge"] == 0


def test_what_was_sampled_with_is_sent_and_recorded(tmp_path: Path) -> None:
    """Pinned, with reasoning's own limit, without what the endpoint refuses, and without a seed that is null."""

    def strict(came: Came) -> Answer:
        if "top_k" in asked(came):
            return replied({"error": {"message": "Extra inputs are not permitted", "param": None}}, 400)
        return ordinary(came)

    with ToldServer(strict) as server:
        given = ("--limit", "1", "--predict_only", "--gen_kwargs", '{"seed": null, "temperature": 0}')
        command = evaluate(server.base_url, tmp_path, *given, reasoning_tokens=1000, reasoning_effort="low")
        done = run("skillmix", *command, env=environment(tmp_path / "home"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        bodies = [asked(came) for came in server.came if "top_k" not in asked(came)]
    assert {came.path for came in server.came} == {"/v1/chat/completions"}
    for body in bodies[-6:]:
        assert body["max_tokens"] == 1512
        assert body["reasoning_effort"] == "low"
        assert body["temperature"] == 0
        assert not {"seed", "stop", "do_sample"} & body.keys()
    record = read_output(tmp_path / "out").results["configs"]["skillmix_k2"]["metadata"]["skillmix"]
    sampling = record["sampling"]
    assert (sampling["temperature"], sampling["reasoning_tokens"], sampling["max_tokens"]) == (0.0, 1000, 512)
    assert sampling["seeded"] is False


BROKEN: dict[str, tuple[Answer, str]] = {
    "401": (replied({"error": {"message": "Incorrect API key provided."}}, 401), "OPENAI_API_KEY"),
    "402": (replied({"error": {"message": "Insufficient balance"}}, 402), "Insufficient balance"),
    "quota": (replied({"error": {"message": "You exceeded", "code": "insufficient_quota"}}, 429), "quota left"),
    "model": (
        replied({"error": {"message": "The model `x` does not exist"}}, 404),
        "The model `x` does not exist",
    ),
    "html": ((200, {"Content-Type": "text/html"}, b"<html>Welcome</html>"), "not a chat completion"),
    "error in 200": (replied({"error": {"message": "No endpoints found"}}), "No endpoints found"),
    "400": (replied({"error": {"message": "context too long"}}, 400), "context too long"),
}


def sentence(done: CompletedProcess[str]) -> str:
    """The one sentence of a run that could not begin."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    [found] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    return found


@pytest.mark.parametrize(("name", "kind"), [*((name, "local-chat") for name in BROKEN), ("401", "openai-chat")])
def test_an_endpoint_that_cannot_work_is_found_out_by_one_request(name: str, kind: str, tmp_path: Path) -> None:
    answer, words = BROKEN[name]
    with ToldServer(lambda _: answer) as server:
        command = evaluate(server.base_url, tmp_path, "--limit", "2", "--predict_only")
        command[command.index("local-chat-completions")] = f"{kind}-completions"
        done = run("skillmix", *command, env=environment(tmp_path / "home", OPENAI_API_KEY="k"), cwd=tmp_path)
        requests = {json.dumps(asked(came)["messages"]) for came in server.came}
    assert words in sentence(done)
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("local-chat-completions", "model=m,base_url=localhost:9/v1", "base_url"),
        ("local-chat-completions", "model=m,base_url=http://127.0.0.1:9/v1", "cannot be reached"),
        ("local-chat-completions", "model=m", "base_url"),
        ("openai-chat-completions", "model=m,base_url=http://127.0.0.1:9/v1", "OPENAI_API_KEY"),
        ("hf", "pretrained=/nowhere/model", "The student /nowhere/model is neither a folder"),
        ("hf", "pretrained=nobody/nothing", "The student nobody/nothing is not a folder here, and the Hub"),
        ("vllm", "pretrained=nobody/nothing", "No module named 'vllm'"),
        ("local-completions", "model=nobody/nothing,base_url=http://127.0.0.1:9/v1", "tokenizer_backend=None"),
        ("hff", "pretrained=nobody/nothing", "--model hff"),
    ],
)
def test_a_student_that_is_not_there(kind: str, arguments: str, words: str, tmp_path: Path) -> None:
    command = evaluate("", tmp_path, "--limit", "1", "--predict_only")
    command[command.index("local-chat-completions")] = kind
    command[command.index("--model_args") + 1] = arguments
    done = run("skillmix", *command, env=environment(tmp_path / "home"), cwd=tmp_path)
    assert words in sentence(done)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("peft=/nowhere", "Can't find 'adapter_config.json' at '/nowhere'"),
        ("tokenizer=/nowhere", "'/nowhere'"),
        ("dtype=floaty", "has no attribute 'floaty'"),
        ("nonsense=3", "unexpected keyword argument 'nonsense'"),
    ],
)
def test_an_argument_that_the_student_cannot_use(argument: str, words: str, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    command = evaluate("", tmp_path, "--limit", "1", "--predict_only")
    command[command.index("local-chat-completions")] = "hf"
    command[command.index("--model_args") + 1] = f"pretrained=model,{argument}"
    done = run("skillmix", *command, env=environment(tmp_path / "home"), cwd=tmp_path)
    assert words in sentence(done)
    assert "correct --model_args" in sentence(done)


def test_samples_need_a_place(tmp_path: Path) -> None:
    command = evaluate("http://127.0.0.1:9/v1", tmp_path, "--limit", "1", "--predict_only")
    place = command.index("--output_path")
    del command[place : place + 2]
    done = run("skillmix", *command, env=environment(tmp_path / "home"), cwd=tmp_path)
    assert "--out FOLDER" in sentence(done)


@pytest.mark.parametrize("kind", ["local-chat-completions", "openai-chat-completions"])
def test_a_chat_endpoint_needs_the_template(kind: str, tmp_path: Path) -> None:
    command = evaluate("http://127.0.0.1:9/v1", tmp_path, "--limit", "1", "--predict_only")
    command[command.index("local-chat-completions")] = kind
    command.remove("--apply_chat_template")
    done = run("skillmix", *command, env=environment(tmp_path / "home", OPENAI_API_KEY="k"), cwd=tmp_path)
    assert "--apply_chat_template" in sentence(done)


def test_a_request_that_failed_is_sent_again_by_the_same_command(tmp_path: Path) -> None:
    failing = [True]

    def answer(came: Came) -> Answer:
        if failing[0] and asked(came)["seed"] == 2:
            return replied({"error": {"message": "Provider error", "code": 400}})
        return ordinary(came)

    with ToldServer(answer) as server:
        command = evaluate(server.base_url, tmp_path, "--limit", "2", "--predict_only")
        done = run("skillmix", *command, env=environment(tmp_path / "home"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "api_failed: 2" in done.stderr
        assert "run the same command again" in done.stderr
        failing[0], before = False, len(server.came)
        done = run("skillmix", *command, env=environment(tmp_path / "home"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "hold no text" not in done.stderr
        again = [(asked(came)["seed"], len(asked(came)["messages"])) for came in server.came[before:]]
    assert sorted(again) == [(2, 1), (2, 1), (2, 3), (2, 3)]


KILLS = (2, 9, 20, 27)  # requests after which the run is killed: two in each turn (benchmarks.student_kills: 30)
ITEMS, CONCURRENT = 6, 3


def test_a_killed_run_generates_nothing_twice(tmp_path: Path) -> None:
    lock = threading.Lock()
    count, running, at = 0, [0], list(KILLS)
    answered: set[str] = set()
    twice: list[str] = []

    def answer(came: Came) -> Answer:
        nonlocal count
        with lock:
            count += 1
            if at and count > at[0]:
                at.pop(0)
                os.kill(running[0], signal.SIGKILL)
        body = asked(came)
        key = json.dumps([body["messages"], body["seed"]])
        with lock:
            twice.extend([key] if key in answered else [])
            answered.add(key)
        return ordinary(came)

    with ToldServer(answer) as server:
        command = evaluate(
            server.base_url, tmp_path, "--limit", str(ITEMS), "--predict_only", concurrent=CONCURRENT
        )
        ended: list[CompletedProcess[str]] = []
        while not ended or ended[-1].returncode:
            fork = Fork(skillmix, *command, cwd=tmp_path, env=environment(tmp_path / "home"))
            running[0] = fork.pid
            ended.append(fork.wait(240))
            assert ended[-1].returncode in (0, -signal.SIGKILL), ended[-1].stderr
        asked_before = count
        done = run("skillmix", *command, env=environment(tmp_path / "home"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert count == asked_before
    assert len(ended) == 1 + len(KILLS)
    assert len(answered) == ITEMS * 3 * 2
    assert len(twice) <= len(KILLS) * CONCURRENT
