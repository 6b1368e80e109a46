from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.credit.stability import characteristic_stability, population_stability
from fedcredit.errors import InputError

Pair = tuple[NDArray[Any], NDArray[Any]]


def test_the_index_is_its_definition() -> None:
    before, now = np.arange(100.0), np.arange(100.0) ** 1.5 / 10
    edges = np.quantile(before, np.arange(1, 10) / 10)
    bins = list(zip([-math.inf, *edges], [*edges, math.inf], strict=True))
    counts = [[sum(low < value <= high for value in values) + 0.5 for low, high in bins] for values in (before, now)]
    shares = [[count / sum(row) for count in row] for row in counts]
    slow = sum((a - e) * math.log(a / e) for e, a in zip(*shares, strict=True))
    assert population_stability(before, now).psi == pytest.approx(slow)


def test_five_hundred_loans_make_an_index_of_seven_hundredths_by_chance_alone() -> None:
    draw = np.random.default_rng(3)
    found = population_stability(draw.random(500), draw.random(500))
    assert found.chance_quantile == pytest.approx(0.0677, abs=2e-4)
    assert not found.has_moved


def test_the_chance_quantile_holds_its_level_and_has_power() -> None:
    """1,000 pairs without drift: 3.5 to 6.5 % beyond a 95 % quantile; a shift of .2 deviations is found by most."""
    draw = np.random.default_rng(11)
    still = [population_stability(*draw.normal(size=(2, 1000))).has_moved for _ in range(1000)]
    assert 0.035 < np.mean(still) < 0.065
    moved = [population_stability(draw.normal(size=1000), draw.normal(0.2, size=1000)).has_moved for _ in range(100)]
    assert np.mean(moved) > 0.8
    names = [characteristic_stability(*draw.choice(list("abcde"), size=(2, 1000))).has_moved for _ in range(1000)]
    assert 0.035 < np.mean(names) < 0.065


def draws_of_borrowers(draw: np.random.Generator, *, shared: bool) -> tuple[Pair, Pair]:
    """Draw values that a borrower's loans have nearly in common, and keys; 300 borrowers with 1 to 4 loans a sample."""
    values, keys = [], []
    level = draw.normal(size=600)
    for first in (0, 0 if shared else 300):
        who = np.repeat(np.arange(first, first + 300), draw.integers(1, 5, size=300))
        values.append(level[who] + 0.1 * draw.normal(size=who.size))
        keys.append(who)
    return (values[0], values[1]), (keys[0], keys[1])


@pytest.mark.parametrize("shared", [False, True])
def test_where_borrowers_have_several_loans_the_chance_quantile_holds_its_level_over_borrowers(shared: bool) -> None:
    """600 pairs without drift: 3 to 7.5 % beyond the quantile; by loans it would be far more, or fewer if shared."""
    draw = np.random.default_rng(5)
    by_borrower, by_loan = [], []
    for _ in range(600):
        values, keys = draws_of_borrowers(draw, shared=shared)
        by_borrower.append(population_stability(*values, borrowers=keys).has_moved)
        by_loan.append(population_stability(*values).has_moved)
    assert 0.03 < np.mean(by_borrower) < 0.075
    assert np.mean(by_loan) < 0.02 if shared else np.mean(by_loan) > 0.3


def test_one_loan_a_borrower_is_loans_drawn_one_by_one() -> None:
    draw = np.random.default_rng(2)
    before, now = draw.normal(size=400), draw.normal(size=300)
    alone = population_stability(before, now)
    assert population_stability(before, now, borrowers=(np.arange(400), 400 + np.arange(300))) == alone
    nearly = np.concatenate([[1], np.arange(1, 400)])
    assert population_stability(before, now, borrowers=(nearly, 400 + np.arange(300))).chance_quantile == pytest.approx(
        alone.chance_quantile, rel=0.02
    )
    with pytest.raises(InputError, match="one borrower a loan"):
        population_stability(before, now, borrowers=(np.arange(3), np.arange(300)))


def test_missing_values_are_a_bin_of_their_own() -> None:
    before, now = np.arange(200.0), np.where(np.arange(200) < 80, np.nan, np.arange(200.0))
    found = population_stability(before, now)
    assert found.num_bins == 11
    assert found.psi > 0.5
    assert characteristic_stability(["a", None] * 50, ["a", "a"] * 50).num_bins == 2


def test_an_unmoved_distribution_has_an_index_of_zero() -> None:
    values = np.random.default_rng(1).normal(size=300)
    assert population_stability(values, values[::-1]).psi == 0.0
    assert population_stability(np.zeros(50), np.zeros(60)).psi == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], [1.0]), "reference"),
        (([1.0], [[1.0]]), "current"),
    ],
)
def test_a_sample_that_is_none_is_refused(arguments: tuple[list[float], list[float]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        population_stability(*arguments)
    with pytest.raises(InputError, match="num_bins"):
        population_stability([1.0], [1.0], num_bins=1)
    with pytest.raises(InputError, match="confidence"):
        population_stability([1.0], [1.0], confidence=1.0)
