"""Names in a file of stored answers are followed only if the user named them too, or trusts the file.

A file names a pack, a data set, and a judge with its address. The files of the user's own runs are followed
(grading.home knows them), and so are bundled packs, the known judges and the environment's judge.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from grading import JudgeSpec, UserError
from grading.models.judge import known_judges, resolve_judge
from grading.models.spec import LOCAL_PREFIX
from skillmix_tasks.items.pack import bundled_packs
from skillmix_tasks.stored.places import StoredTask

_TOLD_APART = {"price", "shutdown"}  # of a judge; a file's values of them are ignored


def settings_to_follow(stored: StoredTask, overrides: dict[str, Any], *, trust: bool) -> dict[str, Any]:
    """The settings of the run that gave `stored`, with the user's `overrides` in their place.

    Raises UserError, which says what the file names and what to type, unless the user named it too or `trust` is
    set. An address that only the file names gets no key in any case.
    """
    settings = dict(stored.settings)
    if stored.own:
        return settings | overrides
    asked: list[tuple[str, str]] = []
    pack, source = settings.get("pack"), settings.get("items_from")
    if "pack" not in overrides and pack is not None and pack not in bundled_packs():
        asked.append((f"the pack {pack!r}", "--set pack=DIRECTORY"))
    if "items_from" not in overrides and source is not None:
        name = source.get("path") if isinstance(source, dict) else source
        asked.append((f"the data set {name!r} (items_from)", "--set items_from=JSON"))
    if "judge" not in overrides and "judge" in settings:
        given = settings["judge"]
        judges = []
        for one in given if isinstance(given, list) else [given]:
            judge, named = _judge(one, overrides)
            judges.append(judge)
            if not named:
                asked.append((f"the judge {_name(one)}", "--judge MODEL --judge-base-url ADDRESS"))
        settings["judge"] = judges
    if asked and not trust:
        options = " ".join(dict.fromkeys(option for _, option in asked))
        raise UserError(
            f"{stored.path} is not from your own runs and names {', '.join(what for what, _ in asked)}: name the "
            f"values to use with {options}, or type --trust-file if you trust the file."
        )
    return settings | overrides


def _judge(given: Any, overrides: Mapping[str, Any]) -> tuple[Any, bool]:
    """The judge that a file names, as it is followed, and whether the user named it too."""
    if not isinstance(given, dict):
        raise UserError(f"The file names the judge {given!r}, which is invalid: name one with --judge.")
    fields = {name: value for name, value in given.items() if name not in _TOLD_APART}
    spec = resolve_judge(fields, base_url=overrides.get("judge_base_url"))
    for known in _named_judges():
        if _dump(spec, overrides) == _dump(known, overrides):
            return known.model_dump(mode="json"), True
    addresses = (overrides.get("judge_base_url"), os.environ.get("SKILLMIX_JUDGE_BASE_URL"))
    return fields | {"keyless": spec.base_url not in addresses}, False


def _named_judges() -> list[JudgeSpec]:
    """The judges that are named without a file: the known ones, and the environment's."""
    model, address = (os.environ.get(f"SKILLMIX_JUDGE_{name}") for name in ("MODEL", "BASE_URL"))
    own = [resolve_judge(model, base_url=address or None)] if model else []
    return [*known_judges().values(), *own]


def _dump(spec: JudgeSpec, overrides: Mapping[str, Any]) -> dict[str, Any]:
    return spec.model_dump(exclude=_TOLD_APART | ({"votes"} if "votes" in overrides else set()))


def _name(judge: dict[str, Any]) -> str:
    model = judge.get("model")
    if judge.get("kind") == "transformers":
        return repr(f"{LOCAL_PREFIX}{model}")
    return f"{model!r} at {judge.get('base_url')!r}"
