"""Check, votes, batches, teacher and student reach an endpoint the same way: one proxy, the same certificates."""

from __future__ import annotations

import shutil
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from grading import Grader, UserError, resolve_judge
from grading.failure import Cause
from tests.grading.batch_run import REQUESTS, batch_grader, decided
from tests.grading.test_batch import majorities
from tests.grading.test_zoo import requests
from tests.servers.authority import HOST, make_authority
from tests.servers.chat import ChatServer
from tests.servers.proxy import Proxy
from tests.servers.zoo.habit import MODEL, TEXT, Answer, Habit, Json, is_check
from tests.servers.zoo.serving import serving
from tests.skillmix_tasks.asked_student import asked_student
from training.texts.teacher import Teacher, resolve_teacher

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="the command openssl makes the certificates"),
]

KEY = "sk-secret-0123456789-abcdef"
BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
Ask = Callable[[str, Path], None]


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in (*BUNDLES, "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return make_authority(tmp_path_factory.mktemp("authority"))


def judge(base_url: str, folder: Path) -> None:
    grader = Grader(resolve_judge(MODEL, base_url=base_url), folder / "store")
    try:
        grader.check()
        assert all(verdict.decisions["boat"].earned for verdict in grader.grade(requests(2), progress=False))
    finally:
        grader.close()


def teacher(base_url: str, folder: Path) -> None:
    writer = Teacher(resolve_teacher(MODEL, base_url=base_url), folder / "store")
    try:
        writer.check()
        conversations = [({"role": "user", "content": f"Write text {number}."},) for number in range(2)]
        assert [reply.text for reply in writer.write(conversations, progress=False)] == [TEXT] * 2
    finally:
        writer.close()


def student(base_url: str, folder: Path) -> None:
    assert asked_student(base_url, 2)[1] == [TEXT] * 2


EVERYBODY = pytest.mark.parametrize("ask", [judge, teacher, student], ids=lambda ask: ask.__name__)


@EVERYBODY
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_for_http(ask: Ask, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with serving(Habit()) as visited, Proxy(visited.port) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        ask(f"http://{HOST}/v1", tmp_path)
    assert proxy.asked.count(f"POST http://{HOST}/v1/chat/completions") == len(visited.chats) >= 2


@EVERYBODY
@pytest.mark.parametrize(
    ("variable", "bundle"),
    [("HTTPS_PROXY", BUNDLES[0]), ("https_proxy", BUNDLES[1]), ("ALL_PROXY", BUNDLES[2])],
)
def test_a_proxy_for_https_and_an_authority_of_ones_own(
    ask: Ask,
    variable: str,
    bundle: str,
    authority: tuple[Path, ssl.SSLContext],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    certificate, tls = authority
    for name in ("SKILLMIX_JUDGE_API_KEY", "SKILLMIX_TEACHER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    with serving(Habit(), tls) as visited, Proxy(visited.port) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        monkeypatch.setenv(bundle, str(certificate))
        ask(f"https://{HOST}/v1", tmp_path)
    assert set(proxy.asked) == {f"CONNECT {HOST}:443"}
    assert not any(KEY in told for told in proxy.told)  # it is for the endpoint alone
    assert len(visited.chats) >= 2


@EVERYBODY
def test_no_proxy_and_a_folder_of_certificates(
    ask: Ask, authority: tuple[Path, ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    certificate, tls = authority
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # where nobody is
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for variable, hosts in (("NO_PROXY", "127.0.0.1"), ("no_proxy", "*"), ("NO_PROXY", "10.0.0.0/8,127.0.0.0/8")):
        with monkeypatch.context() as set_, serving(Habit(), tls) as visited:
            set_.setenv(variable, hosts)
            ask(visited.base_url, tmp_path / variable / str(len(hosts)))
            assert len(visited.chats) >= 2


@EVERYBODY
def test_a_certificate_that_nobody_vouches_for(ask: Ask, authority: tuple[Path, ssl.SSLContext], tmp_path: Path):
    with (
        serving(Habit(), authority[1]) as visited,
        pytest.raises(UserError, match=r"certificate|CERTIFICATE") as error,
    ):
        ask(visited.base_url, tmp_path)
    assert "SSL_CERT_FILE" in str(error.value)
    assert not visited.chats


def test_votes_without_a_check_name_the_certificate(
    authority: tuple[Path, ssl.SSLContext], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with serving(Habit(), authority[1]) as visited:
        grader = Grader(resolve_judge(MODEL, base_url=visited.base_url), tmp_path / "store")
        grader.grade(requests(2), progress=False)
        [failure] = grader.record()["failures"]
        grader.close()
    assert failure["cause"] == Cause.NO_REPLY
    assert "CERTIFICATE_VERIFY_FAILED" in failure["words"]
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


@EVERYBODY
def test_a_proxy_that_is_not_there(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(Habit()) as visited, pytest.raises(UserError, match="proxy"):
        ask(visited.base_url, tmp_path)
    assert not visited.chats


@EVERYBODY
def test_the_password_of_a_proxy_is_sent_and_not_shown(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    with serving(Habit()) as visited, Proxy(visited.port, user="me:hunter2-hunter2") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        ask(f"http://{HOST}/v1", tmp_path / "right")
        assert len(visited.chats) >= 2
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("hunter2-hunter2", "hunter3-hunter3"))
        with pytest.raises(UserError, match="407") as error:
            ask(f"http://{HOST}/v1", tmp_path / "wrong")
    assert "hunter3" not in str(error.value) + caplog.text


@EVERYBODY
def test_another_kind_of_proxy_is_named(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(UserError, match="ALL_PROXY is a socks5 proxy"):
        ask(f"http://{HOST}/v1", tmp_path)


class Slow(Habit):
    """Its headers come late."""

    def chat(self, body: Json, number: int) -> Answer:
        time.sleep(0 if is_check(body) else 0.5)
        return super().chat(body, number)


@EVERYBODY
def test_a_long_silence_is_said(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("grading.endpoint.transport._SILENCE", 0.2)
    with serving(Slow()) as visited:
        ask(visited.base_url, tmp_path)
    assert "No reply has come for 0 s from judge-1." in caplog.text


def test_batches_go_through_the_proxy(chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    chat_server.set(n="honour")
    with Proxy(chat_server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        grader = batch_grader(tmp_path / "store", f"http://{HOST}/v1")
        grader.check()
        assert decided(grader.grade(REQUESTS[:2], progress=False)) == majorities(2)
    assert f"POST http://{HOST}/v1/batches" in proxy.asked
