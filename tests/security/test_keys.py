"""Keys go only where the user sent them, and stand in nothing that is written."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import pytest

import skillmix
from grading import Criterion, Grader, GradingRequest, State, UserError, resolve_judge
from grading.asker import open_backend
from grading.backend import Reply, VoteCall
from grading.batch.api import BatchApi, NotSubmittedError
from grading.batch.file import read_results
from grading.keys import MARK, redact, redact_logs, register_argument_keys, without_keys
from tests.grading.taking import replies_of
from tests.security.foreign import write_answers_file, write_pack
from tests.servers.chat import ChatServer
from tests.servers.told import Answer, Came, ToldServer
from tests.skillmix_tasks.running import MODELS, environment, metadata, run
from training.trained import check_base, read_run

pytestmark = pytest.mark.slow

KEY = 'sk-Te+st/Key "of" 2026?'
PLAIN = "sk-TestKeyOfThisVeryTest"
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in a sentence": lambda key: f"Incorrect API key provided: Bearer {key}. See the manual.",
    "JSON": json.dumps,
    "JSON in JSON": lambda key: json.dumps(json.dumps({"Authorization": f"Bearer {key}"})),
    "an address": lambda key: f"https://host/?key={quote(key, safe='')}",
    "every letter of an address": lambda key: "".join(f"%{ord(char):02x}" for char in key),
    "every letter of JSON": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "some letters of HTML": lambda key: key.replace("k", "&#107;").replace("T", "&#x54;").replace("e", "&#0101"),
    "an address with lower case": lambda key: quote(key, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "a path": quote,
    "a form": quote_plus,
    "HTML": html.escape,
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of a header": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "base64 of a login": lambda key: base64.b64encode(f"me:{key}".encode()).decode(),
    "hexadecimals": lambda key: key.encode().hex(),
    "broken into lines": lambda key: "\n ".join(key[start : start + 6] for start in range(0, len(key), 6)),
    "twice": lambda key: key + key,
}

OK = {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]}


def remains(key: str, text: str) -> bool:
    """Whether a reader can make out 12 characters of `key`: as they are, unescaped, or decoded from base64."""
    bare = "".join(text.split())
    readings = [text, bare, unquote(bare), html.unescape(bare)]
    letters = "".join(re.findall(r"[A-Za-z0-9+/]", bare))
    for start in range(4):
        whole = letters[start:][: (len(letters) - start) // 4 * 4]
        readings.append(base64.b64decode(whole).decode(errors="replace"))
    return any(key[start : start + 12] in one for one in readings for start in range(len(key) - 11))


def body(content: Any) -> bytes:
    return json.dumps(content).encode()


@pytest.fixture
def serve() -> Iterator[Callable[..., ToldServer]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(ToldServer(answer))


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLMIX_JUDGE_API_KEY", PLAIN)


def ask(base_url: str) -> Reply:
    """The reply to one call."""
    judge = resolve_judge("judge", base_url=base_url)
    call = VoteCall("0", 0, ({"role": "user", "content": "A prompt."},), ("c",), "text", 0)
    [(_, reply)] = replies_of(open_backend(judge, 4), [call])
    return reply


class TestRedaction:
    @pytest.mark.parametrize("key", [KEY, PLAIN])
    @pytest.mark.parametrize("form", FORMS)
    def test_a_known_key_is_cut_out_in_every_form(self, form: str, key: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("SKILLMIX_TEACHER_API_KEY", key)
        if form == "broken into lines" and " " in key:
            pytest.skip("white space is part of this key")
        text = FORMS[form](key)
        assert MARK in redact(text)
        assert not remains(key, redact(text))

    def test_other_texts_stay_as_they_are(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("SKILLMIX_TEACHER_API_KEY", "none")
        monkeypatch.setenv("POSTGRES_PASSWORD", "password")
        text = "There is none; the password of sk-Test is as it was."
        assert redact(text) == text

    @pytest.mark.parametrize(
        "arguments",
        [
            {"api_key": "not-in-the-environment"},
            {"auth_token": "not-in-the-environment"},
            {"header": {"Authorization": "Bearer not-in-the-environment"}},
            {"headers": "Bearer not-in-the-environment"},
            {"base_url": "https://me:not-in-the-environment@host/v1"},
            {"base_url": "https://host/v1?api_key=not-in-the-environment"},
        ],
    )
    def test_the_keys_among_a_model_s_arguments_are_known(self, arguments: dict[str, Any]):
        register_argument_keys(arguments)
        assert redact("It said: not-in-the-environment!") == f"It said: {MARK}!"
        assert "not-in-the-environment" not in json.dumps(without_keys(arguments))

    def test_logs_show_no_key(self, capsys: pytest.CaptureFixture[str]):
        redact_logs()
        handler = logging.StreamHandler(sys.stdout)
        logger = logging.getLogger("tests.security")
        logger.addHandler(handler)
        logger.warning("headers: %s", {"Authorization": f"Bearer {PLAIN}"})
        logger.removeHandler(handler)
        assert capsys.readouterr().out == "headers: {'Authorization': 'Bearer [key]'}\n"


class TestEcho:
    """An endpoint repeats the key that it was sent."""

    @pytest.mark.parametrize(
        "answer",
        {
            "a reply": lambda key: (200, {}, body({"choices": [{"message": {"content": f"My key: {key}"}}]})),
            "escaped": lambda key: (
                200,
                {},
                body({"choices": [{"message": {"content": "KEY"}}]}).replace(
                    b"KEY", "".join(f"\\u{ord(char):04x}" for char in key).encode()
                ),
            ),
            "parts": lambda key: (
                200,
                {},
                body({"choices": [{"message": {"content": [{"text": key[:9]}, {"text": key[9:]}]}}]}),
            ),
            "a refusal": lambda key: (200, {}, body({"choices": [{"message": {"refusal": f"Not for {key}."}}]})),
            "an error in a reply": lambda key: (200, {}, body({"error": {"message": key, key: 1}})),
            "an error": lambda key: (400, {}, body({"error": {"message": f"Wrong key {key}"}})),
            "an error at its cut": lambda key: (400, {}, ("x" * 290 + key).encode()),
            "a page": lambda key: (403, {"Content-Type": "text/html"}, f"<p>{html.escape(key)}</p>".encode()),
            "a reason": lambda key: (404, {"X-Key": key}, key.encode()),
            "elsewhere": lambda key: (307, {"Location": f"https://host/{key}"}, b""),
        }.items(),
        ids=lambda one: one[0],
    )
    def test_no_reply_keeps_it(self, serve, answer: tuple[str, Callable[[str], Answer]]):
        def echo(came: Came) -> Answer:
            return answer[1](came.headers["Authorization"].removeprefix("Bearer "))

        server = serve(echo)
        reply = ask(server.base_url)
        assert server.came[0].headers["Authorization"] == f"Bearer {PLAIN}"  # it was sent
        assert MARK in reply.text + reply.detail or answer[0] == "an error at its cut"
        assert not remains(PLAIN, reply.text + reply.detail)

    def test_the_store_keeps_no_key(self, serve, tmp_path: Path):
        server = serve(lambda _: (200, {}, body({"choices": [{"message": {"content": f"A verdict? {PLAIN}"}}]})))
        judge = resolve_judge("judge", base_url=server.base_url, votes=1)
        grader = Grader(judge, tmp_path / "verdicts.sqlite")
        request = GradingRequest("Write.", (Criterion("c", "It is."),), "A text.")
        [verdict] = grader.grade([request], progress=False)
        grader.close()
        assert MARK in verdict.votes[0].reply
        assert all(PLAIN.encode() not in file.read_bytes() for file in tmp_path.iterdir())

    def test_the_list_of_models_shows_no_key(self, serve):
        unknown = body({"error": {"code": "model_not_found", "message": "The model does not exist"}})
        server = serve(
            lambda came: (
                (404, {}, unknown)
                if came.path.endswith("/chat/completions")
                else (200, {}, body({"data": [{"id": came.headers["Authorization"]}]}))
            )
        )
        with pytest.raises(UserError) as raised:
            open_backend(resolve_judge("judge", base_url=server.base_url), 1).check()
        assert f"to one of Bearer {MARK}" in str(raised.value)

    def test_the_results_of_a_batch_show_no_key(self):
        lines = [
            {"custom_id": "a", "response": {"status_code": 400, "body": {"error": {"message": PLAIN}}}},
            {
                "custom_id": "b",
                "response": {"status_code": 200, "body": OK | {"choices": [{"message": {"content": PLAIN}}]}},
            },
            {"custom_id": "c", "error": {"code": "x", "message": PLAIN}},
        ]
        found = dict(read_results(BytesIO("\n".join(map(json.dumps, lines)).encode())))
        assert PLAIN not in repr(found)
        assert repr(found).count(MARK) >= 3

    def test_an_error_of_the_batch_api_shows_no_key(self, serve):
        server = serve(lambda _: (400, {}, body({"error": {"message": f"Wrong key: {PLAIN}"}})))
        judge = resolve_judge("judge", base_url=server.base_url)
        with BatchApi(judge, PLAIN) as api, pytest.raises(NotSubmittedError) as raised:
            api.upload(b"{}")
        assert MARK in str(raised.value)
        assert PLAIN not in str(raised.value)

    def test_a_reply_as_deep_as_the_parser_takes_is_no_reply(self, serve):
        deep = 900
        server = serve(lambda _: (400, {}, b'{"error":' * deep + b"1" + b"}" * deep))
        assert ask(server.base_url).state is State.API_FAILED


class TestAddresses:
    @pytest.mark.parametrize(
        ("url", "what"),
        [
            ("https://key@host/v1", "user's name or password"),
            ("https://me:key@host/v1", "user's name or password"),
            ("https://:@host/v1", "user's name or password"),
            ("https://host/v1?api_key=x", "a query"),
            ("https://host/v1?api-version=1&key=x", "a query"),
            ("https://host/v1?key", "a query"),
            ("https://host/v1#x", "a fragment"),
            (f"https://host/{PLAIN}/v1", "the value of a key"),
            (f"https://host/{quote(PLAIN)}/v1", "the value of a key"),
            (f"https://{PLAIN}.host/v1", "the value of a key"),
            (f"https://host/v1?api-version={PLAIN}", "the value of a key"),
            ("https://host/sk-proj-0123456789abcdefghijk/v1", "an OpenAI key"),
        ],
    )
    def test_a_key_in_an_address_is_refused_and_not_shown(self, url: str, what: str):
        with pytest.raises(UserError) as raised:
            resolve_judge("judge", base_url=url)
        assert what in str(raised.value)
        assert "keys come from the environment (SKILLMIX_JUDGE_API_KEY)" in str(raised.value)
        assert PLAIN not in str(raised.value)
        assert "sk-proj" not in str(raised.value)

    def test_a_version_in_an_address_is_no_key(self, serve):
        server = serve(lambda _: (200, {}, body(OK)))
        judge = resolve_judge("judge", base_url=f"{server.base_url}/?api-version=2026-01-01")
        assert judge.url("models").endswith("/v1/models?api-version=2026-01-01")
        ask(f"{server.base_url}?api-version=2026-01-01")
        assert server.came[0].path == "/v1/chat/completions?api-version=2026-01-01"

    @pytest.mark.parametrize(
        "url",
        ["http://api.openai.com/v1", "https://api.openai.com:8443/v1", "https://api.openai.com.example/v1"],
    )
    def test_the_provider_s_key_goes_to_the_provider_only(self, url: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-provider-key")
        assert resolve_judge("judge", base_url=url).api_key() == PLAIN
        assert resolve_judge("judge").api_key() == "sk-provider-key"


class TestRedirects:
    """Nothing is sent on to where an endpoint points."""

    @pytest.fixture
    def elsewhere(self, serve) -> ToldServer:
        server: ToldServer = serve(lambda _: (200, {}, body(OK | {"data": [{"id": "judge"}], "id": "file-1"})))
        return server

    @pytest.fixture
    def pointing(self, serve, elsewhere: ToldServer) -> Callable[[int], ToldServer]:
        def point(status: int) -> ToldServer:
            def answer(came: Came) -> Answer:
                return status, {"Location": elsewhere.base_url.removesuffix("/v1") + came.path}, b""

            server: ToldServer = serve(answer)
            return server

        return point

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_no_prompt_is_posted_again(self, status: int, pointing, elsewhere: ToldServer):
        server = pointing(status)
        reply = ask(server.base_url)
        assert reply.state is State.API_FAILED
        assert f'{status} "the endpoint sends requests to {elsewhere.base_url}' in reply.detail
        assert len(server.came) == 1
        assert not elsewhere.came

    @pytest.mark.parametrize("status", [302, 307, 308])
    def test_the_check_beforehand_stays(self, status: int, pointing, elsewhere: ToldServer):
        judge = resolve_judge("judge", base_url=pointing(status).base_url, options=True)
        with pytest.raises(
            UserError, match=r"set --judge-base-url \(or SKILLMIX_JUDGE_BASE_URL\) to the right address"
        ):
            open_backend(judge, 1).check()
        assert not elsewhere.came

    @pytest.mark.parametrize("status", [302, 307, 308])
    def test_the_batch_api_uploads_nothing_elsewhere(self, status: int, pointing, elsewhere: ToldServer):
        judge = resolve_judge("judge", base_url=pointing(status).base_url)
        with BatchApi(judge, PLAIN) as api, pytest.raises(NotSubmittedError):
            api.upload(b'{"a": "prompt"}')
        assert not elsewhere.came

    def test_the_batch_api_downloads_nothing_elsewhere(self, pointing, elsewhere: ToldServer):
        from grading.batch.api import Progress

        judge = resolve_judge("judge", base_url=pointing(307).base_url)
        progress = Progress("completed", ("file-1",), "", refused_for_size=False, details=(), counted=0)
        with BatchApi(judge, PLAIN) as api, pytest.raises(UserError, match="status 307"):
            list(api.results(progress))
        assert not elsewhere.came


class TestAnswersOfOthers:
    """What a header names is followed only if the user named it too."""

    @pytest.fixture
    def grade(self, chat_server: ChatServer, tmp_path: Path) -> Callable[..., Any]:
        chat_server.set(models=MODELS)

        def run_grade(answers: Path, *options: str, **variables: str) -> Any:
            env = environment(tmp_path / "home", SKILLMIX_JUDGE_API_KEY=PLAIN, **variables)
            return run("skillmix", "grade", answers, *options, env=env, cwd=tmp_path)

        return run_grade

    @staticmethod
    def of_judge(path: Path, **judge: Any) -> Path:
        return write_answers_file(path, judge=[{"model": "judge-1", "votes": 1, **judge}])

    def test_an_address_of_theirs_gets_nothing(self, grade, chat_server: ChatServer, tmp_path: Path):
        done = grade(self.of_judge(tmp_path / "a.jsonl", base_url=chat_server.base_url))
        assert done.returncode == 1
        assert f"names the judge 'judge-1' at '{chat_server.base_url}'" in done.stderr
        assert "--judge MODEL --judge-base-url ADDRESS" in done.stderr
        assert "type --trust-file" in done.stderr
        assert chat_server.counts().routes == {}

    def test_a_trusted_address_of_theirs_gets_no_key(self, grade, chat_server: ChatServer, tmp_path: Path):
        answers = self.of_judge(tmp_path / "a.jsonl", base_url=chat_server.base_url)
        chat_server.set(api_key=PLAIN)
        assert "refused the key" in grade(answers, "--trust-file").stderr
        chat_server.set(api_key="none")
        done = grade(answers, "--trust-file")
        assert done.returncode == 0, done.stderr
        assert chat_server.counts().replied["judge"] == 3

    @pytest.mark.parametrize("how", ["the command line", "the environment"])
    def test_an_address_of_the_user_s_gets_the_key(self, how: str, grade, chat_server: ChatServer, tmp_path: Path):
        answers = self.of_judge(tmp_path / "a.jsonl", base_url=chat_server.base_url, votes=3)
        chat_server.set(api_key=PLAIN)
        named = {
            "the command line": lambda: grade(
                answers, "--judge", "judge-1", "--judge-base-url", chat_server.base_url
            ),
            "the environment": lambda: grade(
                answers, SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=chat_server.base_url
            ),
        }
        done = named[how]()
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize(
        ("judge", "settings"),
        [
            ({"kind": "transformers", "model": "/some/model"}, {}),
            ({"model": "gpt-4.1-2025-04-14", "votes": 99}, {}),
            ({"model": "gpt-4.1-2025-04-14", "base_url": "https://api.openai.com.example/v1"}, {}),
            ({"model": "judge-1", "keyless": False, "base_url": "http://127.0.0.1:9/v1"}, {}),
            ({"model": "gpt-4.1-2025-04-14", "votes": 3}, {"items_from": {"path": "a/b", "revision": "main"}}),
            ({"model": "gpt-4.1-2025-04-14", "votes": 3}, {"pack": "/some/pack"}),
            ({"model": "gpt-4.1-2025-04-14", "votes": 3}, {"pack": "../language"}),
        ],
    )
    def test_nothing_else_of_theirs_is_followed(
        self, judge: dict[str, Any], settings: dict[str, Any], grade, tmp_path
    ):
        answers = write_answers_file(tmp_path / "a.jsonl", judge=judge, settings={"items": 1} | settings)
        done = grade(answers)
        assert done.returncode == 1
        assert "is not from your own runs and names the " in done.stderr

    def test_a_price_and_an_address_among_their_settings_are_not_taken(self, grade, chat_server, tmp_path: Path):
        """A price of nothing would lift the user's cap, and an address would take the user's judge elsewhere."""
        settings = {"items": 1, "judge_base_url": chat_server.base_url, "price": {"input": 0, "output": 0}}
        judge = {"model": "gpt-4.1-2025-04-14", "votes": 3, "price": {"input": 0, "output": 0}}
        answers = write_answers_file(tmp_path / "a.jsonl", judge=judge, settings=settings)
        assert "export OPENAI_API_KEY" in grade(answers).stderr  # it is the known judge, where it always is
        assert "export OPENAI_API_KEY" in grade(answers, "--judge", "other").stderr
        assert chat_server.counts().routes == {}

    def test_an_own_run_is_graded_again_as_it_is_until_somebody_edits_it(self, grade, chat_server, tmp_path: Path):
        pack = write_pack(tmp_path / "pack")
        chat_server.set(api_key=None, models=MODELS, student={"text": f"Answer: {PLAIN} fell. Explanation: {KEY}"})
        env = environment(tmp_path / "home", SKILLMIX_JUDGE_API_KEY=PLAIN)
        model = f"model=student-1,base_url={chat_server.url},auth_token={KEY.replace(',', '')},max_retries=1"
        options = [
            "--model",
            "local-chat-completions",
            "--model_args",
            model,
            "--limit",
            "1",
            "--tasks",
            "skillmix_k2",
        ]
        settings = {"judge": "judge-1", "judge_base_url": chat_server.base_url, "votes": 1, "pack": str(pack)}
        output: list[str | Path] = ["--apply_chat_template", "--log_samples", "--output_path", tmp_path / "out"]
        done = run("skillmix", "eval", *options, *output, *metadata(**settings), env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

        # Neither key stands in anything that was printed or written: results, samples, answers, store.
        written = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert {".json", ".jsonl", ".sqlite"} <= {file.suffix for file in written}
        texts = [done.stdout, done.stderr, *(file.read_bytes().decode(errors="replace") for file in written)]
        assert not any(key in text or json.dumps(key)[1:-1] in text for key in (PLAIN, KEY) for text in texts)
        [answers] = (tmp_path / "home" / "answers").glob("*.jsonl")
        assert MARK in answers.read_text()

        chat_server.set(api_key=PLAIN)
        again = grade(answers)
        assert again.returncode == 0, again.stderr
        answers.write_text(answers.read_text().replace('"votes": 1', '"votes": 5'))
        edited = grade(answers)
        assert edited.returncode == 1
        assert f"names the pack '{pack}', the judge 'judge-1' at" in edited.stderr


def test_a_base_model_that_others_name_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from training.data.folder import claimed
    from training.tune.recipe import load_recipe

    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "home"))
    recipe = load_recipe("smollm2-135m-cpu", ["model=some/model"]).model_dump(mode="json")
    record = {"recipe": recipe, "base_model": {"name": "base", "revision": None, "fingerprint": "x"}}
    with claimed(tmp_path / "run", record, "skillmix train"):
        (tmp_path / "run" / "result.json").write_text("{}")
    check_base(read_run(tmp_path / "run"))  # the user's own
    record["recipe"]["model"] = "other/model"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"names the base model 'other/model'.*type --trust-file"):
        check_base(read_run(tmp_path / "run"))


def test_an_error_on_the_last_line_shows_no_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["skillmix", "pack", "check", f"no-such-pack-{PLAIN}"])
    with pytest.raises(SystemExit) as ended:
        skillmix.main()
    assert f"There is no pack 'no-such-pack-{MARK}'" in str(ended.value.code)
