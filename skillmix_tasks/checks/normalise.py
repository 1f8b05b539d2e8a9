# ruff: noqa: RUF001  (the letters that look like others are what this file is about)
"""One place for making texts comparable: invisible characters, compatibility forms, look-alike letters.

`visible` keeps a text as its reader sees it and only removes invisible characters. `fold` goes further and
gives a form for comparing words; it is never shown to anybody.
"""

import html
import re
import unicodedata
from functools import lru_cache
from typing import Final

_LINE_BREAK: Final = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_WORD: Final = re.compile(r"[^\W_]+")

# Characters that show nothing although Unicode does not file them under Cf: grapheme joiner, fillers of the
# Hangul, Khmer and Mongolian scripts, the blank Braille pattern, variation selectors.
_BLANK: Final = frozenset(
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
    )
)
# Cc holds the controls, Cf the zero-width, bidi and tag characters and the soft hyphen, Cs lone surrogates
# (which no UTF-8 can carry, so neither a splitter nor a judge takes them).
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs"})

# Letters of other scripts that a reader takes for Latin ones, and Latin letters without a decomposition. Case
# matters (a capital eta looks like H, a small one like n), so the table is applied before case folding.
LOOK_ALIKES: Final = {
    **str.maketrans("АВЕЅІЈКМНОРСТУХԌԚԜҮѴ", "ABESIJKMHOPCTYXGQWYV"),  # Cyrillic capitals
    **str.maketrans("авеѕіјкмнорстухһԁԛԝүѵӏгпԍьєԑ", "abesijkmhopctyxhdqwyvlrngbee"),  # Cyrillic small letters
    **str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),  # Greek capitals
    **str.maketrans("αβεικνορςτυχϳηγωσ", "abeikvopctuxjnywo"),  # Greek small letters
    **str.maketrans("օոսհցզռյՕՏԼ", "onuhgqnjOSL"),  # Armenian
    **str.maketrans("ᎪᏴᏟᎠᎬᎻᎥᏆᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᎩᏃ", "ABCDEHiIJKLMPRSTVWYZ"),  # Cherokee
    **str.maketrans("ⲀⲂⲈⲎⲒⲔⲘⲚⲞⲢⲤⲦⲨⲬⲁⲓⲕⲙⲟⲣⲥⲧⲭ", "ABEHIKMNOPCTYXaikmopctx"),  # Coptic
    **str.maketrans("ꓐꓑꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ", "BPDTGKJCZFMNLSRVHWXYAEIOU"),  # Lisu
    **str.maketrans("ɑɩʉ", "aiu"),
}
# Latin letters with a hook, a stroke, no dot or a frame, and the letters of flags: Unicode's names say which.
_LATIN_NAME: Final = re.compile(
    r"(?:LATIN (?:SMALL |CAPITAL )?LETTER|REGIONAL INDICATOR SYMBOL LETTER)"
    r"(?: (?:SMALL CAPITAL|OPEN|SCRIPT|DOTLESS|INSULAR|LONG|BARRED|TAILLESS|MIDDLE|SIDEWAYS|STRETCHED|TURNED))*"
    r" ([A-Z])(?: WITH [A-Z ]+)?$"
)
_QUOTES: Final = str.maketrans(
    {
        # Numbers in circles and brackets, of which NFKC would make numbers of the text.
        **dict.fromkeys(map(chr, (*range(0x2460, 0x2488), *range(0x2776, 0x2794))), "\u2022"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2039\u203a\u02bc\u02b9\u00b4\u0060\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\u301d\u301e\u301f\uff02", '"'),
    }
)
# Characters written as HTML, and HTML's tags, which hide a word or an end. The attributes of a tag stay, as a
# judge reads them.
_ENTITY: Final = re.compile(r"&(?:#\d{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_BLOCK: Final = "address article blockquote br center dd div dl dt h[1-6] hr li ol p pre section table td th tr ul"
_INLINE: Final = "a abbr b big cite code del em font i ins kbd mark q s small span strong sub sup tt u var wbr"
_BLOCK_TAG: Final = re.compile(rf"</?(?:{_BLOCK.replace(' ', '|')})\b([^<>]*)>|<!--|-->", re.IGNORECASE)
_INLINE_TAG: Final = re.compile(rf"</?(?:{_INLINE.replace(' ', '|')})\b([^<>]*)>|<!--\s*-->", re.IGNORECASE)


def visible(text: str) -> str:
    """The text without characters that show nothing; every kind of line break becomes a line feed.

    Tabs and spaces of any width stay. Joined emoji come apart and lose their variant, which changes neither
    words nor sentences.
    """
    text = _LINE_BREAK.sub("\n", text)
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(char for char in text if char in "\n\t" or not _is_hidden(char))


def compatible(text: str) -> str:
    """`visible` in compatibility form (NFKC), with straight quotation marks, as a page shows it.

    HTML's entities become their characters, its tags line breaks or nothing. Full-width and mathematical letters
    become plain ones, a one-character ellipsis becomes three stops, a no-break space becomes a space.
    """
    # Quotes go first: NFKC would turn a free-standing acute accent into a space and a combining mark. The
    # second pass removes fillers that only NFKC makes recognisable.
    return visible(unicodedata.normalize("NFKC", _without_html(visible(text)).translate(_QUOTES)))


def _without_html(text: str) -> str:
    for _ in range(2):  # an entity may be written with an entity: &amp;#46;
        if "&" in text:
            text = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
    if "<" in text:
        text = _BLOCK_TAG.sub(r"\n\1\n", _INLINE_TAG.sub(r"\1", text))
    return text


def fold(text: str) -> str:
    """A form for comparing words: `compatible`, without marks on letters, look-alikes made Latin, case folded."""
    marked = unicodedata.normalize("NFKD", compatible(text))
    bare = marked
    if not marked.isascii():
        bare = "".join(char for char in marked if unicodedata.category(char) not in ("Mn", "Me"))
        bare = "".join(map(_latin, bare.translate(LOOK_ALIKES)))
    return bare.casefold()


def words(text: str) -> list[str]:
    """The words of the folded text: runs of letters and digits, an apostrophe inside a word left out."""
    return _WORD.findall(re.sub(r"(?<=\w)'(?=\w)", "", fold(text)))


def is_empty(text: str) -> bool:
    """Whether the text shows no letter and no digit: blank, dots, emoji or invisible characters only."""
    return not any(char.isalnum() for char in compatible(text))


@lru_cache(maxsize=4096)
def _latin(char: str) -> str:
    """The plain letter for a Latin one in a dress that has no decomposition, else the character itself."""
    found = None if char.isascii() else _LATIN_NAME.search(unicodedata.name(char, ""))
    return found[1].lower() if found else char


@lru_cache(maxsize=4096)
def _is_hidden(char: str) -> bool:
    return ord(char) in _BLANK or unicodedata.category(char) in _HIDDEN_CATEGORIES
