"""How plain `lm_eval` comes to know our tasks: links in the tasks folder of the lm_eval that Python imports.

lm-eval scans linked files in a real folder, not a linked folder; `include:` resolves at the link's target.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from grading import UserError

_FOLDER = "skillmix"


def harness_folder() -> Path:
    """The folder of our YAML files, as `lm_eval --include_path` takes it."""
    return Path(str(files("skillmix_tasks"))) / "harness"


def link_folder() -> Path:
    """Where the links are made: a folder of ours in lm_eval/tasks, in a wheel's install or an editable one."""
    spec = find_spec("lm_eval")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        tasks = Path(package) / "tasks"
        if tasks.is_dir():
            return tasks / _FOLDER
    raise UserError("lm_eval is not installed for this Python: type `pip install lm-eval`.")


def link() -> Path:
    """Link every YAML file of ours and return the folder; links of an earlier install are replaced."""
    folder = link_folder()
    try:
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.yaml"):
            if old.is_symlink():
                old.unlink()
        for file in sorted(harness_folder().glob("*.yaml")):
            (folder / file.name).symlink_to(file)
    except OSError as error:
        raise UserError(
            f"The links cannot be made in {folder} ({error.strerror}): use `skillmix eval ...`, or "
            '`lm_eval --include_path "$(skillmix path)" ...`, which need none.'
        ) from error
    return folder


def unlink() -> Path:
    """Remove the links and their folder, and return where it was."""
    folder = link_folder()
    try:
        for file in folder.glob("*.yaml"):
            if file.is_symlink():
                file.unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise UserError(f"The links in {folder} cannot be removed ({error.strerror}).") from error
    return folder
