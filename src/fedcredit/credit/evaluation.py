"""What is said about scored loans: one Evaluation per lender, and one for the whole federation."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.credit.calibration import CurveBin
from fedcredit.credit.discrimination import Interval


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of one group of held-out loans; ``None`` where a metric does not exist for them.

    ``within_auc`` is given for a federation alone: the mean of the lenders' own AUCs, weighted by
    loans, over the lenders that have one. ``auc`` over all loans also rewards ranking between
    lenders; ``within_auc`` does not.
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
    mean_pd_over_bad_rate_interval: Interval | None
    calibration_slope: float | None
    calibration_intercept: float | None
    calibration_curve: tuple[CurveBin, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FederationEvaluation:
    """The metrics over all loans of a federation, and lender by lender."""

    overall: Evaluation
    institutions: dict[str, Evaluation]
