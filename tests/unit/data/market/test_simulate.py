from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from fedcredit.data.market.lenders import default_lenders
from fedcredit.data.market.plans import NEVER, outcomes
from fedcredit.data.market.risk import CURRENT, DEFAULTED, M1
from fedcredit.data.market.settings import MarketSettings
from fedcredit.data.market.simulate import Market, simulate
from fedcredit.data.market.streams import generator
from fedcredit.errors import InputError

SETTINGS = MarketSettings(num_borrowers=4000, seed=3)


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate(SETTINGS)


def arrays(part: object) -> list[np.ndarray]:
    if isinstance(part, np.ndarray):
        return [part]
    if is_dataclass(part) and not isinstance(part, MarketSettings):
        return [array for field in fields(part) for array in arrays(getattr(part, field.name))]
    return []


def test_one_seed_is_one_market_and_another_seed_another(market: Market) -> None:
    again, other = arrays(simulate(SETTINGS)), arrays(simulate(replace(SETTINGS, seed=4)))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays(market), again, strict=True))
    assert not np.array_equal(arrays(market)[0], other[0])


def test_streams_of_two_entities_or_two_months_share_no_number() -> None:
    drawn = [
        generator(seed=1, entity=entity, month=month).random(1000) for entity in ("panel", "plans") for month in (0, 1)
    ]
    assert len(np.unique(np.concatenate(drawn))) == 4000


def test_a_longer_stream_of_a_month_does_not_run_into_the_next_month() -> None:
    first = generator(seed=1, entity="panel", month=0).random(1 << 18)
    second = generator(seed=1, entity="panel", month=1).random(1 << 10)
    assert not np.isin(second, first).any()


def test_money_is_conserved_on_every_account(market: Market) -> None:
    """What was bought with fees, less what was paid, is what is owed; recoveries are payments too."""
    panel, plans = market.history.panel, market.history.plans
    owed = np.zeros(market.accounts.num_accounts)
    np.add.at(owed, plans.account, plans.instalment.astype(np.float64) * plans.tenor)
    left = owed - panel.paid.sum(axis=0, dtype=np.float64)
    assert np.abs(left - panel.balance[-1]).max() < 1.0
    assert panel.balance.min() >= 0.0


def test_what_falls_due_is_what_was_bought(market: Market) -> None:
    """An account in order all along pays each instalment in its month, to the last one."""
    panel, plans = market.history.panel, market.history.plans
    in_order = (panel.bucket <= CURRENT).all(axis=0)
    due = np.zeros((panel.num_months + 25, market.accounts.num_accounts))
    for ahead in range(1, 25):
        runs = plans.tenor >= ahead
        np.add.at(due, (plans.month[runs] + ahead, plans.account[runs]), plans.instalment[runs])
    assert np.allclose(panel.due[:, in_order], due[: panel.num_months][:, in_order], atol=0.05)
    assert np.allclose(panel.paid[:, in_order], panel.due[:, in_order], atol=0.05)


def test_a_default_takes_four_missed_months_at_least_and_is_for_ever(market: Market) -> None:
    panel, when = market.history.panel, market.history.default_month
    bad = np.flatnonzero(when != NEVER)
    assert len(bad) > 50
    assert (when[bad] - market.accounts.opened[bad] >= 4).all()
    for account in bad:
        path = panel.bucket[:, account]
        assert (path[when[account] :] == DEFAULTED).all()
        assert (path[: when[account]] < DEFAULTED).all()
        assert path[when[account] - 1] == 3
    worse = np.diff(panel.bucket.astype(int), axis=0)[:, :][panel.bucket[:-1] >= CURRENT]
    assert worse.max() == 1


def test_only_who_is_overdue_has_a_reason_and_each_trait_gives_its_own(market: Market) -> None:
    panel, who = market.history.panel, market.accounts.borrower
    assert ((panel.reason > 0) == (panel.bucket >= M1)).all()
    month, account = np.nonzero(panel.reason)
    cannot = panel.reason[month, account] == 1
    weaker = market.borrowers.ability[who[account]] < market.borrowers.willingness[who[account]]
    assert weaker[cannot].mean() > weaker[~cannot].mean() + 0.2


def test_a_lender_accepts_at_its_cut_off_and_above(market: Market) -> None:
    asked = market.applications
    honest = market.ring[asked.borrower] < 0
    for place in range(len(market.settings.lenders)):
        own = (asked.lender == place) & honest
        assert asked.score[own & asked.accepted].min() > asked.score[own & ~asked.accepted].max()


def test_no_borrower_has_two_accounts_at_one_lender(market: Market) -> None:
    pairs = market.accounts.borrower.astype(np.int64) * 100 + market.accounts.lender
    assert len(np.unique(pairs)) == len(pairs)


def test_a_plan_counts_as_bad_until_four_months_after_its_maturity(market: Market) -> None:
    plans, when = market.history.plans, market.history.default_month
    found = outcomes(market.settings, plans, when)
    late = when[plans.account].astype(int) - plans.month
    never = when[plans.account] == NEVER
    assert not found.default_by_maturity[never | (late > plans.tenor + 4)].any()
    assert found.default_by_maturity[~never & (late <= plans.tenor + 4)].all()
    assert found.default_by_maturity[found.default_12m].all()
    open_end = ~found.known_by_maturity
    assert (plans.month[open_end] + plans.tenor[open_end] + 4 >= market.settings.num_months).all()


def test_members_of_a_ring_share_keys_and_know_each_other_alone() -> None:
    market = simulate(replace(SETTINGS, num_borrowers=20_000))
    members = np.flatnonzero(market.ring >= 0)
    assert len(members) >= 20
    sizes = np.bincount(market.ring[members])
    assert sizes.min() >= 5
    assert sizes.max() <= 30
    for ring in range(len(sizes)):
        own = market.ring == ring
        assert len(np.unique(market.borrowers.address[own])) == 1
        assert len(np.unique(market.borrowers.device[own])) < own.sum()
    assert (market.ring[market.contacts.source] == market.ring[market.contacts.target]).all()
    accounts = np.flatnonzero((market.accounts.ring >= 0) & (market.accounts.opened < 34))
    first = market.history.panel.bucket[market.accounts.opened[accounts] + 1, accounts]
    assert (first == M1).mean() == pytest.approx(0.9, abs=0.15)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_borrowers": 10}, "num_borrowers is 10"),
        ({"num_months": 5}, "num_months is 5"),
        ({"shock": "flood"}, "pandemic"),
        ({"shock_month": 40}, "shock_month is 40"),
        ({"cycle": 2.0}, "cycle is 2.0"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(SETTINGS, **change)  # type: ignore[arg-type]


def test_a_market_of_one_lender_is_refused() -> None:
    with pytest.raises(InputError, match="at least two"):
        default_lenders(num_banks=1, num_bnpl=0, num_consumer_finance=0)
