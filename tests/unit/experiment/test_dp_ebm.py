"""The door to DP-EBM. What needs the optional extra is skipped where it is missing, and says so."""

from __future__ import annotations

import importlib.util
import math
import sys

import numpy as np
import pytest

from fedcredit.config import compose
from fedcredit.data.tables import load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import dp_ebm
from fedcredit.experiment.rivals import check_rivals
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.calibration import calibrate

needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("interpret") is None,
    reason="the optional extra `rivals` (interpret-core) is not installed",
)
DELTA = 1e-5


def _noise(target: float, num_columns: int = 5) -> dp_ebm.DpEbmNoise:
    single = calibrate(target_epsilon=target, delta=DELTA, sampling_probability=1.0, num_steps=1)
    return dp_ebm.noise_for(single, delta=DELTA, num_columns=num_columns)


@pytest.mark.parametrize("target", [0.5, 1.0, 8.0])
def test_what_it_draws_costs_the_target_and_the_library_claims_more(target: float) -> None:
    noise = _noise(target)
    spent = epsilon([noise.binning, noise.boosting], delta=DELTA).value
    assert 0.9999 * target < spent <= target
    assert noise.claimed_epsilon > target
    assert (noise.binning.num_steps, noise.boosting.num_steps) == (5, 5 * dp_ebm.NUM_ROUNDS)


def test_rows_of_one_unit_are_priced_together_and_draw_more_noise() -> None:
    single = calibrate(target_epsilon=1.0, delta=DELTA, sampling_probability=1.0, num_steps=1)
    alone, three = (dp_ebm.noise_for(single, delta=DELTA, num_columns=5, loans_a_unit=rows) for rows in (1, 3))
    assert 0.9999 < epsilon([three.binning, three.boosting], delta=DELTA).value <= 1.0
    assert three.claimed_epsilon < alone.claimed_epsilon / 2.0
    assert 3.0 * three.boosting.noise_multiplier > 2.5 * alone.boosting.noise_multiplier


def test_where_the_extra_is_missing_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "interpret", None)
    monkeypatch.setitem(sys.modules, "interpret.privacy", None)
    experiment = compose(None, ["portfolio=german", "partition=iid", "evaluation.references=[dp_ebm]"])
    with pytest.raises(InputError, match=r"dp_ebm.*pip install 'fedcredit\[rivals\]'"):
        check_rivals(experiment)
    check_rivals(compose(None, ["portfolio=german", "partition=iid", "evaluation.references=[one_shot]"]))


def test_columns_lie_within_public_bounds_row_by_row() -> None:
    portfolio = load_portfolio(compose(None, ["portfolio=german", "partition=iid"]).portfolio)
    columns, bounds = dp_ebm.public_columns(portfolio)
    assert columns.shape == (portfolio.num_loans, len(bounds))
    assert not np.isnan(columns).any()
    assert (columns >= bounds[:, 0]).all()
    assert (columns <= bounds[:, 1]).all()
    some = np.arange(0, portfolio.num_loans, 7)
    again, same = dp_ebm.public_columns(portfolio.take(some))
    assert np.array_equal(again, columns[some])
    assert np.array_equal(same, bounds)


@needs_extra
def test_the_library_draws_the_noise_that_is_charged_and_learns_from_many_loans() -> None:
    rng = np.random.default_rng(5)
    columns = rng.uniform(-1.0, 1.0, (20_000, 3))
    label = rng.random(20_000) < 1.0 / (1.0 + np.exp(2.0 - 3.0 * columns[:, 0]))
    bounds = np.array([[-1.0, 1.0]] * 3)
    model = dp_ebm.fit(columns, label, bounds, noise=_noise(8.0, 3), random_state=1)
    risk = model.predict_proba(columns)[:, 1]
    assert np.corrcoef(risk, columns[:, 0])[0, 1] > 0.8
    again = dp_ebm.fit(columns, label, bounds, noise=_noise(8.0, 3), random_state=1).predict_proba(columns)[:, 1]
    assert np.array_equal(risk, again)
    small = dp_ebm.fit(columns, label, bounds, noise=_noise(0.01, 3), random_state=1).predict_proba(columns)[:, 1]
    assert np.corrcoef(small, columns[:, 0])[0, 1] < np.corrcoef(risk, columns[:, 0])[0, 1]


@needs_extra
def test_noise_other_than_charged_is_an_error() -> None:
    rng = np.random.default_rng(6)
    columns, label = rng.uniform(0.0, 1.0, (500, 2)), rng.random(500) < 0.3
    right = _noise(1.0, 2)
    wrong = dp_ebm.DpEbmNoise(
        claimed_epsilon=right.claimed_epsilon * 2.0, delta=right.delta, binning=right.binning, boosting=right.boosting
    )
    with pytest.raises(ArithmeticError, match="was charged"):
        dp_ebm.fit(columns, label, np.array([[0.0, 1.0]] * 2), noise=wrong, random_state=1)


def test_the_claim_is_finite_at_every_usual_budget() -> None:
    for target in (0.1, 1.0, 30.0):
        assert math.isfinite(_noise(target, 40).claimed_epsilon)
