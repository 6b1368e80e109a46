"""What an audit's findings show beside the verdict: thresholds, what they reached and what the claim allows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.auditing import verdict
from fedcredit.privacy.auditing.bounds import clopper_pearson
from fedcredit.privacy.auditing.tradeoff import ClaimFamily

# 1,000 canaries outside score 0, 1, ..., 999 and as many inside 300.5 more.
SCORES = np.concatenate([np.arange(1000.0), np.arange(1000.0) + 300.5])
IS_INCLUDED = np.arange(2000) >= 1000


def test_points_are_the_best_thresholds_at_three_rates_beside_what_the_claim_itself_allows() -> None:
    claim = GaussianSteps(sampling_probability=1.0, noise_multiplier=1.0, num_steps=1)
    points = verdict._points(SCORES, IS_INCLUDED, ClaimFamily(events=(claim,), delta=1e-5), 0.05)
    assert [point.false_positive_rate for point in points] == [0.001, 0.01, 0.05]
    assert [point.true_positive_rate for point in points] == [0.302, 0.311, 0.351]
    assert [point.interval for point in points] == [
        clopper_pearson(hits, 1000, significance=0.05) for hits in (302, 311, 351)
    ]
    # Dong, Roth and Su 2022: one Gaussian at noise 1 is told apart as N(0, 1) from N(1, 1)
    allowed = stats.norm.cdf(stats.norm.ppf([0.001, 0.01, 0.05]) + 1.0)
    assert [point.allowed for point in points] == pytest.approx(allowed, rel=0.005)


def test_the_roc_counts_both_kinds_of_canaries_from_each_threshold_on() -> None:
    roc = verdict._roc(SCORES, IS_INCLUDED)
    assert (roc[0], roc[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert list(roc[1:]) == [
        (np.mean(SCORES[:1000] >= cut), np.mean(SCORES[1000:] >= cut)) for cut in sorted(SCORES, reverse=True)
    ]
