"""Importing this module compares the installed packages with the declared ranges, and imports none of them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata, version

from packaging.requirements import Requirement

from grading.errors import UserError, show_user_errors_in_one_line

_DISTRIBUTION = "skillmix-tasks"


def _check_versions() -> None:
    """Raise UserError if a package of ours is missing or outside the range that this project declares.

    A package of an extra is checked only if it is installed. A checkout that is not installed declares nothing.
    """
    try:
        about = metadata(_DISTRIBUTION)
    except PackageNotFoundError:
        return
    extras = {"", *(about.get_all("Provides-Extra") or ())} - {"dev"}
    for requirement in map(Requirement, about.get_all("Requires-Dist") or ()):
        marker = requirement.marker
        needed_by = {name for name in extras if marker is None or marker.evaluate({"extra": name})}
        if not needed_by:
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            if "" not in needed_by:
                continue
            found = "missing"
        if found == "missing" or not requirement.specifier.contains(found, prereleases=True):
            show_user_errors_in_one_line()  # also where lm_eval or a script of the user's imports us
            wanted = f"{requirement.name}{requirement.specifier}"
            raise UserError(
                f"The package {requirement.name} is {found}; {_DISTRIBUTION} needs {wanted}: "
                f'type `pip install "{wanted}"`.'
            )


def installed_version() -> str:
    """The version of this project; "0+checkout" for a checkout that is not installed."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "0+checkout"


_check_versions()
