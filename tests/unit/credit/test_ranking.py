"""The quick sums over sorted scores against slow, obvious ones, with many ties."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit as scipy_expit
from scipy.special import logit as scipy_logit
from scipy.stats import norm, rankdata
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from fedcredit.credit.calibration import brier, log_loss
from fedcredit.credit.discrimination import auc, pr_auc
from fedcredit.credit.logistic import expit, logit, normal_quantile
from fedcredit.credit.ranking import midranks, steps
from fedcredit.credit.scored import Scored

TIED = st.lists(st.tuples(st.integers(0, 6).map(lambda i: i / 6), st.booleans()), min_size=1, max_size=60)


@given(TIED)
def test_the_auc_is_the_nearest_float_to_the_count_of_pairs_with_a_tie_as_one_half(loans: list) -> None:
    bads, goods = [pd for pd, bad in loans if bad], [pd for pd, bad in loans if not bad]
    pairs = [Fraction(int(bad > good) * 2 + int(bad == good), 2) for bad in bads for good in goods]
    found = auc([pd for pd, _ in loans], [bad for _, bad in loans])
    assert found == (float(sum(pairs) / len(pairs)) if pairs else None)


@given(TIED)
def test_every_loan_is_counted_once_at_its_score(loans: list) -> None:
    pd, default = np.array([pd for pd, _ in loans]), np.array([bad for _, bad in loans])
    found = steps(Scored(pd=pd, default=default))
    assert found.pd.tolist() == sorted(set(pd.tolist()))
    assert found.bads.tolist() == [int(default[pd == value].sum()) for value in found.pd]
    assert found.goods.tolist() == [int((~default[pd == value]).sum()) for value in found.pd]


@given(st.lists(st.integers(-3, 3).map(float), max_size=40))
def test_midranks_are_scipys(values: list[float]) -> None:
    assert midranks(np.array(values)).tolist() == rankdata(values).tolist()


@pytest.mark.parametrize("digits", [1, 2, 17])
def test_the_metrics_are_scikit_learns(digits: int) -> None:
    generator = np.random.Generator(np.random.PCG64(digits))
    pd = np.round(generator.random(2000), digits)
    default = generator.random(2000) < pd
    assert auc(pd, default) == pytest.approx(roc_auc_score(default, pd), abs=1e-14)
    assert pr_auc(pd, default) == pytest.approx(average_precision_score(default, pd), abs=1e-14)
    assert log_loss(pd, default) == pytest.approx(sklearn_log_loss(default, pd), rel=1e-13)
    assert brier(pd, default) == pytest.approx(brier_score_loss(default, pd), rel=1e-13)


@given(st.floats(-700, 700))
def test_the_logistic_function_is_scipys_at_both_ends(value: float) -> None:
    assert float(expit(np.array(value))) == pytest.approx(float(scipy_expit(value)), rel=1e-14)


@given(st.floats(1e-300, 1 - 2**-53))
def test_the_logit_is_scipys(value: float) -> None:
    assert float(logit(value)) == pytest.approx(float(scipy_logit(value)), rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.8, 0.95, 0.999, 1 - 1e-9])
def test_the_normal_quantile_is_scipys(confidence: float) -> None:
    assert normal_quantile(confidence) == pytest.approx(norm.ppf(0.5 + confidence / 2), rel=1e-9)
