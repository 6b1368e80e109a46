"""The shared anchor of the credit metrics, to its printed digits.

Its figures come from empulse 0.13, emp-py 2.0, hmeasure 0.1, riskval 0.1 and scikit-learn 1.9, which agree with one
another on it where they overlap.
"""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.credit.calibration import brier
from fedcredit.credit.discrimination import auc, ks, pr_auc
from fedcredit.credit.goodness_of_fit import hosmer_lemeshow, spiegelhalter
from fedcredit.credit.h_measure import h_measure
from fedcredit.credit.profit import expected_maximum_profit

ROW = np.arange(1, 1001)
PD = 0.002 + 0.2 * (ROW / 1000) ** 3
DEFAULT = ((7919 * ROW) % 1000) / 1000 < PD
TOY_DEFAULT = [0, 1, 0, 1, 0, 1, 0, 1]
TOY_PD = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]


def _figures() -> dict[str, float]:
    gap, profit = ks(PD, DEFAULT), expected_maximum_profit(PD, DEFAULT)
    groups, brier_test = hosmer_lemeshow(PD, DEFAULT), spiegelhalter(PD, DEFAULT)
    toy = expected_maximum_profit(TOY_PD, TOY_DEFAULT)
    assert gap is not None
    assert profit is not None
    assert groups is not None
    assert brier_test is not None
    assert toy is not None
    return {
        "auc": auc(PD, DEFAULT) or 0.0,
        "ks": gap.value,
        "brier": brier(PD, DEFAULT) or 0.0,
        "pr_auc": pr_auc(PD, DEFAULT) or 0.0,
        "h": h_measure(PD, DEFAULT) or 0.0,
        "h at severity ratio 1": h_measure(PD, DEFAULT, severity_ratio=1.0) or 0.0,
        "emp": profit.profit_rate,
        "emp rejected": profit.rejected_rate,
        "hosmer-lemeshow": groups.statistic,
        "spiegelhalter": brier_test.statistic,
        "toy emp": toy.profit_rate,
        "toy rejected": toy.rejected_rate,
        "toy h": h_measure(TOY_PD, TOY_DEFAULT) or 0.0,
    }


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("auc", ".811790"),
        ("ks", ".507790"),
        ("brier", ".0459335"),
        ("pr_auc", ".210250"),
        ("h", ".280126"),
        ("h at severity ratio 1", ".077689"),
        ("emp", ".000825"),
        ("emp rejected", ".00135"),
        ("hosmer-lemeshow", "1.9761"),
        ("spiegelhalter", "-.0426"),
        ("toy emp", ".0974702"),
        ("toy rejected", ".324345"),
        ("toy h", ".25"),
    ],
)
def test_the_anchor_comes_out_to_its_printed_digits(name: str, printed: str) -> None:
    digits = len(printed.partition(".")[2])
    assert round(_figures()[name], digits) == float(printed)
