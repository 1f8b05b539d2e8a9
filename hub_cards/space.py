"""The leaderboard as a static Space: the report of your own results beside the published ones, or these alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import SpaceCardData

from grading import UserError
from hub_cards.cards import environment, render_card, tags
from hub_cards.evaluations import results_within
from hub_cards.hub.files import File, files_of, open_within
from hub_cards.hub.publication import Publication
from hub_cards.report.page.write import write_report
from hub_cards.report.stats.novelty import Corpus
from hub_cards.report.study.board import Row
from hub_cards.report.study.study import make_study
from skillmix_tasks.calibration.record import load_calibration
from skillmix_tasks.stored.find_results import Found, all_samples_of
from training.published import load_published

MARK = "space"
_TITLE = "SKILL-MIX leaderboard"


def space(
    results: Sequence[Path], *, repo: str, others: Sequence[Row] = (), calibrations: Sequence[Path] = ()
) -> Publication:
    """The Space with its card; `results` are results files or folders of `skillmix eval`, or NAME=PATH.

    `others` are rows of the Hub's leaderboards, shown beside them; `calibrations` are of the results' judges.
    """
    metadata = SpaceCardData(
        title=_TITLE,
        emoji="🧩",
        colorFrom="indigo",
        colorTo="gray",
        sdk="static",
        app_file="index.html",
        pinned=False,
        license="apache-2.0",
        short_description="Can a model show k language skills in one text?",
        tags=tags(MARK, "leaderboard"),
    )
    sources = list({row.source.page: row.source for row in load_published()}.values())
    card = render_card("space", metadata, sources=sources, own=bool(results), name=repo.rpartition("/")[2])
    return Publication(card, tuple(space_files(results, others, calibrations)))


def space_files(
    results: Sequence[Path], others: Sequence[Row] = (), calibrations: Sequence[Path] = ()
) -> list[File]:
    """The page index.html, which loads no other file; with results the report's tables and plots, too."""
    if not results:
        if others:
            raise UserError("The Hub's rows are shown beside results of your own: name them with --results.")
        template = environment().overlay(autoescape=True).get_template("space.html.jinja")
        page = template.render(title=_TITLE, rows=load_published())
        return [File("index.html", (page.strip() + "\n").encode())]
    found = list[Found]()
    for one, root in results_within(results):
        found.append(one)
        for samples in all_samples_of(one.path):
            open_within(root, samples)
    known = [load_calibration(path) for path in calibrations]
    study = make_study(found, corpus=Corpus(), others=others, calibrations=known)
    with TemporaryDirectory() as folder:
        write_report(study, Path(folder))
        return [File(path, file.read_bytes()) for path, file in files_of(Path(folder))]
