"""Sizes have limits: replies, texts, files and numbers from outside, however large they are or look."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grading import Criterion, Grader, GradingRequest, State, UserError, resolve_judge
from grading.batch.api import BatchApi
from grading.batch.file import read_results
from grading.endpoint.backend import OpenAIBackend
from grading.endpoint.bodies import MOST_BODY
from grading.endpoint.errors import CallFailedError
from grading.models.price import price_table
from grading.safety.bounds import (
    MOST_FILE,
    MOST_LINE,
    MOST_TEXT,
    cut,
    is_cut,
    load_json,
    load_yaml,
    open_file,
    read_lines,
)
from grading.store.cli import _place as store_path
from grading.store.replies import VerdictStore
from hub_cards.hub.key_scan import find_key
from hub_cards.hub.records import read_record
from hub_cards.report.results.runs import read_results as read_run_results
from skillmix_tasks.calibration.corrected import correct_results
from skillmix_tasks.calibration.record import load_calibration
from skillmix_tasks.calibration.tree import read_table
from skillmix_tasks.harness.settings import read_settings
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.hub import _rows
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack_files import read_pack
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.points import MOST_ANSWER, check_reply
from skillmix_tasks.scoring.reply import clean
from skillmix_tasks.stored.find_results import find_results
from skillmix_tasks.stored.places import find_answers
from skillmix_tasks.stored.samples import read_samples
from tests.servers.hostile import HostileServer
from training.data.folder import claimed
from training.data.mix import Mix
from training.data.rows import read_rows
from training.tune.recipe import load_recipe

pytestmark = pytest.mark.timeout(120)

REQUEST = GradingRequest("Write about rain.", (Criterion("topic", "It is about rain."),), "Rain fell.")


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileServer]:
    with HostileServer() as server:
        yield server


# -- replies

REPLIES = {
    "gzip": "larger than 4 MiB",
    "deflate": "larger than 4 MiB",
    "gzip-in-gzip": "Content-Encoding 'gzip, gzip'",
    "br": "Content-Encoding 'br'",
    "zstd": "Content-Encoding 'zstd'",
    "broken-gzip": "cannot be unpacked",
    "gzip-and-more": "continues after the end",
    "five-megabytes": "larger than 4 MiB",
    "endless": "larger than 4 MiB",
    "endless-error": '400 "the reply is larger than 4 MiB"',
    "long-error": '400 "xxx',
    "deep": "the JSON breaks off or is broken",
    "digits": "no chat completion",
    "nested": "the JSON breaks off or is broken",
    "headers": "",
}


@pytest.mark.parametrize("kind", REPLIES)
@pytest.mark.slow
def test_a_reply_without_measure_is_a_failed_vote(
    hostile: HostileServer, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grading.endpoint.transport.ATTEMPTS", 1)
    judge = resolve_judge("judge-1", base_url=hostile.base_url(kind), votes=1)
    grader = Grader(judge, tmp_path / "v.sqlite")
    [verdict] = grader.grade([REQUEST], progress=False)
    grader.close()
    [vote] = verdict.votes
    assert vote.state is State.API_FAILED
    assert REPLIES[kind] in vote.detail
    assert len(vote.detail) <= 500
    assert VerdictStore(tmp_path / "v.sqlite").summarise() == []


@pytest.mark.slow
def test_a_packed_reply_of_usual_size_is_read(hostile: HostileServer, tmp_path: Path):
    judge = resolve_judge("judge-1", base_url=hostile.base_url("good-gzip"), votes=1)
    [verdict] = Grader(judge, tmp_path / "v.sqlite").grade([REQUEST], progress=False)
    assert verdict.votes[0].state is State.PARSE_FAILED  # "{}" is no verdict, and was read
    assert (verdict.votes[0].reply, verdict.votes[0].usage.prompt) == ("{}", 10)


@pytest.mark.slow
def test_a_text_without_measure_is_stored_cut_and_never_read_as_a_vote(hostile: HostileServer, tmp_path: Path):
    judge = resolve_judge("judge-1", base_url=hostile.base_url("long-text"), votes=1)
    [verdict] = Grader(judge, tmp_path / "v.sqlite").grade([REQUEST], progress=False)
    for vote in verdict.votes:
        assert vote.state is State.TRUNCATED
        assert "3,000,000 characters" in vote.detail
        assert vote.reply.endswith("[cut: 2,998,000 more characters]")
    assert VerdictStore(tmp_path / "v.sqlite").size() < 200_000


@pytest.mark.slow
def test_a_refusal_without_measure_is_cut(hostile: HostileServer, tmp_path: Path):
    judge = resolve_judge("judge-1", base_url=hostile.base_url("long-refusal"), votes=1)
    [verdict] = Grader(judge, tmp_path / "v.sqlite").grade([REQUEST], progress=False)
    assert verdict.votes[0].state is State.REFUSED
    assert is_cut(verdict.votes[0].detail)


@pytest.mark.parametrize("kind", ["gzip", "gzip-in-gzip", "br", "five-megabytes", "endless", "endless-503"])
@pytest.mark.slow
def test_the_check_before_a_run_reads_no_more_than_the_limit(hostile: HostileServer, kind: str):
    judge = resolve_judge("judge-1", base_url=hostile.base_url(kind))
    backend = OpenAIBackend(judge, api_key="test", concurrency=1, adaptive=True)
    with pytest.raises(UserError, match=r"larger than 4 MiB|Content-Encoding|status 503"):
        backend.check()


@pytest.mark.parametrize("kind", ["good", "good-gzip"])
@pytest.mark.slow
def test_the_check_before_a_run_reads_what_is_sound(hostile: HostileServer, kind: str):
    judge = resolve_judge("judge-1", base_url=hostile.base_url(kind))
    OpenAIBackend(judge, api_key="test", concurrency=1, adaptive=True).check()


@pytest.mark.parametrize("kind", ["gzip", "br", "endless", "endless-error"])
@pytest.mark.slow
def test_the_batch_api_reads_no_more_than_the_limit(
    hostile: HostileServer, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grading.batch.api.ATTEMPTS", 1)
    with (
        BatchApi(resolve_judge("judge-1", base_url=hostile.base_url(kind)), "test") as api,
        pytest.raises(UserError, match=r"larger than 4 MiB|Content-Encoding"),
    ):
        api.busy()


def test_a_line_of_results_without_measure_is_left_out_with_its_reason(tmp_path: Path):
    path = tmp_path / "results.jsonl"
    sound = json.dumps({"custom_id": "k", "response": {"status_code": 200, "body": {}}}).encode() + b"\n"
    path.write_bytes(sound + b"x" * (3 * MOST_BODY) + b"\n" + sound)
    with path.open("rb") as file:
        found = list(read_results(file))
    assert [name for name, _ in found] == ["k", "", "k"]
    assert isinstance(found[1][1], CallFailedError)
    assert not found[1][1].passing
    assert "longer than 4 MiB" in str(found[1][1].failure)


GRADING = """
import re, sys
from pathlib import Path
from grading import Criterion, Grader, GradingRequest, resolve_judge
judge = resolve_judge("judge-1", base_url=sys.argv[1], votes=1)
requests = [
    GradingRequest("Write about rain.", (Criterion("topic", "It is about rain."),), f"Rain {n}.")
    for n in range(200)
]
grader = Grader(judge, Path(sys.argv[2]), concurrency=32, adaptive=False)
grader._asker._backend._throttle._proved = 0.0  # all 32 at once, and no first one alone
verdicts = grader.grade(requests, progress=False)
print({vote.state.value for verdict in verdicts for vote in verdict.votes})
# What getrusage says is at least what the parent had.
print(re.search("VmHWM: *([0-9]+)", Path("/proc/self/status").read_text().replace("\\t", " "))[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("kind", ["endless", "gzip"])
@pytest.mark.slow
def test_memory_stays_small_with_32_such_replies_in_flight(hostile: HostileServer, tmp_path: Path, kind: str):
    """Each reply of `endless` has 4 GB."""
    command = [sys.executable, "-c", GRADING, hostile.base_url(kind), str(tmp_path / "v.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    states, peak = done.stdout.splitlines()
    assert states == "{'api_failed'}"
    assert int(peak) < 600 * 1024  # KiB


# -- what stands in place of a file


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MOST_FILE + MOST_LINE)  # takes no space


def _deep(path: Path) -> None:
    path.write_text('{"a": ' + "[" * 2000)


def _digits(path: Path) -> None:
    path.write_text('{"skillmix": ' + "9" * 5000)


PLACES: dict[str, Callable[[Path], None]] = {
    "fifo": _fifo,
    "socket": _socket,
    "device": _device,
    "folder": _folder,
    "huge": _huge,
    "deep": _deep,
    "digits": _digits,
}


def _read_price(path: Path) -> None:
    os.environ["SKILLMIX_PRICES"] = str(path)
    try:
        price_table()
    finally:
        del os.environ["SKILLMIX_PRICES"]


def _read_store(path: Path) -> None:
    VerdictStore(store_path(path))


def _read_pack(path: Path) -> None:
    folder = path.parent / "pack"
    folder.mkdir()
    path.rename(folder / "pack.yaml")
    read_pack(folder)


def _claim(path: Path) -> None:
    path.rename(path.parent / "run.json")
    with claimed(path.parent, {"steps": 1}):
        pass


READERS: dict[str, Callable[[Path], object]] = {
    "answers": lambda path: find_answers([path], 3),
    "pack": _read_pack,
    "recipe": lambda path: load_recipe(str(path)),
    "calibration": load_calibration,
    "results to correct": lambda path: correct_results(path, None),  # type: ignore[arg-type]
    "results to report": read_run_results,
    "record": lambda path: read_record(path, "`skillmix train`"),
    "samples": lambda path: list(read_samples(path, path)),
    "rows": lambda path: list(read_rows(path)),
    "prices": _read_price,
    "store": _read_store,
    "claim": _claim,
    "text to mix": lambda path: Mix(path, 0.5).check(),
}


@pytest.mark.parametrize(
    ("reader", "place"),
    # Pre-training text may have any size, and is not read by us.
    [
        (reader, place)
        for reader in READERS
        for place in PLACES
        if reader != "text to mix" or place in ("fifo", "socket", "device", "folder")
    ],
)
@pytest.mark.slow
def test_what_is_no_file_of_its_kind_is_one_sentence(tmp_path: Path, reader: str, place: str):
    path = tmp_path / "given.jsonl"
    PLACES[place](path)
    with pytest.raises(UserError, match=r"^.{10,600}$"):
        READERS[reader](path)


def test_a_folder_with_a_pipe_that_is_named_like_results_is_reported_without_it(tmp_path: Path):
    _fifo(tmp_path / "results_2026-01-01T00-00-00.000000.json")
    with pytest.raises(UserError):
        find_results([str(tmp_path)])


def test_a_csv_file_is_read_up_to_a_cell_without_measure(tmp_path: Path):
    path = tmp_path / "records.csv"
    path.write_text("a,b\n1,2\n" + "x" * 1_000_000 + ",3\n")
    rows, fault = read_table(path)
    assert rows == [{"a": "1", "b": "2"}]
    assert fault is not None
    assert "after row 1" in fault


def test_a_pipe_in_the_place_of_a_csv_file_is_a_fault(tmp_path: Path):
    _fifo(tmp_path / "records.csv")
    assert read_table(tmp_path / "records.csv") == ([], "it cannot be read (it is a named pipe and not a file)")


def test_a_line_is_read_up_to_the_limit(tmp_path: Path):
    path = tmp_path / "lines"
    path.write_bytes(b"abc\n" * 2 + b"x" * 11 + b"\n")
    with open_file(path) as file, pytest.raises(OSError, match="longer than"):
        list(read_lines(file, 10))
    with open_file(path) as file:
        assert len(list(read_lines(file, 12))) == 3


@pytest.mark.parametrize("length", [2**60, 2**64 - 1, 2**40])
def test_a_weights_file_with_a_header_without_measure_is_searched(tmp_path: Path, length: int):
    path = tmp_path / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b'{"__metadata__": {"key": "hf_' + b"a" * 34 + b'"}}')
    assert find_key(path, "model.safetensors") == "a Hugging Face token"


def test_one_text_a_million_times_in_a_small_file_of_items_is_refused(tmp_path: Path):
    path = tmp_path / "items.parquet"
    skills = [[{"id": "x" * 1_200_000}]] * 20
    pq.write_table(pa.table({"hash": ["h"] * 20, "skills": skills, "topic": [{"id": "t"}] * 20}), path)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(UserError, match="items of more than"):
        _rows(path, 20)


def test_a_file_of_items_that_is_no_parquet_is_one_sentence(tmp_path: Path):
    path = tmp_path / "items.parquet"
    path.write_bytes(b"PAR1" + b"\xff" * 100 + b"PAR1")
    with pytest.raises(UserError, match="cannot be read"):
        _rows(path, 1)


# -- YAML and JSON

YAML = {
    "billion laughs": "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
    "merged laughs": "a0: &a0 {x: 1, y: 2}\n"
    + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40)),
    "alias of itself": "a: &a [*a]\n",
    "deep lists": "[" * 1000,
    "deep mappings": "{a: " * 2000,
    "deep indentation": "\n".join(f"{' ' * depth}a:" for depth in range(2000)),
    "too large": "a: " + "x" * 3_000_000,
    "digits": "a: " + "9" * 5000,
    "empty integer": 'a: !!int ""',
    "no time": "a: !!timestamp soon",
    "no date": "a: 2026-02-31",
    "no truth": "a: !!bool perhaps",
    "a Python object": "a: !!python/object/apply:os.getcwd []",
    "a control character": "a: \x00",
    "key that is a list": "? [a]\n: 1",
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_without_measure_or_sense_is_one_line(name: str):
    with pytest.raises(ValueError, match=r"^.{3,300}$"):
        load_yaml(YAML[name])


def test_aliases_are_read():
    assert load_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n") == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 1, "y": 2},
    }


@pytest.mark.parametrize("name", ["billion laughs", "deep lists", "digits", "too large", "no time"])
def test_a_pack_of_such_yaml_is_one_sentence(tmp_path: Path, name: str):
    (tmp_path / "pack.yaml").write_text(YAML[name])
    with pytest.raises(UserError, match=r"pack\.yaml (is not valid YAML|cannot be read)"):
        read_pack(tmp_path)


@pytest.mark.parametrize("name", ["billion laughs", "deep lists", "digits", "empty integer"])
def test_a_recipe_of_such_yaml_is_one_sentence(tmp_path: Path, name: str):
    path = tmp_path / "recipe.yaml"
    path.write_text(YAML[name])
    with pytest.raises(UserError, match="cannot be read"):
        load_recipe(str(path))


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 101 + "1" + "}" * 101, "\ud800", "{"])
def test_json_without_measure_is_a_value_error(value: str):
    with pytest.raises(ValueError, match=r"."):
        load_json(value)


def test_an_integer_without_measure_spoils_no_json_around_it():
    assert load_json('{"a": "paid", "b": ' + "9" * 5000 + "}") == {"a": "paid", "b": math.inf}


def test_json_of_usual_depth_is_read():
    assert load_json('{"a": ' * 20 + "1" + "}" * 20)


# -- numbers and texts


@pytest.mark.parametrize(("key", "value"), [("items", 10**12), ("items", 200_001), ("concurrency", 10**9)])
def test_settings_without_measure_are_refused(key: str, value: int):
    with pytest.raises(UserError, match=f"'{key}'"):
        read_settings({"skillmix": {key: value}})


def test_so_many_items_are_refused_wherever_they_are_asked_for():
    with pytest.raises(UserError, match="are too many: set at most 200,000"):
        sample_items(load_pack("language"), task="skillmix_k4", k=4, split="all", seed=0, number=10**12)


def test_so_many_requests_in_flight_are_refused(tmp_path: Path):
    judge = resolve_judge("judge-1", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match="are too many: 10,000 are the most"):
        Grader(judge, tmp_path / "v.sqlite", concurrency=10**9)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Rain fell. " * 10_000_000, f"the reply is cut after {MOST_TEXT:,} characters"),
        ("x" * 100_000_000, f"the reply is cut after {MOST_TEXT:,} characters"),
        ("Answer: " + "Rain fell. " * 9_000 + "Explanation: rain.", f"longer than {MOST_ANSWER:,} characters"),
    ],
)
@pytest.mark.slow
def test_a_student_s_text_without_measure_is_cut_and_not_judged(text: str, reason: str):
    pack = load_pack("language")
    [item] = sample_items(pack, task="skillmix_k2", k=2, split="all", seed=0, number=1)
    reply = clean(text)
    assert len(reply) <= MOST_TEXT + 60
    started = time.process_time()
    checked = check_reply(item, reply, [render(pack, "turn1", item)])
    assert checked.void == reason
    assert is_cut(checked.extraction.text)
    assert len(checked.extraction.text) <= MOST_ANSWER + 60
    assert time.process_time() - started < 20


def test_a_long_reasoning_does_not_count_as_the_answer():
    pack = load_pack("language")
    [item] = sample_items(pack, task="skillmix_k2", k=2, split="all", seed=0, number=1)
    reply = "<think>" + "Let me see. " * 60_000 + "</think>Answer: Rain fell on the old drum. Explanation: rain."
    checked = check_reply(item, clean(reply), [render(pack, "turn1", item)])
    assert checked.void is None
    assert checked.extraction.text == "Rain fell on the old drum."


def test_what_is_cut_says_so():
    assert cut("abc", 3) == "abc"
    assert cut("abcdef" * 1000, 3) == "abc [cut: 5,997 more characters]"
    assert is_cut(cut("abcdef" * 1000, 3))
    assert not is_cut("He said [cut: no more characters]")
