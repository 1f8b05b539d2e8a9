"""Two judges on the same answers, and how judges of one name are told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report_pictures import KS, write_results
from hub_cards.report.page.page import render_page
from hub_cards.report.stats.novelty import Corpus
from hub_cards.report.study.study import Study, make_study
from skillmix_tasks.scoring.metrics import METRICS, item_metrics
from skillmix_tasks.stored.find_results import find_results

pytestmark = pytest.mark.slow
ITEMS, STRICT = 4, 2  # items, and those on whose topic the second judge is stricter


def graded_again(folder: Path) -> None:
    """Turn results into those of a judge that never grants the topic of the first items."""
    [file] = folder.rglob("results_*.json")
    results = json.loads(file.read_text(encoding="utf-8"))
    for task, config in results["configs"].items():
        config["metadata"]["skillmix"]["judge"]["temperature"] = 0.2
        [samples] = folder.rglob(f"samples_{task}_*.jsonl")
        lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
        for sample in lines[:STRICT]:
            records: list[dict[str, Any]] = [json.loads(text) for text in sample["filtered_resps"]]
            for record in records:
                record["points"]["topic"] = False
            sample["filtered_resps"] = [json.dumps(record) for record in records]
            sample |= item_metrics([record["points"] for record in records])
        samples.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
        for metric in (*METRICS, "full_marks_low", "full_marks_high"):
            results["results"][task][f"{metric},none"] = sum(one[metric] for one in lines) / len(lines)
    file.write_text(json.dumps(results), encoding="utf-8")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("judges")
    for name in ("first", "second"):
        write_results(folder / name, {"student": 1.1}, items=ITEMS)
    graded_again(folder / "second")
    return make_study(find_results([str(folder)]), corpus=Corpus())


def test_agreement_is_counted_by_kind_of_point(study: Study):
    [one] = study.agreements
    # The synthetic answers to an item are one text, so an item counts once.
    assert one.answers == ITEMS * len(KS)
    assert one.kinds["topic"].decisions == ITEMS * len(KS)
    assert one.kinds["skill"].decisions == ITEMS * sum(KS)
    lost = one.kinds["topic"].reference_only
    assert 0 < lost <= STRICT * len(KS)
    assert one.kinds["topic"].judge_only == 0
    assert one.kinds["skill"].agreement.value == one.kinds["sense"].agreement.value == 1
    assert one.kinds["topic"].agreement.value == pytest.approx(1 - lost / (ITEMS * len(KS)))
    page = render_page(study)
    assert "on the same answers" in page
    assert one.kinds["topic"].kappa.text() in page


def test_judges_of_one_name_are_told_apart_by_what_differs(study: Study):
    assert {row.judge for row in study.measured} == {
        "synthetic-judge (temperature not set)",
        "synthetic-judge (temperature 0.2)",
    }
    assert {row.student for row in study.measured} == {"student"}


def test_students_are_counted_and_not_rows(study: Study):
    assert 'id="headline">1 student · k = 2 to 5 · ' in render_page(study)
