"""The bar on tokens, on the real answers that lie beside the repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.judge_tokens import QUOTE, REFERENCE, Tokens, completion, line, measure
from grading import UserError
from skillmix_tasks.calibration.reference_answers import read_answers
from tests.skillmix_tasks.checks.reference import folder, tell


@pytest.mark.slow
def test_a_graded_answer_costs_less_than_half_of_the_reference():
    measured = measure(folder())
    tell(line(measured))
    assert measured.answers == 60
    # By the reference's own figures, and by the same tokenizer, which is the stricter comparison.
    assert measured.ours.with_n <= 0.45 * Tokens(*REFERENCE).with_n == 2340
    assert measured.ours.with_n <= 0.45 * measured.recorded.with_n
    assert measured.ours.cached <= 0.45 * Tokens(*REFERENCE).with_n


def test_completions_hold_the_recorded_verdicts_with_true_quotes():
    gradings = read_answers(folder())[0]
    assert sum(sum(grading.earned.values()) for grading in gradings) == 220
    for grading in gradings:
        marks = json.loads(completion(grading))
        words = len(grading.request.answer.split())
        for criterion, mark in marks.items():
            assert mark["earned"] is grading.earned[criterion]
            assert len(mark["quote"].split()) >= (min(QUOTE, words) if mark["earned"] else 0)
            assert mark["quote"] in grading.request.answer


def test_costs_follow_the_definition():
    tokens = Tokens(100, 10)
    assert (tokens.with_n, tokens.separate, tokens.cached) == (100 + 120, 300 + 120, 150 + 120)


def test_a_folder_without_gradings_is_named(tmp_path: Path):
    for name in ("skills.csv", "topics.txt", "prompts"):
        (tmp_path / name).symlink_to(folder() / name)
    with pytest.raises(UserError, match="holds no gradings"):
        read_answers(tmp_path)
