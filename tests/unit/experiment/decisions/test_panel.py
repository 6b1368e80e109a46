"""Alarms, promised cash and stressed pools against slow, obvious versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.credit.early_warning import NEVER
from fedcredit.data.market.plans import Plans
from fedcredit.experiment.decisions.panel_alarms import highest
from fedcredit.experiment.decisions.panel_cash import promised_amounts
from fedcredit.experiment.decisions.panel_pool import Flows, stressed


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_as_many_alarms_are_raised_as_asked_for_on_the_highest_risks(seed: int, num: int) -> None:
    draw = np.random.default_rng(seed)
    risk, watched = draw.random((5, 12)), draw.random((5, 12)) < 0.8
    watched[0] = True
    found = highest(risk, watched, num)
    assert np.count_nonzero(found < NEVER) == num
    most = np.where(watched, risk, 0.0).max(axis=0)
    if 0 < num < 12:
        assert most[found < NEVER].min() > most[found == NEVER].max()
    lowest = most[found < NEVER].min() if num else 1.0
    for account in np.flatnonzero(found < NEVER).tolist():
        months = [month for month in range(5) if watched[month, account] and risk[month, account] >= lowest]
        assert found[account] == months[0]


def plans(draw: np.random.Generator, num: int) -> Plans:
    tenor = draw.choice([3, 6, 12], num)
    amount = draw.uniform(100.0, 900.0, num)
    return Plans(
        account=draw.integers(0, 6, num).astype(np.int32),
        month=np.sort(draw.integers(0, 10, num)).astype(np.int8),
        scenario=np.zeros(num, dtype=np.int8),
        tenor=tenor.astype(np.int8),
        amount=amount.astype(np.float32),
        fee_rate=np.full(num, 0.01, dtype=np.float32),
        instalment=(amount / tenor + 0.01 * amount).astype(np.float32),
    )


@pytest.mark.parametrize("until", [None, 4])
def test_promised_cash_is_every_instalment_of_every_plan(until: int | None) -> None:
    drawn = plans(np.random.default_rng(7), 40)
    accounts = np.array([4, 1, 5])
    slow = np.zeros((14, 3))
    for plan in range(40):
        if drawn.account[plan] in accounts and (until is None or drawn.month[plan] <= until):
            column = accounts.tolist().index(int(drawn.account[plan]))
            for month in range(int(drawn.month[plan]) + 1, int(drawn.month[plan]) + int(drawn.tenor[plan]) + 1):
                if month < 14:
                    slow[month, column] += float(drawn.instalment[plan])
    assert promised_amounts(drawn, accounts, num_months=14, until=until) == pytest.approx(slow)


def test_no_plan_promises_nothing() -> None:
    assert not promised_amounts(plans(np.random.default_rng(1), 0), np.array([2]), num_months=4).any()


@given(st.floats(1.0, 100.0), st.integers(0, 2**32 - 1))
def test_a_stressed_pool_holds_what_it_held(times: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    flows = Flows(**{name: tuple(draw.uniform(0.1, 9.0, 6)) for name in Flows.__dataclass_fields__})
    found = stressed(flows, times)
    assert sum(found.principal_amount) + sum(found.default_amount) == pytest.approx(
        sum(flows.principal_amount) + sum(flows.default_amount)
    )
    assert sum(found.default_amount) >= sum(flows.default_amount) * (1.0 - 1e-12)
    assert min(found.principal_amount) >= -1e-9


def test_a_pool_without_defaults_cannot_be_stressed() -> None:
    flows = Flows(principal_amount=(1.0,), interest_amount=(0.1,), default_amount=(0.0,), recovery_amount=(0.0,))
    assert stressed(flows, 10.0) == flows
