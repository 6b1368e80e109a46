from __future__ import annotations

import numpy as np
import pytest

from fedcredit.credit.deciles import decile_table


def test_deciles_are_counted_from_the_riskiest_down() -> None:
    number = np.arange(1, 1001)
    pd = 0.002 + 0.2 * (number / 1000) ** 3
    default = ((7919 * number % 1000) / 1000 < pd).astype(np.int64)
    found = decile_table(pd, default)
    order = np.argsort(-pd)
    caught = 0
    for place, item in enumerate(found):
        own = order[100 * place : 100 * (place + 1)]
        caught += int(default[own].sum())
        assert (item.decile, item.num_loans, item.num_defaults) == (place + 1, 100, default[own].sum())
        assert item.lift == pytest.approx(default[own].mean() / default.mean())
        assert item.captured_rate == pytest.approx(caught / default.sum())
        assert (item.lowest_pd, item.highest_pd) == (pd[own].min(), pd[own].max())
        assert item.mean_pd == pytest.approx(pd[own].mean())
        assert item.bad_rate_interval.lower <= item.bad_rate <= item.bad_rate_interval.upper
        assert item.captured_rate_interval is not None
    assert found[-1].captured_rate == 1.0


def test_loans_of_one_pd_share_a_decile_whatever_their_order() -> None:
    pd, default = np.repeat([0.1, 0.2, 0.3], 10), np.tile([0, 1], 15)
    mixed = np.random.default_rng(1).permutation(30)
    found = decile_table(pd, default)
    assert [item.num_loans for item in found] == [10, 10, 10]
    assert found == decile_table(pd[mixed], default[mixed])


def test_without_defaults_there_is_no_lift_and_without_loans_no_decile() -> None:
    assert all(
        item.lift is None and item.captured_rate is None for item in decile_table([0.1, 0.2], [0, 0], num_groups=2)
    )
    assert decile_table([], []) == ()
