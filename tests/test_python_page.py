"""The page docs/python.md: each of its blocks runs as it stands, with an address and a model of the test's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skillmix_tasks import Score, score_answers
from tests.servers.chat import ChatServer
from tests.tiny_model import write_tiny_model

pytestmark = pytest.mark.slow

_PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"^```python\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of a page whose blocks run one after the other, up to that of TRL."""
    chat_server.set(models=["my-judge"])
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL", "BASE_URL", "API_KEY"):
        monkeypatch.delenv(f"SKILLMIX_JUDGE_{name}", raising=False)
    names: dict[str, Any] = {}
    for block in _BLOCKS[:-1]:
        _run(block, names, chat_server)
    yield names
    names["judge"].close()


def _run(block: str, names: dict[str, Any], server: ChatServer, model: str = "") -> None:
    text = block.replace("http://localhost:8000/v1", server.base_url).replace('"MODEL"', repr(model))
    exec(compile(text, "docs/python.md", "exec"), names)


def test_every_block_runs(page: dict[str, Any], chat_server: ChatServer, capsys: pytest.CaptureFixture[str]):
    assert len(_BLOCKS) == len(re.findall(r"^```\w", _PAGE, re.MULTILINE))
    assert "grading" in _PAGE
    assert page["decision"].earned in (True, False)
    assert page["verdict"].evidence("rain")
    assert {request.body["model"] for request in chat_server.log()} == {"my-judge", "another-judge"}
    assert Path("my-verdicts.sqlite").is_file()
    assert len(page["scores"]) == 3


def test_trl_trains_on_the_reward(
    page: dict[str, Any], chat_server: ChatServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """TRL's own trainer, on a model of random weights."""
    write_tiny_model(tmp_path / "tiny")
    # No vote for the first completion: its reward is missing, and not a zero.
    chat_server.set(models=["my-judge"], judge_faults={"wrong-schema": 0.3})
    rewards: list[list[float | None]] = []
    scored: list[list[Score]] = []

    def seen(*arguments: Any, **options: Any) -> list[Score]:
        scored.append(score_answers(*arguments, **options))
        return scored[-1]

    page["score_answers"] = seen
    capsys.readouterr()
    _run(
        _BLOCKS[-1].replace("max_steps=1", "max_steps=1, max_completion_length=24, use_cpu=True, report_to=[]"),
        page,
        chat_server,
        str(tmp_path / "tiny"),
    )
    [scores] = scored
    assert len(scores) == 4
    assert page["trainer"].state.global_step == 1
    assert "Judging" not in capsys.readouterr().err
    rewards = [page["reward"](completions=[[{"content": "x"}]], place=[0])]
    assert len(rewards[0]) == 1
