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


def test_every_block_runs(page: dict[str, Any], chat_server: ChatServer):
    assert len(_BLOCKS) == len(re.findall(r"^```\w", _PAGE, re.MULTILINE))
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
    scored: list[Score] = []

    def seen(*arguments: Any, **options: Any) -> list[Score]:
        scored.extend(score_answers(*arguments, **options))
        return scored

    page["score_answers"] = seen
    capsys.readouterr()
    small = "max_steps=1, max_completion_length=24, use_cpu=True, report_to=[], disable_tqdm=True"
    _run(_BLOCKS[-1].replace("max_steps=1", small), page, chat_server, str(tmp_path / "tiny"))
    assert "Judging:" not in capsys.readouterr().err
    assert page["trainer"].state.global_step == 1
    assert len(scored) == 4
    [mean] = [line["rewards/reward/mean"] for line in page["trainer"].state.log_history if "reward" in line]
    assert mean == pytest.approx(sum(score.skill_fraction or 0 for score in scored) / 4)

    # A reward without a verdict is missing, and not a zero.
    scored.clear()
    chat_server.set(models=["my-judge"], judge_faults={"refusal": 1.0})
    said = [[{"role": "assistant", "content": "A cloud wept on the roof."}]]
    assert page["reward"](prompts=[""], completions=said, place=[0], trainer_state=None) == [None]
