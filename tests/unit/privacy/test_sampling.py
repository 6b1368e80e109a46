from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.privacy import sampling
from fedcredit.privacy.sampling import likely_largest_batch, poisson_batches, poisson_indices
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


def batches(num_loans: int, probability: float, num_steps: int) -> list[list[int]]:
    found = poisson_batches(STREAM, num_loans=num_loans, probability=probability, server_round=1, num_steps=num_steps)
    return [batch.tolist() for batch in found]


@pytest.mark.parametrize(
    ("num_loans", "probability", "num_steps"),
    [(3000, 128 / 3000, 300), (30, 0.5, 200), (100, 1.0, 3), (8000, 0.9, 20), (1000, 1e-9, 40), (0, 0.3, 5),
     (50, 0.3, 0), (100_000, 0.5, 2), (30, 5e-324, 3)],
)  # fmt: skip
def test_batches_drawn_together_are_those_of_each_step(num_loans: int, probability: float, num_steps: int) -> None:
    expected = [drawn(num_loans, probability, step=step) for step in range(num_steps)]
    assert batches(num_loans, probability, num_steps) == expected


def test_a_batch_larger_than_the_first_guess_is_exact_among_others_too(monkeypatch: pytest.MonkeyPatch) -> None:
    original = sampling.uniforms_of_steps

    def crowded(stream: object, *, count: int, server_round: int, steps: range) -> np.ndarray:
        draws = original(STREAM, count=count, server_round=server_round, steps=steps)
        draws[1] = 0.0
        return draws

    monkeypatch.setattr(sampling, "uniforms_of_steps", crowded)
    planted(monkeypatch, [0.0] * 500)
    found = batches(1000, 0.01, 3)
    assert found[1][:500] == list(range(500))
    monkeypatch.undo()
    assert [found[0], found[2]] == [drawn(1000, 0.01, step=step) for step in (0, 2)]


@pytest.mark.parametrize(("num_loans", "probability"), [(3000, 0.043), (10, 0.5), (0, 0.5), (10**6, 1e-3)])
def test_the_likely_largest_batch_is_six_deviations_up(num_loans: int, probability: float) -> None:
    mean = num_loans * probability
    assert (
        mean + 6 * math.sqrt(mean) + 8 <= likely_largest_batch(num_loans, probability) < mean + 6 * math.sqrt(mean) + 9
    )


@pytest.mark.parametrize(("num_loans", "probability"), [(10, 0.0), (10, 1.5), (-1, 0.5)])
def test_batches_refuse_what_a_batch_refuses(num_loans: int, probability: float) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        batches(num_loans, probability, 2)
