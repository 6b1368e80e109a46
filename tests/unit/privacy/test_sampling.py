from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.privacy import sampling
from fedcredit.privacy.sampling import poisson_indices
from fedcredit.seeds import public_stream

STREAM = public_stream(seed=1, purpose="sampling")


def drawn(num_loans: int, probability: float, server_round: int = 1, step: int = 0) -> list[int]:
    return poisson_indices(
        STREAM, num_loans=num_loans, probability=probability, server_round=server_round, step=step
    ).tolist()


def planted(monkeypatch: pytest.MonkeyPatch, draws: list[float]) -> None:
    def uniforms(stream: object, *, count: int, server_round: int, step: int) -> np.ndarray:
        return np.array((draws + [0.5] * count)[:count])

    monkeypatch.setattr(sampling, "uniforms", uniforms)


def test_rate_one_takes_every_loan() -> None:
    assert drawn(5, 1.0) == [0, 1, 2, 3, 4]
    assert drawn(0, 1.0) == []


def test_no_loans_give_no_batch() -> None:
    assert drawn(0, 0.5) == []


@pytest.mark.parametrize("probability", [5e-324, 1e-300, 1e-17, 1e-9])
def test_a_rate_near_zero_takes_nothing_and_does_not_overflow(probability: float) -> None:
    assert all(drawn(1_000_000, probability, step=step) == [] for step in range(20))


def test_a_rate_just_below_one_takes_nearly_everything() -> None:
    assert drawn(1000, 1.0 - 2.0**-53) == list(range(1000))


@pytest.mark.parametrize("probability", [1e-9, 1e-4, 0.3, 0.999])
def test_a_uniform_of_zero_takes_the_next_loan(monkeypatch: pytest.MonkeyPatch, probability: float) -> None:
    planted(monkeypatch, [0.0, 0.0, 0.0, 1.0 - 2.0**-53, 1.0 - 2.0**-53, 1.0 - 2.0**-53])
    assert drawn(4, probability)[:3] == [0, 1, 2]


def test_the_gap_is_the_number_of_failures_before_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1 - u just above, at and below (1 - q)^k: q = 1/2 makes these powers exact
    planted(monkeypatch, [0.49, 0.5, 0.74, 0.75, 0.9375])
    assert drawn(100, 0.5)[:5] == [0, 2, 4, 7, 12]


def test_a_batch_larger_than_the_first_guess_is_still_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, [0.0] * 500)
    got = drawn(1000, 0.01)
    assert got[:500] == list(range(500))


@given(
    num_loans=st.integers(0, 300),
    probability=st.floats(1e-6, 1.0),
    server_round=st.integers(0, 2**32 - 1),
    step=st.integers(0, 2**32 - 1),
)
def test_a_batch_is_ascending_inside_the_portfolio_and_repeats(
    num_loans: int, probability: float, server_round: int, step: int
) -> None:
    batch = drawn(num_loans, probability, server_round, step)
    assert batch == sorted(set(batch))
    assert all(0 <= loan < num_loans for loan in batch)
    assert batch == drawn(num_loans, probability, server_round, step)


def test_a_loan_appended_to_the_portfolio_changes_no_other_loans_part() -> None:
    for step in range(50):
        longer = drawn(501, 0.1, step=step)
        assert drawn(500, 0.1, step=step) == [loan for loan in longer if loan < 500]


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, math.nan, math.inf])
def test_a_rate_that_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="allowed is above 0 and at most 1"):
        drawn(10, probability)


def test_a_negative_number_of_loans_is_refused() -> None:
    with pytest.raises(ValueError, match="num_loans is -1"):
        drawn(-1, 0.5)
