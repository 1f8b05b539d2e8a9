"""Write what a pull request to lm-evaluation-harness would add, from our own YAML files.

    python -m contrib.lm_eval               # to look at: into contrib/lm-eval/, which git ignores
    python -m contrib.lm_eval CHECKOUT      # into a checkout of lm-evaluation-harness

Both add lm_eval/tasks/skillmix/ with its README, the line of the task table in lm_eval/tasks/README.md, and the
extra in pyproject.toml. In contrib/lm-eval/ the last two files hold what is added to them and nothing else.
Running it again changes nothing.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import yaml

from grading import UserError
from grading.errors import show_user_errors_in_one_line
from skillmix_tasks.harness.task_files import bundled_tasks, harness_folder

_TEXT = Path(__file__).with_name("lm_eval_readme.md")
_SHOWN = Path(__file__).with_name("lm-eval")
_LINE = (
    "| [skillmix](skillmix/README.md) | Short texts that show k language skills at once, marked by an LLM judge. "
    "| English |\n"
)
_EXTRA = 'skillmix = ["skillmix-tasks"]\n'


def main(checkout: Path | None) -> Path:
    """Lay our tasks over a checkout, or write them to contrib/lm-eval/; the folder that they are in.

    UserError if the folder is not a checkout of lm-evaluation-harness.
    """
    if checkout is None:
        checkout = _SHOWN
        shutil.rmtree(checkout, ignore_errors=True)
    elif not (checkout / "lm_eval" / "tasks" / "README.md").is_file():
        raise UserError(
            f"{checkout} is not a checkout of lm-evaluation-harness: it has no lm_eval/tasks/README.md. Name the "
            "folder that `git clone` made."
        )
    tasks = checkout / "lm_eval" / "tasks"
    folder = tasks / "skillmix"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for file in sorted(harness_folder().glob("*.yaml")):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "README.md").write_text(readme(), encoding="utf-8")
    _insert(tasks / "README.md", _LINE, before="| [spanish_bench]", marker="[skillmix]")
    _insert(checkout / "pyproject.toml", _EXTRA, before="sparsify =", marker="skillmix =")
    return checkout


def readme() -> str:
    """The README after lm-eval's template for tasks, with groups and tasks as the YAML files have them."""
    files = (
        yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(harness_folder().glob("[!_]*.yaml"))
    )
    groups = [
        f"* `{file['group']}`: {', '.join(f'`{task}`' for task in file['task'])}"
        for file in files
        if "group" in file
    ]
    tasks = [
        f"* `{name}`: k = {spec.k}, {spec.split} skills and topics of the pack `{spec.pack}`"
        for name, spec in bundled_tasks().items()
    ]
    text = _TEXT.read_text(encoding="utf-8")
    return text.replace("GROUPS\n", "\n".join(groups) + "\n").replace("TASKS\n", "\n".join(tasks) + "\n")


def _insert(file: Path, line: str, *, before: str, marker: str) -> None:
    """Add a line to a file that lacks it: before a line that begins with `before`, or at the end."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if marker in text:
        return
    lines = text.splitlines(keepends=True)
    place = next((number for number, one in enumerate(lines) if one.startswith(before)), len(lines))
    file.write_text("".join([*lines[:place], line, *lines[place:]]), encoding="utf-8")


if __name__ == "__main__":
    show_user_errors_in_one_line()
    written = main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    sys.stdout.write(f"{written / 'lm_eval' / 'tasks' / 'skillmix'} has the tasks and their README.\n")
