# ruff: noqa: RUF001  (DeepSeek writes its tokens with full-width bars)
"""Splits a model's reply into visible text and reasoning: for students, teachers and judges alike.

Serving stacks part the two by the model's own marks, or do not, or lose one of the marks on the way. The forms:

- tags and tokens with a beginning and an end (`_BLOCK`): `<think>` and its relatives of DeepSeek, Qwen, GLM, Seed,
  LongCat, EXAONE and others, `[THINK]` of Mistral, `◁think▷` of Kimi, the tokens of Cohere, OpenThinker and Gemma.
  The end alone counts, as templates often write the beginning into the prompt;
- harmony of gpt-oss: `<|channel|>analysis<|message|>...<|channel|>final<|message|>...`, and the same after a
  server removed its tokens: `analysis...assistantfinal...`;
- plain words at the reply's beginning (`_PHRASES`): Granite's and Ollama's;
- a message's content as a list of typed parts (`content_text`).

A tag in quotation marks or in the middle of a sentence ("the <think> tag") is spoken of and stays.
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Split:
    """The text for the reader, the reasoning, and whether the reasoning never ends (`visible` is then empty)."""

    visible: str
    reasoning: str
    open: bool


_TAG: Final = r"(?:[A-Za-z]{1,10}[:_])?(?i:think|thinking|thoughts?|reasoning|reflection|planning|scratch_?pad)"
_ATTRIBUTES: Final = r"(?:\s{1,9}[^<>=]{0,99}=[^<>]{0,99})?"
_BEGIN: Final = (
    rf"<{_TAG}{_ATTRIBUTES}>|\[(?:THINK|REASONING)\]|◁think▷|<\|think\|>|<\|(?:START|BEGIN)_THINKING\|>|<\|begin_of_thought\|>"
    r"|<\|channel>thought\b"
)
_END: Final = (
    rf"</{_TAG}\s?>|\[/(?:THINK|REASONING)\]|◁/think▷|<\|/think\|>|<\|END_THINKING\|>|<\|end_of_thought\|>"
    r"|<channel\|>"
)
_BLOCK: Final = re.compile(rf"(?P<begin>{_BEGIN})|(?P<end>{_END})")
_QUOTES: Final = "\"'`“”‘’«»"
_IN_A_SENTENCE: Final = re.compile(r"[ \t]{1,9}[a-z]|[.,;:!?)]")

_FINAL: Final = re.compile(r"(?:<\|channel\|>|\A\s*)final(?:[^<>\n]|<\|constrain\|>){0,60}<\|message\|>")
_ANALYSIS: Final = re.compile(
    r"\s*(?:<\|start\|>)?(?:assistant)?(?:<\|channel\|>)?(?:analysis|commentary)[^<>\n]{0,60}<\|message\|>"
)
_HARMONY_TOKEN: Final = re.compile(r"<\|(?:start|channel|message|end)\|>")
_FLAT_ANALYSIS: Final = re.compile(r"\s*(?:assistant)?analysis(?!\s+[^A-Z\s])")
_FLAT_FINAL: Final = re.compile(r"assistant\s?final(?!\w*ly\b)")
_FLAT_ONLY_FINAL: Final = re.compile(r"\s*(?:assistant)?final(?=[A-Z*#\"“{<])")
_PHRASES: Final = (
    (re.compile(r"\s*Here(?: is|'s) my thought process:"), re.compile(r"\bHere(?: is|'s) my response:\s*")),
    (re.compile(r"\s*Thinking\.\.\.[ \t]*\n"), re.compile(r"^\.\.\.done thinking\.[ \t]*$", re.MULTILINE)),
)

# Tokens around the visible text, or the end of the model's turn: what follows an end is another turn.
_FRAME: Final = re.compile(
    r"<\|(?:START|END)_RESPONSE\|>|<\|(?:begin|end)_of_solution\|>|<\|(?:begin|end)_of_box\|>"
)
_TURN_BEGIN: Final = re.compile(
    r"\s*(?:(?:<s>|<bos>|<\|begin_of_text\|>)\s*)?(?:<\|im_start\|>assistant|<start_of_turn>model|<\|turn>model"
    r"|<\|start_header_id\|>assistant<\|end_header_id\|>|<\|START_OF_TURN_TOKEN\|>|<\|CHATBOT_TOKEN\|>"
    r"|<\|assistant\|>|<｜Assistant｜>|\[/INST\])+\s*"
)
_TURN_END: Final = re.compile(
    r"<\|im_(?:end|start)\|>|<\|(?:eot_id|eom_id|start_header_id|end_of_text|endoftext|return|eot)\|>"
    r"|<(?:end|start)_of_turn>|<turn\|>|<\|turn>|<\|(?:END|START)_OF_TURN_TOKEN\|>|<｜end▁of▁sentence｜>|<\|end\|>"
    r"|<\|(?:user|system)\|>|</s>\s*(?=<s>|\[INST\])|\[INST\]"
)
_LAST_TOKEN: Final = re.compile(
    r"(?:<[|｜][\w▁]{1,40}[|｜]>|</?s>|<eos>|<pad>|<unk>|\[/?INST\]|\[EOS\]|\s{1,60})\Z"
)


def split_reasoning(reply: str) -> Split:
    """Part `reply` into visible text and reasoning; a reply without a known form is returned as it is."""
    text = reply
    if begin := _TURN_BEGIN.match(text):
        text = text[begin.end() :]
    split = _harmony(text) or _phrased(text) or _blocks(text)
    visible = _one_turn(_FRAME.sub("", split.visible))
    if visible == reply:
        return split
    return Split(visible.strip(), split.reasoning, split.open)


def content_text(content: object) -> Split:
    """Part a message's content: a string, a list of typed parts, or None. Any other value has no text."""
    if isinstance(content, str):
        return split_reasoning(content)
    visible: list[str] = []
    reasoning: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, dict) else "text"
        if kind in _REASONING_PARTS or (isinstance(part, dict) and part.get("thought") is True):  # Google's mark
            reasoning.append(part_text(part))
        elif kind in _TEXT_PARTS:
            visible.append(part_text(part))
    split = split_reasoning("".join(visible))
    if not reasoning:
        return split
    return Split(
        split.visible,
        "\n".join(filter(None, [*reasoning, split.reasoning])),
        split.open or not split.visible.strip(),
    )


_TEXT_PARTS: Final = ("text", "output_text", None)
_REASONING_PARTS: Final = ("thinking", "reasoning", "thought", "summary_text", "reasoning_text")
_PART_KEYS: Final = ("text", "thinking", "reasoning", "content", "summary")
_DEEPEST: Final = 4


def part_text(part: object, depth: int = 0) -> str:
    """The text of a part, whose fields may hold parts again."""
    if isinstance(part, str):
        return part
    if isinstance(part, list) and depth < _DEEPEST:
        return "".join(part_text(inner, depth + 1) for inner in part)
    if isinstance(part, dict) and depth < _DEEPEST:
        return "".join(part_text(part[key], depth + 1) for key in _PART_KEYS if key in part)
    return ""


def _harmony(text: str) -> Split | None:
    """The last final message of harmony's channels, with its tokens or flattened; None for any other reply."""
    *_, final = [None, *_FINAL.finditer(text)]
    if final:
        return Split(text[final.end() :], _HARMONY_TOKEN.sub(" ", text[: final.start()]).strip(), False)
    if begin := _ANALYSIS.match(text):
        return Split("", text[begin.end() :], True)
    if begin := _FLAT_ANALYSIS.match(text):
        if end := _FLAT_FINAL.search(text, begin.end()):
            return Split(text[end.end() :], text[begin.end() : end.start()], False)
        if text[begin.end() : begin.end() + 1].isupper():  # "analysisWe need" is not English
            return Split("", text[begin.end() :], True)
    if begin := _FLAT_ONLY_FINAL.match(text):
        return Split(text[begin.end() :], "", False)
    return None


def _phrased(text: str) -> Split | None:
    for beginning, ending in _PHRASES:
        if begin := beginning.match(text):
            end = ending.search(text, begin.end())
            if end is None:
                return Split("", text[begin.end() :], True)
            return Split(text[end.end() :], text[begin.end() : end.start()], False)
    return None


def _blocks(text: str) -> Split:
    """Without blocks between marks; an end that has no beginning makes reasoning of all before it.

    A block that never ends leaves the text before it only if that is the longer part: a few words before it are
    not an answer.
    """
    visible: list[str] = []
    reasoning: list[str] = []
    place, inside = 0, False
    for mark in _BLOCK.finditer(text):
        begins = mark["begin"] is not None
        if (begins and inside) or _is_spoken_of(text, mark.start(), mark.end()):
            continue
        part = text[place : mark.start()]
        if begins:
            visible.append(part)
        elif inside:
            reasoning.append(part)
        else:
            reasoning.extend([*visible, part])
            visible = []
        place, inside = mark.end(), begins
    rest = text[place:]
    if not inside:
        return Split("".join([*visible, rest]), "\n".join(filter(str.strip, reasoning)), False)
    before = "".join(visible)
    never_ends = len(before) <= len(rest)
    if never_ends:
        reasoning.append(before)
    return Split("" if never_ends else before, "\n".join(filter(str.strip, [*reasoning, rest])), never_ends)


def _is_spoken_of(text: str, start: int, end: int) -> bool:
    """Whether a mark is in quotation marks, or between a word and the rest of its sentence."""
    before, after = text[start - 1 : start] if start else " ", text[end : end + 1] or " "
    if before in _QUOTES and after in _QUOTES:
        return True
    in_line = start > 1 and before == " " and (text[start - 2].isalnum() or text[start - 2] == ",")
    return in_line and bool(_IN_A_SENTENCE.match(text, end))


def _one_turn(text: str) -> str:
    """Without the special tokens at the end, and without further turns after the model's own."""
    end = _TURN_END.search(text)
    if end and text[: end.start()].strip():
        text = text[: end.start()]
    last = len(text)
    while token := _LAST_TOKEN.search(text, max(0, last - 64), last):
        last = token.start()
    return text[:last] if text[last:].strip() else text
