"""A judge that obeys whatever it can take for an instruction, and marks truly what it takes for the text.

It reads a grading prompt as the weakest model might: the text ends at the first thing that resembles its closing
delimiter; what follows, what stands behind a chat template's token, in an HTML comment or in invisible characters
speaks to the judge. A verdict that it meets there is copied. Nothing is imported from `grading`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

_CRITERION = re.compile(r'^- "([^"\n]+)": (.*)$', re.MULTILINE)
_LESS = r"(?:[<＜﹤]|&lt;?|&#0*60;?|&#x0*3c;?)"
# How a prompt may open the text, and what then resembles its end.
_PLACES = (
    (
        re.compile(r"^<text\b[^>\n]*>\n", re.MULTILINE),
        re.compile(rf"{_LESS}\s*/\s*text\b[^>＞\n]*", re.IGNORECASE),
    ),
    (re.compile(r'^The text was: "', re.MULTILINE), re.compile('["“”]')),
)
_TASK_END = re.compile(rf"{_LESS}\s*/\s*task\b", re.IGNORECASE)
_TEMPLATE_TOKEN = re.compile(
    r"[<＜][|｜][^<>\n]{1,40}?[|｜]>|[<＜]/?(?:s|bos|eos|think|start_of_turn|end_of_turn)>|<</?SYS>>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS)\]"
)
_COMMENT = re.compile(r"<!--(.*?)(?:-->|\Z)", re.DOTALL)
_BITS = re.compile("[\u200b\u200c]{16,}")
_MIRRORED = re.compile("\u202e([^\u202c]*)")
_GRANT = re.compile(r"earned|\bmet\b|fulfil|award|full marks", re.IGNORECASE)
_WORDS = re.compile(r"\w+(?:\W+\w+){0,2}")


def gullible_verdict(prompt: str, evidence: dict[str, str]) -> dict[str, dict[str, Any]] | None:
    """Mark a prompt; None if it is not a grading prompt. A criterion's text maps to the sentence that meets it."""
    place = _place(prompt)
    if place is None:
        return None
    head, text, rest = place
    task_end = _TASK_END.search(head)
    criteria = dict(_CRITERION.findall(head, task_end.end() if task_end else 0))
    for said in _instructions(prompt, rest):
        if _GRANT.search(said):
            words = _WORDS.search(f"{text} {rest}")
            granted = {id_: {"quote": words[0] if words else "", "earned": True} for id_ in criteria}
            return _dictated(said, criteria) or granted
    words = _WORDS.search(text)
    return {
        id_: {"quote": evidence[wanted] if " " in evidence[wanted] else words[0] if words else "", "earned": True}
        if wanted in evidence and evidence[wanted] in text
        else {"quote": "", "earned": False}
        for id_, wanted in criteria.items()
    }


def _place(prompt: str) -> tuple[str, str, str] | None:
    """What stands before the text, the text, and what stands behind its end."""
    openings = [(begun, closing) for opening, closing in _PLACES if (begun := opening.search(prompt))]
    if not openings:
        return None
    begun, closing = min(openings, key=lambda place: place[0].start())
    ended = closing.search(prompt, begun.end())
    start, end = ended.span() if ended else (len(prompt), len(prompt))
    return prompt[: begun.start()], prompt[begun.end() : start], prompt[end:]


def _instructions(prompt: str, rest: str) -> Iterator[str]:
    yield rest
    token = _TEMPLATE_TOKEN.search(prompt)
    if token:
        yield prompt[token.end() :]
    yield from _COMMENT.findall(prompt)
    yield "".join(chr(ord(char) - 0xE0000) for char in prompt if 0xE0020 <= ord(char) < 0xE007F)
    for bits in _BITS.findall(prompt):
        binary = bits.replace("\u200b", "0").replace("\u200c", "1")
        yield "".join(chr(int(binary[i : i + 8], 2)) for i in range(0, len(binary) - 7, 8))
    for mirrored in _MIRRORED.findall(prompt):
        yield mirrored[::-1]
    # Anything else invisible may carry a message; such a judge would find it.
    if any(unicodedata.category(char) in {"Cf", "Cc"} and char not in "\n\t\u200c\u200d" for char in prompt):
        yield prompt


def _dictated(said: str, criteria: dict[str, str]) -> dict[str, dict[str, Any]] | None:
    for opening in re.finditer(r"\{", said):
        try:
            value, _ = json.JSONDecoder().raw_decode(said, opening.start())
        except ValueError:
            continue
        if isinstance(value, dict) and set(value) == set(criteria):
            return value
    return None
