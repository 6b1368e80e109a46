"""Whether groups of borrowers are treated alike at a cut-off, by fairlearn.

Approval is the favourable decision and a loan that does not default the favourable outcome. Demographic
parity compares approval rates; equal opportunity (Hardt, Price and Srebro, NeurIPS 2016) those among loans
that did not default; calibration within groups compares mean PD with the bad rate of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.calibration import mean_pd_over_bad_rate, wilson
from fedcredit.credit.discrimination import Interval
from fedcredit.credit.resampling import NUM_RESAMPLES, spread_interval
from fedcredit.credit.scored import Scored, checked_confidence
from fedcredit.credit.segments import checked_names, ordered_names
from fedcredit.errors import InputError

FEW_GOODS = 30


@dataclass(frozen=True, kw_only=True)
class Group:
    """How one group fares; ``is_small`` (fewer than 30 loans that did not default) keeps it out of the gaps."""

    name: str
    num_loans: int
    num_defaults: int
    approval_rate: float
    approval_rate_interval: Interval
    good_approval_rate: float | None
    good_approval_rate_interval: Interval | None
    mean_pd_over_bad_rate: float | None
    mean_pd_over_bad_rate_interval: Interval | None
    is_small: bool


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The largest difference of a rate between two groups, and the smallest ratio."""

    difference: float
    interval: Interval
    ratio: float | None


@dataclass(frozen=True, kw_only=True)
class Fairness:
    """Groups side by side at one cut-off: loans with a PD below ``cut_off`` are approved.

    The gaps are ``None`` with fewer than two groups that are not small.
    """

    approval_rate: float
    cut_off: float
    groups: tuple[Group, ...]
    demographic_parity: Gap | None
    equal_opportunity: Gap | None


def cut_off_for(pd: ArrayLike, *, approval_rate: float) -> float:
    """Return the PD below which at most a share of loans lies; loans at the cut-off are declined.

    Args:
        pd: predicted probability of default, ``[loans]``, at least one.
        approval_rate: the share to approve, above 0 and below 1.

    Returns:
        The cut-off, one of the loans' PDs.

    Raises:
        InputError: if there is no loan or the share is out of range.
    """
    values = np.sort(np.asarray(pd, dtype=np.float64))
    if not 0.0 < approval_rate < 1.0:
        raise InputError(f"approval_rate is {approval_rate}; allowed is above 0 and below 1, for example 0.8")
    if not values.size:
        raise InputError("pd holds no loan; give at least one")
    return float(values[int(approval_rate * values.size)])


def fairness(
    pd: ArrayLike, default: ArrayLike, group: ArrayLike, *, approval_rate: float, generator: np.random.Generator,
    confidence: float = 0.95, order: Sequence[str] = (),
) -> Fairness:  # fmt: skip
    """Compare groups at the cut-off that approves a share of all loans.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        group: the group of each loan's borrower, text, ``[loans]``.
        approval_rate: the share of loans to approve, in (0, 1).
        generator: what the resamples for the gaps' intervals are drawn from.
        confidence: level of the intervals, in (0, 1).
        order: groups that come first, in this order; the others follow by name.

    Returns:
        The groups that hold a loan, and the gaps with bootstrap intervals.

    Raises:
        InputError: if the arrays are not scored loans with a group each, or an option is out of range.
    """
    level = checked_confidence(confidence)
    scored, names = Scored(pd=pd, default=default), checked_names(group, num_loans=np.asarray(pd).size)
    cut_off = cut_off_for(scored.pd, approval_rate=approval_rate)
    approved = scored.pd < cut_off
    groups = tuple(_group(name, scored, approved, names == name, level) for name in ordered_names(names, order))
    large = np.isin(names, [item.name for item in groups if not item.is_small])
    parity = opportunity = None
    if sum(not item.is_small for item in groups) > 1:
        parity, opportunity = _gaps(~scored.default[large], approved[large], names[large], generator, level)
    return Fairness(
        approval_rate=float(approved.mean()),
        cut_off=cut_off,
        groups=groups,
        demographic_parity=parity,
        equal_opportunity=opportunity,
    )


def _group(name: str, scored: Scored, approved: NDArray[np.bool_], own: NDArray[np.bool_], level: float) -> Group:
    num_loans = int(np.count_nonzero(own))
    goods, taken = int(np.count_nonzero(own & ~scored.default)), int(np.count_nonzero(own & approved))
    good_taken = int(np.count_nonzero(own & approved & ~scored.default))
    ratio = mean_pd_over_bad_rate(scored.pd[own], scored.default[own], confidence=level)
    return Group(
        name=name,
        num_loans=num_loans,
        num_defaults=num_loans - goods,
        approval_rate=taken / num_loans,
        approval_rate_interval=wilson(taken, num_loans, level),
        good_approval_rate=good_taken / goods if goods else None,
        good_approval_rate_interval=wilson(good_taken, goods, level) if goods else None,
        mean_pd_over_bad_rate=None if ratio is None else ratio.value,
        mean_pd_over_bad_rate_interval=None if ratio is None else ratio.interval,
        is_small=goods < FEW_GOODS,
    )


def _gaps(
    good: NDArray[np.bool_], approved: NDArray[np.bool_], names: NDArray[np.str_], generator: np.random.Generator,
    level: float,
) -> tuple[Gap, Gap]:  # fmt: skip
    from fairlearn.metrics import MetricFrame, selection_rate, true_positive_rate

    frame = MetricFrame(
        metrics={"approval": selection_rate, "opportunity": true_positive_rate},
        y_true=good.astype(np.int64),
        y_pred=approved.astype(np.int64),
        sensitive_features=names,
    )
    widest, ratios = frame.difference(method="between_groups"), frame.ratio(method="between_groups")
    drawn = _resampled_gaps(good, approved, names, generator)
    found = []
    for name, gaps in zip(("approval", "opportunity"), drawn, strict=True):
        value, ratio = float(widest[name]), float(ratios[name])
        spread = spread_interval(value, gaps - value, confidence=level)
        found.append(Gap(difference=value, interval=spread, ratio=ratio if np.isfinite(ratio) else None))
    return found[0], found[1]


def _resampled_gaps(
    good: NDArray[np.bool_], approved: NDArray[np.bool_], names: NDArray[np.str_], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw groups, decisions and outcomes again; return both gaps of each draw, ``[2, resamples]``."""
    groups = np.unique(names, return_inverse=True)[1]
    cells = np.bincount(4 * groups + 2 * good + approved, minlength=4 * (int(groups.max()) + 1))
    drawn = generator.multinomial(good.size, cells / good.size, size=NUM_RESAMPLES).reshape(NUM_RESAMPLES, -1, 2, 2)
    approval = drawn[..., 1].sum(axis=2) / np.maximum(drawn.sum(axis=(2, 3)), 1)
    opportunity = drawn[:, :, 1, 1] / np.maximum(drawn[:, :, 1].sum(axis=2), 1)
    return np.stack([rates.max(axis=1) - rates.min(axis=1) for rates in (approval, opportunity)])
