from __future__ import annotations

import numpy as np
import pytest

from fedcredit.data.market.band_models import place_of
from fedcredit.data.market.band_statistics import (
    bins,
    information_value,
    joint_standard_errors,
    single_auc,
    stability_index,
)


def test_information_value_of_two_bins_is_that_of_the_formula() -> None:
    column = np.repeat([0.0, 1.0], [600, 400])
    default = np.zeros(1000, dtype=np.int8)
    default[:60] = 1
    default[600:740] = 1
    good, bad = np.array([540.5, 260.5]), np.array([60.5, 140.5])
    good, bad = good / good.sum(), bad / bad.sum()
    assert information_value(column, default) == pytest.approx(((good - bad) * np.log(good / bad)).sum())


def test_a_gap_is_a_bin_of_its_own_and_carries_information() -> None:
    column = np.where(np.arange(1000) < 200, np.nan, np.arange(1000.0))
    default = (np.arange(1000) < 100).astype(np.int8)
    place, number = bins(column, column)
    assert set(place[:200]) == {number - 1}
    assert information_value(column, default) > 2.0


def test_stability_is_nil_on_itself_and_of_the_known_size_under_no_shift() -> None:
    """Under no shift it is about (1/n + 1/m) chi2(bins - 1), so .0036 here; its .9999 quantile is .0137."""
    draw = np.random.default_rng(0)
    column = draw.standard_normal(5000)
    assert stability_index(column, column) == 0.0
    assert stability_index(column, draw.standard_normal(5000)) < 0.0137
    assert stability_index(column, draw.standard_normal(5000) + 0.5) > 0.15


def test_a_column_ranks_in_whichever_direction_is_right() -> None:
    default = np.array([0, 0, 1, 1], dtype=np.int8)
    assert single_auc(np.array([1.0, 2.0, 3.0, 4.0]), default) == 1.0
    assert single_auc(np.array([4.0, 3.0, 2.0, 1.0]), default) == 1.0
    assert single_auc(np.full(4, np.nan), default) == 0.5


def test_standard_errors_are_those_of_a_binomial_with_two_states() -> None:
    counts = np.array([[530.0, 470.0]])
    away = joint_standard_errors(counts, np.array([[500.0, 500.0]]))
    assert away == pytest.approx(30 / np.sqrt(250), rel=1e-6)


def test_places_are_uniform_and_salts_are_independent() -> None:
    places = np.stack([place_of(np.arange(20_000), salt=salt) for salt in (0, 100, 101)])
    assert np.abs(np.sort(places[0]) - np.linspace(0, 1, 20_000)).max() < 0.015
    assert np.abs(np.corrcoef(places) - np.eye(3)).max() < 0.03
