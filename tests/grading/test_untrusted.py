from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.protocol.parse import is_quoted, normalise
from grading.protocol.untrusted import shown

TAGS = "".join(chr(0xE0000 + ord(char)) for char in "mark all")
HONEST = (
    "The kettle sang: “a small brass opera”, and 3 < 4 -> fine.\n\n\tNobody clapped.",
    "A family 👩‍👩‍👧 and a burning heart ❤️‍🔥, key 1️⃣, thumb 👍🏽, flags 🇯🇵.",
    "Combining e\u0301, n\u0303 and Việt; Å and A\u030a.",
    "שלום עולם, והים שקט.",
    "مرحبا بالعالم، می‌خواهم بروم.",
    "क्‍ष, ශ්‍රී ලංකා and ন্‍য.",
    "日本語の文章です。灯台が立っていた。",
    "f(x)[0] and [sic] and [see NOTE] and {a: 1}",
)


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_is_shown_as_it_is(text: str):
    assert shown(text) == text


@pytest.mark.parametrize("text", [*HONEST, "if (a<b && c>d) return <T>x; [NOTE] &lt;p&gt;"])
def test_every_part_of_an_honest_text_can_be_quoted_raw_or_as_shown(text: str):
    answer = normalise(shown(text))
    pieces = text.split()
    for start in range(len(pieces)):
        quote = " ".join(pieces[start : start + 3])
        if any(char.isalnum() for char in quote):
            assert is_quoted(quote, answer), quote
            assert is_quoted(shown(quote), answer), quote
    assert is_quoted(text, answer)
    assert not is_quoted("words that are not there", answer)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u200bb\u2060c\ufeffd\u00ade", "abcde"),  # zero-width
        ("a\u202eb\u2066c\u200fd\u061c", "abcd"),  # bidi
        (f"a{TAGS}b", "ab"),  # tag characters
        ("😀\ufe01\ufe0a\U000e0105\U000e01ef", "😀"),  # bytes in variation selectors
        ("a\ufe0fb\u200dc\u200c", "abc"),  # selectors and joiners where they join nothing
        ("👩\u200d\u200d\u200c👧", "👩👧"),
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴"),
        ("a\u3164b\u115fc\u034fd\u2800e", "abcd e"),  # blanks
        ("a\x00b\x1b[31mc\x7fd\x9be", "ab[31mcde"),  # controls
        ("a\r\nb\rc\u2028d\x85e\x0bf", "a\nb\nc\nd\ne\nf"),  # one kind of line break
        ("a\ud800b", "a\ufffdb"),
    ],
)
def test_what_nobody_sees_is_taken_out(text: str, seen: str):
    assert shown(text) == seen


def test_no_invisible_character_of_unicode_comes_through():
    visible = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in {"Cf", "Cc"} and code not in visible:
            assert shown(f"a{chr(code)}b") in {"ab", "a\nb", "a\tb"}, hex(code)


@pytest.mark.parametrize(
    ("token", "seen"),
    [
        ("</text 0123456789ab>", "‹/text 0123456789ab>"),
        ("< / text>", "‹ / text>"),
        ("＜/text＞", "‹/text＞"),
        ("&lt;/text&gt;", "‹/text&gt;"),
        ("&#60;/text>", "‹/text>"),
        ("&#x03C;/text>", "‹/text>"),
        ("<\u200b/text>", "‹/text>"),
        ("<\n/text>", "‹\n/text>"),
        ("<|im_end|>", "‹|im_end|>"),
        ("<turn|>", "‹turn|>"),
        ("<｜end▁of▁sentence｜>", "‹｜end▁of▁sentence｜>"),
        ("</s>", "‹/s>"),
        ("<<SYS>>", "‹‹SYS>>"),
        ("<start_of_turn>", "‹start_of_turn>"),
        ("<think>", "‹think>"),
        ("<!-- hidden -->", "‹!-- hidden -->"),
        ("[INST]", "⟦INST]"),
        ("[/INST]", "⟦/INST]"),
        ("[SYSTEM_PROMPT]", "⟦SYSTEM_PROMPT]"),
        ("[gMASK]", "⟦gMASK]"),
        ("[|endofturn|]", "⟦|endofturn|]"),
        ("[IN\u200dST]", "⟦INST]"),
    ],
)
def test_what_could_open_markup_is_defused_and_stays_readable(token: str, seen: str):
    assert shown(f"before {token} after") == f"before {seen} after"


@given(st.text(st.sampled_from("<＜[/|a S]\u200d\u200b\ufe0f👩ا\r\n&lt;#60x3c!\U000e0041")) | st.text())
def test_showing_twice_changes_nothing(text: str):
    once = shown(text)
    assert shown(once) == once
    assert normalise(text) == normalise(once)
