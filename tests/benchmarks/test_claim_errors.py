"""A short run of the simulation: enough to see a test that finds what is not there, or finds nothing."""

from __future__ import annotations

import pytest

from benchmarks.claim_errors import simulate

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seeds", [1, 3])
def test_no_claim_is_supported_where_nothing_differs(seeds: int):
    errors = simulate("null", seeds, runs=10, start=1)
    assert errors.kept("null")


def test_claims_that_hold_are_found():
    errors = simulate("steps", 1, runs=3, start=1)
    assert errors.supported["held-out"] == errors.supported["larger k"] == 3
    assert errors.contradicted.total() == 0
    assert simulate("reversed", 1, runs=3, start=1).contradicted["order"] == 3
