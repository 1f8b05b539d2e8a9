"""Tables of commands: ids and numbers are not cut, and prose is wrapped to the width of the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    prose: Collection[int] = (),
) -> None:
    """Print a table; the columns `right`, by number, are set to the right, and those in `prose` may be wrapped."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for number, heading in enumerate(headings):
        one_line = number not in prose
        table.add_column(
            heading,
            justify="right" if number in right else "left",
            no_wrap=one_line,
            overflow="ignore" if one_line else "fold",
        )
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, soft_wrap=False)
    widest = console.measure(table).minimum
    if widest > console.width:  # a line that the terminal wraps is better than a number that is cut
        console = Console(markup=False, highlight=False, width=widest)
    console.print(table)
