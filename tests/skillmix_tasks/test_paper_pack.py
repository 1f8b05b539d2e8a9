"""`skillmix pack import`: the papers' lists as a pack, from made-up tables in the same form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grading import UserError
from skillmix_tasks.cli import app
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.paper_pack import import_paper_pack
from skillmix_tasks.items.tables import read_tables
from skillmix_tasks.pack_check import findings
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.paper_lists import HELD_OUT, SKILLS, TOPICS, complete, write_csv, write_html, write_latex
from tests.skillmix_tasks.running import MODELS, environment, metadata, read_output, run, student_arguments


def test_csv_html_and_latex_give_the_same_pack(tmp_path: Path):
    import_paper_pack(write_csv(tmp_path), tmp_path / "csv")
    import_paper_pack([write_html(tmp_path / "page.html")], tmp_path / "html")
    import_paper_pack([write_latex(tmp_path / "appendix.tex")], tmp_path / "tex")
    packs = [load_pack(str(tmp_path / name)) for name in ("csv", "html", "tex")]
    assert [(s.category, s.name, s.definition, s.example) for s in packs[0].skills] == SKILLS
    pack = packs[0]
    for other in packs[1:]:
        assert other.skills == pack.skills
        assert sorted(other.topics, key=lambda topic: topic.id) == sorted(pack.topics, key=lambda topic: topic.id)
    assert pack.about.private
    assert {skill.category for skill in pack.skills_of("heldout")} == set(HELD_OUT)
    assert [topic.name for topic in pack.topics_of("train")] == [name for name, side in TOPICS if side == "train"]
    assert sample_items(pack, task="skillmix_heldout_k2", k=2, split="heldout", seed=0, number=20)


def test_the_check_compares_with_the_papers_numbers(tmp_path: Path):
    import_paper_pack(write_csv(tmp_path / "few"), tmp_path / "part")
    part = load_pack(str(tmp_path / "part"))
    assert part.lists == "paper-b-in-part"
    assert "The paper has 101 skills, and this pack has 10." in findings(part)
    sources = write_csv(tmp_path / "all", *complete())
    done = CliRunner().invoke(
        app, ["pack", "import", "paper-b", *map(str, sources), "-o", str(tmp_path / "whole")]
    )
    assert done.exit_code == 0, done.output
    assert "It has as many skills and topics as the paper" in done.output
    assert load_pack(str(tmp_path / "whole")).lists == "paper-b"
    assert not any("The paper has" in finding for finding in findings(load_pack(str(tmp_path / "whole"))))
    shown = CliRunner().invoke(app, ["pack", "check", str(tmp_path / "whole"), "--json"])
    assert json.loads(shown.stdout)["counts"]["train skills"] == 53


def test_released_names_are_recognised(tmp_path: Path):
    rows = [
        ("category", "skill", "definition", "example"),
        *SKILLS,
        ("literary", "Metaphor", "It does.", "He came."),
    ]
    import_paper_pack(write_csv(tmp_path, rows), tmp_path / "out")
    assert [skill.id for skill in load_pack(str(tmp_path / "out")).skills_of("public")] == ["metaphor"]


HEAD = ("category", "skill", "definition", "example")
FAULTS: dict[str, tuple[dict[str, list[tuple[str, ...]]], str]] = {
    "a missing column": (
        {"skills": [("category", "skill", "definition"), *(row[:3] for row in SKILLS)]},
        r"skills\.csv: row 1 has no column 'example'",
    ),
    "an unknown split": (
        {"topics": [("name", "split"), ("Bark boats", "somewhere")]},
        r"topics\.csv: row 2 \(Bark boats\) has the split 'somewhere': write train or held-out",
    ),
    "no topic column": (
        {"topics": [("thing", "split"), ("Bark boats", "train")]},
        r"topics\.csv: row 1 has no column 'topic'",
    ),
    "a doubled skill": (
        {"skills": [HEAD, *SKILLS, SKILLS[2]]},
        r"skills\.csv: row 12 has the skill .*, which .*skills\.csv: row 4 has already",
    ),
    "a topic in both splits": (
        {"topics": [("topic", "split"), *TOPICS, ("bark boats", "held-out")]},
        r"topics\.csv: row 6 has the topic 'bark boats' as held-out, and .* row 2 has it as train",
    ),
    "a doubled topic": ({"topics": [("topic", "split"), *TOPICS, TOPICS[0]]}, r"row 6 has the topic .* already"),
    "an unknown category": (
        {"skills": [HEAD, *SKILLS, ("cooking", "stirring", "It stirs.", "He stirred.")]},
        r"skills\.csv: row 12 \(stirring\) has the unknown category 'cooking': the paper's are literary",
    ),
    "an empty cell": (
        {"skills": [HEAD, ("literary", "stirring", "", "He stirred.")]},
        r"row 2 \(stirring\) has an empty 'definition'",
    ),
    "a name without letters": ({"topics": [("topic", "split"), ("???", "train")]}, r"row 2 has the name '\?\?\?'"),
    "a name too long": (
        {"skills": [HEAD, ("literary", "x " * 20, "It does.", "He came.")]},
        r"skills\.csv: entry 2 .*at most 100 characters and 8 words",
    ),
    "no topics at all": ({"topics": [("colour",), ("red",)]}, r"No table of topics was found"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_faulty_table_gets_one_sentence_with_its_row(fault: str, tmp_path: Path):
    rows, sentence = FAULTS[fault]
    with pytest.raises(UserError, match=sentence) as error:
        import_paper_pack(write_csv(tmp_path, **rows), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_output_that_holds_files_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="is not an empty folder"):
        import_paper_pack(write_csv(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.html", "<table>" * 101, "nested more than 100 deep"),
        ("a.html", "<table><tr>" + '<td colspan="1000">x</td>' * 300, "more than 200,000 cells"),
        ("a.tex", r"\begin{tabular}{l} a & b \\", r"a table without its \\end"),
        ("a.pdf", "x", r"not a \.csv, \.html or \.tex file"),
    ],
)
def test_pages_are_bounded(name: str, text: str, sentence: str, tmp_path: Path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_tables(tmp_path / name)


@pytest.mark.slow
def test_an_imported_pack_is_evaluated_made_texts_of_and_checked_for_leaks(
    chat_server: ChatServer, tmp_path: Path
):
    chat_server.set(models=[*MODELS, "teacher-1"], student="one sentence", earn=1.0)
    env = environment(tmp_path / "home") | {"OPENAI_API_KEY": "none"}
    sources = write_csv(tmp_path, *complete())

    def skillmix(*arguments: str | Path) -> str:
        done = run("skillmix", *arguments, env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    skillmix("pack", "import", "paper-b", *sources, "-o", "lists")
    skillmix(
        "eval",
        *student_arguments(chat_server.url),
        *("--tasks", "skillmix_heldout_k2", "--apply_chat_template", "--limit", "2"),
        *("--log_samples", "--output_path", "out"),
        *metadata(pack="lists", judge="judge-1", judge_base_url=chat_server.base_url, votes=1),
    )
    results = read_output(tmp_path / "out").results
    pack = results["configs"]["skillmix_heldout_k2"]["metadata"]["skillmix"]["pack"]
    assert (pack["id"], pack["lists"]) == ("paper-b", "paper-b")
    samples = "".join(path.read_text() for path in (tmp_path / "out").rglob("samples_*.jsonl"))
    assert "It does" not in samples  # a private pack's texts stay at home
    skillmix(
        *("generate", "--k", "2", "--accept", "3", "--pack", "lists", "--out", "data"),
        *("--teacher", "teacher-1", "--teacher-base-url", chat_server.base_url),
        *("--judge", "judge-1", "--judge-base-url", chat_server.base_url, "--votes", "1"),
    )
    found = json.loads(skillmix("leaks", "data", "--pack", "lists", "--json"))
    assert not found["leaks"]
    skillmix("report", "out", "-o", "report")
    assert "the skills and topics of arXiv 2409.19808" in (tmp_path / "report" / "index.html").read_text()
