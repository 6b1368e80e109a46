from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from fedcredit.credit import calibration, discrimination
from fedcredit.credit.goodness import hosmer_lemeshow, spiegelhalter

Loans = tuple[NDArray[np.float64], NDArray[np.int64]]


def _loans(seed: int, num_loans: int, *, factor: float = 1.0) -> Loans:
    rng = np.random.default_rng(seed)
    pd = rng.beta(2.0, 8.0, num_loans)
    return pd, (rng.random(num_loans) < np.minimum(1.0, factor * pd)).astype(np.int64)


def test_the_anchor_has_the_figures_that_other_libraries_print(anchor: Loans) -> None:
    lemeshow, z = hosmer_lemeshow(*anchor), spiegelhalter(*anchor)
    gap = discrimination.ks(*anchor)
    assert lemeshow is not None
    assert z is not None
    assert gap is not None
    assert f"{lemeshow.statistic:.4f}" == "1.9761"
    assert f"{z.statistic:.4f}" == "-0.0426"
    assert f"{discrimination.auc(*anchor):.6f}" == "0.811790"
    assert f"{gap.value:.6f}" == "0.507790"
    assert f"{calibration.brier(*anchor):.7f}" == "0.0459335"
    assert f"{discrimination.pr_auc(*anchor):.6f}" == "0.210250"


def test_both_are_their_sums_loan_by_loan() -> None:
    pd, default = _loans(1, 200)
    order = np.argsort(pd)
    slow = 0.0
    for group in np.split(order, 10):
        mean, found = pd[group].mean(), default[group].sum()
        slow += (found - len(group) * mean) ** 2 / (len(group) * mean * (1 - mean))
    lemeshow, z = hosmer_lemeshow(pd, default), spiegelhalter(pd, default)
    assert lemeshow is not None
    assert z is not None
    assert lemeshow.statistic == pytest.approx(slow)
    assert lemeshow.degrees_of_freedom == 10
    assert lemeshow.p_value == pytest.approx(chi2.sf(slow, 10))
    top = sum((y - p) * (1 - 2 * p) for p, y in zip(pd, default, strict=True))
    below = sum((1 - 2 * p) ** 2 * p * (1 - p) for p in pd)
    assert z.statistic == pytest.approx(top / below**0.5)
    assert z.p_value == pytest.approx(2 * norm.sf(abs(z.statistic)))


def test_loans_that_the_model_saw_cost_two_degrees_of_freedom() -> None:
    found = hosmer_lemeshow(*_loans(2, 500), fitted_on_these=True)
    assert found is not None
    assert found.degrees_of_freedom == 8


@pytest.mark.statistical
def test_right_pds_are_rejected_at_the_level_and_wrong_ones_almost_always() -> None:
    """400 samples at 5 %: 20 expected, 5 to 38 allowed (a right test fails once in 10,000)."""
    for test in (hosmer_lemeshow, spiegelhalter):
        right = [test(*_loans(seed, 2000)) for seed in range(400)]
        assert 5 <= sum(found is not None and found.p_value < 0.05 for found in right) <= 38
    for seed in range(10):
        found = hosmer_lemeshow(*_loans(seed, 2000, factor=1.4))
        assert found is not None
        assert found.p_value < 0.01


def test_large_samples_and_few_defaults_are_warned_about() -> None:
    large, z = hosmer_lemeshow(*_loans(3, 50_001)), spiegelhalter(*_loans(3, 50_001))
    few = hosmer_lemeshow(*_loans(4, 60))
    assert large is not None
    assert z is not None
    assert few is not None
    assert "50,001 loans" in large.warnings[0]
    assert "50,001 loans" in z.warnings[0]
    assert "fewer than 5" in few.warnings[0]
    ordinary = spiegelhalter(*_loans(3, 500))
    assert ordinary is not None
    assert ordinary.warnings == ()


def test_predictions_that_leave_nothing_to_chance_have_no_test() -> None:
    assert hosmer_lemeshow([0.0, 1.0], [0, 1], num_groups=2) is None
    assert hosmer_lemeshow([], []) is None
    assert spiegelhalter([0.5, 0.5], [0, 1]) is None
