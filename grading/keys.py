"""Removes this process's keys from every text that comes from outside or is written.

Known keys are the values of environment variables that are named like keys, and the values given to
`register_keys`. A short value is a placeholder, such as "none", and may be a word of any text.
"""

from __future__ import annotations

import base64
import html
import html.entities
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit, urlunsplit
from urllib.request import getproxies

MARK = "[key]"
_SHORTEST = 8  # characters
_SHORTEST_OF_OTHERS = 12  # of variables that this project does not read, such as a database's password
_OURS = re.compile(r"SKILLMIX_|OPENAI_|HF_|HUGGING|PGPASSWORD$")
_VARIABLE = re.compile(r"(^|_)(TOKEN|KEY|APIKEY|SECRET|PASSWORD)$|^PGPASSWORD$")
KEY_NAME = re.compile(
    r"(^|[_-])(token|key|apikey|secret|password|credentials?|auth|authorization|headers?)$", re.IGNORECASE
)
_PUBLIC = frozenset({"api-version"})  # parameters of an address that are not keys
# The kind of a key, its possible beginnings in lower case, and its form. Looking for beginnings first is ten times
# as fast.
KEY_FORMS = (
    ("a Hugging Face token", (b"hf_",), rb"\bhf_[A-Za-z0-9]{30,}"),
    ("an Anthropic key", (b"sk-ant-",), rb"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("an OpenAI key", (b"sk-",), rb"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,}"),
    ("a Google key", (b"aiza",), rb"\bAIza[A-Za-z0-9_-]{35}"),
    ("an AWS key", (b"akia", b"asia"), rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("a GitHub token", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"\bgh[pousr]_[A-Za-z0-9]{36}"),
    ("a GitHub token", (b"github_pat_",), rb"\bgithub_pat_[A-Za-z0-9_]{40,}"),
    ("a Weights & Biases key", (b"wandb",), rb"(?i:wandb[a-z_]*key)\W{1,4}[0-9a-f]{40}\b"),
    ("a private key", (b"-----begin ",), rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    ("a bearer token", (b"authorization",), rb"(?i:authorization\W{1,5}bearer) [A-Za-z0-9._~+/-]{16,}"),
)
# White space between the characters of a key, which may be escaped as they may. Both have bounds: a text made for
# the purpose would keep the pattern busy.
_SLASHES = r"\\{1,4}"
_GAP = rf"(?:\s|(?i:%(?:20|09|0a|0d)|{_SLASHES}u00(?:20|09|0a|0d)|{_SLASHES}[nrt]|&#(?:32|10|13|9);?)){{0,100}}"
_SEPARATOR = "\0"  # in no key, and no white space
_Value = TypeVar("_Value")
_given: set[str] = set()


def register_keys(*values: str) -> None:
    """Treat these values as keys from now on."""
    _given.update(value for value in values if len(value) >= _SHORTEST)


def register_argument_keys(arguments: Mapping[str, Any]) -> None:
    """Register the keys among a model's arguments: tokens, headers, and those in addresses."""
    for name, value in arguments.items():
        if KEY_NAME.search(name):
            for text in _texts(value):
                register_keys(text, text.rpartition(" ")[2])  # a header may begin with a scheme: "Bearer KEY"
        elif isinstance(value, str) and "://" in value:
            register_keys(*_in_address(value))


def without_keys(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A model's arguments with MARK in place of each that is named like a key or holds headers."""
    return {
        name: MARK if KEY_NAME.search(name) else _without_address_keys(redacted(value))
        for name, value in arguments.items()
    }


def _without_address_keys(value: Any) -> Any:
    if not (isinstance(value, str) and "://" in value and key_in_address(value)):
        return value
    parts = urlsplit(value)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def register_text_keys(text: str) -> None:
    """Register the keys in arguments given as text: "model=NAME,api_key=KEY"."""
    pairs = (part.partition("=") for part in text.split(","))
    register_argument_keys({name.strip(): value for name, _, value in pairs})


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


def key_variables() -> dict[str, str]:
    """The environment variables that hold a key, by their names."""
    return {
        name: value
        for name, value in os.environ.items()
        if len(value) >= (_SHORTEST if _OURS.match(name) else _SHORTEST_OF_OTHERS)
        and _VARIABLE.search(name.upper())
    }


def known_keys() -> frozenset[str]:
    """The keys that are known now."""
    found = _given | set(key_variables().values())
    for address in getproxies().values():
        found.update(part for part in _in_address(address) if len(part) >= _SHORTEST)
    return frozenset(found)


def redact(text: str) -> str:
    """`text` with MARK in place of each known key, also of one that is encoded or broken by white space."""
    return _redact(text, known_keys())


def redacted(value: _Value, keys: frozenset[str] | None = None) -> _Value:
    """A JSON value with its texts and names as `redact` gives them; anything else stays as it is."""
    keys = known_keys() if keys is None else keys
    if not keys:
        return value
    # Texts without a key, which nearly all are, are looked through as one.
    everything = _SEPARATOR.join(_all_texts(value))
    clean: _Value = value if _redact(everything, keys) == everything else _redacted(value, keys)
    return clean


def key_in_address(url: str) -> str | None:
    """The part of an address that may be a key, in words ("a fragment", "a user's name or password"), or None."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None  # no address at all
    if parts.username is not None or parts.password is not None:
        return "a user's name or password"
    if parts.fragment:
        return "a fragment"
    if any(name not in _PUBLIC for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        return "a query"
    rest = f"{parts.netloc} {parts.path} {parts.query}"
    if redact(rest) != rest:
        return "the value of a key"
    return key_form(rest.encode(errors="replace"))


def key_form(content: bytes) -> str | None:
    """The first known form of a key in `content`, in words ("an OpenAI key"); None if it has none."""
    lower = content.lower()
    for what, beginnings, form in KEY_FORMS:
        for beginning in beginnings:
            place = lower.find(beginning)
            while place >= 0:
                if re.compile(form).match(content, place):
                    return what
                place = lower.find(beginning, place + 1)
    return None


def redact_logs() -> None:
    """From now on no log record of this process shows a known key; to call it twice does nothing more."""
    make = logging.getLogRecordFactory()
    if isinstance(make, _RedactingFactory):
        return
    logging.setLogRecordFactory(_RedactingFactory(make))


class _RedactingFactory:
    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **kwargs)
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # a message and arguments that do not fit: logging itself reports them
            return record
        clean = redact(text)
        if clean != text:
            record.msg, record.args = clean, ()
        return record


def _in_address(url: str) -> list[str]:
    """The secrets in an address: the password, and the values of parameters that may be keys."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return []
    values = [value for name, value in parse_qsl(parts.query) if KEY_NAME.search(name)]
    return [one for one in (password, parts.fragment, *values) if one]


def _redacted(value: Any, keys: frozenset[str]) -> Any:
    if isinstance(value, str):
        return _redact(value, keys)
    if isinstance(value, dict):
        return {_redacted(name, keys): _redacted(one, keys) for name, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_redacted(one, keys) for one in value)
    return value


def _all_texts(value: Any) -> Iterator[str]:
    """The texts in a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _all_texts(name)
            yield from _all_texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _all_texts(one)


def _redact(text: str, keys: frozenset[str]) -> str:
    for form in _forms(keys):
        if form in text:
            text = text.replace(form, MARK)
    readings = ["".join(reading.split()) for reading in _readings(text)]
    for key, disguised in _disguised(keys):
        if any(key in reading for reading in readings):
            text = disguised.sub(MARK, text)
            if any(key in "".join(reading.split()) for reading in _readings(text)):
                return MARK  # in a disguise that the pattern does not know: nothing of the text is kept
    return text


def _readings(text: str) -> Iterator[str]:
    """The text without white space, and as it reads when the escapes of addresses, HTML or JSON are undone."""
    bare = "".join(text.split())
    yield bare
    if "%" in bare:
        yield unquote(bare)
    if "&" in bare:
        yield html.unescape(bare)
    if "\\" in bare:
        yield re.sub(r"\\+(?:u([0-9a-fA-F]{4}))?", lambda code: chr(int(code[1], 16)) if code[1] else "", bare)


@lru_cache(maxsize=16)
def _forms(keys: frozenset[str]) -> tuple[str, ...]:
    """The keys as they are and as they are written in JSON, addresses, HTML, base64 and hexadecimals."""
    found = {form for key in keys for form in _forms_of(key)}
    return tuple(sorted(found, key=lambda form: (-len(form), form)))  # the longest first: a key may hold another


def _forms_of(key: str) -> Iterator[str]:
    escaped = json.dumps(key)[1:-1]
    encoded = quote(key, safe="")
    yield from (key, escaped, json.dumps(escaped)[1:-1], html.escape(key))
    yield from (encoded, quote_plus(key))
    content = key.encode(errors="replace")
    yield from (content.hex(), content.hex().upper())
    for before in range(3):  # base64 of a text in which the key begins at any byte
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            code = encode(bytes(before) + content).decode().rstrip("=")
            fixed = (before + len(content)) // 3 * 4  # later characters depend on what follows
            yield code[(0, 2, 3)[before] : fixed]


@lru_cache(maxsize=16)
def _disguised(keys: frozenset[str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each key without white space, and its pattern with any character escaped, and broken anywhere."""
    bare = sorted({"".join(key.split()) for key in keys} - {""})
    return tuple((key, re.compile(_GAP.join(map(_escapes, key)))) for key in bare)


def _escapes(char: str) -> str:
    bytes_ = "".join(f"%{byte:02x}" for byte in char.encode(errors="replace"))
    names = "|".join(
        f"&{name}" for name, value in html.entities.html5.items() if value == char and name[-1] == ";"
    )
    coded = f"{bytes_}|u{ord(char):04x}|&#0*{ord(char)};?|&#x0*{ord(char):x};?" + (f"|{names}" if names else "")
    return rf"\\{{0,4}}(?:{re.escape(char)}|(?i:{coded}))"
