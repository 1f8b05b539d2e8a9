"""Limits on data from outside, and readers that keep them: files, lines, JSON, YAML, and texts of models.

The readers raise OSError or ValueError, as those without a limit do: callers say what the file was for.
"""

from __future__ import annotations

import errno
import json
import math
import re
import reprlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, Final

import yaml

from grading.errors import UserError

MOST_FILE: Final = 64 * 2**20  # bytes of a file that is read at once; the largest results of lm-eval have a few MB
MOST_LINE: Final = 64 * 2**20  # bytes of a line; one sample with three texts of MOST_TEXT, escaped, fits in
MOST_YAML: Final = 2 * 2**20  # bytes; the YAML parser reads some 100 kB a second, and the bundled packs have 60 kB
MOST_VALUES: Final = 200_000  # of a YAML text; without aliases MOST_YAML holds no more
MOST_TEXT: Final = 1_000_000  # characters of one model's text; 128,000 tokens of reasoning have some 600,000
MOST_DEPTH: Final = 100  # lists and objects inside one another
_LONGEST_INTEGER = 40  # digits

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 300
_CUT = re.compile(r" \[cut: [\d,]+ more characters\]\Z")
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_file(path: Path, most: int | None = None) -> BinaryIO:
    """`path`, open to read bytes; OSError if it has more than `most`, or is not a file: a pipe need never end."""
    about = path.stat()
    mode = stat.S_IFMT(about.st_mode)
    if mode in _KINDS:
        raise OSError(errno.EINVAL, f"it is {_KINDS[mode]} and not a file", str(path))
    if most is not None and about.st_size > most:
        raise OSError(errno.EFBIG, f"it is larger than {_size(most)}", str(path))
    return path.open("rb")


def read_bytes(path: Path, most: int = MOST_FILE) -> bytes:
    """The content of the file `path`; OSError if it has more than `most` bytes, or is not a file."""
    with open_file(path, most) as file:
        return file.read(most)


def read_text(path: Path, most: int = MOST_FILE) -> str:
    """The text of the UTF-8 file `path`, without a byte order mark; raises as `read_bytes`, or ValueError."""
    return read_bytes(path, most).decode("utf-8-sig")


def read_lines(file: BinaryIO, most: int = MOST_LINE) -> Iterator[bytes]:
    """The lines of `file` with their ends; OSError at one of more than `most` bytes."""
    while line := file.readline(most + 1):
        if len(line) > most:
            raise OSError(errno.EFBIG, f"a line of it is longer than {_size(most)}", str(file.name))
        yield line


@contextmanager
def readable(path: Path) -> Iterator[Iterator[bytes]]:
    """The lines of the file `path`; UserError in one sentence if it cannot be read."""
    try:
        with open_file(path) as file:
            yield read_lines(file)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def load_json(text: str | bytes) -> Any:
    """The JSON value in `text`; ValueError if it is invalid, or nested more than MOST_DEPTH deep.

    An integer of very many digits reads as infinite: Python refuses to convert it, and with it all JSON around.
    """
    try:
        value = json.loads(text, parse_int=_integer)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level = [value]
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        if not inner:
            return value
        level = inner
    raise ValueError("it is nested too deeply")


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < _LONGEST_INTEGER else math.inf


def load_yaml(text: str) -> Any:
    """The YAML value in `text`; ValueError in one line if it is invalid.

    Aliases of lists of aliases make gigabytes of a few lines: written out, it may hold MOST_VALUES.
    """
    if len(text) > MOST_YAML:
        raise ValueError(f"it is larger than {_size(MOST_YAML)}")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    # PyYAML raises the others, for instance for `!!int ""`, where it should raise its own.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def user_yaml(path: Path, what: str, choice: str = "name a YAML file") -> Any:
    """The YAML value in a file of the user's.

    Raises UserError, in which the file is called `what`; if it is missing, the message ends with `choice`.
    """
    try:
        return load_yaml(read_text(path, MOST_YAML))
    except FileNotFoundError as error:
        raise UserError(f"There is no {what} {str(path)!r}: {choice}.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"The {what} {path} cannot be read ({reason}): name a YAML file.") from error


def own_yaml(package: str, *path: str) -> Any:
    """The YAML value in a file that comes with a package of ours."""
    return yaml.safe_load(files(package).joinpath(*path).read_text(encoding="utf-8"))


def own_names(package: str, folder: str) -> list[str]:
    """The names of the YAML files in a folder of a package of ours, without their ending."""
    return sorted(Path(file.name).stem for file in files(package).joinpath(folder).iterdir())


class _Loader(yaml.SafeLoader):
    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _count_values(node, {})
        return node


def _count_values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds, those of its aliases each time; ValueError over MOST_VALUES."""
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("an alias stands for a value that holds it")
        return known[id(node)]
    known[id(node)] = 0  # as long as it is counted
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif isinstance(node, yaml.MappingNode):
        inner = [one for pair in node.value for one in pair]
    number = 1 + sum(_count_values(one, known) for one in inner)
    if number > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values: its aliases stand for one another")
    known[id(node)] = number
    return number


def brief(value: object, most: int = 300) -> str:
    """The first `most` characters of a value's repr, which does not follow what is nested too deeply."""
    return _brief.repr(value)[:most]


def cut(text: str, most: int = MOST_TEXT) -> str:
    """`text`, or its first `most` characters with a mark that says how many are left out."""
    return text if len(text) <= most else f"{text[:most]} [cut: {len(text) - most:,} more characters]"


def is_cut(text: str) -> bool:
    """Whether `text` ends with the mark of `cut`."""
    return _CUT.search(text[-60:]) is not None


def _size(number: int) -> str:
    return f"{number // 2**20} MiB"
