"""Collections: which action for which overdue account, under limited capacity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

from fedcredit.credit.loans import Floats, numbers, setting
from fedcredit.errors import InputError

REASONS = ("cannot_pay", "will_not_pay", "forgot")
BUCKETS = ("due", "M1", "M2", "M3")
NOTHING = "nothing"
_LARGEST_PROGRAM, _MOST_PASSES = 20_000, 24


def _known(name: str, names: Sequence[str], what: str) -> None:
    if name not in names:
        raise InputError(f"{what} names {name!r}; allowed: {', '.join(names)}")


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something a lender can do about an overdue account.

    Attributes:
        name: what it is called.
        cost_amount: of doing it once, at least 0.
        capacity: how many can be done in a month, at least 0; infinite by default.
        effect: reason -> share of the balance that it brings in beyond what would come by itself, in [-1, 1];
            a reason that is missing is not moved.
        bucket_factor: bucket -> what the effect is multiplied with, at least 0; 1 where it is missing.
    """

    name: str
    cost_amount: float
    capacity: float = float("inf")
    effect: Mapping[str, float] = field(default_factory=dict)
    bucket_factor: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check names and ranges."""
        setting(self.cost_amount, f"cost_amount of {self.name}", low=0.0)
        setting(self.capacity, f"capacity of {self.name}", low=0.0)
        for reason, share in self.effect.items():
            _known(reason, REASONS, f"effect of {self.name}")
            setting(share, f"effect of {self.name} on {reason}", low=-1.0, high=1.0)
        for bucket, factor in self.bucket_factor.items():
            _known(bucket, BUCKETS, f"bucket_factor of {self.name}")
            setting(factor, f"bucket_factor of {self.name} in {bucket}", low=0.0)


USUAL_ACTIONS = (
    Action(name="reminder", cost_amount=0.2, effect={"forgot": 0.30, "cannot_pay": 0.01, "will_not_pay": 0.01},
           bucket_factor={"due": 1.0, "M1": 0.6, "M2": 0.2, "M3": 0.1}),
    Action(name="notice", cost_amount=3.0, effect={"forgot": 0.30, "cannot_pay": 0.03, "will_not_pay": 0.08},
           bucket_factor={"due": 0.2, "M1": 1.0, "M2": 0.8, "M3": 0.5}),
    Action(name="call", cost_amount=18.0, capacity=4000, effect={"forgot": 0.35, "cannot_pay": 0.08,
           "will_not_pay": 0.12}, bucket_factor={"due": 0.1, "M1": 1.0, "M2": 1.0, "M3": 0.7}),
    Action(name="restructuring", cost_amount=60.0, capacity=800, effect={"cannot_pay": 0.30, "will_not_pay": -0.05},
           bucket_factor={"due": 0.2, "M1": 0.6, "M2": 1.0, "M3": 1.0}),
    Action(name="legal", cost_amount=250.0, capacity=300, effect={"will_not_pay": 0.35, "cannot_pay": 0.02},
           bucket_factor={"due": 0.0, "M1": 0.1, "M2": 0.7, "M3": 1.0}),
)  # fmt: skip
"""Actions with effects of our own choosing; replace them by measured ones before any figure is believed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Assignment:
    """Which action each account gets, and what that is worth.

    Attributes:
        action: place in the list of actions, -1 for nothing, ``[accounts]``.
        expected_value_amount: of all actions, cost taken away.
        upper_bound_amount: what no assignment within the capacities can pass.
        num_by_action: how often each is done.
    """

    action: NDArray[np.int64]
    expected_value_amount: float
    upper_bound_amount: float
    num_by_action: Mapping[str, int]


def action_values(
    *,
    balance_amount: ArrayLike,
    bucket: ArrayLike,
    reason_probability: ArrayLike,
    actions: Sequence[Action],
    yearly_rate: float = 0.1,
    months_to_cash: int = 2,
) -> NDArray[np.float64]:
    """Return what each action is expected to be worth on each account.

    Balance x (effect by reason, averaged over what the reason may be) x bucket factor, discounted, less the cost.

    Args:
        balance_amount: overdue and owed, ``[accounts]``, at least 0.
        bucket: place in ``BUCKETS``, ``[accounts]``.
        reason_probability: of cannot pay, will not pay and forgot, ``[accounts, 3]``, adding up to 1.
        actions: at least one.
        yearly_rate: discount, at least 0.
        months_to_cash: until the effect is cash, at least 0.

    Returns:
        Values, ``[accounts, actions]``.

    Raises:
        InputError: if a number is out of range.
    """
    balance = numbers(balance_amount, "balance_amount", low=0.0)
    places = numbers(bucket, "bucket", low=0.0, high=len(BUCKETS) - 1.0, num=balance.size).astype(np.int64)
    reasons = np.asarray(reason_probability, dtype=np.float64)
    if reasons.shape != (balance.size, len(REASONS)) or not np.allclose(reasons.sum(axis=1), 1.0, atol=1e-6):
        raise InputError(
            f"reason_probability has shape {reasons.shape}; give three probabilities that add up to 1 for each of "
            f"{balance.size} accounts: {', '.join(REASONS)}"
        )
    if not actions:
        raise InputError("actions is empty; give at least one")
    discount = (1.0 + setting(yearly_rate, "yearly_rate", low=0.0)) ** (
        -setting(months_to_cash, "months_to_cash", low=0.0) / 12.0
    )
    effects = np.array([[action.effect.get(reason, 0.0) for reason in REASONS] for action in actions])
    factors = np.array([[action.bucket_factor.get(name, 1.0) for name in BUCKETS] for action in actions])
    costs = np.array([action.cost_amount for action in actions])
    values: NDArray[np.float64] = balance[:, None] * (reasons @ effects.T) * factors.T[places] * discount - costs
    return values


def assign(values: NDArray[np.float64], actions: Sequence[Action]) -> Assignment:
    """Give every account at most one action, so that the expected value is as large as capacities allow.

    A linear program (scipy, HiGHS). Up to some ten thousand accounts it is solved as it is; beyond, its prices for
    scarce capacity are found on a sample and every account takes what is best for it at these prices, capacities kept.

    Args:
        values: as `action_values` returns them, ``[accounts, actions]``.
        actions: as many as there are columns.

    Returns:
        The assignment, with an upper bound beside its value.

    Raises:
        InputError: if the table does not fit the actions.
    """
    if values.ndim != 2 or values.shape[1] != len(actions):
        raise InputError(f"values has shape {values.shape}; give one column for each of {len(actions)} actions")
    capacity = np.array([action.capacity for action in actions])
    step = max(1, -(-len(values) // _LARGEST_PROGRAM))
    shares, prices = _solved(values[::step], np.floor(capacity) / step)
    chosen = _whole(shares) if step == 1 else _at_prices(values, prices, capacity)
    taken = chosen >= 0
    worth = float(values[np.flatnonzero(taken), chosen[taken]].sum())
    surplus = np.maximum((values - prices).max(axis=1), 0.0).sum()
    rent = float(np.sum(np.where(prices > 0.0, prices * np.where(np.isfinite(capacity), capacity, 0.0), 0.0)))
    counts = np.bincount(chosen[taken], minlength=len(actions))
    return Assignment(
        action=chosen,
        expected_value_amount=worth,
        upper_bound_amount=float(surplus) + rent,
        num_by_action={action.name: int(count) for action, count in zip(actions, counts, strict=True)},
    )


def uniform_treatment(values: NDArray[np.float64], actions: Sequence[Action]) -> tuple[str, float]:
    """Return the best single action for all accounts, as far as its capacity goes, and what it is worth.

    Args:
        values: ``[accounts, actions]``.
        actions: as many as there are columns.

    Returns:
        The action's name (``"nothing"`` if none is worth its cost) and the value; accounts are taken as they come.
    """
    totals = {NOTHING: 0.0}
    for place, action in enumerate(actions):
        count = int(min(action.capacity, len(values)))
        totals[action.name] = float(values[:count, place].sum())
    best = max(totals, key=lambda name: totals[name])
    return best, totals[best]


def _solved(values: NDArray[np.float64], capacity: Floats) -> tuple[NDArray[np.float64], Floats]:
    """Solve the assignment as a linear program: shares ``[accounts, actions]``, and the price of each capacity."""
    num, width = values.shape
    scarce = np.flatnonzero(capacity < num)
    prices = np.zeros(width)
    if not scarce.size:
        best = np.argmax(values, axis=1)
        return (np.arange(width) == best[:, None]) & (values > 0.0), prices
    account, action = np.divmod(np.arange(num * width), width)
    row_of = np.full(width, -1)
    row_of[scarce] = np.arange(scarce.size)
    limited = np.flatnonzero(row_of[action] >= 0)
    rows = np.concatenate([account, num + row_of[action[limited]]])
    columns = np.concatenate([np.arange(num * width), limited])
    once_and_capped: Any = coo_array(
        (np.ones(rows.size), (rows, columns)), shape=(num + scarce.size, num * width)
    ).tocsr()
    limits = np.concatenate([np.ones(num), capacity[scarce]])
    solved = linprog(-values.ravel(), A_ub=once_and_capped, b_ub=limits, bounds=(0, 1), method="highs")
    if not solved.success:
        raise RuntimeError(f"the assignment was not solved: {solved.message}")
    prices[scarce] = np.maximum(-solved.ineqlin.marginals[num:], 0.0)
    return np.asarray(solved.x).reshape(num, width), prices


def _whole(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Read an assignment from the program's shares, which are 0 or 1: its matrix is totally unimodular."""
    best = np.argmax(shares, axis=1)
    return np.where(shares[np.arange(len(shares)), best] > 0.5, best, -1)


def _at_prices(values: NDArray[np.float64], prices: Floats, capacity: Floats) -> NDArray[np.int64]:
    """Let every account take what is best for it; where a capacity runs out, those who would lose most keep it.

    Prices that were found on a sample leave some capacity unused; it is offered again at half of them.
    """
    chosen = np.full(len(values), -1, dtype=np.int64)
    left = np.where(np.isfinite(capacity), np.floor(capacity), len(values)).astype(np.int64)
    open_to = np.ones(values.shape[1], dtype=np.bool_)
    waiting = np.arange(len(values))
    for _ in range(_MOST_PASSES):
        net = np.where(open_to, values[waiting] - prices, -np.inf)
        best = np.argmax(net, axis=1)
        keen = net[np.arange(waiting.size), best] >= 0.0
        keen &= values[waiting, best] > 0.0
        for action in np.flatnonzero(open_to):
            takers = waiting[keen & (best == action)]
            if takers.size > left[action]:
                second = np.where(np.arange(values.shape[1]) == action, -np.inf, net[keen & (best == action)])
                regret = values[takers, action] - np.maximum(second.max(axis=1), 0.0)
                takers = takers[np.argsort(-regret, kind="stable")[: left[action]]]
            chosen[takers] = action
            left[action] -= takers.size
        open_to &= left > 0
        prices = np.where(open_to, prices * 0.5, prices)
        waiting = np.flatnonzero(chosen < 0)
        if not waiting.size or not open_to.any():
            break
    return chosen
