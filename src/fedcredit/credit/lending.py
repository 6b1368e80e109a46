"""What lending by a model comes to: profit, loss, capital and tranche losses of the loans it approves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit.approval import CutOff, Flags, Terms, accept
from fedcredit.credit.concentration import basel_capital
from fedcredit.credit.loans import Floats, numbers, setting
from fedcredit.credit.scored import Scored
from fedcredit.credit.securitisation import JD_BAITIAO_2015, Deal, tranche_losses

BASIS_POINTS = 10_000.0
_LEAST_PD, _MOST_PD = 1e-6, 0.999


@dataclass(frozen=True, kw_only=True)
class LendingPolicy:
    """By what rules a model's probabilities become money.

    Attributes:
        terms: margin of a good loan and loss of a bad one, as shares of its amount; our assumptions for unsecured
            consumer credit, to be replaced by a lender's own.
        deal: how the approved loans are cut when they are sold.
        rho: asset correlation of the sold pool, above 0 and below 1; .15 is the highest that the Basel formula for
            other retail loans comes near to.
    """

    terms: Terms = field(default_factory=Terms)
    deal: Deal = field(default=JD_BAITIAO_2015)
    rho: float = 0.15

    def __post_init__(self) -> None:
        """Check the range of the correlation."""
        setting(self.rho, "rho", low=0.0, high=0.999, is_open=True)


@dataclass(frozen=True, kw_only=True)
class Lending:
    """What came of lending by one model; rates in basis points are of the approved amount, ``None`` without any.

    Attributes:
        num_applicants: loans that were decided on.
        approval_rate: share of them that is approved.
        asked_amount: what all of them would lend.
        approved_amount: what the approved ones lend.
        profit_per_100: of approved amount, as outcomes went.
        profit_per_100_asked: the same profit by the amount of all applicants, so that refusing has its price.
        true_profit_per_100: ``profit_per_100`` expected at the true PD; ``None`` where no truth is known.
        true_profit_per_100_asked: ``profit_per_100_asked`` expected at the true PD.
        expected_loss_bp: as the model expects it.
        loss_bp: as outcomes went.
        true_loss_bp: expected at the true PD.
        capital_bp: of the Basel formula for other retail loans at the model's PD.
        tranche_loss_bp: tranche -> its expected loss, of the tranche, in a large pool of the approved loans' mean PD.
    """

    num_applicants: int
    approval_rate: float
    asked_amount: float
    approved_amount: float
    profit_per_100: float | None
    profit_per_100_asked: float | None
    true_profit_per_100: float | None
    true_profit_per_100_asked: float | None
    expected_loss_bp: float | None
    loss_bp: float | None
    true_loss_bp: float | None
    capital_bp: float | None
    tranche_loss_bp: Mapping[str, float]


def lend(
    pd: ArrayLike,
    default: ArrayLike,
    amount: ArrayLike,
    *,
    policy: LendingPolicy,
    true_pd: ArrayLike | None = None,
    accepted: Flags | None = None,
) -> Lending:
    """Approve by the profit cut-off and count what comes of it.

    Args:
        pd: predicted probability of default at the level that decisions read it at, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        amount: what each loan lends, ``[loans]``, at least 0.
        policy: the rules.
        true_pd: what is true of each loan, ``[loans]``, in a simulation.
        accepted: another decision than that of the profit cut-off, ``[loans]``.

    Returns:
        The figures.

    Raises:
        InputError: if the arrays are not scored loans of one length, or a number is out of range.
    """
    scored = Scored(pd=pd, default=default)
    money = numbers(amount, "amount", low=0.0, num=scored.num_loans)
    terms = policy.terms
    chosen = accept(scored.pd, CutOff(terms=terms)) if accepted is None else np.asarray(accepted, dtype=np.bool_)
    asked, lent = float(money.sum()), float(money[chosen].sum())
    bad = scored.default.astype(np.float64)
    truth = None if true_pd is None else numbers(true_pd, "true_pd", low=0.0, high=1.0, num=scored.num_loans)
    profit = _profit(bad, money, chosen, terms)
    true_profit = None if truth is None else _profit(truth, money, chosen, terms)
    capital = basel_capital(scored.pd[chosen], np.full(int(chosen.sum()), terms.lgd_rate))

    def loss(chance: Floats | None) -> float | None:
        return None if chance is None else _ratio((chance * money)[chosen].sum() * terms.lgd_rate, lent, BASIS_POINTS)

    return Lending(
        num_applicants=scored.num_loans,
        approval_rate=float(chosen.mean()) if chosen.size else 0.0,
        asked_amount=asked,
        approved_amount=lent,
        profit_per_100=_ratio(profit, lent, 100.0),
        profit_per_100_asked=_ratio(profit, asked, 100.0),
        true_profit_per_100=_ratio(true_profit, lent, 100.0),
        true_profit_per_100_asked=_ratio(true_profit, asked, 100.0),
        expected_loss_bp=loss(scored.pd),
        loss_bp=loss(bad),
        true_loss_bp=loss(truth),
        capital_bp=_ratio(float((capital * money[chosen]).sum()), lent, BASIS_POINTS),
        tranche_loss_bp=_tranches(scored.pd[chosen], money[chosen], policy),
    )


def _profit(chance: Floats, amount: Floats, chosen: Flags, terms: Terms) -> float:
    """Profit of the chosen loans where each defaults with a chance, which is 0 or 1 for outcomes."""
    worth = (1.0 - chance) * terms.margin_rate - chance * terms.lgd_rate
    return float((worth * amount)[chosen].sum())


def _ratio(value: float | None, base: float, factor: float) -> float | None:
    return factor * float(value) / base if value is not None and base > 0.0 else None


def _tranches(pd: Floats, amount: Floats, policy: LendingPolicy) -> dict[str, float]:
    total = float(amount.sum())
    if total <= 0.0:
        return {}
    pool_pd = float(np.clip((pd * amount).sum() / total, _LEAST_PD, _MOST_PD))
    found = tranche_losses(policy.deal, pd=pool_pd, lgd=policy.terms.lgd_rate, rho=policy.rho)
    return {name: BASIS_POINTS * loss for name, loss in found.items()}
