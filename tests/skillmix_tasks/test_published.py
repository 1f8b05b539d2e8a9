"""The published figures, against the ones that the sources show."""

from __future__ import annotations

from training.published import PublishedRow, load_published


def test_every_leaderboard_cell_is_there_once():
    rows = [row for row in load_published() if row.source.arxiv == "2310.17567"]
    cells = {(row.student, row.k): (row.full_marks, row.all_skills, row.skill_fraction) for row in rows}
    assert len(cells) == len(rows) == 34
    assert len({student for student, _ in cells}) == 10
    assert cells["GPT-4", 6] == (0.08, 0.08, 0.76)
    assert cells["Xwin-LM-70B-V0.1", 5] == (0.00, 0.00, 0.39)
    assert {(row.names_deducted, row.common_dropped, row.split, row.training) for row in rows} == {
        (True, True, "all", "none")
    }
    for row in rows:  # the metrics' own order
        assert row.all_skills is not None
        assert row.full_marks <= row.all_skills


def test_each_figure_after_training_has_one_before_it():
    rows = [row for row in load_published() if row.source.arxiv == "2409.19808"]

    def setting(row: PublishedRow) -> tuple[str, str | None, int]:
        return row.student, row.split, row.k

    before = {setting(row): row.full_marks for row in rows if row.training == "none"}
    after = {setting(row): row.full_marks for row in rows if row.training != "none"}
    assert before.keys() == after.keys()
    assert len(rows) == 2 * len(before) == 12
    assert (before["Mistral-7B-Instruct-v0.2", "heldout", 3], after["Mistral-7B-Instruct-v0.2", "heldout", 3]) == (
        0.08,
        0.49,
    )
    assert all(after[one] > before[one] for one in before)
    assert {(row.all_skills, row.skill_fraction, row.items) for row in rows} == {(None, None, None)}
