"""The tables of a file as rows of plain text: CSV, an HTML page, or LaTeX source.

Files come from outside: they are bounded, and only read. A cell that spans rows or columns is repeated in each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from grading import UserError
from skillmix_tasks.items.pack_files import read_cells, read_text

_MOST_PAGE = 16 * 2**20  # bytes of a page or a source; the papers' have some 1 MB
_MOST_CELLS = 200_000  # of one file
_MOST_SPAN = 1_000
_MOST_DEPTH = 100


@dataclass
class Table:
    """Rows of cells; `path` and `number` say which table of which file it is."""

    path: Path
    number: int
    rows: list[list[str]] = field(default_factory=list)

    def place(self, row: int) -> str:
        """Where the row with this index is, for an error: rows count from 1."""
        table = "" if self.path.suffix.lower() == ".csv" else f" table {self.number},"
        return f"{self.path}:{table} row {row + 1}"


def read_tables(path: Path) -> list[Table]:
    """The tables of a .csv, .html or .tex file; UserError for another kind of file, or one that cannot be read."""
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UserError(f"There is no file {path}: name the file of the tables.")
    if suffix == ".csv":
        return [Table(path, 1, read_cells(path))]
    if suffix in (".html", ".htm"):
        grids = _html(read_text(path, _MOST_PAGE), path)
    elif suffix == ".tex":
        grids = _latex(read_text(path, _MOST_PAGE), path)
    else:
        raise UserError(f"{path} is not a .csv, .html or .tex file: save the tables as one of these.")
    in_latex = suffix == ".tex"
    return [Table(path, number, _filled(grid, in_latex)) for number, grid in enumerate(grids, start=1)]


@dataclass
class _Cell:
    text: str
    rows: int = 1
    columns: int = 1


def _filled(grid: list[list[_Cell]], in_latex: bool) -> list[list[str]]:
    """The texts of a grid, with what spans rows or columns in each of them.

    LaTeX has an empty cell below one that spans rows, and HTML has none; its empty lines are left out.
    """
    waiting: dict[int, tuple[int, str]] = {}  # by column: for how many rows a text from above holds
    rows = []
    for cells in grid:
        row: list[str] = []
        left = list(cells)
        while left or len(row) in waiting:
            held = waiting.get(len(row))
            if held is not None:
                more, text = held
                waiting[len(row)] = (more - 1, text)
                if more == 1:
                    del waiting[len(row)]
                row.append(text)
                if in_latex and left and not left[0].text:
                    left.pop(0)
                continue
            cell = left.pop(0)
            for _ in range(cell.columns):
                if cell.rows > 1:
                    waiting[len(row)] = (cell.rows - 1, cell.text)
                row.append(cell.text)
        if not in_latex or any(cell.text for cell in cells):
            rows.append(row)
    return rows


class _Page(HTMLParser):
    """Collects the outermost tables of a page; a table inside a cell is part of its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: list[list[list[_Cell]]] = []
        self._path = path
        self._depth = 0
        self._hidden = 0
        self._cell: _Cell | None = None
        self._cells = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "table":
            self._depth += 1
            if self._depth > _MOST_DEPTH:
                raise UserError(f"{self._path} has tables nested more than {_MOST_DEPTH} deep: it is damaged.")
            if self._depth == 1:
                self.tables.append([])
        elif self._depth == 1 and tag == "tr":
            self._cell = None
            self.tables[-1].append([])
        elif self._depth == 1 and tag in ("td", "th"):
            if not self.tables[-1]:
                self.tables[-1].append([])
            given = dict(attrs)
            self._cell = _Cell("", _span(given.get("rowspan")), _span(given.get("colspan")))
            self._cells += self._cell.columns
            if self._cells > _MOST_CELLS:
                raise _too_many(self._path)
            self.tables[-1][-1].append(self._cell)
        elif self._cell is not None and tag in ("br", "p", "li", "div", "tr", "td"):
            self._cell.text += " "

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "table" and self._depth:
            self._depth -= 1
            if self._depth == 0:
                self._cell = None
        elif self._depth == 1 and tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None and not self._hidden:
            self._cell.text += data


_HIDDEN = (
    "script",
    "style",
    "annotation",
    "annotation-xml",
)  # elements that a browser does not show, or shows already


def _html(text: str, path: Path) -> list[list[list[_Cell]]]:
    page = _Page(path)
    page.feed(text)
    page.close()
    for cell in (cell for table in page.tables for row in table for cell in row):
        cell.text = " ".join(cell.text.split())
    return page.tables


def _span(given: str | None) -> int:
    return min(_MOST_SPAN, max(1, int(given))) if given and re.fullmatch(r"[0-9]{1,9}", given) else 1


def _too_many(path: Path) -> UserError:
    return UserError(
        f"{path} has more than {_MOST_CELLS:,} cells in tables: keep only the tables of skills and topics."
    )


_ENVIRONMENTS = "longtable|longtabu|supertabular|tabular|tabularx|tabularx\\*|tabular\\*|tabu|xltabular|tblr"
_BEGIN = re.compile(rf"\\begin\{{({_ENVIRONMENTS})\}}")
_WITH_WIDTH = ("tabularx", "tabularx*", "tabular*", "xltabular")
_END = re.compile(rf"\\end\{{(?:{_ENVIRONMENTS})\}}")
_OPTION = re.compile(r"^\s*\[[^\]]*\]")
_COMMENT = re.compile(r"(?<!\\)%[^\n]*\n?[ \t]*")
_TOKEN = re.compile(
    r"\\\\(?:\*)?(?:\[[^\]\n]*\])?|\\tabularnewline\b|\\begin\{\w+\*?\}|\\end\{\w+\*?\}|\\.|[{}&]", re.DOTALL
)
_NOISE = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|endfirsthead|endhead|endfoot|endlastfoot|centering|small|footnotesize"
    r"|scriptsize|tiny|raggedright|noindent|newpage|pagebreak)\b"
    r"|\\(?:cmidrule|cline|rowcolor|cellcolor|label|vspace|hspace|addlinespace|caption)\*?(?:\([^)]*\))?(?:\[[^\]]*\])?"
    r"(?:\{[^{}]*\})?"
)
_SPANNING = re.compile(r"[\s{]*\\multi(row|column)\*?(?:\[[^\]]*\])?\{\s*-?([0-9]{1,9})\s*\}")
_MARKS = {"``": "“", "''": "”", "---": "—", "--": "\u2013", "~": " ", "$": ""}
_ACCENT = re.compile(r"\\[\"'`^~=.uvHcdb](?:\{([A-Za-z])\}|([A-Za-z])(?![A-Za-z]))")


def _latex(text: str, path: Path) -> list[list[list[_Cell]]]:
    text = _COMMENT.sub("", text)
    grids, position, cells = [], 0, 0
    while begin := _BEGIN.search(text, position):
        end = _environment_end(text, begin.end(), path)
        grid = []
        for row in _split_rows(_after_arguments(text[begin.end() : end], begin[1])):
            grid.append([_latex_cell(cell) for cell in row])
            cells += sum(cell.columns for cell in grid[-1])
            if cells > _MOST_CELLS:
                raise _too_many(path)
        grids.append(grid)
        position = end
    return grids


def _after_arguments(body: str, environment: str) -> str:
    """The text after the width and the columns of an environment."""
    for _ in range(2 if environment in _WITH_WIDTH else 1):
        body = _after_group(_OPTION.sub("", body))
    return _OPTION.sub("", body)


def _environment_end(text: str, start: int, path: Path) -> int:
    depth, position = 1, start
    while depth:
        end = _END.search(text, position)
        if end is None:
            raise UserError(f"{path} has a table without its \\end: copy the complete table.")
        depth += len(_BEGIN.findall(text, position, end.start())) - 1
        position = end.end()
    return position


def _split_rows(body: str) -> Iterator[list[str]]:
    """The cells of each row: text in braces or in an inner environment belongs to one cell."""
    row, start, depth, inner = [], 0, 0, 0
    for token in _TOKEN.finditer(body):
        mark = token.group()
        depth += (mark == "{") - (mark == "}")
        inner += mark.startswith("\\begin") - mark.startswith("\\end")
        if depth > 0 or inner > 0:
            continue
        if mark == "&":
            row.append(body[start : token.start()])
            start = token.end()
        elif mark.startswith("\\\\") or mark == "\\tabularnewline":
            yield [*row, body[start : token.start()]]
            row, start = [], token.end()
    yield [*row, body[start:]]


def _latex_cell(source: str) -> _Cell:
    cell = _Cell("")
    source = _NOISE.sub(" ", source)
    while span := _SPANNING.match(source):
        number = min(_MOST_SPAN, max(1, int(span[2])))
        cell.rows, cell.columns = (number, cell.columns) if span[1] == "row" else (cell.rows, number)
        # The second argument is a width or an alignment, and the third the text.
        source = _after_group(source[span.end() :])
    cell.text = _plain(source)
    return cell


def _after_group(source: str) -> str:
    depth = 0
    for position, char in enumerate(source):
        depth += (char == "{") - (char == "}")
        if depth == 0 and not char.isspace():
            return source[position + 1 :]
    return ""


def _plain(source: str) -> str:
    """The text as it is printed, without commands."""
    source = re.sub(r"\\(?:newline|linebreak|par|\\)(?![A-Za-z])(?:\[[^\]]*\])?", " ", source)
    source = re.sub(r"\\(?:begin|end)\{\w+\*?\}(?:\[[^\]]*\])?(?:\{[^{}]*\})?", " ", source)
    source = re.sub(r"\\(?:textcolor|color|href)\{[^{}]*\}", "", source)
    source = _ACCENT.sub(lambda match: match[1] or match[2], source)
    source = source.replace(r"\ldots", "…").replace(r"\dots", "…").replace(r"\textendash", "\u2013")
    source = re.sub(r"\\([&%$#_{}])", lambda match: f"\0{ord(match[1])};", source)
    for mark, plain in _MARKS.items():
        source = source.replace(mark, plain)
    source = re.sub(r"\\[A-Za-z]+\*?\s?|\\.|[{}]", "", source)
    source = re.sub(r"\0(\d+);", lambda match: chr(int(match[1])), source)
    return " ".join(source.split())
