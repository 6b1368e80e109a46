"""What a record holds beyond its evaluation: the truth of a market, windows of time, the effect of a shock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcredit.credit.evaluation import FederationEvaluation

ALL, ORACLE, RUN, OWN_INTERCEPT = "all", "oracle", "this run", "own intercept"
OWN_ORACLE = "oracle, own intercept"


@dataclass(frozen=True, kw_only=True)
class TruthFigures:
    """One model on the held-out loans of some lenders, expected over outcomes.

    ``auc``, ``ks`` and ``profit_rate`` (the expected maximum profit at unsecured terms, per loan and unit of
    principal) are means over the lenders' own, weighted by loans, so that no model is credited with
    knowing whose loan it scores. ``auc_share`` is (AUC - .5) over that of the true PD; ``log_loss_share`` the
    same of the log loss, where each lender's mean true PD finds nothing and the true PD all. ``regret`` is the
    log loss above that of the true PD, in nats.
    """

    num_loans: int
    auc: float | None
    ks: float | None
    profit_rate: float | None
    auc_share: float | None
    log_loss: float | None
    regret: float | None
    log_loss_share: float | None
    mean_pd_over_true: float | None
    slope: float | None
    intercept: float | None


@dataclass(frozen=True, kw_only=True)
class TruthRecord:
    """Models against the truth: model -> group -> figures.

    Groups are ``all``, the kinds of lenders, and the lenders; ``kinds`` says which lender is of which kind. Where
    lenders move the run's level to their own, ``oracle, own intercept`` is the true PD moved like that, by the
    outcomes of the same loans: what a level that is learnt from them can be expected to reach.
    """

    kinds: Mapping[str, str]
    models: Mapping[str, Mapping[str, TruthFigures]]


@dataclass(frozen=True, kw_only=True)
class Stability:
    """PSI of one score or column against training time, and what chance alone exceeds once in twenty.

    Without a shift PSI is about ``(1/n + 1/m) chi2(bins - 1)`` (Yurdakul and Naranjo 2020), corrected where borrowers
    have several loans, at one time or at both (Rao and Scott 1981); ``by_chance`` is the 95 % quantile of that. ``psi``
    above it is a shift; whether it matters is another question.
    """

    psi: float
    by_chance: float


@dataclass(frozen=True, kw_only=True)
class WindowRecord:
    """What the released network reached on one test window.

    ``known_share`` of its loans are of a borrower with a training loan somewhere; ``of_others`` is the evaluation
    on the rest, ``None`` if there is no rest. ``columns`` holds the columns that moved most.
    """

    months: tuple[str, str]
    evaluation: FederationEvaluation
    known_share: float
    of_others: FederationEvaluation | None
    score: Stability
    columns: Mapping[str, Stability]


@dataclass(frozen=True, kw_only=True)
class ShockRecord:
    """Entries into default ``first_after`` to ``last_after`` months after a shock began, by kind of lender.

    ``true_pd_with`` and ``true_pd_without`` are mean true PDs over the 12 months after ``true_pd_month``, the first
    month looked at in the shock, so without the luck of who defaulted; empty where no such month is looked at.
    """

    shock: str
    shock_month: int
    forbearance: bool
    first_after: int
    last_after: int
    with_shock: Mapping[str, float]
    without: Mapping[str, float]
    true_pd_month: int | None = None
    true_pd_with: Mapping[str, float] = field(default_factory=dict)
    true_pd_without: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RingFigures:
    """What reviewing the accounts of highest score finds.

    ``found_rate`` is the share of the ring accounts, ``precision_rate`` that of the reviewed accounts; ``None`` where
    there are none.
    """

    num_accounts: int
    num_ring: int
    num_reviewed: int
    found_rate: float | None
    precision_rate: float | None


@dataclass(frozen=True, kw_only=True)
class RingRecord:
    """Reviews of held-out accounts: method -> group -> figures; groups are ``all`` and the lenders.

    Each group reviews ``capacity_share`` of its held-out accounts; ``all`` is one queue for all lenders.
    """

    capacity_share: float
    methods: Mapping[str, Mapping[str, RingFigures]]
