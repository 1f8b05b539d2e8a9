"""A report of 25 students with eight k on the train split of another pack, in a real browser."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report_pictures
from benchmarks.report_pictures import write_results
from hub_cards.report.page.write import write_report
from hub_cards.report.stats.novelty import Corpus
from hub_cards.report.study.study import Study, make_study
from skillmix_tasks.stored.find_results import find_results

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: install Debian's chromium"),
]
STUDENTS, ITEMS, SHOWN, KS = 25, 2, 8, range(1, 9)


def as_train(folder: Path) -> None:
    """Turn synthetic results into those of the train split of the pack `planning`."""
    for file in folder.rglob("results_*.json"):
        text = file.read_text(encoding="utf-8").replace("skillmix_k", "skillmix_planning_train_k")
        results = json.loads(text)
        for config in results["configs"].values():
            config["metadata"]["skillmix"]["split"] = "train"
            config["metadata"]["skillmix"]["pack"]["id"] = "planning"
        file.write_text(json.dumps(results), encoding="utf-8")
    for file in folder.rglob("samples_*.jsonl"):
        text = file.read_text(encoding="utf-8").replace("skillmix_k", "skillmix_planning_train_k")
        file.with_name(file.name.replace("skillmix_k", "skillmix_planning_train_k")).write_text(text)
        file.unlink()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("many")
    students = {f"student-{number}": 0.7 + number / 100 for number in range(STUDENTS)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_pictures, "KS", tuple(KS))
        write_results(folder, students, items=ITEMS)
    as_train(folder)
    return make_study(find_results([str(folder)]), corpus=Corpus())


@pytest.fixture(scope="module")
def page(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("report")
    write_report(study, folder)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.goto((folder / "index.html").as_uri())
        yield opened
        browser.close()


def test_it_opens_on_the_first_split_that_was_measured(page: Any):
    assert page.locator("#board-controls [name=split]").input_value() == "train"
    assert page.locator("#board tr[data-row] .range").count() == STUDENTS * len(KS)
    headline = page.locator("#headline").inner_text()
    assert headline.startswith(f"{STUDENTS} students · k = 1 to 8 · pack planning · ")
    assert "language" not in headline


@pytest.mark.parametrize("width", [1280, 390])
def test_all_k_fit_beside_one_another(page: Any, width: int):
    page.set_viewport_size({"width": width, "height": 900})
    cells = page.locator("#board :is(td, thead th)")
    assert cells.count() == len(KS) * page.locator("#board tr[data-row]").count() + len(KS) + 1
    assert cells.evaluate_all("all => all.filter((one) => one.scrollWidth > one.clientWidth).length") == 0
    boxes = [box.bounding_box() for box in page.locator("#board tr[data-row] .value").all()[: len(KS)]]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert all(one["x"] + one["width"] < other["x"] for one, other in itertools.pairwise(boxes))
    page.set_viewport_size({"width": 1280, "height": 900})


def test_so_many_lines_are_not_drawn_at_once(page: Any):
    lines = page.locator("#board-plot g[data-line]")
    assert lines.count() == SHOWN
    off = page.locator("#board-plot .legend button[aria-pressed=false]")
    assert off.count() == STUDENTS - SHOWN
    off.first.click()
    assert lines.count() == SHOWN + 1


def test_a_row_leads_to_its_student_and_from_there_to_samples(page: Any):
    page.locator("#board a", has_text=re.compile("^student-3$")).click()
    expect(page.locator("#student h3").first).to_have_text("student-3")
    page.get_by_role("link", name="no full marks").click()
    controls = page.locator("#sample-controls")
    assert controls.locator("[name=outcome]").input_value() == "not"
    expect(controls.locator("[name=student] option:checked")).to_have_text("student-3")
    assert re.match(r"\d+ of \d+ items", page.locator("#place").inner_text())
    expect(page.locator("#sample div > p").first).to_have_text(re.compile("^student-3"))
    page.go_back()
    expect(page.locator("#student h3").first).to_have_text("student-3")
    page.go_back()


def test_notes_are_counted_and_not_repeated(tmp_path: Path):
    write_results(tmp_path, {f"student-{number}": 0.9 for number in range(STUDENTS)}, items=ITEMS)
    for file in tmp_path.rglob("samples_*.jsonl"):
        file.unlink()
    found = make_study(find_results([str(tmp_path)]), corpus=Corpus())
    assert found.notes == [
        "Without samples (--log_samples), and so without answers, points and comparisons: student-0 (4 tasks), "
        "student-1 (4 tasks), student-10 (4 tasks) and 22 others."
    ]
