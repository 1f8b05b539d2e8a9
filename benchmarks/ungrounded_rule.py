"""The effect on scores of the rule for grants without true evidence, on GPT-4's real gradings.

    python -m benchmarks.ungrounded_rule DIR

GPT-4 was asked for points and an explanation, not for quotes. For every criterion that it granted this looks for
a quotation in the explanation: words in quotation marks, in a sentence that names the criterion or in one right
behind it that names none. It is true if it passes `is_evidence`, the test that our judge's quotes have to pass,
and too short if it is only in the answer. Then the three metrics are computed with all grants, and with only
those that have evidence under each rule.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sentencex import segment

from benchmarks.reference import print_for_folder
from grading import UngroundedRule
from grading.protocol.parse import is_evidence, is_quoted, normalise
from skillmix_tasks.calibration.reference_answers import RecordedAnswer, read_answers
from skillmix_tasks.scoring.metrics import METRICS, item_metrics
from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC

_QUOTATION = re.compile(r'"([^"]+)"')
_NAMES = {  # how an explanation speaks of a criterion; for skills see `_spoken`
    TOPIC: re.compile(r"\b(pertain|topic|theme|subject|relat\w+ to|in the context of)"),
    SENSE: re.compile(r"\b(makes? sense|making sense|sensible|coheren|comprehensib|understandable)"),
    LENGTH: re.compile(r"\b(sentences?)\b"),
}


class Evidence(StrEnum):
    """The evidence in an explanation for a criterion that it grants."""

    TRUE = "true quotation"
    SHORT = "true quotation that is too short"
    FALSE = "quotation that is not in the answer"
    NONE = "no quotation"


@dataclass(frozen=True)
class Scores:
    """The metrics of one student at one k, as means over items; `coverage` is the share that has a verdict."""

    coverage: float
    low: float
    high: float
    metrics: dict[str, float]


def evidence(grading: RecordedAnswer) -> dict[str, Evidence]:
    """The evidence for each granted criterion, by id."""
    answer = normalise(grading.request.answer)
    quotations: dict[str, list[str]] = defaultdict(list)
    for criteria, sentence in _sentences(grading):
        for criterion in criteria:
            quotations[criterion] += _QUOTATION.findall(sentence)
    found = {}
    for criterion, earned in grading.earned.items():
        if earned:
            found[criterion] = _best(quotations[criterion], answer)
    return found


def _best(quotations: Sequence[str], answer: str) -> Evidence:
    if any(is_evidence(quotation, answer) for quotation in quotations):
        return Evidence.TRUE
    if any(is_quoted(quotation, answer) for quotation in quotations):
        return Evidence.SHORT
    return Evidence.FALSE if quotations else Evidence.NONE


def scores(gradings: Sequence[RecordedAnswer], rule: UngroundedRule | None) -> dict[tuple[str, int], Scores]:
    """The scores by student and k; under `rule` only grants with a true quotation count, None counts them all."""
    items: dict[tuple[str, int], dict[int, list[Mapping[str, bool | None]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for grading in gradings:
        items[grading.series.student, grading.series.k][grading.index].append(_points(grading, rule))
    return {key: _mean([item_metrics(generations) for generations in of.values()]) for key, of in items.items()}


def _points(grading: RecordedAnswer, rule: UngroundedRule | None) -> dict[str, bool | None]:
    points: dict[str, bool | None] = {**grading.earned, LENGTH: grading.length}
    if rule is not None:
        without = None if rule == "no_verdict" else False
        points |= {c: without for c, found in evidence(grading).items() if found is not Evidence.TRUE}
    return points


def _mean(items: Sequence[dict[str, float]]) -> Scores:
    def mean(metric: str) -> float:
        values = [item[metric] for item in items if not math.isnan(item[metric])]
        return sum(values) / len(values) if values else math.nan

    metrics = {metric: mean(metric) for metric in METRICS}
    return Scores(mean("coverage"), mean("full_marks_low"), mean("full_marks_high"), metrics)


def _sentences(grading: RecordedAnswer) -> Iterator[tuple[list[str], str]]:
    """The explanation's sentences, each with the criteria that it speaks of."""
    text = grading.reply.rpartition("|")[2].translate(str.maketrans("“”", '""'))
    spoken = {
        criterion: _spoken(name) for criterion, name in zip(grading.earned, grading.skills, strict=False)
    } | _NAMES
    current: list[str] = []
    for line in text.splitlines():
        for sentence in segment("en", line):
            said = _QUOTATION.sub("", sentence).replace("-", " ").casefold()
            named = [criterion for criterion, pattern in spoken.items() if pattern.search(said)]
            current = named or current
            yield current, sentence


def _spoken(skill: str) -> re.Pattern[str]:
    """A skill's name without the text in brackets, loosely: in the forms in which GPT-4 writes it."""
    words = re.sub(r"\(.*?\)", "", skill).replace("-", " ").split()
    stems = [re.escape(word[: max(5, len(word) - 3)]) for word in words]
    return re.compile(r"\b" + r"\w*\W+(?:\w+\W+){0,3}?".join(stems))


def report(gradings: Sequence[RecordedAnswer]) -> str:
    """All figures as text."""
    by_kind: dict[str, Counter[Evidence]] = {"skills": Counter(), TOPIC: Counter(), SENSE: Counter()}
    for grading in gradings:
        for criterion, found in evidence(grading).items():
            by_kind[criterion if criterion in by_kind else "skills"][found] += 1
    total = sum(by_kind.values(), Counter[Evidence]())
    lines = [f"{len(gradings)} gradings, {total.total()} granted criteria"]
    for name, counts in (*by_kind.items(), ("all", total)):
        lines.append(f"  {name:<7}" + "".join(f"  {kind.value} {counts[kind]:>3}" for kind in Evidence))
    for rule in (None, "not_earned", "no_verdict"):
        lines.append(
            f"{rule or 'every grant counts'}: full marks / all skills / skill fraction (coverage, bounds)"
        )
        for (student, k), one in scores(gradings, rule).items():
            values = " / ".join(f"{value:.2f}" for value in one.metrics.values())
            lines.append(f"  {student:<14} k={k}  {values}  ({one.coverage:.2f}, {one.low:.2f} .. {one.high:.2f})")
    return "\n".join(lines)


if __name__ == "__main__":
    print_for_folder("ungrounded_rule", lambda folder: report(read_answers(folder)[0]))
