"""Made-up lists in the form of the paper's tables: as CSV, as an HTML page, and as LaTeX source."""

from __future__ import annotations

import csv
import string
from collections.abc import Sequence
from pathlib import Path

TRAIN, HELD_OUT = ("literary", "rhetorical"), ("reasoning", "theory of mind", "common sense")
SKILLS = [
    (
        category,
        f"{letter}ing & {category} trick",
        f"A text does “{letter}” in 50% of its words.",
        f"One {letter} came.",
    )
    for number, letter in enumerate(
        ("blor", "crand", "drell", "frim", "glon", "hask", "jolp", "kern", "mave", "nuld")
    )
    for category in [(*TRAIN, *HELD_OUT)[number // 2]]
]
TOPICS = [("Bark boats", "train"), ("Clay bells", "train"), ("Dune maps", "held-out"), ("Elm chairs", "held-out")]


def write_csv(
    folder: Path, skills: Sequence[tuple[str, ...]] = (), topics: Sequence[tuple[str, ...]] = ()
) -> tuple[Path, Path]:
    """The two CSV files; `skills` and `topics` are other rows, with their headings."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = (
        (folder / "skills.csv", skills or [("category", "skill", "definition", "example"), *SKILLS]),
        (folder / "topics.csv", topics or [("topic", "split"), *TOPICS]),
    )
    for path, rows in tables:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    return tables[0][0], tables[1][0]


def complete() -> tuple[list[tuple[str, ...]], list[tuple[str, str]]]:
    """As many made-up skills and topics as the paper has, with headings."""
    words = [f"{a}{b}on" for a in string.ascii_lowercase for b in "aeiou"]
    skills = [
        ("literary" if number < 53 else "logical", word, f"It does {word}.", "Ann left.")
        for number, word in enumerate(words[:101])
    ]
    topics = [(f"{word} fairs", "train" if number < 50 else "test") for number, word in enumerate(words[:100])]
    return [("Category", "Skill", "Definition", "Example"), *skills], [("Topic", "Split"), *topics]


def write_html(path: Path) -> Path:
    """One page with a table of results, two tables of skills whose categories span rows, and one of topics."""

    def escaped(text: str) -> str:
        return text.replace("&", "&amp;")

    def group(categories: tuple[str, ...]) -> str:
        rows = ""
        for category in categories:
            own = [skill for skill in SKILLS if skill[0] == category]
            for number, (_, *cells) in enumerate(own):
                head = f'<th rowspan="{len(own)}">{category.title()}</th>' if number == 0 else ""
                rows += (
                    "<tr>" + head + "".join(f"<td><span>{escaped(cell)}</span></td>" for cell in cells) + "</tr>"
                )
        return f"<table><tr><th>Category</th><th>Skill</th><th>Definition</th><th>Example</th></tr>{rows}</table>"

    lists = {split: ", ".join(name for name, side in TOPICS if side == split) for split in ("train", "held-out")}
    page = (
        "<table><tr><th>Model</th><th>train</th><th>held-out</th></tr><tr><td>x</td><td>.1</td><td>.2</td></tr></table>"
        + group(TRAIN)
        + group(HELD_OUT)
        + f"<table><tr><td>Training topics</td><td>{lists['train']}</td></tr>"
        + f"<tr><td>Held-out topics</td><td>{lists['held-out']}</td></tr></table>"
    )
    path.write_text(f"<html><head><style>table {{}}</style></head><body>{page}</body></html>", encoding="utf-8")
    return path


def write_latex(path: Path) -> Path:
    """LaTeX source: a long table with categories in rows of their own, and topics in two columns."""

    def escaped(text: str) -> str:
        return text.replace("&", r"\&").replace("%", r"\%").replace("“", "``").replace("”", "''")

    lines = [r"\begin{longtable}{lp{3cm}p{4cm}}", r"\toprule Skill & Definition & Example \\ \midrule \endhead"]
    for category in (*TRAIN, *HELD_OUT):
        lines.append(rf"\multicolumn{{3}}{{c}}{{\textbf{{{category}}}}} \\ \hline")
        for own, *cells in SKILLS:
            if own == category:
                lines.append(" & ".join(rf"\emph{{{escaped(cell)}}}" for cell in cells) + r" \\ % a comment")
    lines += [r"\bottomrule\end{longtable}", r"\begin{tabular}{ll}", r"Train topics & Held-out topics \\ \hline"]
    sides = [[name for name, side in TOPICS if side == split] for split in ("train", "held-out")]
    lines += [rf"{one} & {other} \\" for one, other in zip(*sides, strict=True)]
    path.write_text("\n".join([*lines, r"\end{tabular}", ""]), encoding="utf-8")
    return path
