"""The twelve bands of a simulated market, on one fixed seed.

400,000 borrowers, as `fedcredit data check` takes: fewer leave no lender of 50,000 training loans for band 6, and at a
bad rate of 2 % less than 5,000 defaults to measure the others by. The seed is fixed, so a right market never
fails; what a wrong one does is planted below.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fedcredit.data.market import bands, history_bands
from fedcredit.data.market.bands import Views
from fedcredit.data.market.figures import Figure
from fedcredit.data.market.settings import MarketSettings
from fedcredit.data.market.simulate import Market, simulate
from fedcredit.experiment.market_check import privacy_cost

pytestmark = [pytest.mark.statistical, pytest.mark.long]

SETTINGS = MarketSettings(num_borrowers=400_000, seed=1)


@cache
def market() -> Market:
    return simulate(SETTINGS)


@cache
def seen() -> Views:
    return bands.views(market())


def assert_pass(figures: list[Figure]) -> None:
    failed = [f"{figure.name}: {figure.value:.4f} not in [{figure.low}, {figure.high}]" for figure in figures
              if not figure.passes]  # fmt: skip
    assert not failed


def test_band_1_models_reach_what_they_reach_on_real_tables_and_the_truth_more() -> None:
    assert_pass(bands.models_reach(seen()))


def test_band_2_logistic_regression_scorecard_and_network_are_as_far_from_trees_as_on_real_tables() -> None:
    assert_pass(bands.models_differ(seen()))


def test_bands_3_and_4_columns_tell_as_much_as_those_of_real_tables_and_none_tells_all() -> None:
    figures = bands.information(seen())
    assert {figure.band for figure in figures} == {3, 4}
    assert_pass(figures)


def test_band_5_lenders_differ_in_bad_rate_and_in_columns() -> None:
    assert_pass(bands.lenders_differ(seen()))


def test_band_6_pooling_is_worth_much_to_small_lenders_and_nothing_to_a_large_one() -> None:
    assert_pass(bands.pooling(seen()))


def test_band_7_the_other_lenders_balances_add_to_the_ranking_of_shared_borrowers() -> None:
    assert_pass(bands.vertical(seen()))


def test_band_8_the_roll_rates_are_those_of_the_matrix() -> None:
    assert_pass(history_bands.rolls(market()))


def test_band_9_vintages_peak_early_and_then_flatten() -> None:
    assert_pass(history_bands.vintages(market()))


def test_band_10_a_pandemic_multiplies_defaults_on_platforms_and_hardly_at_banks() -> None:
    assert_pass(history_bands.shocked(market(), simulate(replace(SETTINGS, shock="pandemic"))))


def test_band_11_the_true_pd_is_calibrated() -> None:
    assert_pass(bands.calibration(seen()))


def test_band_12_epsilon_1_costs_a_central_model_one_to_three_points() -> None:
    assert_pass([privacy_cost(market())])


def test_a_true_pd_that_is_too_sure_of_itself_is_refused() -> None:
    truth = seen().behaviour.truth
    odds = np.log(truth.pd / (1.0 - truth.pd)) * 1.15 + 0.4
    wrong = replace(truth, pd=(1.0 / (1.0 + np.exp(-odds))).astype(np.float32))
    figures = bands.calibration(replace(seen(), behaviour=replace(seen().behaviour, truth=wrong)))
    assert not figures[0].passes


def test_roll_rates_off_by_two_hundredths_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = history_bands.ROLLS.copy()
    wrong[0, :3] = [0.74, 0.08, 0.18]
    monkeypatch.setattr(history_bands, "ROLLS", wrong)
    assert not history_bands.rolls(market())[0].passes


def test_a_column_that_leaks_the_outcome_is_refused() -> None:
    data = seen().by_behaviour
    rows = data.rows.copy()
    rows[:, data.names.index("plan_count_6m")] += 6.0 * data.default
    figures = bands.information(replace(seen(), by_behaviour=replace(data, rows=rows)))
    assert not figures[-1].passes
    assert figures[-1].band == 4


def test_a_market_too_small_for_a_figure_says_so_and_does_not_pass() -> None:
    tiny = bands.views(simulate(replace(SETTINGS, num_borrowers=10_000)))
    figures = bands.pooling(tiny)
    assert [np.isnan(figure.value) for figure in figures] == [True, True]
    assert not any(figure.passes for figure in figures)
