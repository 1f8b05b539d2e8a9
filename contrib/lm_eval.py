"""Write what a pull request to lm-evaluation-harness would add, from our own YAML files.

    python -m contrib.lm_eval CHECKOUT

adds lm_eval/tasks/skillmix/ with its README, the line of the task table, and the extra in pyproject.toml where the
checkout has one. Running it again changes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from skillmix_tasks.harness.task_files import bundled_tasks, harness_folder

_TEXT = Path(__file__).with_name("lm_eval_readme.md")
_LINE = (
    "| [skillmix](skillmix/README.md) | Short texts that show k language skills at once, marked by an LLM judge. "
    "| English |\n"
)
_EXTRA = 'skillmix = ["skillmix-tasks"]\n'


def main(checkout: Path) -> None:
    """Lay our tasks over a checkout."""
    tasks = checkout / "lm_eval" / "tasks"
    folder = tasks / "skillmix"
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(harness_folder().glob("*.yaml")):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "README.md").write_text(readme(), encoding="utf-8")
    _insert(tasks / "README.md", _LINE, before="| [spanish_bench]", marker="[skillmix]")
    _insert(checkout / "pyproject.toml", _EXTRA, before="sparsify =", marker="skillmix =")


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
    """Add a line to a file of lm-eval that lacks it: before a line that begins with `before`, or at the end."""
    if not file.is_file() or marker in (text := file.read_text(encoding="utf-8")):
        return
    lines = text.splitlines(keepends=True)
    place = next((number for number, one in enumerate(lines) if one.startswith(before)), len(lines))
    file.write_text("".join([*lines[:place], line, *lines[place:]]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
