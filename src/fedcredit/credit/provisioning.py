"""Provisions under IFRS 9: stages, expected credit losses over scenarios, and the way from one date to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from fedcredit.credit.loans import Floats, numbers, setting
from fedcredit.errors import InputError

PERFORMING, DETERIORATED, DEFAULTED = 1, 2, 3
Stages = NDArray[np.int8]
_BLOCK = 8_192


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A state of the economy over the whole horizon.

    Attributes:
        name: what it is called.
        weight: its probability; those of all scenarios add up to 1.
        factor: the common factor of Vasicek's model, standard normal; negative is bad times.
        lgd_factor: what it multiplies the loss given default with, at least 0.
    """

    name: str
    weight: float
    factor: float
    lgd_factor: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        setting(self.weight, f"weight of scenario {self.name}", low=0.0, high=1.0)
        setting(self.factor, f"factor of scenario {self.name}", low=-10.0, high=10.0)
        setting(self.lgd_factor, f"lgd_factor of scenario {self.name}", low=0.0, high=10.0)


BASE_DOWN_UP = (
    Scenario(name="base", weight=0.5, factor=0.0),
    Scenario(name="down", weight=0.3, factor=-1.2, lgd_factor=1.1),
    Scenario(name="up", weight=0.2, factor=1.0, lgd_factor=0.95),
)


@dataclass(frozen=True, kw_only=True)
class StagePolicy:
    """When a loan leaves stage 1, and what an economy does to its hazards.

    Attributes:
        past_due_days: stage 2 from here (the 30-day backstop of IFRS 9 5.5.11).
        default_days: stage 3 from here (B5.5.37).
        pd_factor: stage 2 where the lifetime PD is this many times that at origin ...
        pd_increase: ... and this much above it.
        rho: asset correlation with the common factor, in [0, 1).
        scenarios: states of the economy; their weights add up to 1.
    """

    past_due_days: int = 30
    default_days: int = 90
    pd_factor: float = 2.5
    pd_increase: float = 0.005
    rho: float = 0.05
    scenarios: Sequence[Scenario] = BASE_DOWN_UP

    def __post_init__(self) -> None:
        """Check ranges, order and weights."""
        setting(self.past_due_days, "past_due_days", low=1)
        setting(self.default_days, "default_days", low=self.past_due_days, is_open=True)
        setting(self.pd_factor, "pd_factor", low=1.0)
        setting(self.pd_increase, "pd_increase", low=0.0, high=1.0)
        setting(self.rho, "rho", low=0.0, high=0.999)
        total = sum(scenario.weight for scenario in self.scenarios)
        if not self.scenarios or abs(total - 1.0) > 1e-9:
            raise InputError(f"the weights of {len(self.scenarios)} scenarios add up to {total:g}; 1 is allowed")


@dataclass(frozen=True, kw_only=True, eq=False)
class Provisions:
    """Expected credit losses of loans, amounts in the currency of their exposures.

    Attributes:
        stage: 1, 2 or 3, ``[loans]``.
        twelve_month_amount: expected loss from defaults within a year, ``[loans]``.
        lifetime_amount: within the remaining term, ``[loans]``.
        provision_amount: what is booked: the one of the stage, ``[loans]``.
    """

    stage: Stages
    twelve_month_amount: Floats
    lifetime_amount: Floats
    provision_amount: Floats

    @property
    def total_amount(self) -> float:
        """All that is booked."""
        return float(self.provision_amount.sum())

    def by_stage(self) -> Mapping[int, float]:
        """Return what is booked in each stage."""
        booked = np.bincount(self.stage, weights=self.provision_amount, minlength=4)
        return {stage: float(booked[stage]) for stage in (PERFORMING, DETERIORATED, DEFAULTED)}


@dataclass(frozen=True, kw_only=True)
class RollForward:
    """From the provisions of one date to those of the next; the movements add up to the difference.

    Amounts: ``released`` for loans that are gone, ``originated`` for loans that are new, ``transferred`` for those that
    changed their stage, ``remeasured`` for the others.
    """

    opening_amount: float
    released_amount: float
    originated_amount: float
    transferred_amount: float
    remeasured_amount: float
    closing_amount: float


def stages(
    *, days_past_due: ArrayLike, lifetime_pd: ArrayLike, lifetime_pd_at_origin: ArrayLike, policy: StagePolicy
) -> Stages:
    """Put loans into stages.

    Args:
        days_past_due: ``[loans]``, at least 0.
        lifetime_pd: over the remaining term, ``[loans]``, in [0, 1].
        lifetime_pd_at_origin: what it was expected to be now, ``[loans]``, in [0, 1].
        policy: the thresholds.

    Returns:
        1, 2 or 3, ``[loans]``.

    Raises:
        InputError: if a number is out of range.
    """
    late = numbers(days_past_due, "days_past_due", low=0.0)
    now = numbers(lifetime_pd, "lifetime_pd", low=0.0, high=1.0, num=late.size)
    before = numbers(lifetime_pd_at_origin, "lifetime_pd_at_origin", low=0.0, high=1.0, num=late.size)
    worse = (now >= policy.pd_factor * before) & (now >= before + policy.pd_increase)
    stage = np.where((late >= policy.past_due_days) | worse, DETERIORATED, PERFORMING)
    result: Stages = np.where(late >= policy.default_days, DEFAULTED, stage).astype(np.int8)
    return result


def expected_credit_losses(
    *,
    hazard_rate: ArrayLike,
    exposure_amount: ArrayLike,
    lgd: ArrayLike,
    remaining_months: ArrayLike,
    effective_rate: float,
    stage: Stages,
    policy: StagePolicy,
) -> Provisions:
    """Return expected credit losses, weighted over scenarios.

    In each scenario sum over months t of S(t-1) h(t) LGD EAD(t) (1 + r)^(-t/12): h the monthly hazard moved to the
    scenario in Vasicek's model, S the survival. Losses are averaged over scenarios, never the scenarios themselves,
    because losses are convex in the factor. A loan in stage 3 costs LGD times its exposure now.

    Args:
        hazard_rate: probability of default in month t given survival, through the cycle, ``[loans, months]``.
        exposure_amount: owed at the start of month t as planned, ``[loans, months]``.
        lgd: share lost given default, ``[loans]``, in [0, 1].
        remaining_months: months to the last instalment, ``[loans]``; later months are passed over.
        effective_rate: yearly effective interest, at least 0.
        stage: as `stages` returns it.
        policy: correlation and scenarios.

    Returns:
        The losses of each loan.

    Raises:
        InputError: if arrays do not fit together or a number is out of range.
    """
    hazard, exposure = _table(hazard_rate, "hazard_rate", 1.0), _table(exposure_amount, "exposure_amount", np.inf)
    if hazard.shape != exposure.shape:
        raise InputError(f"hazard_rate has shape {hazard.shape} and exposure_amount {exposure.shape}; give equal ones")
    num_loans, num_months = hazard.shape
    lost = numbers(lgd, "lgd", low=0.0, high=1.0, num=num_loans)
    left = numbers(remaining_months, "remaining_months", low=0.0, num=num_loans)
    rate = setting(effective_rate, "effective_rate", low=0.0, high=100.0)
    discount = (1.0 + rate) ** (-np.arange(1, num_months + 1) / 12.0)
    year, life = np.zeros(num_loans), np.zeros(num_loans)
    for start in range(0, num_loans, _BLOCK):
        rows = slice(start, start + _BLOCK)
        runs = np.arange(num_months)[None, :] < left[rows, None]
        flows = np.where(runs, exposure[rows], 0.0) * discount
        place = _normal_place(hazard[rows], policy.rho)
        for scenario in policy.scenarios:
            moved = _moved(place, factor=scenario.factor, rho=policy.rho)
            defaults = moved * np.concatenate(
                [np.ones((len(moved), 1)), np.cumprod(1.0 - moved[:, :-1], axis=1)], axis=1
            )
            losses = defaults * flows * np.minimum(lost[rows] * scenario.lgd_factor, 1.0)[:, None]
            year[rows] += scenario.weight * losses[:, :12].sum(axis=1)
            life[rows] += scenario.weight * losses.sum(axis=1)
    weights = sum(scenario.weight * np.minimum(lost * scenario.lgd_factor, 1.0) for scenario in policy.scenarios)
    now = weights * (exposure[:, 0] if num_months else np.zeros(num_loans))
    booked = np.select([stage == PERFORMING, stage == DETERIORATED], [year, life], now)
    return Provisions(stage=stage, twelve_month_amount=year, lifetime_amount=life, provision_amount=booked)


def moved_hazard(hazard_rate: NDArray[np.float64], *, factor: float, rho: float) -> NDArray[np.float64]:
    """Move hazards from the mean over the cycle to one state of the economy.

    Vasicek (2002): Phi((Phi^-1(h) - sqrt(rho) z) / sqrt(1 - rho)); its mean over a standard normal z is h.

    Args:
        hazard_rate: through the cycle, any shape, in [0, 1].
        factor: z; negative is bad times.
        rho: asset correlation, in [0, 1).

    Returns:
        Hazards of the same shape.
    """
    return _moved(_normal_place(np.asarray(hazard_rate, dtype=np.float64), rho), factor=factor, rho=rho)


def _normal_place(hazard_rate: NDArray[np.float64], rho: float) -> NDArray[np.float64]:
    """Return what all scenarios begin with: Phi^-1(h), or h itself where the economy does not count."""
    place: NDArray[np.float64] = hazard_rate if rho == 0.0 else ndtri(hazard_rate)
    return place


def _moved(place: NDArray[np.float64], *, factor: float, rho: float) -> NDArray[np.float64]:
    if rho == 0.0:
        return place
    moved: NDArray[np.float64] = ndtr((place - np.sqrt(rho) * factor) / np.sqrt(1.0 - rho))
    return moved


def roll_forward(before: Provisions, after: Provisions, *, before_id: ArrayLike, after_id: ArrayLike) -> RollForward:
    """Explain the difference between the provisions of two dates.

    Args:
        before: provisions at the first date.
        after: provisions at the second.
        before_id: what identifies each loan of the first, ``[loans before]``, each once.
        after_id: the same of the second.

    Returns:
        The movements.

    Raises:
        InputError: if an identifier stands twice.
    """
    old, new = np.asarray(before_id), np.asarray(after_id)
    for name, ids in (("before_id", old), ("after_id", new)):
        if len(np.unique(ids)) < ids.size:
            raise InputError(f"{name} names {ids.size - len(np.unique(ids))} loans twice; each loan is allowed once")
    _, here, there = np.intersect1d(old, new, return_indices=True)
    change = after.provision_amount[there] - before.provision_amount[here]
    moved = after.stage[there] != before.stage[here]
    gone = np.setdiff1d(np.arange(old.size), here)
    come = np.setdiff1d(np.arange(new.size), there)
    return RollForward(
        opening_amount=before.total_amount,
        released_amount=-float(before.provision_amount[gone].sum()),
        originated_amount=float(after.provision_amount[come].sum()),
        transferred_amount=float(change[moved].sum()),
        remeasured_amount=float(change[~moved].sum()),
        closing_amount=after.total_amount,
    )


def _table(values: ArrayLike, name: str, high: float) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise InputError(f"{name} has shape {table.shape}; give one row a loan and one column a month")
    wrong = int(np.count_nonzero(~((table >= 0.0) & (table <= high))))
    if wrong:
        raise InputError(f"{name} is negative, missing or too large in {wrong} of {table.size} cells")
    return table
