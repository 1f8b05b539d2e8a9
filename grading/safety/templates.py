"""Jinja for this project: the environment of our own templates, and a sandbox for templates of others.

A template from a pack or a data set is a text of others. It runs in Jinja's immutable sandbox, on plain values.
It may use the part of the language whose work and output have a bound: text, values, `if`, `for` over a list of
its values, and a few filters. It may not call, assign, define macros or read other templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_TEXT = 100_000  # characters of a template, of the values given to one, and of the text that comes out
_MOST_NODES = 500  # of the syntax tree; our own prompts have some 60
_DEEPEST = 40  # in the syntax tree; Python's compiler allows 100 indentations
_LOOPS = 2  # inside one another

Plain = str | int | Sequence[Mapping[str, str]]

# Filters whose result is not larger than what goes in, with the number of arguments and the named ones; `join` is
# bounded below.
_FILTERS: Mapping[str, tuple[int, frozenset[str]]] = {
    **dict.fromkeys(
        ("capitalize", "count", "first", "last", "length", "list", "lower", "reverse", "string", "title", "upper"),
        (0, frozenset()),
    ),
    "join": (1, frozenset({"attribute"})),
    "map": (0, frozenset({"attribute"})),
    "sort": (0, frozenset({"attribute", "case_sensitive", "reverse"})),
    "trim": (1, frozenset()),
}
_TESTS = frozenset({"defined", "even", "odd"})
_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_NODES = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem),
    *(nodes.Neg, nodes.Slice, nodes.Filter, nodes.Keyword, nodes.Test, nodes.If, nodes.For, nodes.CondExpr),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Add, nodes.Sub, nodes.Concat),
    *(nodes.Tuple, nodes.List),
)
_MAY_USE = f"text, values, if, for over a list, and the filters {', '.join(sorted(_FILTERS))}"


class TemplateRefusedError(Exception):
    """A template of others that is not valid, uses what it may not, or does not fit its values."""


def environment(**options: Any) -> ImmutableSandboxedEnvironment:
    """The environment of every template: an unknown name is an error. `options` are Jinja's."""
    usual: dict[str, Any] = {"undefined": StrictUndefined, "autoescape": False, "trim_blocks": True}
    return ImmutableSandboxedEnvironment(**(usual | options))


@cache
def own_template(package: str, *path: str, **options: Any) -> Template:
    """A template that comes with a package of ours; `options` are Jinja's."""
    return environment(**options).from_string(files(package).joinpath(*path).read_text(encoding="utf-8"))


def render_foreign(source: str, values: Mapping[str, Plain]) -> str:
    """Return the text of a template that others wrote, filled with `values`.

    Values are texts, numbers, and lists of records of texts. Raises TemplateRefusedError, which says why.
    """
    lists = {name: value for name, value in values.items() if not isinstance(value, str | int)}
    fields = frozenset(field for records in lists.values() for record in records for field in record)
    given = sum(len(str(value)) for value in values.values())
    if max(given, len(source)) > MOST_TEXT:
        raise TemplateRefusedError(f"it and its values may have {MOST_TEXT:,} characters each")
    try:
        template = _compiled(source, frozenset(values), frozenset(lists), fields)
        return "".join(_bounded(template.generate(values)))
    except TemplateSyntaxError as error:
        raise TemplateRefusedError(
            f"it is not a valid Jinja template: line {error.lineno}: {error.message}"
        ) from error
    # Errors of Python's compiler and operators in a template of others, beside Jinja's own.
    except (TemplateError, TypeError, ValueError, ArithmeticError, SyntaxError, RecursionError) as error:
        raise TemplateRefusedError(str(error) or type(error).__name__) from error


def _bounded(chunks: Iterator[str]) -> Iterator[str]:
    length = 0
    for chunk in chunks:
        length += len(chunk)
        if length > MOST_TEXT:
            raise TemplateRefusedError(f"it makes more than {MOST_TEXT:,} characters")
        yield chunk


@lru_cache(maxsize=256)
def _compiled(source: str, names: frozenset[str], lists: frozenset[str], fields: frozenset[str]) -> Template:
    made = environment()
    made.globals.clear()
    made.filters["join"] = _join
    # Checked before it is compiled: the compiler would work out constants.
    _Check(names, lists, fields).template(made.parse(source))
    return made.from_string(source)


def _join(value: Any, separator: str = "", attribute: str | None = None) -> str:
    """Jinja's `join` with a bound on its result, which can be as long as the product of what goes in."""
    parts = [str(part[attribute] if attribute else part) for part in value]
    if sum(map(len, parts)) + len(str(separator)) * len(parts) > MOST_TEXT:
        raise TemplateRefusedError(f"it joins more than {MOST_TEXT:,} characters")
    return str(separator).join(parts)


@dataclass
class _Check:
    """Refuses what a template of others may not use."""

    _names: frozenset[str]
    _lists: frozenset[str]
    _fields: frozenset[str]
    _number: int = 0  # of nodes so far

    def template(self, tree: nodes.Template) -> None:
        """Raise TemplateRefusedError with the line of what is first refused."""
        targets = {loop.target.name for loop in tree.find_all(nodes.For) if isinstance(loop.target, nodes.Name)}
        self._known = self._names | targets | {"loop"}
        self._node(tree, 0, 0)

    def _node(self, node: nodes.Node, depth: int, loops: int) -> None:
        self._number += 1
        if depth > _DEEPEST or self._number > _MOST_NODES:
            raise _refused(node, "it is too long or too deeply nested")
        if not isinstance(node, _NODES):
            raise _refused(node, f"it uses {type(node).__name__}; it may use {_MAY_USE}")
        fault: str | None = None
        if isinstance(node, nodes.Name):
            fault = None if node.name in self._known else f"{node.name!r} is undefined"
        elif isinstance(node, nodes.Getattr):
            fault = self._field(node.attr)
        elif isinstance(node, nodes.Getitem):
            place = node.arg.value if isinstance(node.arg, nodes.Const) else node.arg
            fault = None if isinstance(place, int | nodes.Neg | nodes.Slice) else self._field(place)
        elif isinstance(node, nodes.Filter):
            fault = self._filter(node)
        elif isinstance(node, nodes.Test):
            fault = None if node.name in _TESTS and not node.args else f"it uses the test {node.name!r}"
        elif isinstance(node, nodes.For):
            loops += 1
            fault = self._for(node, loops)
        if fault:
            raise _refused(node, fault)
        for child in node.iter_child_nodes():
            self._node(child, depth + 1, loops)

    def _field(self, name: object) -> str | None:
        return None if name in self._fields | _LOOP else f"it uses {name!r}, which does not exist"

    def _filter(self, node: nodes.Filter) -> str | None:
        if node.node is None or node.name not in _FILTERS or node.dyn_args or node.dyn_kwargs:
            return f"it uses the filter {node.name!r}; it may use {', '.join(sorted(_FILTERS))}"
        most, named = _FILTERS[node.name]
        if len(node.args) > most or not {keyword.key for keyword in node.kwargs} <= named:
            return f"it gives the filter {node.name!r} other arguments than it may have"
        for keyword in node.kwargs:
            value = keyword.value.value if isinstance(keyword.value, nodes.Const) else None
            if value not in self._fields if keyword.key == "attribute" else not isinstance(value, bool):
                return f"it gives the filter {node.name!r} {keyword.key}={value!r}, which no value has"
        return None

    def _for(self, node: nodes.For, loops: int) -> str | None:
        """The work of a loop is known only where it is over a list that was given, or over one as long."""
        over: nodes.Node | None = node.iter
        while (isinstance(over, nodes.Filter) and over.name in ("list", "map", "reverse", "sort")) or (
            isinstance(over, nodes.Getitem) and isinstance(over.arg, nodes.Slice)
        ):
            over = over.node
        if not (isinstance(over, nodes.Name) and over.name in self._lists):
            return f"it has a loop that is not over {' or '.join(sorted(self._lists))}"
        if not isinstance(node.target, nodes.Name) or node.target.name in self._names | {"loop"} or node.recursive:
            return "it has a loop of another form than `for NAME in LIST`"
        return f"it has more than {_LOOPS} loops inside one another" if loops > _LOOPS else None


def _refused(node: nodes.Node, why: str) -> TemplateRefusedError:
    return TemplateRefusedError(f"line {node.lineno}: {why}")
