"""The pictures of a report in docs/, from synthetic results that say that they are synthetic.

    python -m benchmarks.report_pictures [--results DIR]

Students, judge and answers are made up by a random generator with a fixed seed; items are those of the pack
`language`. Needs Debian's chromium. `--results` keeps the synthetic results, to look at their report.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hub_cards.report.cli import report
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.prompts import render

DOCS = Path(__file__).parents[1] / "docs"
# The chance that a student earns a point at k = 2; each further skill costs some of it.
STUDENTS = {"synthetic-large": 0.97, "synthetic-medium": 0.92, "synthetic-small": 0.86, "synthetic-tiny": 0.75}
KS, ITEMS, JUDGE = (2, 3, 4, 5), 60, "synthetic-judge"
_DATE = "2026-01-01T00-00-00.000000"
_TEXT = "This sentence is synthetic: a random generator decides what it earns."


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        results = given.results or Path(name) / "results"
        write_results(results)
        report([str(results)], Path(name) / "report")
        take_pictures(Path(name) / "report" / "index.html", DOCS)


def write_results(folder: Path, students: dict[str, float] = STUDENTS, items: int = ITEMS) -> None:
    """Write results and samples of all students as lm-eval writes them, a file for each student."""
    for number, (student, chance) in enumerate(students.items()):
        drawn = random.Random(number)  # noqa: S311 - pictures, not keys
        results: dict[str, Any] = {"results": {}, "configs": {}, "date": 1767225600.0, "config": {}}
        place = folder / student
        place.mkdir(parents=True, exist_ok=True)
        for k in KS:
            task = f"skillmix_k{k}"
            samples = _samples(task, k, chance - 0.045 * (k - 2), items, drawn)
            with (place / f"samples_{task}_{_DATE}.jsonl").open("w", encoding="utf-8") as out:
                out.writelines(json.dumps(one) + "\n" for one in samples)
            names = (
                *("full_marks", "all_skills", "skill_fraction"),
                "coverage",
                "full_marks_low",
                "full_marks_high",
            )
            scores = {f"{name},none": sum(one[name] for one in samples) / items for name in names}
            results["results"][task] = scores | {"sample_len": items}
            results["configs"][task] = _config(student, k)
        (place / f"results_{_DATE}.json").write_text(json.dumps(results), encoding="utf-8")


def _config(student: str, k: int) -> dict[str, Any]:
    pack = load_pack("language")
    costs = {"prompt_tokens": 600 * ITEMS, "completion_tokens": 280 * ITEMS, "dollars": 0.0}
    record = {
        "k": k,
        "split": "all",
        "pack": {"id": pack.about.id, "version": pack.about.version, "hash": pack.hash},
        "turns": 2,
        "generations": 3,
        "seed": 0,
        "drop_common": False,
        "judge": {"model": JUDGE, "votes": 3},
        "grading": {"spent": costs, "saved": dict.fromkeys(costs, 0)},
        "controls": None,
        "points_without_verdict": {},
        "ungrounded": None,
        "student": {"class": "synthetic", "model": student},
    }
    return {"generation_kwargs": {"temperature": 0.7}, "metadata": {"version": "1.1", "skillmix": record}}


def _samples(task: str, k: int, chance: float, items: int, drawn: random.Random) -> list[dict[str, Any]]:
    pack = load_pack("language")
    found = []
    for index, item in enumerate(sample_items(pack, task=task, k=k, split="all", seed=0, number=items)):
        ease = drawn.gauss(0, 0.08)  # one for each item, as real items differ
        generations = [_generation(k, min(0.99, chance + ease), drawn) for _ in range(3)]
        points = [one["points"] for one in generations]
        skills = [[one[f"s{place}"] for place in range(1, k + 1)] for one in points]
        rest = [[one["topic"], one["sense"], one["length"]] for one in points]
        full = max(float(all(one.values())) for one in points)
        found.append(
            {
                "doc_id": index,
                "doc": {"task": task, "index": index} | item.record(private=False),
                "arguments": {"gen_args_0": {"arg_0": [render(pack, "turn1", item)]}},
                "resps": [[f"Answer: {one['answer']}"] * 2 for one in generations],
                "filtered_resps": [json.dumps(one) for one in generations],
                "coverage": 1.0,
                "full_marks": full,
                "all_skills": max(float(all(s) and sum(r) >= 2) for s, r in zip(skills, rest, strict=True)),
                "skill_fraction": max(sum(s) / k if all(r) else 0.0 for s, r in zip(skills, rest, strict=True)),
                "full_marks_low": full,
                "full_marks_high": full,
            }
        )
    return found


def _generation(k: int, chance: float, drawn: random.Random) -> dict[str, Any]:
    names = [*(f"s{place}" for place in range(1, k + 1)), "topic", "sense"]
    truth = {name: drawn.random() < (chance if name.startswith("s") else 0.97) for name in names}
    votes = [{name: earned == (drawn.random() < 0.95) for name, earned in truth.items()} for _ in range(3)]
    points = {name: sum(vote[name] for vote in votes) >= 2 for name in names} | {"length": True}
    return {
        "answer": " ".join([_TEXT] * max(1, k - 1)),
        "sentences": max(1, k - 1),
        "void": None,
        "lost_in_code": {},
        "points": points,
        "states": {},
        "votes": [
            {
                "number": number,
                "judge": JUDGE,
                "state": "graded",
                "marks": {
                    name: {"earned": earned, "evidence": "synthetic" if earned else "", "state": "graded"}
                    for name, earned in vote.items()
                },
            }
            for number, vote in enumerate(votes)
        ],
    }


def take_pictures(page: Path, folder: Path) -> None:
    """Photograph the first screen of the report in `folder`, wide and light, and narrow and dark."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, width, height, theme in (
            ("report-leaderboard", 1280, 800, "light"),
            ("report-narrow", 390, 844, "dark"),
        ):
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.goto(f"{page.as_uri()}#leaderboard?theme={theme}")
            tab.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
