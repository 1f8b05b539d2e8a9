"""Writing a report to a folder."""

from __future__ import annotations

from pathlib import Path

from grading import UserError
from hub_cards.report.page import render_page
from hub_cards.report.pictures import draw_pictures
from hub_cards.report.study import Study
from hub_cards.report.tables import write_tables


def write_report(study: Study, folder: Path) -> list[Path]:
    """Write tables, plots and the page to `folder`; the paths of all files. UserError if the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        overlays, students, plots = draw_pictures(study, folder / "plots")
        page = folder / "index.html"
        page.write_text(render_page(study, overlays, students), encoding="utf-8")
        return [page, *write_tables(study, folder), *plots]
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {folder} ({error.strerror}): free space, mend its permissions, or "
            "name another folder with -o."
        ) from error
