# ruff: noqa: RUF001  (characters that look like others are what this file is about)
"""Text that a student or a pack wrote, made safe for the judge's prompt.

The judge reads `shown`. It removes characters that a human reader could not see, and breaks text that a chat
template, an HTML reader or our own delimiters would treat as markup:

- Controls, zero-width, bidi and tag characters, fillers and variation selectors are removed; every kind of line
  break becomes a line feed. Joiners stay between emoji and inside the scripts that need them, an emoji's variation
  selector stays, and so do combining marks and every visible letter.
- An angle bracket that may open something ("<|im_end|>", "</s>", "<!--") is shown as a single quotation mark
  U+2039, a square bracket that opens a template's token ("[INST]") as U+27E6. Both stay readable.

The same text is always shown alike, and showing what has been shown changes nothing.
"""

from __future__ import annotations

import re

from grading.safety.text import encodable

ANGLE = "‹"
SQUARE = "⟦"

_LINE_BREAK = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x9f]")
# The characters of category Cf except the joiners and the few that are visible (Arabic and Kaithi number signs),
# and what is blank although Unicode files it elsewhere: grapheme joiner, fillers, selectors of Mongolian and of
# CJK variants, code points kept free for such use. Text can be hidden in each of them.
_NOTHING_TO_SEE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_JOINERS = "\u200c\u200d"
_EMOJI = "\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff"
# Arabic to Sinhala, Burmese, Khmer and Mongolian.
_JOINING_SCRIPTS = "\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u18af"
_JOINED = f"[{_EMOJI}{_JOINING_SCRIPTS}\ufe0f]"
_LOOSE_SELECTOR = re.compile(f"(?<![{_EMOJI}0-9#*])[\ufe0e\ufe0f]")
_LOOSE_JOINER = re.compile(f"(?<!{_JOINED})[{_JOINERS}]|[{_JOINERS}](?!{_JOINED})")

# The text after it does not matter: lists of template tokens are never complete. "a < b" stays as it is.
_ANGLE_OPENS = re.compile(r"(?:[<＜﹤]|&lt;?|&#0*60;?|&#x0*3c;?)(?=\S|\s+/)", re.IGNORECASE)
_SQUARE_OPENS = re.compile(r"[\[［](?=/?(?:[A-Z]{2,}(?:_[A-Z]+)*|[gs]MASK)[\]］]|[|｜])")


def shown(text: str) -> str:
    """`text` as the judge is shown it."""
    return defused(visible(text))


def visible(text: str) -> str:
    """`text` without the characters that show nothing."""
    text = _CONTROL.sub("", _LINE_BREAK.sub("\n", encodable(text)))
    if text.isascii():
        return text
    text = _NOTHING_TO_SEE.sub("", text).replace("\u2800", " ")
    return _LOOSE_JOINER.sub("", _LOOSE_SELECTOR.sub("", text))


def defused(text: str) -> str:
    """`text` without brackets that could open a tag, a comment or a template's token."""
    return _SQUARE_OPENS.sub(SQUARE, _ANGLE_OPENS.sub(ANGLE, text))


def comparable(text: str) -> str:
    """`shown` with the replaced brackets back and without joiners and selectors: for comparing texts only."""
    text = shown(text).replace(ANGLE, "<").replace(SQUARE, "[")
    return text.translate(dict.fromkeys((0x200C, 0x200D, 0xFE0E, 0xFE0F)))
