"""The figures in docs/verdicts.md, on GPT-4's real gradings."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.ungrounded_rule import Evidence, evidence, report, scores
from skillmix_tasks.calibration.reference_answers import RecordedAnswer, read_answers
from tests.skillmix_tasks.checks.reference import folder, tell

# As the reference's own script prints them: full marks, all skills, skill fraction.
PUBLISHED = {
    ("gpt-4", 2): (0.80, 0.80, 0.90),
    ("gpt-3.5-turbo", 3): (0.00, 0.00, 0.53),
    ("gpt-4", 4): (0.60, 0.60, 0.90),
    ("gpt-3.5-turbo", 5): (0.00, 0.00, 0.28),
}


@pytest.fixture(scope="module")
def gradings() -> list[RecordedAnswer]:
    found = read_answers(folder())[0]
    tell(report(found))
    return found


def test_with_every_grant_the_figures_are_the_reference_s_own(gradings: list[RecordedAnswer]):
    ours = {
        key: tuple(round(value, 2) for value in one.metrics.values())
        for key, one in scores(gradings, None).items()
    }
    assert ours == PUBLISHED


def test_few_grants_come_with_a_quotation_and_few_quotations_are_false_or_short(gradings: list[RecordedAnswer]):
    counts = Counter(found for grading in gradings for found in evidence(grading).values())
    assert counts == {Evidence.TRUE: 40, Evidence.SHORT: 1, Evidence.FALSE: 1, Evidence.NONE: 178}


def test_no_verdict_keeps_the_truth_within_its_bounds_and_not_earned_does_not(gradings: list[RecordedAnswer]):
    unknown, lost = scores(gradings, "no_verdict"), scores(gradings, "not_earned")
    for key, (full_marks, _, _) in PUBLISHED.items():
        assert unknown[key].low <= full_marks <= unknown[key].high
        assert unknown[key].coverage == 0
        assert lost[key].coverage == 1
        assert lost[key].metrics["full_marks"] == 0


def test_a_quotation_belongs_to_the_criterion_that_its_sentence_names(gradings: list[RecordedAnswer]):
    one = next(grading for grading in gradings if len(grading.skills) == 2)
    answer = replace(one.request, answer="The needle sang a small song to nobody.")
    ids = list(one.earned)

    def found(explanation: str) -> dict[str, Evidence]:
        text = f"| Total | 4 |\n\nExplanation: {explanation}"
        return evidence(replace(one, request=answer, earned=dict.fromkeys(ids, True), reply=text))

    first, second = one.skills
    said = found(f'The {first} is in "sang a small song". It is good. The {second} says "a big loud song".')
    assert said == dict(zip(ids, (Evidence.TRUE, Evidence.FALSE, Evidence.NONE, Evidence.NONE), strict=True))
    assert found(f'The {first} shows well. See "needle sang a small".')[ids[0]] is Evidence.TRUE
    assert found(f'The {first} is in "small song".')[ids[0]] is Evidence.SHORT  # two words
