"""`skillmix pack new`: a small pack that is complete, and runs in eval and generate as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grading import UserError
from skillmix_tasks.checks.sentences import sentence_counts
from skillmix_tasks.items.loading import load_pack, new_pack
from skillmix_tasks.items.pack import bundled_packs
from skillmix_tasks.pack_check import counts, findings
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment, metadata, read_output, run, student_arguments

ROOT = Path(__file__).parents[1]


def test_a_new_pack_has_nothing_to_look_at(tmp_path: Path):
    assert new_pack(tmp_path / "mine") == "mine"
    pack = load_pack(str(tmp_path / "mine"))
    assert pack.about.id == "mine"
    assert findings(pack) == []
    assert (counts(pack)["skills"], counts(pack)["topics"], counts(pack)["controls"]) == (14, 24, 4)
    assert {control.kind for control in pack.controls} == {"good", "bad", "empty", "off_topic"}
    for skill in pack.skills:
        assert sentence_counts(skill.example).count == 1, skill.id
    assert pack.about.id not in bundled_packs()
    page = " ".join((ROOT / "docs" / "packs.md").read_text(encoding="utf-8").split())
    cells = [pack.combinations([one.id for one in pack.skills_of("train")], k) * 16 for k in (2, 3)]
    assert f"has {cells[0]} train cells with k = 2, {cells[1]:,} with k = 3, and {14 * 24} in all" in page
    with pytest.raises(UserError, match="exists: name a new folder"):
        new_pack(tmp_path / "mine")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written to"):
        new_pack(tmp_path / "file" / "mine")


@pytest.mark.parametrize(
    ("folder", "name"), [("My Café_2", "my-cafe-2"), ("2026", "2026"), ("null", "null"), ("a.b", "a-b")]
)
def test_a_new_pack_has_the_id_of_its_folder(folder: str, name: str, tmp_path: Path):
    assert new_pack(tmp_path / folder) == name == load_pack(str(tmp_path / folder)).about.id


def test_a_topic_may_be_held_out_in_either_spelling(tmp_path: Path):
    new_pack(tmp_path / "mine")
    before = load_pack(str(tmp_path / "mine"))
    topics = tmp_path / "mine" / "topics.yaml"
    topics.write_text(topics.read_text(encoding="utf-8").replace("heldout", "held-out"), encoding="utf-8")
    assert "held-out" in topics.read_text(encoding="utf-8")
    assert load_pack(str(tmp_path / "mine")) == before


@pytest.mark.parametrize(
    ("folder", "said"), [("...", "no letter"), ("язык", "no letter"), ("Language", "is a bundled")]
)
def test_a_folder_that_gives_no_id_is_refused(folder: str, said: str, tmp_path: Path):
    with pytest.raises(UserError, match=said):
        new_pack(tmp_path / folder)
    assert not (tmp_path / folder).exists()


@pytest.mark.slow
def test_a_new_pack_runs_in_eval_and_generate(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(
        models=["student-1", "judge-1"], student="one sentence", whole={"4": 1.0, "5": 1.0}, n="honour"
    )
    env = environment(
        tmp_path / "home",
        SKILLMIX_JUDGE_MODEL="judge-1",
        SKILLMIX_JUDGE_BASE_URL=chat_server.base_url,
        SKILLMIX_TEACHER_MODEL="student-1",
        SKILLMIX_TEACHER_BASE_URL=chat_server.base_url,
    )
    made = run("skillmix", "pack", "new", "mine", env=env, cwd=tmp_path)
    assert (made.returncode, "skillmix pack check mine" in made.stdout) == (0, True), made.stderr
    other = run("skillmix", "pack", "new", "other", "--json", env=env, cwd=tmp_path)
    assert json.loads(other.stdout) == {"pack": "other", "id": "other"}
    checked = run("skillmix", "pack", "check", "mine", "--json", env=env, cwd=tmp_path)
    assert json.loads(checked.stdout)["findings"] == []
    done = run(
        *("skillmix", "eval", *student_arguments(chat_server.url)),
        *("--tasks", "skillmix_heldout_k2,skillmix_k3", "--apply_chat_template", "--limit", "2", "--log_samples"),
        *("--output_path", "out", *metadata(pack="mine", controls=True)),
        env=env,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    output = read_output(tmp_path / "out")
    for task in ("skillmix_heldout_k2", "skillmix_k3"):
        record = output.results["configs"][task]["metadata"]["skillmix"]
        assert record["pack"]["id"] == "mine"
        assert record["controls"]["of"] == 4
        assert len(output.samples[task]) == 2
    texts = run(
        *("skillmix", "generate", "--pack", "mine", "--k", "2,3", "--accept", "3", "--out", "texts"),
        env=env,
        cwd=tmp_path,
    )
    assert texts.returncode == 0, texts.stderr
    assert "k2-3" in texts.stdout
