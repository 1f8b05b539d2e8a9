from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skillmix_tasks.items.loading import load_pack
from tests.training.making import items
from tests.training.test_counts import PACK, counted
from training.texts.counts import Counts
from training.texts.summary import write_summary

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def tables(page: str) -> list[list[list[str]]]:
    """The cells of each table of a page, and every row as long as its heading."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        assert {len(row) for row in rows} == {len(rows[0])}
        assert set("".join(rows[1])) <= set(":-")
        found.append([rows[0], *rows[2:]])
    return found


def test_the_page_says_what_was_counted(tmp_path: Path):
    counts = counted()
    text, chart = write_summary(tmp_path, counts, PACK, about=["Plan: paper.", "The judge was judge-1."])
    page = text.read_text()
    assert "Plan: paper.\n\nThe judge was judge-1.\n" in page
    kinds, reasons, pairs, skills = tables(page)
    assert [row[:3] for row in kinds[1:]] == [[str(k), "40", "20"] for k in (1, 2, 3)]
    # 20 rejections in turn over 14 reasons: surplus, over_budget twice and no_verdict are not decided.
    assert all(re.match(r"20 of 3\d = 0\.\d\d \(0\.\d\d to 0\.\d\d\)", row[3]) for row in kinds[1:])
    assert kinds[1][6:] == ["50 + 10", "150 + 15", "$0.75, $0.0375 a text"]
    assert kinds[3][8] == "not known"  # the judge's price at k = 3
    total = sum(int(number) for row in reasons[1:] for number in row[1:])
    assert total == 60
    assert {row[0] for row in reasons[1:]} >= {"copied", "not_met:s1", "no_verdict:refused", "near_duplicate"}
    assert {row[0] for row in pairs[1:]} == {
        "literary + literary",
        "literary + rhetorical",
        "rhetorical + rhetorical",
    }
    assert len(skills) - 1 == len({name for kind in counts.kinds.values() for name in kind.skills})
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert "![" in page
    assert "(summary.png)" in page


def test_the_same_counts_give_the_same_bytes_without_a_display(tmp_path: Path):
    (tmp_path / "counts.json").write_text(counted().model_dump_json())
    script = (
        "import sys; from pathlib import Path; from skillmix_tasks.items.loading import load_pack\n"
        "from training.texts.counts import Counts; from training.texts.summary import write_summary\n"
        "counts = Counts.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "write_summary(Path(sys.argv[2]), counts, load_pack('language'))\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "counts.json", tmp_path / str(number)],
            env=kept | {"PYTHONHASHSEED": str(number), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "False\n"
    for name in ("summary.md", "summary.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_runs_in_which_little_happened(tmp_path: Path):
    nothing, refused, accepted = Counts(), Counts(), Counts()
    [item] = items(3, 1)
    refused.reject(item, "over_budget")
    accepted.accept(item, "A text.", 1)
    for counts, sentence in (
        (nothing, "None was tried."),
        (refused, "none decided"),
        (accepted, "1 of 1 = 1.00 (0.21 to 1.00)"),
        (accepted, "All were accepted."),
    ):
        text, chart = write_summary(tmp_path, counts, PACK)
        assert sentence in text.read_text()
        assert chart.stat().st_size > 10_000
        tables(text.read_text())


def test_counts_that_do_not_add_up_are_not_summed_up(tmp_path: Path):
    counts = counted()
    counts.kinds[2].rejected["copied"] -= 1
    with pytest.raises(AssertionError):
        write_summary(tmp_path, counts, load_pack("language"))
    assert not list(tmp_path.iterdir())
