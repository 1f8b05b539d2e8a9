"""A checkout in the reference implementation's layout, made up here, and sums over any such checkout."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path

from tests.servers.draw import fraction

SKILLS = {
    "tall tale (exaggeration, with a wink )": "It stretches the truth for fun.",
    "echo": "It says a word again for effect.",
    "sly hint": "It lets the reader guess.",
    "if-then": "It draws a conclusion from a condition.",
}
TOPICS = ("Total War", "Lighthouses", "The Old Mill", "Bread")
COLUMNS = ["k", "skills", "topic", "user_0", "assistant_0", "score_0", "points_0", "true_sentence_lim_pt_0"]
RUNS = ((2, "student-a"), (3, "org/student-b"))
ITEMS = 12


def make_checkout(folder: Path) -> Path:
    """Two students with twelve items each, three answers to each, three gradings that differ in places."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"category": "literary", "skill": n, "definition": d, "example": "See?"} for n, d in SKILLS.items()]
    _write(folder / "skills.csv", rows)
    (folder / "topics.txt").write_text("\n".join(TOPICS))
    prompts = folder / "prompts" / "generation"
    prompts.mkdir(parents=True)
    turns = [
        "Write on {topic} with {skills_str}:\n{skills_defs_and_examples_simple}",
        "Improve it, {num_sentences_str} at most.",
    ]
    (prompts / "default.json").write_text(json.dumps(turns))
    for k, student in RUNS:
        for generation in (1, 2, 3):
            _make_generation(folder / "test" / f"k{k}_s7_vdefault_r{generation}" / student, k, student, generation)
    return folder


def _make_generation(folder: Path, k: int, student: str, generation: int) -> None:
    records, gradings = [], defaultdict(list)
    drawn = [(skills, topic) for skills in combinations(SKILLS, k) for topic in TOPICS]
    for number, (skills, topic) in enumerate(drawn[:ITEMS]):
        answer = f"{student} tells of {topic.lower()} once more, tale {number} in round {generation}."
        if fraction("named", answer) < 0.2:
            answer += f" What a {skills[0].partition('(')[0].strip().upper()}!"
        listed = ", \n".join(skills)
        records.append({"k": k, "skills": listed, "topic": topic, "text_0": "A first try.", "text_1": answer})
        limit = fraction("limit", answer) < 0.9
        for grading in (1, 2, 3):
            points = [
                fraction(answer, point) < 0.75 if point < k else fraction(answer, point) < 0.95
                for point in range(k + 3)
            ]
            if fraction("slip", answer, grading) < 0.2:
                points[0] = not points[0]
            gradings[grading].append(graded_row(k, list(skills), topic, answer, points, limit=limit))
    _write(folder / "records.csv", records)
    for grading, rows in gradings.items():
        _write(folder / "graded" / f"by_gpt-4_on_text_1_{grading}_gpt" / "records.csv", rows)


def graded_row(
    k: int, skills: list[str], topic: str, answer: str, points: list[bool], *, limit: bool
) -> dict[str, object]:
    """A row of a grading file."""
    prompt = f"""Grade this. The student's answer was: "{answer}"

For reference, here are the definitions for the skills:
(left out)"""
    return {
        "k": k,
        "skills": ",  \n".join(skills),
        "topic": topic,
        "user_0": prompt,
        "assistant_0": table(skills, topic, points),
        "points_0": ",".join(str(float(point)) for point in points),
        "true_sentence_lim_pt_0": float(limit),
    }


def criteria(skills: list[str], topic: str) -> list[str]:
    """The criteria as the reference's judge writes them."""
    return [
        *(f"Correctly illustrates {skill}" for skill in skills),
        f"Pertains to {topic}",
        "Text makes sense",
        "At most two sentences",
    ]


def table(skills: list[str], topic: str, points: list[bool]) -> str:
    """A judge's reply."""
    rows = [f"| {name} | {int(point)} |" for name, point in zip(criteria(skills, topic), points, strict=True)]
    head = ["Here's the grading table:", "", "| Criteria | Points Earned |", "| --- | --- |"]
    return "\n".join(
        [*head, *rows, f"| **Total Points Earned** | **{sum(points)}** |", "", "Explanation: so it is."]
    )


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = COLUMNS if "points_0" in rows[0] else list(rows[0])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def exact_metrics(folder: Path) -> dict[tuple[str, int, bool], tuple[Fraction, Fraction, Fraction]]:
    """The three metrics of a whole checkout, by student, k and deduction; points are taken by position."""
    points: dict[tuple[str, int, bool], dict[int, list[list[list[int]]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("test/**/graded/*/records.csv")):
        run, *student = path.parts[len(folder.parts) + 1 : -3]
        k, generation = int(run[1 : run.index("_")]), int(run[-1])
        for deducted in (False, True):
            points["/".join(student), k, deducted][generation].append(
                [_points(row, deducted=deducted) for row in read(path)]
            )
    return {key: _means(generations, key[1]) for key, generations in points.items()}


def _points(row: dict[str, str], *, deducted: bool) -> list[int]:
    points = [int(float(point)) for point in row["points_0"].split(",")]
    points[-1] = int(float(row["true_sentence_lim_pt_0"]))
    if deducted:
        text = row["user_0"].split("For reference,")[0].split("answer was: ")[1].lower()
        for number, skill in enumerate(row["skills"].split(",  \n")):
            if skill.split("(")[0].strip().lower() in text:
                points[number] = 0
    return points


def _means(generations: dict[int, list[list[list[int]]]], k: int) -> tuple[Fraction, Fraction, Fraction]:
    best: dict[int, list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
    for gradings in generations.values():
        for item, votes in enumerate(zip(*gradings, strict=True)):
            points = [int(sum(point) > len(votes) / 2) for point in zip(*votes, strict=True)]
            skills, rest = sum(points[:k]), sum(points[k:])
            scores = [
                Fraction(skills + rest == k + 3),
                Fraction(skills == k and rest >= 2),
                Fraction(skills, k) if rest == 3 else Fraction(0),
            ]
            best[item] = [max(one, other) for one, other in zip(best[item], scores, strict=True)]
    full_marks, all_skills, fraction_ = (
        sum(column, Fraction(0)) / len(best) for column in zip(*best.values(), strict=True)
    )
    return full_marks, all_skills, fraction_
