"""Finding a pack by its name or directory, whichever format it is in."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path
from unicodedata import normalize

from grading import UserError
from skillmix_tasks.items.pack import Pack, bundled_folder, bundled_packs
from skillmix_tasks.items.pack_files import read_pack
from skillmix_tasks.items.prompts import check_prompts
from skillmix_tasks.items.reference_pack import is_reference_pack, read_reference_pack


@cache
def load_pack(name: str) -> Pack:
    """The bundled pack `name`, or the pack in the directory `name`, in our format or the reference's.

    Raises UserError with the file, the entry and the field of the first fault.
    """
    folder = bundled_packs().get(name, Path(name))
    if not folder.is_dir():
        raise UserError(
            f"There is no pack {name!r}: name one of {', '.join(bundled_packs())}, or a directory that holds "
            "pack.yaml, skills and topics (.yaml or .csv)."
        )
    _refuse_links(folder)
    pack = read_reference_pack(folder) if is_reference_pack(folder) else read_pack(folder)
    check_prompts(pack)
    return pack


def new_pack(folder: Path) -> str:
    """Copy a small complete pack into the new folder `folder`, for its author to change; return its id.

    The id is the folder's name in small letters, digits and hyphens.
    """
    if folder.exists():
        raise UserError(f"{folder} exists: name a new folder.")
    plain = normalize("NFKD", folder.resolve().name).encode("ascii", "ignore").decode().lower()
    name = re.sub("[^a-z0-9]+", "-", plain).strip("-")
    if not name or name in bundled_packs():
        fault = f"{name} is a bundled pack" if name else "it has no letter from a to z and no digit"
        raise UserError(f"The pack cannot get its id from the folder {folder} ({fault}): name another folder.")
    source = bundled_folder() / "to_copy" / "my-pack"
    try:
        # Not copy2: where this package is read-only, the author's files would be, too.
        shutil.copytree(source, folder, copy_function=shutil.copyfile)
        about = (source / "pack.yaml").read_text(encoding="utf-8")
        (folder / "pack.yaml").write_text(about.replace("id: my-pack ", f'id: "{name}" ', 1), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror or error}).") from error
    return name


def _refuse_links(folder: Path) -> None:
    """A pack's texts go to models and to the Hub: they must be files of its folder, not others of the user's."""
    inside = folder.resolve()
    for path in (*folder.glob("*"), *folder.glob("prompts/*"), *folder.glob("prompts/*/*")):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise UserError(f"{path} is a link to a file outside the pack {folder}: put the file in its place.")
