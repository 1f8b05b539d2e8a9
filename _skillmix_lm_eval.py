"""Makes plain `lm_eval` find our tasks, and end in one sentence where a command about them is wrong.

Python runs the line of `skillmix_lm_eval.pth` at each start (in a virtual environment twice). The line puts one
finder in front of the import system and imports nothing of ours. The finder waits for the two modules of lm-eval
below, which this module then loads as always, and changes; after the second the finder removes itself.
SKILLMIX_NO_LM_EVAL_HOOK=1 switches it off.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_COMMAND = "lm_eval._cli.harness"
_TASKS = "lm_eval.tasks.manager"  # a command imports it after _COMMAND
_OWN = "skillmix eval"  # as sys.argv begins in that command, which checks by itself
_UNKNOWN = "Tasks not found: "  # how lm-eval's error begins, before the names


def find_spec(finder: Any, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Return what Python's own finder finds, with a loader that changes the module once it is loaded."""
    spec = PathFinder.find_spec(name, path)
    if spec is not None and hasattr(spec.loader, "exec_module"):
        spec.loader = _ChangingLoader(spec.loader, finder)  # type: ignore[assignment]
    return spec


class _ChangingLoader:
    """Loads a module with its own loader and then changes it; the module is left with its own loader."""

    def __init__(self, loader: Any, finder: Any) -> None:
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if module.__name__ == _COMMAND:
            _explain_mistakes(module)
        else:
            _add_tasks(module)
            if self._finder in sys.meta_path:
                sys.meta_path.remove(self._finder)


def _add_tasks(manager: ModuleType) -> None:
    """Put our tasks into each index that holds lm-eval's own, where their names are free.

    The names are taken if lm-eval reads the entry point `lm_eval.tasks` itself, if --include_path names our
    folder, or if the user has a task of the name.
    """
    index: Any = getattr(manager, "TaskIndex", None)
    build = vars(index).get("build") if isinstance(index, type) else None
    if manager.__file__ is None or not isinstance(build, staticmethod):
        return  # another lm-eval than we know
    defaults = Path(manager.__file__).parent

    def build_with_ours(paths: Iterable[Any], *arguments: Any, **named: Any) -> Any:
        paths = list(paths)
        found = build(paths, *arguments, **named)
        ours = PathFinder.find_spec("skillmix_tasks")  # imports nothing
        if ours is not None and any(Path(path) == defaults for path in paths) and isinstance(found, dict):
            folders = [Path(folder) / "harness" for folder in ours.submodule_search_locations or ()]
            for name, entry in build(folders, *arguments, **named).items():
                found.setdefault(name, entry)
        return found

    index.build = staticmethod(build_with_ours)


def _explain_mistakes(harness: ModuleType) -> None:
    """Have the command `lm_eval` check what is said about our tasks, and explain names that are almost ours."""
    command = getattr(harness, "HarnessCLI", None)
    parse_args = getattr(command, "parse_args", None)
    execute = getattr(command, "execute", None)
    if command is None or parse_args is None or execute is None:
        return  # another lm-eval than we know

    def checked_parse_args(*arguments: Any, **named: Any) -> Any:
        if _about_us() and (checks := _checks()):
            checks.check_json(sys.argv[1:])
        args = parse_args(*arguments, **named)
        if getattr(args, "command", None) == "run" and _about_us() and (checks := _checks()):
            checks.check_run(args)
        return args

    def explained_execute(*arguments: Any, **named: Any) -> Any:
        try:
            return execute(*arguments, **named)
        except ValueError as error:
            if str(error).startswith(_UNKNOWN) and (checks := _checks()):
                checks.explain_unknown_tasks(str(error).removeprefix(_UNKNOWN).split(", "))
            raise

    command.parse_args = checked_parse_args
    command.execute = explained_execute


def _about_us() -> bool:
    return sys.argv[0] != _OWN and any("skillmix" in word.lower() for word in sys.argv[1:])


def _checks() -> ModuleType | None:
    """Our checks, whose errors print one line; None if they cannot be imported: lm-eval runs without them."""
    try:
        from grading.errors import show_user_errors_in_one_line
        from skillmix_tasks.commands import evaluate
    except ImportError:
        return None
    show_user_errors_in_one_line()
    return evaluate
