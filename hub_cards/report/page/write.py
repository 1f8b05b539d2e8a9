"""Writing a report to a folder."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from grading import UserError
from grading.safety.atomic import sync
from hub_cards.report.page.page import Experiment, render_page
from hub_cards.report.page.pictures import draw_pictures
from hub_cards.report.page.tables import write_tables
from hub_cards.report.study.study import Study


def write_report(study: Study, folder: Path, experiment: Experiment | None = None) -> list[Path]:
    """Write tables, plots and the page to `folder`, and return the paths of all files.

    The page shows the tables of an `experiment`, too.

    No file of an earlier report there is touched before all new ones are on the disk. UserError if it refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".report-", dir=folder) as hidden:
            page = Path(hidden, "index.html")
            page.write_text(render_page(study, experiment), encoding="utf-8")
            drafts = [page, *write_tables(study, page.parent), *draw_pictures(study, page.parent / "plots")]
            for draft in drafts:
                sync(draft)
            written = [folder / draft.relative_to(hidden) for draft in drafts]
            for draft, path in zip(drafts, written, strict=True):
                path.parent.mkdir(exist_ok=True)
                draft.replace(path)
        for place in {path.parent for path in written}:
            sync(place)
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {folder} ({error.strerror}): an earlier report there is "
            "as it was. Free space, fix its permissions, or name another folder with -o."
        ) from error
    return written
