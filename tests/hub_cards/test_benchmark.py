"""The benchmark on a loopback Hub: what comes back is what the tasks ask, and a run can take it from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub_cards.hub.key_scan import find_key
from skillmix_tasks.harness.task_files import bundled_tasks
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.hub import config_of
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack_files import pack_sources, read_pack
from skillmix_tasks.items.prompts import render
from tests.hub_cards.driving import drive
from tests.servers.chat import ChatServer
from tests.servers.hub.server import TOKEN, HubServer
from tests.skillmix_tasks.running import read_output

pytestmark = pytest.mark.slow

TASKS = {name: spec for name, spec in bundled_tasks().items() if spec.pack == "language"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What benchmark_round_trip.py tells, with its folder and the Hub."""
    folder = tmp_path_factory.mktemp("benchmark")
    with HubServer() as hub, ChatServer(earn=0.8, models=["judge-1", "student-1"]) as chat:
        env = hub.environment(folder, SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=chat.base_url)
        yield drive("benchmark_round_trip", env, folder, chat.url) | {"folder": folder, "hub": hub}


def test_the_items_that_come_back_are_the_bundled_ones_hash_for_hash(told: dict[str, Any]):
    pack = load_pack("language")
    assert told["hashes"] == {
        config_of(name): [
            item.hash for item in sample_items(pack, task=name, k=spec.k, split=spec.split, seed=0, number=100)
        ]
        for name, spec in TASKS.items()
    }
    assert told["rows"].keys() == {*told["hashes"], "skills", "topics"}
    assert (told["rows"]["skills"], told["rows"]["topics"]) == (101, 100)


def test_a_row_has_all_that_the_student_reads(told: dict[str, Any]):
    pack, row = load_pack("language"), told["k4"]
    item = sample_items(pack, task="skillmix_k4", k=4, split="all", seed=0, number=8)[7]
    assert {name: row[name] for name in ("turn1", "turn2", "single")} == {
        name: render(pack, name, item) for name in ("turn1", "turn2", "single")
    }
    assert (row["id"], row["limit"], row["topic"]["name"]) == (item.id, 3, item.topic.name)
    assert [skill["definition"] for skill in row["skills"]] == [skill.definition for skill in item.skills]
    assert told["skill"] == pack.skills[0].model_dump(mode="json") | {"aliases": list(pack.skills[0].aliases)}


def test_a_run_takes_its_items_from_a_pinned_revision_and_says_so(told: dict[str, Any]):
    assert told["changed"]["changed"]  # the newest revision has one item only
    assert (told["runs"]["bundled"], told["runs"]["hub"], told["runs"]["graded"]) == (0, 0, 0)
    bundled, hub = (read_output(told["folder"] / name) for name in ("bundled", "hub"))
    assert [sample["doc"] for sample in hub.samples["skillmix_k4"]] == [
        sample["doc"] for sample in bundled.samples["skillmix_k4"]
    ]
    assert hub.results["results"] == bundled.results["results"]
    records = [one.results["configs"]["skillmix_k4"]["metadata"]["skillmix"] for one in (bundled, hub)]
    commit = told["pushed"]["commit"]
    assert [record["items_from"] for record in records] == [
        None,
        {"path": "org/skillmix", "revision": commit, "commit": commit},
    ]
    assert records[0]["pack"] == records[1]["pack"]


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ("too many", 'has 100 items of skillmix_k4, and the run needs 101: set "items" to 100 or less'),
        ("no revision", "The data set org/skillmix has no revision v9."),
        ("none", "There is no data set org/none on the Hub, or it is private"),
        ("a pack, too", "`items_from` brings its own pack and items: leave out `pack`"),
        ("not pinned", "'items_from.revision' under \"skillmix\" is wrong"),
        ("changed pack", "does not belong to its pack: somebody changed one of them"),
    ],
)
def test_a_mistake_is_one_sentence(told: dict[str, Any], mistake: str, sentence: str):
    status = told["runs"][mistake]
    assert status.startswith("Error: ")
    assert sentence in status
    assert "\n" not in status


def test_the_card_lists_every_config_and_where_its_rows_are(told: dict[str, Any]):
    stored = told["hub"].repo("dataset", "org/skillmix")
    _, front, body = stored.files["README.md"].decode().split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert {config["config_name"] for config in metadata["configs"]} == told["rows"].keys()
    assert all(file["path"] in stored.files for one in metadata["configs"] for file in one["data_files"])
    assert (metadata["license"], metadata["language"]) == ("cc-by-4.0", ["en"])
    assert all(f"`{name}`" in body for name in TASKS)
    assert stored.private


def test_no_byte_that_the_hub_got_holds_a_key(told: dict[str, Any]):
    received = told["hub"].received()
    assert TOKEN.encode() not in received
    assert find_key(received, "") is None
    assert all(
        find_key(content, path) is None and TOKEN.encode() not in content
        for path, content in told["hub"].repo("dataset", "org/skillmix").files.items()
    )
    assert b"skillmix push: dataset" in received  # the scan sees what was sent


@pytest.mark.parametrize("name", ["language", "planning"])
def test_a_pack_reads_back_from_its_sources(name: str, tmp_path: Path):
    pack = load_pack(name)
    for path, text in pack_sources(pack).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(text.encode())
    assert read_pack(tmp_path) == pack
    assert read_pack(tmp_path).hash == pack.hash
