"""Time and memory of `skillmix report` on many results, and how soon the page's first view answers.

    python -m benchmarks.report_scale RESULTS [--students 25] [--items 50]

RESULTS is the output folder of one real run with samples, best of 8 tasks with --limit 50. Its results are
written again for so many students, one file for each student and task, and its samples in turn until each file
has so many items. The report of them is made in a process of its own, with the samples and then without. Lines
have the numbers of files and items, seconds (by the clock, and of a core), peak memory and the page's size; where
a browser is installed also the seconds until the page's first view takes a click, and those until the samples view
does.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_DATE = "2026-01-01T00-00-00.000000"
_METRICS = ("full_marks", "all_skills", "skill_fraction", "coverage", "full_marks_low", "full_marks_high")


def main() -> None:
    """Run the benchmark, or with --one the report in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path)
    parser.add_argument("--students", type=int, default=25)
    parser.add_argument("--items", type=int, default=50)
    parser.add_argument("--one", type=Path, help="the folder for the report of RESULTS")
    given = parser.parse_args()
    if given.one:
        _report(given.results, given.one)
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        _multiply(given.results, folder / "results", given.students, given.items)
        command = [sys.executable, "-m", "benchmarks.report_scale", str(folder / "results")]
        for samples in (True, False):
            if not samples:
                for file in folder.rglob("samples_*.jsonl"):
                    file.unlink()
            subprocess.run([*command, "--one", str(folder / "report")], check=True)  # noqa: S603
            _browse(folder / "report" / "index.html", samples=samples)


def _multiply(source: Path, target: Path, students: int, items: int) -> None:
    [file] = source.glob("**/results_*.json")
    results = json.loads(file.read_text(encoding="utf-8"))
    files = 0
    for task in sorted(results["configs"])[:8]:
        [samples] = file.parent.glob(f"samples_{task}_*.jsonl")
        known = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
        for student in range(students):
            folder = target / f"student-{student}"
            folder.mkdir(parents=True, exist_ok=True)
            made = list(islice(_anew(known, student), items))
            with (folder / f"samples_{task}_{_DATE}{files:03}.jsonl").open("w", encoding="utf-8") as out:
                out.writelines(json.dumps(sample) + "\n" for sample in made)
            config = json.loads(json.dumps(results["configs"][task]))
            config["metadata"]["skillmix"]["student"]["model"] = f"student-{student}"
            scores = {f"{metric},none": sum(one[metric] for one in made) / len(made) for metric in _METRICS}
            one = {
                "configs": {task: config},
                "results": {task: scores | {"sample_len": len(made)}},
                "date": results["date"],
            }
            (folder / f"results_{_DATE}{files:03}.json").write_text(json.dumps(one), encoding="utf-8")
            files += 1
    sys.stdout.write(f"report_scale files={files} items={files * items}\n")


def _anew(samples: list[dict[str, Any]], student: int) -> Iterator[dict[str, Any]]:
    """The samples in turn, each time as other items, and other students beginning elsewhere."""
    for number, sample in enumerate(cycle(samples[student % len(samples) :] + samples[: student % len(samples)])):
        document = sample["doc"] | {"hash": f"{sample['doc']['task']}-{number}", "index": number}
        yield sample | {"doc": document, "doc_id": number}


def _report(results: Path, output: Path) -> None:
    from hub_cards.report.cli import report

    started, worked = time.perf_counter(), time.process_time()
    report([str(results)], output)
    seconds, work = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = (output / "index.html").stat().st_size / 1e6
    sys.stdout.write(
        f"report_scale seconds={seconds:.1f} cpu_seconds={work:.1f} peak_memory={peak:.0f}MB page={size:.1f}MB\n"
    )


def _browse(page: Path, *, samples: bool) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stdout.write("report_scale no browser: install Debian's chromium\n")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        started = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="commit")
        tab.click("#board thead button[data-sort=student]")
        tab.wait_for_selector("#board th[aria-sort]:first-child")
        told = f"first_view={time.perf_counter() - started:.2f}s"
        if samples:
            started = time.perf_counter()
            tab.click("nav a[href='#samples']")
            tab.wait_for_selector("#sample .points")
            told += f" samples_view={time.perf_counter() - started:.2f}s"
        browser.close()
    sys.stdout.write(f"report_scale {told}\n")


if __name__ == "__main__":
    main()
