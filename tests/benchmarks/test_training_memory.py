"""The memory estimate of a small training is near what the training takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.training_memory import measure, write_inputs

pytestmark = pytest.mark.slow

pytest.importorskip("trl")


def test_a_small_training_takes_what_is_estimated(tmp_path: Path):
    write_inputs(tmp_path)
    found = measure("tiny, full, float32", tmp_path)
    assert found["measured"] > 1e9  # the weights, gradients and moments alone have 0.5 GB
    assert found["estimated"] == pytest.approx(found["measured"], rel=0.15)
