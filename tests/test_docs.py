"""README and docs say what the code does: commands, settings, variables, files and links."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import skillmix
from benchmarks.correction_width import table
from grading import JudgeSpec
from skillmix_tasks.harness.endpoint_student import addresses
from skillmix_tasks.harness.settings import Settings
from training.texts.teacher import TeacherSpec

_ROOT = Path(__file__).parents[1]
_PAGES = [_ROOT / "README.md", _ROOT / "CONTRIBUTING.md", _ROOT / "reproduce" / "README.md"]
_PAGES += sorted((_ROOT / "docs").glob("*.md"))
_PACKAGES = ("grading", "skillmix_tasks", "training", "hub_cards")
_SETTINGS = (_ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
_ARCHITECTURE = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def commands() -> set[str]:
    """The commands that `skillmix` has, such as "skillmix store stats"."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["skillmix", "--help"])
        with pytest.raises(SystemExit):
            skillmix.main()
    return set(_leaves(get_command(skillmix.app), "skillmix"))


def _leaves(command, name: str) -> list[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [name]
    return [leaf for word, one in inner.items() for leaf in _leaves(one, f"{name} {word}")]


def _rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _named(heading: str) -> list[str]:
    return [row[0].strip("`") for row in _rows(_SETTINGS, heading)]


def _code(page: Path) -> list[str]:
    """The code of a page: its blocks, and its spans between backticks."""
    text = page.read_text(encoding="utf-8")
    return _FENCE.findall(text) + re.findall(r"`([^`]+)`", _FENCE.sub("", text))


def test_the_settings_page_lists_each_command_once(commands: set[str]) -> None:
    assert sorted(_named("Commands")) == sorted(commands)


def test_the_settings_page_lists_each_setting_once() -> None:
    assert sorted(_named("Settings of a run")) == sorted(Settings.model_fields)
    assert sorted(_named("Fields of a judge")) == sorted(JudgeSpec.model_fields)


@pytest.mark.parametrize(("heading", "model"), [("Settings of a run", Settings), ("Fields of a judge", JudgeSpec)])
def test_the_settings_page_has_the_defaults(heading: str, model: type[Settings | JudgeSpec]) -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in _rows(_SETTINGS, heading)}
    for name, field in model.model_fields.items():
        if not field.is_required() and field.default is not None:
            default = field.default
            assert told[name] == (str(default).lower() if isinstance(default, bool) else str(default)), name


def test_the_settings_page_lists_each_variable_once() -> None:
    files = [_ROOT / name for name in ("skillmix.py", "_skillmix_lm_eval.py", "skillmix_lm_eval.pth")]
    files += [file for package in _PACKAGES for file in (_ROOT / package).rglob("*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    read = set(re.findall(r"\bSKILLMIX_[A-Z]+(?:_[A-Z]+)*\b(?!_)", text))
    read |= {spec.variable("API_KEY") for spec in (JudgeSpec, TeacherSpec)}
    assert sorted(_named("Environment variables")) == sorted(read)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_exists(page: Path, commands: set[str]) -> None:
    known = {" ".join(command.split()[:length]) for command in commands for length in (2, 3)}
    for code in _code(page):
        for word, second in re.findall(r"(?<![\w./-])skillmix +([a-z][\w-]*)(?: +([a-z][\w-]*))?", code):
            command = f"skillmix {word}"
            assert command in known, code
            if command not in commands and second:  # a group of commands
                assert f"{command} {second}" in known, code


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_file_and_link_on_a_page_exists(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", text):
        target = page.parent / link if link else page
        assert target.exists(), link
        if anchor:
            assert anchor[1:] in _anchors(target), f"{link}{anchor}"
    tops = (*_PACKAGES, "tests", "docs", "benchmarks", "reproduce")
    for path in re.findall(rf"`((?:{'|'.join(tops)})/[\w./-]*)`", text):
        assert (_ROOT / path).exists(), path


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_ten_usual_changes_touch_at_most_three_places_each() -> None:
    rows = _rows(_ARCHITECTURE, "To change X, touch Y")
    assert len(rows) >= 10
    for change, touched, tests in rows:
        paths = re.findall(r"`([^`]+)`", touched)
        assert 1 <= len(paths) <= 3, change
        assert all((_ROOT / path).exists() for path in (*paths, tests.strip("`"))), change


def test_every_sub_package_has_a_line() -> None:
    folders = {f"{file.parent.relative_to(_ROOT)}" for package in _PACKAGES for file in _inits(package)}
    told = {re.findall(r"`([^`]+)`", row[0])[0] for row in _rows(_ARCHITECTURE, "Sub-packages")}
    for folder in folders:
        assert folder in told or any(name.startswith(f"{folder}/") for name in told), folder
    assert all((_ROOT / name).exists() for name in told)


def _inits(package: str) -> list[Path]:
    return list((_ROOT / package).rglob("__init__.py"))


def test_the_index_links_each_page() -> None:
    index = (_ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in (_ROOT / "docs").glob("*.md")} - {"index.md"}
    assert set(re.findall(r"\]\((\w[\w-]*\.md)\)", index)) == pages


def test_the_readme_is_one_page() -> None:
    assert len((_ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_settings_page_has_addresses_that_work() -> None:
    (models, students) = (
        [form.strip("` ") for form in row[1].split(", ")] for row in _rows(_SETTINGS, "Addresses")
    )
    right = "http://localhost:8000/v1/chat/completions"
    assert len(models) == len(students) == 3
    for form in models:
        for spec in (JudgeSpec(model="m", base_url=form), TeacherSpec(model="m", base_url=form)):
            assert spec.url("chat/completions") == right, form
        query = JudgeSpec(model="m", base_url=f"{form}?api-version=1")
        assert query.url("chat/completions") == f"{right}?api-version=1"
    for form in students:
        assert next(addresses(form, chat=True)) == right, form


def test_the_table_of_widths_is_computed() -> None:
    page = (_ROOT / "docs" / "judges.md").read_text(encoding="utf-8")
    assert table() in page
