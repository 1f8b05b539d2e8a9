"""What release 0.1.0 wrote is still read. Files of a release are added here when it is made, and never changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from grading.store.replies import VerdictStore
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment, run
from training.data.rows import read_rows

OLD = Path(__file__).parent / "0.1.0"


@pytest.mark.slow
def test_old_answers_are_graded_again(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(models=["judge-1"], earn=1.0)
    judge = ("--judge", "judge-1", "--judge-base-url", chat_server.base_url)
    shutil.copy(OLD / "verdicts.sqlite", tmp_path)
    answers = sorted((OLD / "answers").iterdir())
    done = run("skillmix", "grade", *answers, *judge, "--json", env=environment(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert set(results["results"]) == {"skillmix_k2", "skillmix_k3"}
    for config in results["configs"].values():  # so that no ranking takes them for results of the pack of today
        assert config["metadata"]["skillmix"]["pack"]["version"] == "1.0"


@pytest.mark.slow
def test_old_samples_are_graded_again(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(models=["judge-1"], earn=1.0)
    judge = ("--judge", "judge-1", "--judge-base-url", chat_server.base_url)
    samples = sorted((OLD / "results").rglob("samples_*.jsonl"))
    done = run("skillmix", "grade", *samples, *judge, "--json", env=environment(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_old_results_are_reported_with_their_version(tmp_path: Path):
    done = run("skillmix", "report", OLD / "results", "-o", "report", env=environment(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1.0" in (tmp_path / "report" / "index.html").read_text()


def test_the_old_store_is_read(tmp_path: Path):
    store = VerdictStore(Path(shutil.copy(OLD / "verdicts.sqlite", tmp_path)))
    judges = store.summarise()
    store.close()
    assert sum(one.votes for one in judges) == 36 + 42 + 60  # the run's, the data set's, and its teacher's texts


def test_the_rows_of_an_old_data_set_are_read():
    assert len(list(read_rows(OLD / "data" / "rows_k1.jsonl"))) == 3
