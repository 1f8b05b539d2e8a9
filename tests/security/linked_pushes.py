"""Pushes of folders with links to the file given; run by test_files.py."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub_cards.hub.publication import Publication, Remote, Target
from hub_cards.hub.push import push
from hub_cards.training_data import MARK, training_data
from tests.hub_cards.driving import skillmix
from tests.hub_cards.made import make_run, make_training_data

LICENSE = ("--license", "mit")


def main(secret: str) -> None:
    here = Path.cwd()
    made = make_training_data(here / "made")

    def texts(name: str, spoil: Callable[[Path], None]) -> Path:
        folder = shutil.copytree(made, here / name)
        spoil(folder)
        return folder

    def link(place: str, target: str | Path) -> Callable[[Path], None]:
        def spoil(folder: Path) -> None:
            (folder / place).unlink()
            (folder / place).symlink_to(target)

        return spoil

    def inside(folder: Path) -> None:
        (folder / "summary.md").rename(folder / "kept.md")
        (folder / "summary.md").symlink_to("kept.md")

    pushed: dict[str, Any] = {"whole": skillmix("push", "training-data", made, "org/whole", *LICENSE).status}
    pushed["link inside"] = skillmix(
        "push", "training-data", texts("inside", inside), "org/inside", *LICENSE
    ).status
    for place in ("summary.md", "summary.png", "run.json", "data/k1/train-00000-of-00001.parquet"):
        folder = texts(place.replace("/", "-"), link(place, secret))
        pushed[place] = skillmix("push", "training-data", folder, "org/linked", *LICENSE).status

    swapped = texts("swapped", lambda _: None)
    content = (swapped / "summary.png").read_bytes()
    planned = training_data(swapped, repo="org/swapped", license_="mit")
    link("summary.png", secret)(swapped)

    def plan(_: Remote) -> Publication:
        return planned

    pushed["swapped"] = push(Target("org/swapped", "dataset", MARK), plan).files
    (here / "expected.png").write_bytes(content)

    skillmix("push", "training-data", made, "org/texts", *LICENSE)
    run = make_run(here / "run")
    options = (*LICENSE, "--training-data", "org/texts", "--base-model", "org/base")
    for name in ("tokenizer.json", "model.safetensors"):
        (run / "model" / name).unlink(missing_ok=True)
        (run / "model" / name).symlink_to(secret)
        pushed[f"model/{name}"] = skillmix("push", "model", run, "org/model", *options).status
        (run / "model" / name).unlink()
    (run / "model" / "model.safetensors").write_bytes(bytes(8))
    (run / "model").rename(here / "elsewhere")
    (run / "model").symlink_to(here / "elsewhere")
    pushed["model"] = skillmix("push", "model", run, "org/model", *options).status
    sys.stdout.write(json.dumps(pushed) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
