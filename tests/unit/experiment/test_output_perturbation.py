from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from fedcredit.experiment import output_perturbation

CAP = 2.5


def _loans(seed: int, *, num: int = 60, size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num, size))
    rows *= CAP * (1 - 1e-6) / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), (rng.random(num) < 0.3).astype(np.float32)


def _fit(rows: np.ndarray, label: np.ndarray, *, ridge: float) -> np.ndarray:
    return output_perturbation.fit(rows, label, prior=0.1, num_loans=60, ridge=ridge)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), ridge=st.sampled_from([1e-3, 0.01, 0.1, 1.0]))
def test_leaving_out_a_loan_moves_the_coefficients_by_at_most_the_sensitivity(seed: int, ridge: float) -> None:
    rows, label = _loans(seed)
    bound = output_perturbation.sensitivity(row_norm_cap=CAP, num_loans=60, ridge=ridge)
    moved = _fit(rows, label, ridge=ridge) - _fit(rows[1:], label[1:], ridge=ridge)
    assert np.linalg.norm(moved) <= bound
    assert np.linalg.norm(_fit(rows, label, ridge=ridge) - _fit(rows[3:], label[3:], ridge=ridge)) <= 3.0 * bound


def test_the_sensitivity_is_nearly_reached_by_a_surprising_loan_under_a_strong_ridge() -> None:
    row, label = np.array([[CAP, 0.0]], dtype=np.float32), np.ones(1, dtype=np.float32)
    ridge, prior = 1e4, 1e-4
    with_it = output_perturbation.fit(row, label, prior=prior, num_loans=10, ridge=ridge)
    without = output_perturbation.fit(row[:0], label[:0], prior=prior, num_loans=10, ridge=ridge)
    bound = output_perturbation.sensitivity(row_norm_cap=CAP, num_loans=10, ridge=ridge)
    assert 0.99 * bound < np.linalg.norm(with_it - without) <= bound


def test_a_small_ridge_gives_the_logistic_regression_of_scikit_learn() -> None:
    rows, label = _loans(3, num=400)
    ours = output_perturbation.fit(rows, label, prior=0.3, num_loans=400, ridge=1e-6)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(rows.astype(np.float64), label)
    assert np.allclose(ours[:-1], theirs.coef_[0], atol=1e-3)
    expected = theirs.predict_proba(rows.astype(np.float64))[:, 1]
    assert np.allclose(output_perturbation.predict_pd(ours, rows), expected, atol=1e-3)


def test_without_loans_it_predicts_the_prior() -> None:
    empty = np.empty((0, 3), dtype=np.float32)
    found = output_perturbation.fit(empty, np.empty(0, dtype=np.float32), prior=0.02, num_loans=5, ridge=0.1)
    assert output_perturbation.predict_pd(found, np.ones((2, 3), dtype=np.float32)) == pytest.approx([0.02, 0.02])


def test_the_ridge_keeps_the_noise_on_a_coefficient_at_its_deviation() -> None:
    ridge = output_perturbation.ridge_for(3.7, row_norm_cap=CAP, num_loans=20_000)
    bound = output_perturbation.sensitivity(row_norm_cap=CAP, num_loans=20_000, ridge=ridge)
    assert 3.7 * bound == pytest.approx(output_perturbation.NOISE_DEVIATION)
    assert output_perturbation.ridge_for(0.0, row_norm_cap=CAP, num_loans=20_000) == 1e-4
    assert math.isclose(bound * ridge, math.sqrt(CAP**2 + 1) / 20_000, rel_tol=1e-4)


def test_a_tiny_ridge_from_far_away_still_settles() -> None:
    rng = np.random.default_rng(1)
    rows = np.column_stack([rng.normal(size=3000), np.full(3000, 2.0)]).astype(np.float32)
    label = (rng.random(3000) < 0.01).astype(np.float32)
    found = output_perturbation.fit(rows, label, prior=0.9, num_loans=3000, ridge=1e-4)
    assert output_perturbation.predict_pd(found, rows).mean() == pytest.approx(label.mean(), abs=2e-3)
