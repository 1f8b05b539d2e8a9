"""Pushes on a Hub that fails: each ends whole, or in one sentence that says how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_cards.hub.key_scan import find_key
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.items.pack_files import pack_sources
from tests.hub_cards.driving import drive
from tests.hub_cards.faulty_pushes import PASSING
from tests.servers.hub.server import TOKEN, HubServer

pytestmark = pytest.mark.slow

KEY = "sk-proj-" + "a1B2c3D4" * 5


def small_pack(**changes: Any) -> Pack:
    """A pack with so few skills that it has a config for k = 1 and k = 2 only."""
    pack = load_pack("language")
    about = pack.about.model_copy(update={"id": "small", "exclusive": ()} | changes)
    return pack.model_copy(
        update={"about": about, "skills": pack.skills[:2], "topics": pack.topics[:4], "controls": ()}
    )


def write(pack: Pack, folder: Path) -> None:
    for path, text in pack_sources(pack).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What faulty_pushes.py tells, with the Hub."""
    folder = tmp_path_factory.mktemp("push")
    pack = small_pack()
    write(pack, folder / "small")
    write(small_pack(private=True), folder / "hidden")
    skill = pack.skills[0].model_copy(update={"example": f"The key was {KEY}, and the door stood open."})
    write(pack.model_copy(update={"skills": (skill, *pack.skills[1:])}), folder / "leaky")
    with HubServer() as hub:
        env = hub.environment(folder, TEST_PACK=str(folder / "small"))
        yield drive("faulty_pushes", env, folder, str(hub.port)) | {"hub": hub}


def planned(told: dict[str, Any]) -> dict[str, int]:
    files: dict[str, int] = told["planned"]["files"]
    return {path: size for path, size in files.items() if path != "README.md"}  # which has the repository's name


def held(told: dict[str, Any], name: str) -> dict[str, int]:
    files = told["hub"].repo("dataset", name).files
    return {path: len(content) for path, content in files.items() if path not in ("README.md", ".gitattributes")}


def test_a_dry_run_asks_the_hub_nothing(told: dict[str, Any]):
    assert told["before"] == 0
    assert planned(told)
    assert told["planned"]["card"].startswith("---\n")


@pytest.mark.parametrize(("number", "fault"), [(n, f"{r} {kind}") for n, (r, kind, _) in enumerate(PASSING)])
def test_a_push_outlasts_a_fault_that_passes(told: dict[str, Any], number: int, fault: str):
    done = told["passing"][fault]
    assert not done["status"]
    assert held(told, f"org/p{number}") == planned(told)
    stored = told["hub"].repo("dataset", f"org/p{number}")
    assert len(stored.commits) == 2  # the Hub's own, and one with data and card
    assert stored.private


def test_the_same_content_makes_no_commit_and_a_foreign_file_goes(told: dict[str, Any]):
    assert told["second"]["commit"] == told["first"]["commit"]
    assert not told["second"]["changed"]
    stored = told["hub"].repo("dataset", "org/set")
    assert held(told, "org/set") == planned(told)
    assert not stored.private  # since --public


def test_what_was_sent_is_not_sent_again(told: dict[str, Any]):
    assert told["after the limit"]["changed"]
    assert told["sent again"] == 0
    assert held(told, "org/limited") == planned(told)


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("public already", "The dataset org/set is public: add --public if the files may be public"),
        ("no right", "Your token may not write to forbidden/set (403): take one with that right"),
        ("no name", "'a b/c' is not the name of a repository: type ORG/NAME."),
        ("no org", "'skillmix' is not the name of a repository: type ORG/NAME."),
        ("not ours", "The dataset org/raced is not empty and has no card that `skillmix push dataset` made"),
        ("limit", "The Hub wants fewer requests (429): wait some minutes, then type the same command again."),
        ("conflict", "Somebody else writes to org/contested at the same time (412): type the same command again."),
        ("a key", "seems to hold an OpenAI key: nothing was pushed."),
        ("private", "The pack 'small' is private, and its texts are not published."),
        ("token", "The Hub does not accept your token (401): type `hf auth login`"),
        ("no token", "There is no token for the Hub: type `hf auth login`"),
    ],
)
def test_what_does_not_pass_is_one_sentence(told: dict[str, Any], case: str, sentence: str):
    status = told["sentences"][case]
    assert status.startswith("Error: ")
    assert sentence in status
    assert "\n" not in status


def test_a_push_that_failed_left_nothing_half_done(told: dict[str, Any]):
    assert held(told, "org/contested") == {}
    assert held(told, "org/raced") == {"notes.txt": 5}


def test_no_byte_that_the_hub_got_holds_a_key(told: dict[str, Any]):
    received = told["hub"].received()
    assert set(told["seen of the key"]) <= {"info"}
    assert KEY.encode() not in received
    assert TOKEN.encode() not in received
    assert find_key(received, "") is None
