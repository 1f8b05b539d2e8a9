"""The page shows an experiment's tables, and every student that was trained from one base."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from grading import UserError
from hub_cards.report.cli import report
from tests.training.experiment.made import one, shares, write_task
from training.experiment.measured import BASE
from training.experiment.tables import write_tables

pytestmark = pytest.mark.slow

HOSTILE = "tiny</script><b>"


def test_the_page_has_tables_claims_and_the_figure(tmp_path: Path):
    base, first, second = (
        one(tmp_path / "results", HOSTILE, BASE),
        one(tmp_path / "results", HOSTILE, "D(1)", 0),
        one(tmp_path / "results", HOSTILE, "D(1,2)", 0),
    )
    for measured, full in ((base, 2), (first, 11), (second, 19)):
        write_task(measured.results / "k2", shares(full, 20), k=2)
    tables = tmp_path / "tables"
    write_tables([base, first, second], arms=["D(1)", "D(1,2)"], out=tables, conclusive=True)
    page = tmp_path / "report" / "index.html"
    named = [f"base={base.results}", f"D1={first.results}", f"D12={second.results}"]
    report(named, page.parent, before="base", after=["D1", "D12"], tables=tables)
    text = page.read_text()
    assert '<a href="#experiment">Experiment</a>' in text
    section = text[text.index('<section id="experiment"') : text.index('<section id="method"')]
    assert section.index("Claims.") < section.index("Table 1.") < section.index("Table 12.")
    assert "<td>0.95 [0.76, 0.99] / -</td>" in section
    assert "tiny&lt;/script&gt;&lt;b&gt;" in section
    assert HOSTILE not in section
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]+)"', section)
    assert [base64.b64decode(one) for one in pictures] == [
        path.read_bytes() for path in tables.glob("figure-2-*.png")
    ]
    assert "<h3>base → D1</h3>" in text
    assert "<h3>base → D12</h3>" in text

    report(named, page.parent)
    assert 'id="experiment"' not in page.read_text()


def test_what_is_no_folder_of_tables(tmp_path: Path):
    base = one(tmp_path, "tiny", BASE)
    write_task(base.results, shares(1, 3), k=2)
    with pytest.raises(UserError, match="holds no tables of an experiment"):
        report([str(base.results)], tmp_path / "report", tables=tmp_path)
    (tmp_path / "tables.json").write_text('{"conclusive": true, "tables": [{}]}')
    with pytest.raises(UserError, match="holds no tables of an experiment"):
        report([str(base.results)], tmp_path / "report", tables=tmp_path)
    (tmp_path / "tables.json").write_text('{"conclusive": true, "tables": []}')
    (tmp_path / "figure-2-x.png").write_text("<svg>")
    with pytest.raises(UserError, match="is not a PNG"):
        report([str(base.results)], tmp_path / "report", tables=tmp_path)
