from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import chi2

from fedcredit.credit.stability import chance_quantile, label_stability, number_stability
from fedcredit.errors import InputError


def test_psi_is_its_sum_bin_by_bin_with_missing_cells_as_a_bin() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(0.0, 1.0, 1000), rng.normal(0.3, 1.0, 400)
    before[:50], after[:90] = np.nan, np.nan
    known = sorted(before[50:])
    cuts = [known[95 * k] for k in range(1, 10)]

    def counts(values: np.ndarray) -> list[int]:
        edges = [-math.inf, *cuts, math.inf]
        inside = [sum(low <= v < high for v in values) for low, high in pairwise(edges)]
        return [*inside, sum(math.isnan(v) for v in values)]

    slow = 0.0
    for e, a in zip(counts(before), counts(after), strict=True):
        share, reference = (a + 0.5) / (400 + 5.5), (e + 0.5) / (1000 + 5.5)
        slow += (share - reference) * math.log(share / reference)
    found = number_stability(before, after)
    assert found is not None
    assert found.psi == pytest.approx(slow)
    assert found.num_bins == 11
    assert found.exceeds_chance


def test_the_chance_quantile_at_500_loans_each_is_near_the_usual_limit() -> None:
    value = chance_quantile(num_reference=500, num_new=500, num_bins=10)
    assert value == pytest.approx(2 / 500 * chi2.ppf(0.95, 9))
    assert f"{value:.3f}" == "0.068"


@pytest.mark.statistical
@pytest.mark.parametrize("sizes", [(500, 500), (2000, 300)])
def test_where_nothing_moved_psi_exceeds_its_quantile_in_one_of_twenty(sizes: tuple[int, int]) -> None:
    """1,000 pairs at 5 %: 50 expected, 25 to 80 allowed (a right law fails once in 10,000)."""
    rng = np.random.default_rng(2)
    numbers = labels = 0
    for _ in range(1000):
        found = number_stability(rng.normal(size=sizes[0]), rng.normal(size=sizes[1]))
        texts = [rng.choice(["a", "b", "c", "d"], size, p=[0.4, 0.3, 0.2, 0.1]) for size in sizes]
        named = label_stability(*texts)
        assert found is not None
        assert named is not None
        numbers, labels = numbers + found.exceeds_chance, labels + named.exceeds_chance
    assert 25 <= numbers <= 80
    assert 25 <= labels <= 80


@pytest.mark.statistical
def test_a_shift_of_a_third_of_a_deviation_is_seen_at_500_loans() -> None:
    rng = np.random.default_rng(3)
    found = [number_stability(rng.normal(size=500), rng.normal(0.33, 1.0, 500)) for _ in range(50)]
    assert sum(item is not None and item.exceeds_chance for item in found) >= 48


def test_a_column_of_one_value_has_moved_by_nothing() -> None:
    found = number_stability([3.0] * 10, [3.0] * 4)
    assert found is not None
    assert (found.psi, found.chance_quantile, found.exceeds_chance) == (0.0, 0.0, False)


def test_a_column_that_is_missing_on_one_side_alone_has_moved() -> None:
    found = number_stability([math.nan] * 200, [1.0] * 200)
    assert found is not None
    assert found.exceeds_chance
    assert label_stability(["a"] * 200, [""] * 200).exceeds_chance  # type: ignore[union-attr]


def test_without_loans_there_is_no_psi_and_one_bin_is_refused() -> None:
    assert number_stability([], [1.0]) is None
    assert label_stability(["a"], []) is None
    with pytest.raises(InputError, match="num_bins is 1"):
        number_stability([1.0], [1.0], num_bins=1)
