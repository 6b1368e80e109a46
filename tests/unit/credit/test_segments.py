from __future__ import annotations

import numpy as np
import pytest

from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.segments import segment_table
from fedcredit.errors import InputError


def test_each_segment_has_the_figures_of_its_loans_alone_and_small_ones_are_marked() -> None:
    rng = np.random.default_rng(1)
    pd = rng.beta(2.0, 8.0, 1000)
    default = (rng.random(1000) < pd).astype(np.int64)
    names = np.array(["late"] * 600 + ["early"] * 380 + ["tiny"] * 20)
    found = segment_table(pd, default, names, order=["late", "absent"])
    assert [item.name for item in found] == ["late", "early", "tiny"]
    assert [item.is_small for item in found] == [False, False, True]
    for item in found:
        own = evaluate(pd[names == item.name], default[names == item.name])
        assert item.auc == own.auc
        assert item.auc_interval == own.auc_interval
        assert item.mean_pd_over_bad_rate == own.mean_pd_over_bad_rate
        assert item.bad_rate == own.bad_rate
        assert item.bad_rate_interval.lower < item.bad_rate < item.bad_rate_interval.upper


def test_a_segment_without_defaults_keeps_its_row() -> None:
    found = segment_table([0.1, 0.2, 0.3], [0, 0, 1], ["a", "a", "b"])
    assert [(item.name, item.auc, item.num_defaults) for item in found] == [("a", None, 0), ("b", None, 1)]


def test_a_segment_a_loan_is_asked_for() -> None:
    with pytest.raises(InputError, match="one text a loan"):
        segment_table([0.1, 0.2], [0, 1], ["a"])
