"""Points out of recorded tables, by criterion."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skillmix_tasks.calibration.series import read_series
from skillmix_tasks.calibration.table import read_table_reply
from tests.skillmix_tasks.checks.reference import folder
from tests.skillmix_tasks.reference.made import criteria, table

SKILLS = ["tall tale (exaggeration)", "echo", "sly hint"]
TOPIC = "Total War"
POINTS = ("s1", "s2", "s3", "topic", "sense", "length")


def test_all_recorded_answers_are_read_as_they_were_recorded():
    found, _ = read_series(folder())
    rows = [row for one in found for of in one.rows.values() for gradings in of.values() for row in gradings]
    assert len(rows) == 180  # three copies of 60
    for row in rows:
        reading = read_table_reply(row.reply, row.key.skills, row.key.topic)
        judged = {point: earned for point, earned in row.points.items() if point != "length"}
        assert {point: reading[point] for point in judged} == judged
        assert not any(isinstance(one, str) for one in reading.values())


def read(text: str) -> tuple[dict[str, bool | None], dict[str, str]]:
    reading = read_table_reply(text, SKILLS, TOPIC)
    reasons = {point: one for point, one in reading.items() if isinstance(one, str)}
    return {point: None if isinstance(one, str) else one for point, one in reading.items()}, reasons


def whole(*points: int) -> str:
    return table(SKILLS, TOPIC, [bool(point) for point in points])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Correctly illustrates tall tale (exaggeration)", "Correctly illustrates tall tale"),
        ("Correctly illustrates tall tale (exaggeration)", "Illustrates Tall-Tale (exaggeration, loosely"),
        ("Pertains to Total War", "**Pertains to the topic of total war**"),
        ("| Text makes sense | 1 |", "Text makes sense | 1.0"),
        ("| Text makes sense | 1 |", "| 5. Text makes sense | 1/1 | a remark |"),
        ("At most two sentences", "At most 2 sentences"),
        ("Explanation: so it is.", "**Explanation**: | Correctly illustrates echo | 0 |"),
        ("Here's the grading table:", "| echo | 0 |\nHere's the grading table:"),
    ],
)
def test_ways_of_writing_the_same(old: str, new: str):
    text = whole(1, 1, 0, 1, 1, 1)
    assert old in text
    assert read(text.replace(old, new)) == (
        dict(zip(POINTS, (True, True, False, True, True, True), strict=True)),
        {},
    )


def test_a_lost_row_shifts_nothing():
    text = whole(0, 1, 0, 1, 1, 1).replace("| Correctly illustrates echo | 1 |\n", "")
    points, reasons = read(text)
    assert [points[point] for point in POINTS] == [False, None, False, True, True, True]
    assert reasons["s2"] == "no row of the table names it"


@pytest.mark.parametrize("value", ["10", "N/A", "--", "", "0.5", "1 or 0", "-1", "01", "1,0", "one"])
def test_what_is_neither_0_nor_1_is_no_verdict(value: str):
    points, reasons = read(whole(1, 1, 1, 1, 1, 1).replace("echo | 1", f"echo | {value}"))
    assert points["s2"] is None
    assert "neither 0 nor 1" in reasons["s2"]
    assert sum(earned is True for earned in points.values()) == 5


def test_rows_that_contradict_each_other_decide_nothing():
    text = whole(1, 1, 1, 1, 1, 1)
    again = "| Correctly illustrates echo | 1 |\n"
    assert read(text.replace(again, again * 2))[0]["s2"] is True
    assert "two rows name it" in read(text.replace(again, again + again.replace("1", "0")))[1]["s2"]


def test_the_total_is_no_point():
    wrong = read_table_reply(whole(1, 1, 1, 1, 1, 1).replace("**6**", "**5**"), SKILLS, TOPIC)
    assert set(wrong.values()) == {True}


def test_skills_with_the_same_beginning_need_their_brackets():
    skills = ["accident (fallacy)", "accident (road)"]
    text = table(skills, TOPIC, [True, False, True, True, True])
    assert [read_table_reply(text, skills, TOPIC)[point] for point in ("s1", "s2")] == [True, False]
    reading = read_table_reply(text.replace("accident (fallacy)", "accident"), skills, TOPIC)
    assert "Correctly illustrates accident" in str(reading["s1"])


names = st.sampled_from(
    [*criteria(SKILLS, TOPIC), "Total", "Total War", "Correctly illustrates", "", "---", "Criteria"]
)
values = st.sampled_from(["0", "1", "1.0", "0/1", "10", "N/A", "--", "", "**1**", " 1 ", "11", "|", "1 |", "½"])
lines = st.one_of(
    st.tuples(names, values).map(lambda row: f"| {row[0]} | {row[1]} |"),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=30),
    st.sampled_from(["", "|", "|||", "| --- | --- |", "Here's the grading table:", "Explanation:"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(lines, max_size=14).map("\n".join))
def test_no_mangled_table_raises_or_awards_a_point_that_is_not_there(text: str):
    points, _ = read(text)
    for point, criterion in zip(POINTS, criteria(SKILLS, TOPIC), strict=True):
        if points[point]:
            cells = [[cell.strip(" *") for cell in line.split("|")] for line in text.splitlines()]
            assert any(criterion in row and row[row.index(criterion) + 1] in ("1", "1.0") for row in cells)


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(6)), st.lists(st.booleans(), min_size=6, max_size=6), st.sets(st.integers(0, 5)))
def test_order_and_gaps_change_no_other_point(order: list[int], earned: list[bool], gone: set[int]):
    rows = table(SKILLS, TOPIC, earned).splitlines()
    body = [rows[4 + number] for number in order if number not in gone]
    points, _ = read("\n".join([*rows[:4], *body, *rows[10:]]))
    assert list(points.values()) == [None if number in gone else earned[number] for number in range(6)]
