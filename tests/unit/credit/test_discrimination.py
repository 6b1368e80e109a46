from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from fedcredit.credit.discrimination import auc, auc_difference, auc_interval, gini, ks, pr_auc
from fedcredit.errors import InputError

# Coarse values make ties, which is where fast formulas go wrong.
Loan = tuple[float, bool]
_LOANS = st.lists(st.tuples(st.integers(0, 12).map(lambda i: i / 12), st.booleans()), min_size=4, max_size=40)
_PAIRED = st.lists(
    st.tuples(st.integers(0, 9).map(lambda i: i / 9), st.integers(0, 9).map(lambda i: i / 9), st.booleans()),
    min_size=4,
    max_size=40,
)


def _anchor() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The anchor of the project's notes on credit metrics, section 4.2 (values from scikit-learn and others)."""
    i = np.arange(1, 1001)
    pd = 0.002 + 0.2 * (i / 1000) ** 3
    return pd, ((7919 * i) % 1000) / 1000 < pd


def _columns(loans: Sequence[Loan]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([pd for pd, _ in loans]), np.array([bad for _, bad in loans])


def _wins(bad_pd: float, good_pd: float) -> float:
    return 1.0 if bad_pd > good_pd else 0.5 if bad_pd == good_pd else 0.0


def _slow_placements(pd: NDArray[np.float64], default: NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    bads, goods = pd[default], pd[~default]
    of_bads = [float(np.mean([_wins(bad, good) for good in goods])) for bad in bads]
    of_goods = [float(np.mean([_wins(bad, good) for bad in bads])) for good in goods]
    return of_bads, of_goods


def test_anchor_values() -> None:
    pd, default = _anchor()
    best = ks(pd, default)
    assert best is not None
    assert auc(pd, default) == pytest.approx(0.811790, abs=5e-7)
    assert gini(pd, default) == pytest.approx(2 * 0.811790 - 1, abs=1e-6)
    assert best.value == pytest.approx(0.507790, abs=5e-7)
    assert pr_auc(pd, default) == pytest.approx(0.210250, abs=5e-7)


@given(_LOANS)
def test_auc_is_the_share_of_pairs_in_the_right_order(loans: Sequence[Loan]) -> None:
    pd, default = _columns(loans)
    if default.all() or not default.any():
        assert auc(pd, default) is None
        return
    pairs = [_wins(bad, good) for bad in pd[default] for good in pd[~default]]
    assert auc(pd, default) == pytest.approx(np.mean(pairs), abs=1e-12)


@given(_LOANS)
def test_ks_is_the_largest_gap_over_every_cut_off(loans: Sequence[Loan]) -> None:
    pd, default = _columns(loans)
    found = ks(pd, default)
    if default.all() or not default.any():
        assert found is None
        return
    assert found is not None
    gaps = {cut: abs(np.mean(pd[default] >= cut) - np.mean(pd[~default] >= cut)) for cut in np.unique(pd)}
    assert found.value == pytest.approx(max(gaps.values()), abs=1e-12)
    assert gaps[found.cut_off] == pytest.approx(found.value, abs=1e-12)


@given(_LOANS)
def test_average_precision_is_the_sum_over_cut_offs(loans: Sequence[Loan]) -> None:
    pd, default = _columns(loans)
    if default.all() or not default.any():
        assert pr_auc(pd, default) is None
        return
    total, recall_before = 0.0, 0.0
    for cut in np.unique(pd)[::-1]:
        recall = float(np.mean(pd[default] >= cut))
        total += (recall - recall_before) * float(np.mean(default[pd >= cut]))
        recall_before = recall
    assert pr_auc(pd, default) == pytest.approx(total, abs=1e-12)


@given(_LOANS)
def test_delong_interval_equals_its_slow_definition(loans: Sequence[Loan]) -> None:
    pd, default = _columns(loans)
    interval = auc_interval(pd, default, confidence=0.9)
    if min(default.sum(), (~default).sum()) < 2:
        assert interval is None
        return
    of_bads, of_goods = _slow_placements(pd, default)
    area = float(np.mean(of_bads))
    if min(area, 1 - area) < 1e-12:
        assert interval is None
        return
    assert interval is not None
    variance = np.var(of_bads, ddof=1) / len(of_bads) + np.var(of_goods, ddof=1) / len(of_goods)
    half = norm.ppf(0.95) * np.sqrt(variance) / (area * (1 - area))
    log_odds = np.log(area / (1 - area))
    assert interval.lower == pytest.approx(1 / (1 + np.exp(half - log_odds)), abs=1e-9)
    assert interval.upper == pytest.approx(1 / (1 + np.exp(-half - log_odds)), abs=1e-9)
    assert interval.confidence == 0.9


@given(_PAIRED)
def test_paired_difference_equals_its_slow_definition(loans: Sequence[tuple[float, float, bool]]) -> None:
    here, there = np.array([row[0] for row in loans]), np.array([row[1] for row in loans])
    default = np.array([row[2] for row in loans])
    gap = auc_difference(here, there, default)
    if min(default.sum(), (~default).sum()) < 2:
        assert gap is None
        return
    assert gap is not None
    first, second = _slow_placements(here, default), _slow_placements(there, default)
    covariance = [np.cov(first[k], second[k], ddof=1) / len(first[k]) for k in (0, 1)]
    variance = sum(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1] for matrix in covariance)
    assert gap.value == pytest.approx(np.mean(first[0]) - np.mean(second[0]), abs=1e-12)
    assert gap.standard_error**2 == pytest.approx(variance, abs=1e-9)


@given(_LOANS, st.randoms())
def test_the_order_of_the_loans_does_not_matter(loans: list[Loan], random: object) -> None:
    shuffled = list(loans)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for metric in (auc, gini, ks, pr_auc, auc_interval):
        before, after = metric(*_columns(loans)), metric(*_columns(shuffled))
        if before is None or isinstance(before, float):
            assert after == (None if before is None else pytest.approx(before, abs=1e-12))
        else:
            assert vars(after) == pytest.approx(vars(before), abs=1e-12)


@given(_LOANS)
def test_turning_the_score_round_mirrors_the_auc(loans: Sequence[Loan]) -> None:
    pd, default = _columns(loans)
    area, mirrored = auc(pd, default), auc(1 - pd, default)
    assert (area is None) == (mirrored is None)
    if area is not None and mirrored is not None:
        assert area + mirrored == pytest.approx(1, abs=1e-12)


def _binormal(rng: np.random.Generator, num_bads: int, num_goods: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores = np.concatenate([rng.normal(1.0, 1.0, num_bads), rng.normal(0.0, 1.0, num_goods)])
    return norm.cdf(scores), np.arange(num_bads + num_goods) < num_bads


def _is_near_the_level(hits: int, trials: int) -> bool:
    """Coverage .95 within .03: false alarm below 1e-5 for a true coverage of .945 to .955 (binomial, 2,000 trials)."""
    return abs(hits / trials - 0.95) < 0.03


def test_delong_interval_covers_at_its_level_and_half_a_variance_would_not() -> None:
    rng, truth, trials = np.random.default_rng(20140101), norm.cdf(1 / np.sqrt(2)), 2000
    hits = planted_hits = 0
    for _ in range(trials):
        pd, default = _binormal(rng, 30, 150)
        interval, area = auc_interval(pd, default), auc(pd, default)
        assert interval is not None
        assert area is not None
        hits += interval.lower <= truth <= interval.upper
        half = (np.log(interval.upper / (1 - interval.upper)) - np.log(interval.lower / (1 - interval.lower))) / 2
        centre = np.log(area / (1 - area))
        planted_hits += abs(np.log(truth / (1 - truth)) - centre) <= half / np.sqrt(2)
    assert _is_near_the_level(hits, trials)
    assert not _is_near_the_level(planted_hits, trials)


def test_paired_interval_covers_zero_at_its_level_and_an_unpaired_one_would_not() -> None:
    rng, trials = np.random.default_rng(7), 2000
    hits = planted_hits = 0
    for _ in range(trials):
        pd, default = _binormal(rng, 40, 160)
        signal = norm.ppf(pd)
        here, there = (norm.cdf(signal + 0.3 * rng.normal(size=200)) for _ in range(2))
        gap = auc_difference(here, there, default)
        assert gap is not None
        hits += gap.interval.lower <= 0 <= gap.interval.upper
        alone = auc_interval(here, default)
        assert alone is not None
        planted_hits += abs(gap.value) <= (alone.upper - alone.lower) / 2 * np.sqrt(2)
    assert _is_near_the_level(hits, trials)
    assert not _is_near_the_level(planted_hits, trials)


def test_standard_error_agrees_with_a_stratified_bootstrap() -> None:
    """2,000 replicates know an error to 1.6 %; 10 % is six of these."""
    rng = np.random.default_rng(3)
    pd, default = _binormal(rng, 100, 400)
    other = norm.cdf(norm.ppf(pd) + 0.5 * rng.normal(size=500))
    bads, goods = np.flatnonzero(default), np.flatnonzero(~default)
    gaps = []
    for _ in range(2000):
        drawn = np.concatenate([rng.choice(bads, bads.size), rng.choice(goods, goods.size)])
        first, second = auc(pd[drawn], default[drawn]), auc(other[drawn], default[drawn])
        assert first is not None
        assert second is not None
        gaps.append(first - second)
    gap = auc_difference(pd, other, default)
    assert gap is not None
    assert gap.standard_error == pytest.approx(np.std(gaps, ddof=1), rel=0.1)


@settings(max_examples=20)
@given(st.integers(2, 30), st.integers(2, 30))
def test_a_score_that_says_nothing_has_auc_one_half_exactly(num_bads: int, num_goods: int) -> None:
    pd, default = np.full(num_bads + num_goods, 0.3), np.arange(num_bads + num_goods) < num_bads
    interval, gap = auc_interval(pd, default), ks(pd, default)
    assert interval is not None
    assert gap is not None
    assert auc(pd, default) == 0.5
    assert (interval.lower, interval.upper) == pytest.approx((0.5, 0.5))
    assert gap.value == 0.0
    assert auc_difference(pd, pd, default).value == 0.0  # type: ignore[union-attr]


def test_classes_wholly_apart_have_an_auc_but_no_interval() -> None:
    pd, default = [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]
    assert auc(pd, default) == 1.0
    assert auc_interval(pd, default) is None
    assert auc_interval(pd, [1, 1, 0, 0]) is None


@pytest.mark.parametrize("default", [[], [0, 0, 0], [1, 1, 1]])
def test_a_missing_class_gives_no_metric(default: list[int]) -> None:
    pd = [0.1, 0.2, 0.3][: len(default)]
    for metric in (auc, gini, ks, pr_auc, auc_interval):
        assert metric(pd, default) is None
    assert auc_difference(pd, pd, default) is None


@pytest.mark.parametrize(
    ("pd", "default", "message"),
    [
        ([0.1, float("nan")], [0, 1], "not a number for 1 of 2 loans"),
        ([0.1, 1.2], [0, 1], r"outside \[0, 1\]"),
        ([0.1, 0.2], [0, 2], "neither 0 nor 1 for 1 of 2 loans"),
        ([0.1, 0.2], [0.0, float("nan")], "neither 0 nor 1"),
        ([0.1, 0.2], [0], "same length"),
        ([[0.1, 0.2]], [[0, 1]], "one number a loan"),
    ],
)
def test_what_is_not_scored_loans_is_refused(pd: list[float], default: list[int], message: str) -> None:
    for metric in (auc, gini, ks, pr_auc, auc_interval):
        with pytest.raises(InputError, match=message):
            metric(pd, default)
    with pytest.raises(InputError, match=message):
        auc_difference(pd, pd, default)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_a_level_outside_its_range_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match="confidence is"):
        auc_interval([0.1, 0.2], [0, 1], confidence=confidence)
    with pytest.raises(InputError, match="confidence is"):
        auc_difference([0.1, 0.2], [0.1, 0.2], [0, 1], confidence=confidence)
