from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grading import UserError
from skillmix_tasks.items.draw import Item, make_item, sample_items
from skillmix_tasks.items.pack import bundled_packs
from tests.skillmix_tasks.running import environment, run
from tests.training.making import PACK, row_of, write_rows
from training.data.dataset import build_dataset
from training.data.leakage import HELDOUT_SKILL, HELDOUT_SKILL_ALONE, HELDOUT_TOPIC, TASK_ITEM, check_leaks
from training.data.rows import FEATURES, Row, rows_file

pytestmark = pytest.mark.slow

SKILLS = {skill.id: skill for skill in PACK.skills}
TOPICS = {topic.id: topic for topic in PACK.topics}


def item(skills: list[str], topic: str) -> Item:
    return make_item(PACK, "all", [SKILLS[name] for name in skills], TOPICS[topic])


def task_item(task: str, k: int, split: str, number: int, seed: int = 0) -> Item:
    """An item of a task that breaks no split, with its skills the other way round."""
    drawn = sample_items(PACK, task=task, k=k, split=split, seed=seed, number=number)  # type: ignore[arg-type]
    return make_item(PACK, "all", drawn[-1].skills[::-1], drawn[-1].topic)


TOPIC_LEAK = item(["metaphor", "simile"], "astrology")
SKILL_LEAK = item(["metaphor", "modus-ponens"], "alchemy")
SKILL_ALONE = item(["modus-ponens"], "alchemy")
ITEM_LEAK = task_item("skillmix_train_k2", 2, "train", 123)


def plant(folder: Path, *planted: Item, parquet: str | None = None) -> None:
    """A clean data set with planted rows: in the files of rows, or only in one Parquet file."""
    write_rows(folder, {1: 30, 2: 30, 3: 30})
    rows = [row_of(one) for one in planted]
    if parquet is None:
        for row in rows:
            with rows_file(folder, row.k).open("a", encoding="utf-8") as file:
                file.write(row.line())
    build_dataset(folder)
    if parquet:
        for path in folder.glob("rows_k*.jsonl"):
            path.unlink()
        path = folder / "data" / parquet / "train-00000-of-00001.parquet"
        table = pa.Table.from_pylist([row.record() for row in rows], schema=FEATURES.arrow_schema)
        pq.write_table(pa.concat_tables([pq.read_table(path), table]), path)


def test_a_clean_data_set_does_not_leak(tmp_path: Path):
    plant(tmp_path)
    found = check_leaks(tmp_path)
    assert not found.leaks
    assert found.rows == 90  # each once, though it is in three configs and a file of rows
    assert len(found.tasks) == 30
    assert found.counts.keys() <= {HELDOUT_SKILL_ALONE}
    assert found.counts[HELDOUT_SKILL_ALONE] > 5  # k = 1 is over all skills


@pytest.mark.parametrize("parquet", [None, "k1-2-3"])
@pytest.mark.parametrize(
    ("planted", "kind", "what"),
    [
        (TOPIC_LEAK, HELDOUT_TOPIC, "astrology"),
        (SKILL_LEAK, HELDOUT_SKILL, "modus-ponens"),
        (ITEM_LEAK, TASK_ITEM, "skillmix_train_k2"),
        (item(["metaphor"], "astrology"), HELDOUT_TOPIC, "astrology"),
        (task_item("skillmix_train_k1", 1, "train", 300), TASK_ITEM, "skillmix_train_k1"),
    ],
)
def test_one_planted_leak_is_found(tmp_path: Path, planted: Item, kind: str, what: str, parquet: str | None):
    plant(tmp_path, planted, parquet=parquet)
    found = check_leaks(tmp_path)
    assert found.leaks
    assert found.rows == 91
    assert found.first[kind] == [(planted.id, what)]
    assert [kind for kind in found.counts if kind != HELDOUT_SKILL_ALONE] == [kind]


def test_a_held_out_skill_alone_is_reported_and_not_refused(tmp_path: Path):
    plant(tmp_path)
    before = check_leaks(tmp_path).counts[HELDOUT_SKILL_ALONE]
    plant(tmp_path, SKILL_ALONE)
    found = check_leaks(tmp_path)
    assert not found.leaks
    assert found.counts[HELDOUT_SKILL_ALONE] == before + 1


def test_a_task_with_settings_of_its_own(tmp_path: Path):
    plant(
        tmp_path, task_item("skillmix_train_k2", 2, "train", 350), task_item("skillmix_train_k2", 2, "train", 9, 5)
    )
    assert not check_leaks(tmp_path, tasks=["skillmix_train_k2"]).leaks
    assert check_leaks(tmp_path, tasks=["skillmix_train_k2"], items=400).counts[TASK_ITEM] == 1
    assert check_leaks(tmp_path, tasks=["skillmix_train"], seed=5, items=10).counts[TASK_ITEM] == 1
    assert not check_leaks(tmp_path, tasks=["skillmix_k2"], items=400).leaks
    with pytest.raises(UserError, match="no task 'skillmix_k77'"):
        check_leaks(tmp_path, tasks=["skillmix_k77"])


def test_only_the_first_of_many_are_shown(tmp_path: Path):
    skills = [skill.id for skill in PACK.skills_of("train")][:9]
    plant(tmp_path, *(item([skill], "astrology") for skill in skills))
    found = check_leaks(tmp_path)
    assert found.counts[HELDOUT_TOPIC] == 9
    assert len(found.first[HELDOUT_TOPIC]) == 5


def test_pre_training_text_is_counted_apart(tmp_path: Path):
    plant(tmp_path, parquet="k2")
    path = tmp_path / "data" / "k2" / "train-00000-of-00001.parquet"
    pq.write_table(
        pa.Table.from_pylist([Row.of_text(text).record() for text in "abc"], schema=FEATURES.arrow_schema), path
    )
    assert check_leaks(tmp_path).mixed == 3


def test_the_command(tmp_path: Path):
    plant(tmp_path / "clean")
    plant(tmp_path / "leaking", TOPIC_LEAK, SKILL_LEAK, ITEM_LEAK)
    env = environment(tmp_path)
    done = run("skillmix", "leaks", "clean", env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "No leak."), done.stderr
    done = run("skillmix", "leaks", "leaking", "--json", env=env, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["leaks"] is True
    assert {kind: report["found"][kind] for kind in (HELDOUT_TOPIC, HELDOUT_SKILL, TASK_ITEM)} == {
        HELDOUT_TOPIC: 1,
        HELDOUT_SKILL: 1,
        TASK_ITEM: 1,
    }
    done = run("skillmix", "leaks", "leaking", "--task", "skillmix_public", env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert f"    {TOPIC_LEAK.id}: astrology" in done.stdout.splitlines()
    assert "item of a task: 0 rows" in done.stdout


def test_what_cannot_be_checked(tmp_path: Path):
    env = environment(tmp_path)
    done = run("skillmix", "leaks", "nothing", env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "Error: There is no folder nothing: name the directory of a data set.\n"
    pq.write_table(pa.table({"id": ["a"], "text": ["b"]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"has no column pack, skills, source, topic"):
        check_leaks(tmp_path)
    (tmp_path / "other.parquet").write_text("no table")
    with pytest.raises(UserError, match=r"other.parquet cannot be read"):
        check_leaks(tmp_path)


def test_rows_of_another_pack(tmp_path: Path):
    plant(tmp_path)
    with pytest.raises(
        UserError, match=r"was made with the pack 'language' and has .* the pack 'planning' does not have"
    ):
        check_leaks(tmp_path, pack="planning")
    for path in tmp_path.glob("rows_k*.jsonl"):
        path.write_text(path.read_text().replace('"pack":"language"', '"pack":"own"'))
    build_dataset(tmp_path)
    with pytest.raises(UserError, match="made with a pack 'own': name its directory with --pack"):
        check_leaks(tmp_path)
    own = tmp_path / "own"
    for source in bundled_packs()["language"].rglob("*"):
        if source.is_file():
            target = own / source.relative_to(bundled_packs()["language"])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text().replace("id: language", "id: own"))
    found = check_leaks(tmp_path, pack=str(own), tasks=["skillmix_heldout"])
    assert (found.leaks, found.rows) == (False, 90)
    # The items of a task hang on the pack's id, so rows that were drawn for another pack may hold some.
    assert check_leaks(tmp_path, pack=str(own)).counts[TASK_ITEM] > 0
