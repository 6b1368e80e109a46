"""Approval: whom a cut-off accepts, what that earns, and what changes when the model changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.loans import Floats, numbers, setting
from fedcredit.credit.scored import Scored

Flags = NDArray[np.bool_]
SELECTION_WARNING = (
    "Outcomes are known for loans that an earlier policy accepted; bad rates of applicants it would have refused are "
    "not in them. Keep a slice of randomly accepted applicants to measure the difference."
)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a loan earns and loses, as shares of its amount.

    Attributes:
        margin_rate: earned over the life of a good loan after funding and operating cost, above 0.
        lgd_rate: lost on a bad one, above 0 and at most 1.
    """

    margin_rate: float = 0.06
    lgd_rate: float = 0.75

    def __post_init__(self) -> None:
        """Check the ranges."""
        setting(self.margin_rate, "margin_rate", low=0.0, high=10.0, is_open=True)
        setting(self.lgd_rate, "lgd_rate", low=0.0, high=1.0, is_open=True)

    @property
    def break_even_pd(self) -> float:
        """The probability of default at which a loan earns nothing: margin / (margin + lgd)."""
        return self.margin_rate / (self.margin_rate + self.lgd_rate)


@dataclass(frozen=True, kw_only=True)
class CutOff:
    """How a cut-off is chosen.

    Attributes:
        by: ``"bad_rate"``: as many as keep the mean PD of the accepted at ``target``; ``"approval_rate"``: the
            safest share ``target``; ``"profit"``: every loan below the break-even PD of ``terms``.
        target: for the first two, above 0 and at most 1.
        terms: what loans earn and lose.
    """

    by: Literal["bad_rate", "approval_rate", "profit"] = "profit"
    target: float | None = None
    terms: Terms = Terms()

    def __post_init__(self) -> None:
        """Check that a target is there where it is needed."""
        if self.by != "profit":
            setting(float("nan") if self.target is None else self.target, "target", low=0.0, high=1.0, is_open=True)


@dataclass(frozen=True, kw_only=True)
class Approval:
    """What came of a decision on a set of applicants whose outcome is known.

    Rates are shares of the applicants, or of the accepted where the name says so; amounts are in the currency of
    ``amount``; ``None`` where nobody was accepted.
    """

    num_applicants: int
    approval_rate: float
    expected_bad_rate: float | None
    realised_bad_rate: float | None
    approved_amount: float
    expected_loss_amount: float
    realised_loss_amount: float
    profit_amount: float
    profit_per_100: float | None


@dataclass(frozen=True, kw_only=True)
class SwapSet:
    """Who changes sides when one decision replaces another, and the money in it."""

    num_swapped_in: int
    num_swapped_out: int
    bad_rate_swapped_in: float | None
    bad_rate_swapped_out: float | None
    profit_change_amount: float


def accept(pd: ArrayLike, policy: CutOff) -> Flags:
    """Decide on applicants.

    Equal PDs are decided alike: a tie at the cut-off is refused where accepting all of it would pass the target.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        policy: how the cut-off is chosen.

    Returns:
        Who is accepted, ``[loans]``.

    Raises:
        InputError: if a PD is out of range.
    """
    risk = numbers(pd, "pd", low=0.0, high=1.0)
    if policy.by == "profit":
        return risk < policy.terms.break_even_pd
    ordered = np.sort(risk)
    counts = np.arange(1, risk.size + 1)
    assert policy.target is not None
    if policy.by == "bad_rate":
        within = np.cumsum(ordered) / counts <= policy.target + 1e-12
    else:
        within = counts <= policy.target * risk.size + 1e-9
    last_of_tie = np.append(ordered[1:] != ordered[:-1], True)
    allowed = np.flatnonzero(within & last_of_tie)
    return risk <= ordered[allowed[-1]] if allowed.size else np.zeros(risk.size, dtype=np.bool_)


def approve(
    pd: ArrayLike, default: ArrayLike, amount: ArrayLike, *, accepted: Flags, terms: Terms | None = None
) -> Approval:
    """Count what a decision earned.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        amount: what each loan lends, ``[loans]``, at least 0.
        accepted: the decision, ``[loans]``.
        terms: what loans earn and lose.

    Returns:
        Rates and amounts.

    Raises:
        InputError: if the arrays are not scored loans of one length.
    """
    scored, money = _checked(pd, default, amount)
    chosen = np.asarray(accepted, dtype=np.bool_)
    used = Terms() if terms is None else terms
    earned = _profit(scored, money, used)
    lent = float(money[chosen].sum())
    profit = float(earned[chosen].sum())
    return Approval(
        num_applicants=scored.num_loans,
        approval_rate=float(chosen.mean()) if chosen.size else 0.0,
        expected_bad_rate=float(scored.pd[chosen].mean()) if chosen.any() else None,
        realised_bad_rate=float(scored.default[chosen].mean()) if chosen.any() else None,
        approved_amount=lent,
        expected_loss_amount=float((scored.pd * money)[chosen].sum()) * used.lgd_rate,
        realised_loss_amount=float((scored.default * money)[chosen].sum()) * used.lgd_rate,
        profit_amount=profit,
        profit_per_100=100.0 * profit / lent if lent > 0.0 else None,
    )


def swap_set(
    default: ArrayLike, amount: ArrayLike, *, before: Flags, after: Flags, terms: Terms | None = None
) -> SwapSet:
    """Compare two decisions on the same applicants.

    Args:
        default: 0 or 1, ``[loans]``.
        amount: what each loan lends, ``[loans]``, at least 0.
        before: whom the first decision accepts, ``[loans]``.
        after: whom the second accepts, ``[loans]``.
        terms: what loans earn and lose.

    Returns:
        Counts, bad rates and the change of profit.

    Raises:
        InputError: if the arrays are not of one length.
    """
    scored, money = _checked(np.zeros(np.shape(default)), default, amount)
    old, new = np.asarray(before, dtype=np.bool_), np.asarray(after, dtype=np.bool_)
    earned = _profit(scored, money, Terms() if terms is None else terms)
    came, left = new & ~old, old & ~new
    return SwapSet(
        num_swapped_in=int(came.sum()),
        num_swapped_out=int(left.sum()),
        bad_rate_swapped_in=float(scored.default[came].mean()) if came.any() else None,
        bad_rate_swapped_out=float(scored.default[left].mean()) if left.any() else None,
        profit_change_amount=float(earned[came].sum() - earned[left].sum()),
    )


def _checked(pd: ArrayLike, default: ArrayLike, amount: ArrayLike) -> tuple[Scored, Floats]:
    scored = Scored(pd=pd, default=default)
    return scored, numbers(amount, "amount", low=0.0, num=scored.num_loans)


def _profit(scored: Scored, amount: Floats, terms: Terms) -> Floats:
    return np.where(scored.default, -terms.lgd_rate, terms.margin_rate) * amount
