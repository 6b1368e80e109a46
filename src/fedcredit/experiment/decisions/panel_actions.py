"""What is done about overdue accounts and rings of the simulated market, with a run's network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.cash_collection import recovery_curve, roll_rates, self_cure_share
from fedcredit.credit.collections import USUAL_ACTIONS, Action, action_values, assign, uniform_treatment
from fedcredit.credit.fraud_rings import Review, ReviewPolicy, join_by_keys, review, ring_score
from fedcredit.credit.loans import Floats
from fedcredit.data.market.panel import ABILITY, WILLINGNESS
from fedcredit.data.market.risk import DEFAULTED, M1, M3
from fedcredit.data.market.simulate import Market
from fedcredit.experiment.decisions.panel import Followed, scored_snapshot
from fedcredit.experiment.decisions.rescoring import Rescored, scores_of

_CAPACITY_OF_ACCOUNTS = 20_000
REVIEWED_SHARE = 0.003


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Collections at the end of one month, and how cash had come in until then; amounts in CNY.

    Attributes:
        month: the month.
        num_overdue: held-out accounts in M1 to M3.
        overdue_amount: what they owe.
        assigned_value_amount: expected value of the assignment under capacity limits, cost taken away.
        upper_bound_amount: what no assignment can pass.
        uniform_action: the best single action for all.
        uniform_value_amount: what that is worth.
        num_by_action: how often each action is done.
        paid_of_due_rate: cash collected over instalments due, months up to this one.
        self_cure_rate: share of M1 that is current a month later.
        roll_to_default_rate: share of M3 that defaults a month later.
        recovered_rate: share of the exposure at default that came back within 12 months.
        recovered_by_month: the same within 1, 2, ... 12 months; ends where no default was seen so long.
    """

    month: int
    num_overdue: int
    overdue_amount: float
    assigned_value_amount: float
    upper_bound_amount: float
    uniform_action: str
    uniform_value_amount: float
    num_by_action: Mapping[str, int]
    paid_of_due_rate: float
    self_cure_rate: float
    roll_to_default_rate: float
    recovered_rate: float
    recovered_by_month: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class RingReview:
    """Accounts reviewed for rings, of all lenders at opening.

    ``by_keys`` ranks by what is shared alone: the network of the view ``behaviour`` cannot score accounts that young.
    ``at_random`` is what as many random reviews find on average.
    """

    num_accounts: int
    num_ring_accounts: int
    by_keys: Review
    at_random_found_rate: float


def collections(
    run: Rescored, followed: Followed, *, month: int, actions: Sequence[Action] = USUAL_ACTIONS
) -> Collected:
    """Assign actions to the overdue accounts of a month.

    What an action moves is the part of the balance that would not come by itself: balance times the network's PD. What
    the reasons of an account may be is taken from the overdue accounts of its kind of lender in earlier months.
    Capacities are scaled from 20,000 overdue accounts to those there are.

    Args:
        run: the run.
        followed: its accounts.
        month: at whose end actions are chosen.
        actions: what can be done.

    Returns:
        The assignment beside uniform treatment.

    Raises:
        InputError: if the month cannot be looked at.
    """
    market, shifts = followed.market, scores_of(run, run.networks()).shifts
    panel = market.history.panel
    account, pd, _ = scored_snapshot(run, market, month, shifts=shifts, worst=M3)
    late = panel.bucket[month, account] >= M1
    account, pd = account[late], pd[late]
    balance = panel.balance[month, account].astype(np.float64)
    scaled = [
        replace(action, capacity=float(np.ceil(action.capacity * account.size / _CAPACITY_OF_ACCOUNTS)))
        if np.isfinite(action.capacity)
        else action
        for action in actions
    ]
    values = action_values(
        balance_amount=balance * pd,
        bucket=panel.bucket[month, account],
        reason_probability=_reasons(market, account, month),
        actions=scaled,
    )
    assigned = assign(values, scaled)
    uniform, worth = uniform_treatment(values, scaled)
    own = followed.account
    rates = roll_rates(panel.bucket[: month + 1][:, own])
    due, paid = panel.due[: month + 1][:, own], panel.paid[: month + 1][:, own]
    back = recovery_curve(
        panel.paid[:, own], market.history.default_month[own].astype(np.int64), market.history.losses.ead[own]
    )
    return Collected(
        month=month,
        num_overdue=int(account.size),
        overdue_amount=float(balance.sum()),
        assigned_value_amount=assigned.expected_value_amount,
        upper_bound_amount=assigned.upper_bound_amount,
        uniform_action=uniform,
        uniform_value_amount=worth,
        num_by_action=assigned.num_by_action,
        paid_of_due_rate=float(paid.sum(dtype=np.float64) / due.sum(dtype=np.float64)),
        self_cure_rate=self_cure_share(rates),
        roll_to_default_rate=float(rates[M3, DEFAULTED]),
        recovered_rate=float(np.nansum(back)),
        recovered_by_month=tuple(np.cumsum(back[np.isfinite(back)]).tolist()),
    )


def ring_review(market: Market, *, share: float = REVIEWED_SHARE) -> RingReview:
    """Review the accounts that share most, as many as there is capacity for.

    Args:
        market: the market.
        share: of all accounts that can be reviewed, in [0, 1].

    Returns:
        What is found, beside random reviews.

    Raises:
        InputError: if the share is out of range.
    """
    accounts, people = market.accounts, market.borrowers
    who = accounts.borrower
    rings = join_by_keys({"device": people.device[who], "address": people.address[who]})
    num = accounts.num_accounts
    policy = ReviewPolicy(capacity=round(share * num))
    is_ring = (accounts.ring >= 0).astype(np.float64)
    score = ring_score(rings, np.ones(num))
    return RingReview(
        num_accounts=num,
        num_ring_accounts=int(is_ring.sum()),
        by_keys=review(score, is_ring, accounts.limit.astype(np.float64), policy),
        at_random_found_rate=share,
    )


def _reasons(market: Market, account: NDArray[np.int64], month: int) -> Floats:
    """Return what the reasons of accounts may be: shares of cannot, will not and forgot, ``[accounts, 3]``."""
    panel, lenders = market.history.panel, market.settings.lenders
    kinds = np.array([lender.kind for lender in lenders])[market.accounts.lender]
    told = panel.reason[:month]
    chances = np.zeros((account.size, 3))
    for kind in np.unique(kinds[account]).tolist():
        seen = told[:, kinds == kind][panel.bucket[:month, kinds == kind] >= M1]
        cannot, will_not = int((seen == ABILITY).sum()), int((seen == WILLINGNESS).sum())
        total = max(cannot + will_not, 1)
        own = kinds[account] == kind
        chances[own, 0] = cannot / total if cannot + will_not else 0.5
        chances[own, 1] = 1.0 - chances[own, 0]
    return chances
