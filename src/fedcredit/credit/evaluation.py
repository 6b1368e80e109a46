"""What is said about scored loans: one Evaluation per lender, and one for the whole federation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit import calibration, discrimination
from fedcredit.credit.calibration import CurveBin
from fedcredit.credit.deciles import decile_table
from fedcredit.credit.discrimination import AucDifference, Interval
from fedcredit.credit.scored import Scored, checked_confidence
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of one group of held-out loans; ``None`` where a metric does not exist for them.

    ``within_auc`` is given for a federation alone: the mean of the lenders' own AUCs, weighted by
    loans, over the lenders that have one. ``auc`` over all loans also rewards ranking between
    lenders; ``within_auc`` does not. ``captured_rate`` is the share of defaults in the riskiest tenth of the loans,
    ``None`` for no default, fewer than ten loans, or where PDs are tied so that no tenth is riskiest.
    """

    num_loans: int
    num_defaults: int
    bad_rate: float | None
    auc: float | None
    auc_interval: Interval | None
    within_auc: float | None = None
    gini: float | None
    ks: float | None
    ks_cut_off: float | None
    pr_auc: float | None
    brier: float | None
    log_loss: float | None
    ece: float | None
    mean_pd: float | None
    mean_pd_over_bad_rate: float | None
    captured_rate: float | None = None
    mean_pd_over_bad_rate_interval: Interval | None
    calibration_slope: float | None
    calibration_intercept: float | None
    calibration_curve: tuple[CurveBin, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FederationEvaluation:
    """The metrics over all loans of a federation, and lender by lender."""

    overall: Evaluation
    institutions: Mapping[str, Evaluation]


def evaluate(pd: ArrayLike, default: ArrayLike, *, confidence: float = 0.95, num_bins: int = 10) -> Evaluation:
    """Measure one group of scored loans.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        confidence: level of the intervals, in (0, 1).
        num_bins: bins of equal count for the ECE and the calibration curve, at least 1.

    Returns:
        The metrics; those that need both classes, a default, or a loan at all are ``None`` without.

    Raises:
        InputError: if the arrays are not scored loans, or an option is out of range.
    """
    scored = Scored(pd=pd, default=default)
    loans = (scored.pd, scored.default)
    area = discrimination.auc(*loans)
    gap = discrimination.ks(*loans)
    ratio = calibration.mean_pd_over_bad_rate(*loans, confidence=confidence)
    riskiest = next((group for group in decile_table(*loans, confidence=confidence) if group.decile == 1), None)
    line = calibration.calibration_slope_and_intercept(*loans)
    return Evaluation(
        num_loans=scored.num_loans,
        num_defaults=scored.num_defaults,
        bad_rate=scored.num_defaults / scored.num_loans if scored.num_loans else None,
        auc=area,
        auc_interval=discrimination.auc_interval(*loans, confidence=confidence),
        gini=discrimination.gini(*loans),
        ks=None if gap is None else gap.value,
        ks_cut_off=None if gap is None else gap.cut_off,
        pr_auc=discrimination.pr_auc(*loans),
        brier=calibration.brier(*loans),
        log_loss=calibration.log_loss(*loans),
        ece=calibration.ece(*loans, num_bins=num_bins),
        mean_pd=float(scored.pd.mean()) if scored.num_loans else None,
        mean_pd_over_bad_rate=None if ratio is None else ratio.value,
        captured_rate=None if riskiest is None else riskiest.captured_rate,
        mean_pd_over_bad_rate_interval=None if ratio is None else ratio.interval,
        calibration_slope=None if line is None else line.slope,
        calibration_intercept=None if line is None else line.intercept,
        calibration_curve=calibration.calibration_curve(*loans, num_bins=num_bins, confidence=confidence),
    )


def evaluate_federation(
    loans: Mapping[str, Scored], *, confidence: float = 0.95, num_bins: int = 10
) -> FederationEvaluation:
    """Measure the scored loans of a federation, lender by lender and all together.

    Args:
        loans: lender's name -> its scored loans; at least one lender, each with any number of loans.
        confidence: level of the intervals, in (0, 1).
        num_bins: bins of equal count for the ECE and the calibration curve, at least 1.

    Returns:
        The metrics, lenders in the order of their names.

    Raises:
        InputError: if there is no lender, or an option is out of range.
    """
    together = _all_loans(loans)
    institutions = {
        name: evaluate(loans[name].pd, loans[name].default, confidence=confidence, num_bins=num_bins)
        for name in sorted(loans)
    }
    overall = evaluate(together.pd, together.default, confidence=confidence, num_bins=num_bins)
    return FederationEvaluation(
        overall=replace(overall, within_auc=_within_auc(institutions)), institutions=institutions
    )


def federation_auc_gap(
    loans: Mapping[str, Scored], other: Mapping[str, Scored], *, confidence: float = 0.95
) -> AucDifference | None:
    """Return the AUC over all loans minus that of another prediction for the same loans, paired.

    Args:
        loans: lender's name -> its scored loans.
        other: the same lenders and loans in the same order, scored by another model.
        confidence: level of the interval, in (0, 1).

    Returns:
        The difference with its standard error and interval, or ``None`` if a class has fewer than
        two loans.

    Raises:
        InputError: if the lenders or their outcomes differ.
    """
    _check_same_loans(loans, other)
    first, second = _all_loans(loans), _all_loans(other)
    return discrimination.auc_difference(first.pd, second.pd, first.default, confidence=confidence)


def federation_within_auc_gap(
    loans: Mapping[str, Scored], other: Mapping[str, Scored], *, confidence: float = 0.95
) -> AucDifference | None:
    """Return the loan-weighted mean of the lenders' own AUCs minus that of another prediction, paired.

    Unlike the gap over all loans it gives no credit for knowing which lender a loan comes from, as
    models of single lenders do. Lenders are independent strata of DeLong's variance:
    sum of (n_k / n)^2 var_k, over the lenders with at least two loans of each outcome.

    Args:
        loans: lender's name -> its scored loans.
        other: the same lenders and loans in the same order, scored by another model.
        confidence: level of the interval, in (0, 1).

    Returns:
        The difference with its standard error and interval, or ``None`` if no lender has two loans
        of each outcome.

    Raises:
        InputError: if the lenders or their outcomes differ.
    """
    _check_same_loans(loans, other)
    level = checked_confidence(confidence)
    found = [
        (gap, scored.num_loans)
        for name, scored in sorted(loans.items())
        if (gap := discrimination.auc_difference(scored.pd, other[name].pd, scored.default)) is not None
    ]
    if not found:
        return None
    total = sum(count for _, count in found)
    value = sum(gap.value * count for gap, count in found) / total
    error = math.sqrt(sum((gap.standard_error * count) ** 2 for gap, count in found)) / total
    return discrimination.normal_difference(value, error, confidence=level)


def with_own_intercepts(loans: Mapping[str, Scored], *, fitted_on: Mapping[str, Scored]) -> dict[str, Scored]:
    """Move each lender's predictions to the level of its own loans, one shift of the logit each.

    Args:
        loans: lender's name -> its scored held-out loans.
        fitted_on: lender's name -> other scored loans of it, on which the shift is fitted. A lender
            that is missing here, or without both outcomes, keeps its level.

    Returns:
        The lenders' loans with the shifted predictions.
    """
    moved = {}
    for name, scored in loans.items():
        basis = fitted_on.get(name)
        shift = None if basis is None else calibration.own_intercept(basis.pd, basis.default)
        moved[name] = (
            scored if shift is None else Scored(pd=calibration.shift_logits(scored.pd, shift), default=scored.default)
        )
    return moved


def _check_same_loans(loans: Mapping[str, Scored], other: Mapping[str, Scored]) -> None:
    if set(loans) != set(other):
        raise InputError(f"other has {len(other)} lenders and loans has {len(loans)}; give the same lenders in both")
    if any(not np.array_equal(scored.default, other[name].default) for name, scored in loans.items()):
        raise InputError("default differs between loans and other; score the same loans in the same order")


def _all_loans(loans: Mapping[str, Scored]) -> Scored:
    if not loans:
        raise InputError("loans holds no lender; give at least one")
    names = sorted(loans)
    return Scored(
        pd=np.concatenate([loans[name].pd for name in names]),
        default=np.concatenate([loans[name].default for name in names]),
    )


def _within_auc(institutions: Mapping[str, Evaluation]) -> float | None:
    own = [(part.auc, part.num_loans) for part in institutions.values() if part.auc is not None]
    return sum(area * count for area, count in own) / sum(count for _, count in own) if own else None
