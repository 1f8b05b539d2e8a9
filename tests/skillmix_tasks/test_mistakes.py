"""What a user gets wrong ends in one sentence and a non-zero status, before anything is generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from skillmix_tasks.harness.task_files import harness_folder
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment, metadata, run, student_arguments

pytestmark = pytest.mark.slow

PLAIN = ("lm_eval", "--include_path", str(harness_folder()))
REAL = ("python", "-m", "skillmix", "eval")  # lm_eval is what PYTHONPATH says only in a process of its own
TASK = ["--tasks", "skillmix_k2", "--limit", "1", "--apply_chat_template"]


def mistake(command: list[str], env: dict[str, str], folder: Path) -> str:
    """The one sentence with which `command` fails."""
    done = run(*command, env=env, cwd=folder)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    return sentence.removeprefix("Error: ")


@pytest.fixture
def start(chat_server: ChatServer, tmp_path: Path):
    """Run `skillmix eval` (or lm_eval) with a good student and return the sentence."""

    def run_it(*arguments: str, program: tuple[str, ...] = ("skillmix", "eval"), **variables: str) -> str:
        chat_server.set(models=["judge-1", "student-1"])
        judge = {"SKILLMIX_JUDGE_MODEL": "judge-1", "SKILLMIX_JUDGE_BASE_URL": chat_server.base_url}
        env = environment(tmp_path / "home") | judge | variables
        sentence = mistake([*program, *student_arguments(chat_server.url), *arguments], env, tmp_path)
        # Nothing was generated: the check before a run asks for one token.
        assert all(entry.body.get("max_tokens") == 1 for entry in chat_server.log())
        return sentence

    return run_it


def test_no_key(start):
    sentence = start(*TASK, SKILLMIX_JUDGE_MODEL="", SKILLMIX_JUDGE_BASE_URL="")
    assert "export OPENAI_API_KEY" in sentence


def test_a_home_that_cannot_be_written(start, tmp_path: Path):
    (tmp_path / "file").write_text("")
    sentence = start(*TASK, SKILLMIX_HOME=str(tmp_path / "file" / "home"))
    assert "another folder with SKILLMIX_HOME" in sentence


def test_an_address_without_its_path(start, chat_server: ChatServer):
    sentence = start(*TASK, SKILLMIX_JUDGE_BASE_URL=chat_server.base_url.removesuffix("/v1"))
    assert "usually ends in /v1" in sentence


def test_no_key_under_plain_lm_eval(start, plain_lm_eval: dict[str, str]):
    sentence = start(*TASK, program=PLAIN, SKILLMIX_JUDGE_MODEL="", SKILLMIX_JUDGE_BASE_URL="", **plain_lm_eval)
    assert "export OPENAI_API_KEY" in sentence


def test_the_judge_is_down(start):
    assert "cannot be reached" in start(*TASK, SKILLMIX_JUDGE_BASE_URL="http://127.0.0.1:9/v1")


def test_an_unknown_judge(start):
    assert "does not serve the model nobody" in start(*TASK, SKILLMIX_JUDGE_MODEL="nobody")


def test_a_local_judge_that_is_not_there(start):
    assert "/nowhere" in start(*TASK, SKILLMIX_JUDGE_MODEL="hf:/nowhere")


def test_a_wrong_pack(start):
    assert "no pack 'esperanto'" in start(*TASK, *metadata(pack="esperanto"))


def test_a_setting_outside_its_key(start):
    sentence = start(*TASK, "--metadata", '{"judge": "judge-2"}')
    assert """--metadata '{"skillmix": {"judge": "judge-2"}}'""" in sentence


def test_no_task(start):
    assert "type --tasks skillmix_k4" in start("--limit", "1")


def test_a_limit_that_is_no_number(start):
    assert "--limit takes a number of items above 0, not 'abc'" in start(*TASK[:2], "--limit", "abc")


def test_a_model_that_lm_eval_does_not_have(start):
    typed = ("--model", "openai-chat", "--model_args", "model=x", "--apply_chat_template", "--limit", "1")
    assert "lm-eval has no --model openai-chat: type --model hf," in start(*TASK[:2], *typed)


def test_examples_before_an_item(start):
    assert "leave --num_fewshot out" in start(*TASK[:2], "--num_fewshot", "5")


def test_a_number_of_items(start):
    assert "type --limit 5" in start(*TASK[:2], "--items", "5")


def test_no_model(tmp_path: Path):
    sentence = mistake(["skillmix", "eval", *TASK], environment(tmp_path / "home"), tmp_path)
    assert "--model_args is missing" in sentence


def test_options_name_the_judge(start):
    assert "does not serve the model nobody" in start(*TASK, "--judge", "nobody")


def test_an_unknown_setting(start):
    assert "no setting 'k'" in start(*TASK, *metadata(k=9))


def test_dollars_that_cannot_be_counted(start):
    sentence = start(*TASK, *metadata(max_usd=1))
    assert "--max-usd needs the price of the judge judge-1" in sentence
    assert "`price`" in sentence


def test_a_judge_that_was_shut_down(start, chat_server: ChatServer):
    gone = {"model": "judge-1", "base_url": chat_server.base_url, "shutdown": "2024-06-13"}
    assert "judge-1 was shut down on 2024-06-13" in start(*TASK, *metadata(judge=gone))


def test_a_k_that_is_too_large(start, tmp_path: Path):
    include = tmp_path / "tasks"
    include.mkdir()
    (include / "big.yaml").write_text(
        "class: !function skillmix_tasks.harness.task.SkillMixTask\ntask: skillmix_public_k11\n"
        "skillmix: {k: 11, split: public, pack: language, version: '1.0'}\n"
        "generation_kwargs: {until: [], max_gen_toks: 8}\n"
    )
    sentence = start(
        *("--tasks", "skillmix_public_k11", "--apply_chat_template", "--include_path", str(include)),
    )
    assert "needs 11 skills" in sentence
    assert "has 10" in sentence


def test_an_unknown_task(start):
    assert "no task skillmix_k9" in start("--tasks", "skillmix_k9")


def test_an_unknown_task_beside_others(start, plain_lm_eval: dict[str, str]):
    words = start("--tasks", "skillmix_k2,arc_easy,skilmix_k4", *TASK[-1:], program=REAL, **plain_lm_eval)
    assert "There is no task skilmix_k4 (did you mean skillmix_k4?): `skillmix tasks` lists ours" in words


@pytest.mark.parametrize("program", [("skillmix", "eval"), PLAIN])
def test_a_chat_endpoint_without_a_chat_template(start, program, plain_lm_eval: dict[str, str]):
    sentence = start(*TASK[:-1], program=program, **plain_lm_eval)
    assert "add --apply_chat_template" in sentence


def test_cached_requests_are_refused(start):
    assert "--cache_requests" in start(*TASK, "--cache_requests", "true")


def test_a_sample_that_is_named_twice(start):
    assert "each item once" in start(*TASK[:2], TASK[-1], "--samples", '{"skillmix_k2": [1, 1]}')


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no file"),
        ("", "is empty"),
        ('{"doc": {}}\n', "line 1, is not a sample"),
        ("x\n", "line 1"),
    ],
)
def test_grading_what_is_no_answer(content: str | None, sentence: str, tmp_path: Path):
    file = tmp_path / "samples.jsonl"
    if content is not None:
        file.write_text(content)
    assert sentence in mistake(["skillmix", "grade", str(file)], environment(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("package", "command"),
    [("grading", ["-c", "import skillmix_tasks"]), ("training", ["-m", "skillmix", "path"])],
)
def test_a_folder_that_hides_a_package_of_ours(tmp_path: Path, package: str, command: list[str]):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    done = run("python", *command, env=environment(tmp_path), cwd=tmp_path)
    assert done.returncode != 0
    assert f"hidden by {tmp_path / package}" in done.stderr.splitlines()[-1]
