"""Models of a simulated market against its truth: what is left to find, and what was found of it.

The truth is read here, after training, and by the references ``oracle``, ``joined_network`` and ``joined_trees``;
nothing that trains the shared network can reach it. A test keeps it so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.calibration import own_intercept, shift_logits
from fedcredit.credit.expected import (
    Foreseen,
    expected_auc,
    expected_ks,
    expected_log_loss,
    expected_profit,
    mean_pd_over_true,
    true_slope_and_intercept,
)
from fedcredit.data.market.portfolio import market_truth
from fedcredit.experiment.market_records import ALL, ORACLE, OWN_INTERCEPT, OWN_ORACLE, TruthFigures, TruthRecord
from fedcredit.experiment.prepare import Prepared
from fedcredit.experiment.spec import MarketPortfolio

Scores = Mapping[str, NDArray[np.float64]]
Metric = Callable[[Foreseen], float | None]
KIND_COLUMN = "lender_kind"
_MIXED = "mixed"


def true_pd(prepared: Prepared) -> dict[str, NDArray[np.float64]]:
    """Return the true PD of every lender's test loans.

    Args:
        prepared: a prepared experiment on a simulated market.

    Returns:
        Probabilities by lender, each ``[test loans]``.
    """
    truth = market_truth(_market(prepared)).pd.astype(np.float64)
    return {lender.name: truth[lender.test.rows] for lender in prepared.institutions}


def held_elsewhere(prepared: Prepared) -> NDArray[np.float64]:
    """Return what the borrower of each loan has at other lenders: lenders, balance, worst bucket.

    These are facts of other lenders' books, not of the future.

    Args:
        prepared: a prepared experiment on a simulated market.

    Returns:
        ``[loans, 3]``, in the order of the portfolio's rows.
    """
    truth = market_truth(_market(prepared))
    return np.column_stack([truth.other_lenders, truth.other_balance_amount, truth.other_overdue]).astype(np.float64)


def against_the_truth(prepared: Prepared, models: Mapping[str, Scores]) -> TruthRecord | None:
    """Measure models against the truth.

    Args:
        prepared: the prepared experiment.
        models: the lenders' scored test loans by model.

    Returns:
        The record with the true PD itself as the last model, or ``None`` where no truth is known.
    """
    portfolio = prepared.experiment.portfolio
    if not isinstance(portfolio, MarketPortfolio) or portfolio.label != "default_12m":
        return None
    truth = true_pd(prepared)
    kinds = lender_kinds(prepared)
    groups = {ALL: list(kinds)}
    for name, kind in kinds.items():
        groups.setdefault(kind, []).append(name)
    groups |= {name: [name] for name in kinds if name not in groups}
    attainable = {OWN_ORACLE: truth_at_own_level(prepared)} if OWN_INTERCEPT in models else {}
    at_best = _Own(truth, truth)
    measured = {model: _Own(scores, truth) for model, scores in {**models, **attainable}.items()}
    return TruthRecord(
        kinds=kinds,
        models={
            model: {group: _figures(own, at_best, names) for group, names in groups.items()}
            for model, own in {**measured, ORACLE: at_best}.items()
        },
    )


def truth_at_own_level(prepared: Prepared) -> dict[str, NDArray[np.float64]]:
    """Return the true PD of every lender's test loans, moved by an intercept as a lender fits its own.

    Who knew the true PD but for its level would learn that level from the same outcomes of training and validation
    loans. What is off then is their luck.

    Args:
        prepared: a prepared experiment on a simulated market.

    Returns:
        Probabilities by lender, each ``[test loans]``.
    """
    truth = market_truth(_market(prepared)).pd.astype(np.float64)
    found = {}
    for lender in prepared.institutions:
        seen = np.concatenate([lender.train.rows, lender.validation.rows])
        shift = own_intercept(truth[seen], prepared.portfolio.default[seen])
        own = truth[lender.test.rows]
        found[lender.name] = own if shift is None else shift_logits(own, shift)
    return found


def lender_kinds(prepared: Prepared) -> dict[str, str]:
    """Say of what kind each lender is; one whose loans come from several kinds is ``mixed``.

    Args:
        prepared: a prepared experiment on a simulated market.

    Returns:
        Kinds by lender.
    """
    column = prepared.portfolio.column(KIND_COLUMN)
    found = {lender.name: np.unique(column[lender.train.rows]) for lender in prepared.institutions}
    return {name: str(kinds[0]) if len(kinds) == 1 else _MIXED for name, kinds in found.items()}


class _Own:
    """A model's figures at each lender, each computed once, whatever groups the lender is in."""

    def __init__(self, scores: Scores, truth: Scores) -> None:
        self.scores = scores
        self.truth = truth
        self._foreseen = {name: Foreseen(pd=scores[name], true_pd=truth[name]) for name in truth}
        self._found: dict[tuple[Metric, str], float | None] = {}

    def at(self, metric: Metric, name: str) -> float | None:
        """Return a lender's figure."""
        if (metric, name) not in self._found:
            self._found[metric, name] = metric(self._foreseen[name])
        return self._found[metric, name]

    def within(self, metric: Metric, names: Sequence[str]) -> float | None:
        """Return the mean of some lenders' figures, by loans."""
        found = [(value, len(self.truth[name])) for name in names if (value := self.at(metric, name)) is not None]
        if not found:
            return None
        return float(np.average([value for value, _ in found], weights=[count for _, count in found]))


def _figures(own: _Own, at_best: _Own, names: Sequence[str]) -> TruthFigures:
    """Measure one model on the loans of some lenders, beside the true PD on the same loans."""
    truth = own.truth
    together = _joined(own.scores, truth, names)
    area, best = own.within(expected_auc, names), at_best.within(expected_auc, names)
    loss, least = expected_log_loss(together), expected_log_loss(_joined(truth, truth, names))
    flat = expected_log_loss(_joined({name: _flat(truth[name]) for name in names}, truth, names))
    line = true_slope_and_intercept(together)
    return TruthFigures(
        num_loans=together.num_loans,
        auc=area,
        ks=own.within(expected_ks, names),
        profit_rate=own.within(expected_profit, names),
        auc_share=_share(area, nothing=0.5, everything=best),
        log_loss=loss,
        regret=None if loss is None or least is None else loss - least,
        log_loss_share=_share(loss, nothing=flat, everything=least),
        mean_pd_over_true=mean_pd_over_true(together),
        slope=None if line is None else line.slope,
        intercept=None if line is None else line.intercept,
    )


def _joined(scores: Scores, truth: Scores, names: Sequence[str]) -> Foreseen:
    return Foreseen(
        pd=np.concatenate([scores[name] for name in names]), true_pd=np.concatenate([truth[name] for name in names])
    )


def _flat(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full(len(values), values.mean() if len(values) else 0.0)


def _share(found: float | None, *, nothing: float | None, everything: float | None) -> float | None:
    """Say how far a figure has come from that of no information to that of the truth."""
    if found is None or nothing is None or everything is None or nothing == everything:
        return None
    return (found - nothing) / (everything - nothing)


def _market(prepared: Prepared) -> MarketPortfolio:
    portfolio = prepared.experiment.portfolio
    assert isinstance(portfolio, MarketPortfolio)
    return portfolio
