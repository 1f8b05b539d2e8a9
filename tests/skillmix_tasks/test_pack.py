from __future__ import annotations

import csv
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from grading import UserError
from grading.protocol.prompt import build_messages
from skillmix_tasks.checks.sentences import sentence_counts
from skillmix_tasks.cli import app
from skillmix_tasks.harness.task_files import bundled_tasks
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.licenses import known_license
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import PROMPTS, bundled_packs
from skillmix_tasks.items.prompts import render
from skillmix_tasks.pack_check import counts, findings, items_by_task
from skillmix_tasks.scoring.rubric import grading_request

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
RELEASED = 10
PAPER = 12  # further skills that the papers name

# What no prompt says: the words of older drafts.
UNPLAIN = re.compile(
    r"\b(?:at the most|behind \"|mend|mending|goes? on with|is none|for ever|all the same|asks for|stands in"
    r"|stands between|takes away|takes? none away|in the place of|by hand of|is told|tells)\b",
    re.IGNORECASE,
)
ABOUT = {
    "id": "own",
    "title": "Own",
    "version": "1",
    "license": "CC0-1.0",
    "train_categories": ["a"],
    "heldout_categories": ["b"],
}
SKILLS = [
    {
        "id": f"skill-{letter}",
        "name": f"skill {letter}",
        "category": "ab"[number % 2],
        "definition": f"A text does what {letter} does.",
        "example": f"One day {letter.upper()} came home.",
    }
    for number, letter in enumerate("uvwxyz")
]
TOPICS = [
    {"id": name, "name": name.title(), "split": split}
    for name, split in (("rain", "train"), ("wind", "train"), ("snow", "heldout"))
]


@pytest.fixture
def own_pack(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, data in (("pack", ABOUT), ("skills", SKILLS), ("topics", TOPICS)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))
    return folder


class TestLicense:
    def test_one_that_the_hub_does_not_know_is_refused_with_what_to_type(self, own_pack: Path):
        (own_pack / "pack.yaml").write_text(yaml.safe_dump(ABOUT | {"license": "CC-BY 4"}))
        done = CliRunner().invoke(app, ["pack", "check", str(own_pack)])
        assert isinstance(done.exception, UserError)
        assert "The Hub does not know the license 'CC-BY 4': write `license: cc-by-4.0`" in str(done.exception)
        (own_pack / "pack.yaml").write_text(yaml.safe_dump(ABOUT | {"license": "All mine", "private": True}))
        load_pack.cache_clear()
        assert CliRunner().invoke(app, ["pack", "check", str(own_pack)]).exit_code == 0  # it is never pushed

    def test_those_of_the_bundled_packs_are_known(self):
        for name in bundled_packs():
            assert known_license(load_pack(name).about.license, "") == "cc-by-4.0"
        assert known_license("CC0-1.0", "") == "cc0-1.0"


class TestBundled:
    def test_the_language_pack_is_complete(self):
        pack = load_pack("language")
        assert counts(pack) == {
            "skills": 101,
            "train skills": 53,
            "held-out skills": 48,
            "common skills": 16,
            "topics": 100,
            "train topics": 50,
            "held-out topics": 50,
            "controls": 12,
        }
        assert len({skill.category for skill in pack.skills}) == 8
        sources = [skill.source for skill in pack.skills]
        assert (sources.count("released"), sources.count("paper")) == (RELEASED, PAPER)
        sources = [topic.source for topic in pack.topics]
        assert (sources.count("released"), sources.count("paper")) == (10, 2)

    def test_the_planning_pack_is_complete(self):
        pack = load_pack("planning")
        found = counts(pack)
        assert (found["skills"], found["topics"], found["controls"]) == (30, 60, 12)
        assert min(found["train skills"], found["held-out skills"]) >= 12

    @pytest.mark.parametrize("name", sorted(bundled_packs()))
    def test_nothing_is_left_to_look_at(self, name: str):
        pack = load_pack(name)
        assert findings(pack) == []
        assert all(skill.wikipedia for skill in pack.skills)
        for skill in pack.skills:
            assert len(skill.example.split()) <= 45

    @pytest.mark.parametrize("name", sorted(bundled_packs()))
    def test_every_example_is_one_sentence(self, name: str):
        for skill in load_pack(name).skills:
            counted = sentence_counts(skill.example)
            assert (counted.count, counted.sentencex, counted.nupunkt) == (1, 1, 1), skill.id

    @pytest.mark.parametrize("task", sorted(bundled_tasks()))
    def test_no_item_of_a_task_holds_skills_that_exclude_each_other(self, task: str):
        spec = bundled_tasks()[task]
        pack = load_pack(spec.pack)
        items = sample_items(pack, task=task, k=spec.k, split=spec.split, seed=0, number=300)
        for item in items:
            held = {skill.id for skill in item.skills}
            assert len(held) == spec.k
            assert all(len(held & set(group)) <= 1 for group in pack.about.exclusive), item.id
        first = sample_items(pack, task=task, k=spec.k, split=spec.split, seed=0, number=100)
        assert [item.id for item in items[:100]] == [item.id for item in first]

    @pytest.mark.parametrize("name", sorted(bundled_packs()))
    @pytest.mark.parametrize("k", range(1, 9))
    def test_prompts_are_plain_english(self, name: str, k: int):
        pack = load_pack(name)
        for item in sample_items(pack, task=f"{name}-{k}", k=k, split="all", seed=0, number=40):
            prompts = [render(pack, prompt, item) for prompt in PROMPTS]
            prompts += [
                message["content"] for message in build_messages(grading_request(pack, item, "It rained."))
            ]
            for prompt in prompts:
                assert not UNPLAIN.search(prompt), UNPLAIN.search(prompt)
            if k == 1:
                own = item.skills[0].definition, item.skills[0].example
                for prompt in prompts[: len(PROMPTS)]:
                    rest = prompt.replace(own[0], "").replace(own[1], "")
                    assert not re.search(r"\b(?:several|these skills|each skill|every skill)\b", rest), prompt

    @pytest.mark.parametrize("name", sorted(bundled_packs()))
    def test_topics_are_split_by_the_stated_seed(self, name: str):
        topics = load_pack(name).topics
        order = sorted(
            topics, key=lambda t: hashlib.sha256(f"skillmix/{name}/topics:2026:{t.id}".encode()).hexdigest()
        )
        half = len(topics) // 2
        assert [topic.split for topic in order] == ["train"] * half + ["heldout"] * half

    @pytest.mark.skipif(
        not REFERENCE.is_dir(),
        reason="no reference data: put the reference implementation's files into ../shared/reference",
    )
    def test_the_released_names_are_in_and_no_text_is(self):
        ours, theirs = load_pack("language"), load_pack(str(REFERENCE))
        released = {skill.name for skill in ours.skills if skill.source == "released"}
        assert released == {" ".join(skill.name.replace(" )", ")").split()) for skill in theirs.skills}
        assert {t.name for t in ours.topics if t.source == "released"} == {t.name for t in theirs.topics}
        their_texts = " ".join(f"{s.definition} {s.example}" for s in theirs.skills).lower().split()
        runs = {tuple(their_texts[i : i + 5]) for i in range(len(their_texts))}
        for skill in ours.skills:
            for text in (skill.definition, skill.example):
                words = text.lower().split()
                assert not runs & {tuple(words[i : i + 5]) for i in range(len(words) - 4)}, skill.id


class TestOwn:
    def test_a_task_that_no_skills_go_together_for_is_left_out(self, own_pack: Path):
        skills = [skill.id for skill in load_pack(str(own_pack)).skills]
        assert "skillmix_k2" in items_by_task(load_pack(str(own_pack)))
        load_pack.cache_clear()
        (own_pack / "pack.yaml").write_text(yaml.safe_dump(ABOUT | {"exclusive": [skills]}))
        done = CliRunner().invoke(app, ["pack", "check", str(own_pack)])
        assert done.exit_code == 0, done.exception
        assert "skillmix_k1" in done.stdout
        assert "skillmix_k2" not in done.stdout

    def test_all_faults_are_said_at_once(self, own_pack: Path):
        (own_pack / "pack.yaml").write_text(yaml.safe_dump(ABOUT | {"version": 1.0, "title": ""}))
        topics = [{"id": f"t{number}", "name": f"topic {number}", "split": "tain"} for number in range(7)]
        (own_pack / "topics.yaml").write_text(yaml.safe_dump(topics))
        done = CliRunner().invoke(app, ["pack", "check", str(own_pack)])
        assert isinstance(done.exception, UserError)
        about, *entries, more = str(done.exception).splitlines()
        assert "field 'version': text is expected, not 1.0" in about
        assert "field 'title': the text is too short" in about
        assert [line.partition("topics.yaml: ")[2][:7] for line in entries] == [
            f"entry {n}" for n in (1, 2, 3, 4, 5)
        ]
        assert more == "And 2 more."

    def test_yaml_and_csv_give_the_same_pack(self, own_pack: Path, tmp_path: Path):
        (own_pack / "skills.yaml").write_text(
            yaml.safe_dump([SKILLS[0] | {"aliases": ["u one", "u two"]}, *SKILLS[1:]])
        )
        other = tmp_path / "csv"
        other.mkdir()
        (other / "pack.yaml").write_text(yaml.safe_dump(ABOUT))
        for name, rows in (("skills", [SKILLS[0] | {"aliases": "u one; u two"}, *SKILLS[1:]]), ("topics", TOPICS)):
            with (other / f"{name}.csv").open("w", newline="", encoding="utf-8-sig") as file:
                writer = csv.DictWriter(file, rows[0].keys(), restval="")
                writer.writeheader()
                writer.writerows(rows)
        assert load_pack(str(own_pack)) == load_pack(str(other))
        assert load_pack(str(own_pack)).hash != load_pack("language").hash

    def test_controls_change_the_hash_and_no_item(self, own_pack: Path, tmp_path: Path):
        other = tmp_path / "other"
        shutil.copytree(own_pack, other)
        control()(other)
        plain, with_controls = load_pack(str(own_pack)), load_pack(str(other))
        assert with_controls.controls[0].text == "Rain fell."
        assert plain.hash != with_controls.hash
        items = [sample_items(p, task="t", k=1, split="all", seed=0, number=3) for p in (plain, with_controls)]
        assert items[0] == items[1]

    def test_a_good_control_that_code_marks_down_is_to_be_looked_at(self, own_pack: Path):
        before = findings(load_pack(str(own_pack)))
        load_pack.cache_clear()
        control(text="Rain fell. It fell again, a fine case of Skill U.")(own_pack)
        found = [finding for finding in findings(load_pack(str(own_pack))) if finding not in before]
        assert len(found) == 2
        assert all("good-rain: a good control that code would take the point" in finding for finding in found)

    def test_a_reworded_definition_changes_the_hash_and_no_item(self, own_pack: Path, tmp_path: Path):
        changed = tmp_path / "changed"
        changed.mkdir()
        for file in own_pack.iterdir():
            (changed / file.name).write_text(file.read_text())
        (changed / "skills.yaml").write_text(yaml.safe_dump([SKILLS[0] | {"definition": "New."}, *SKILLS[1:]]))
        packs = [load_pack(str(folder)) for folder in (own_pack, changed)]
        items = [sample_items(p, task="t", k=2, split="all", seed=0, number=45) for p in packs]
        assert [item.id for item in items[0]] == [item.id for item in items[1]]
        differ = [a.hash != b.hash for a, b in zip(*items, strict=True)]
        assert differ == ["skill-u" in [s.id for s in item.skills] for item in items[0]]
        assert packs[0].hash != packs[1].hash


def edit(name: str, change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: change(folder / name)


def write(data: object) -> Callable[[Path], object]:
    return lambda path: path.write_text(yaml.safe_dump(data))


CONTROL = {
    "id": "good-rain",
    "kind": "good",
    "skills": ["skill-u"],
    "topic": "rain",
    "text": "Rain fell.",
    "earned": ["s1", "topic", "sense"],
}


def control(**changes: object) -> Callable[[Path], object]:
    return edit("controls.yaml", write([CONTROL | changes]))


BROKEN = {
    "a control of no skill": (control(skills=["x"]), r"controls\.yaml: good-rain names the skill 'x'"),
    "a control of no topic": (control(topic="x"), r"controls\.yaml: good-rain names the topic 'x'"),
    "a control of no kind": (control(kind="fine"), r"controls\.yaml: entry 1 \(good-rain\), field 'kind'"),
    "a control with a point too many": (control(earned=["s1", "s2"]), r"there is no point s2"),
    "a good control that loses a point": (control(earned=["s1", "topic"]), r"a good control earns every point"),
    "a good control without a text": (control(text=" "), r"only the text of an empty control"),
    "a bad control that shows a skill": (control(kind="bad"), r"a bad control earns no skill"),
    "an empty control with a text": (control(kind="empty", earned=[]), r"an empty control has no letters"),
    "an empty control that earns": (control(kind="empty", text="..."), r"and earns nothing"),
    "an off_topic control on its topic": (control(kind="off_topic"), r"does not earn the topic"),
    "a control twice": (
        edit("controls.yaml", write([CONTROL, CONTROL])),
        r"controls\.yaml: the id 'good-rain' appears twice",
    ),
    "no controls": (edit("controls.yaml", lambda path: path.write_text("")), r"holds no control answers"),
    "a missing field": (
        edit("skills.yaml", write([{k: v for k, v in SKILLS[0].items() if k != "definition"}])),
        r"skills\.yaml: entry 1 \(skill-u\), field 'definition': it is missing",
    ),
    "a duplicate id": (edit("skills.yaml", write([*SKILLS, SKILLS[0]])), r"the id 'skill-u' appears twice"),
    "a duplicate name": (
        edit("topics.yaml", write([*TOPICS, TOPICS[0] | {"id": "rain-2", "name": "RAIN"}])),
        r"topics\.yaml: the name 'RAIN' appears twice",
    ),
    "an unknown category": (
        edit("skills.yaml", write([SKILLS[0] | {"category": "c"}])),
        r"skill 'skill-u' has the category 'c'",
    ),
    "a wrong encoding": (
        edit("topics.yaml", lambda path: path.write_bytes("- id: café".encode("latin-1"))),
        r"topics\.yaml is not UTF-8 text",
    ),
    "an empty file": (edit("topics.yaml", lambda path: path.write_text("")), r"topics\.yaml holds no entries"),
    "topics without split": (
        edit("topics.yaml", write([{"id": "rain", "name": "Rain"}])),
        r"topics\.yaml: entry 1 \(rain\), field 'split': it is missing",
    ),
    "a missing file": (
        edit("skills.yaml", lambda path: path.rename(path.with_suffix(".old"))),
        r"lacks the file .*skills\.yaml",
    ),
    "not YAML": (edit("pack.yaml", lambda path: path.write_text("id: [")), r"pack\.yaml is not valid YAML"),
    "a misspelt field": (
        edit("skills.yaml", write([SKILLS[0] | {"defintion": "x"}])),
        r"field 'defintion': nothing reads a field of this name",
    ),
    "an id with a space": (edit("pack.yaml", write(ABOUT | {"id": "my pack"})), r"pack\.yaml: field 'id'"),
    "a category on both sides": (
        edit("pack.yaml", write(ABOUT | {"heldout_categories": ["a", "b"]})),
        r"both train and held-out: a",
    ),
    "an empty example": (
        edit("skills.yaml", write([SKILLS[0] | {"example": "  "}])),
        r"field 'example': the text is too short",
    ),
    "half a folder of prompts": (edit("prompts", Path.mkdir), r"lacks the file .*turn1\.jinja"),
    "a row that is too short": (
        lambda folder: (
            (folder / "topics.yaml").rename(folder / "topics.old"),
            (folder / "topics.csv").write_text("id,name,split\nrain,Rain\n"),
        ),
        r"topics\.csv: entry 1 has another number of cells",
    ),
}


@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_a_broken_pack_gets_one_right_sentence(fault: str, own_pack: Path):
    breaking, sentence = BROKEN[fault]
    breaking(own_pack)
    with pytest.raises(UserError, match=sentence) as error:
        load_pack(str(own_pack))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{{ subject }}", "'subject' is undefined"),
        ("{{ limit + 1 }}", "cannot be filled in"),
        ("Write about {{ topic }}.", "leaves out 'skill u'"),
        ("", "leaves out"),
        ("{% if %}", "not a valid Jinja template"),
    ],
)
def test_a_template_that_cannot_serve_is_found_out_with_the_pack(own_pack: Path, template: str, sentence: str):
    prompts = own_pack / "prompts"
    prompts.mkdir()
    for name in ("turn1", "turn2", "single", "judge"):
        (prompts / f"{name}.jinja").write_text(template)
    with pytest.raises(UserError, match=sentence):
        load_pack(str(own_pack))


@pytest.mark.skipif(
    not REFERENCE.is_dir(),
    reason="no reference data: put the reference implementation's files into ../shared/reference",
)
class TestReference:
    def test_its_prompts_are_used_as_they_stand(self):
        """What we render for the skills and topic of a recorded conversation is what its student was asked."""
        pack = load_pack(str(REFERENCE))
        skills = {" ".join(skill.name.split()): skill for skill in pack.skills}
        topics = {topic.name: topic for topic in pack.topics}
        compared = 0
        for file in sorted(REFERENCE.glob("test/*/*/records.csv")):
            with file.open(encoding="utf-8", newline="") as records:
                for row in csv.DictReader(records):
                    asked = [skills[" ".join(name.split())] for name in row["skills"].split(", \n")]
                    [item] = sample_items(pack, task="t", k=len(asked), split="all", seed=0, number=1)
                    item = type(item)("", "", len(asked), "all", tuple(asked), topics[row["topic"].strip()])
                    for turn in (1, 2):
                        ours = " ".join(render(pack, f"turn{turn}", item).split())
                        assert ours == " ".join(row[f"user_{turn - 1}"].split())
                        compared += 1
        assert compared == 120

    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("skills.csv", "category,skill,definition\nlogical,x,y\n", "nothing under 'example'"),
            ("topics.txt", "\n", "no skills or no topics"),
            ("prompts/generation/default.json", '["one"]', "not a list of two prompts"),
            ("prompts/generation/default.json", '["{nobody}", "x"]', "placeholder {nobody}"),
        ],
    )
    def test_faults_are_one_sentence(self, name: str, content: str, sentence: str, tmp_path: Path):
        for file in ("skills.csv", "topics.txt", "prompts/generation/default.json"):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_bytes((REFERENCE / file).read_bytes())
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=sentence):
            load_pack(str(tmp_path))
