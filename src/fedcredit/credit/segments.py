"""The same figures for every segment of the loans, small ones marked and never hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit import calibration, discrimination
from fedcredit.credit.calibration import wilson
from fedcredit.credit.discrimination import Interval
from fedcredit.credit.scored import Scored, checked_confidence
from fedcredit.errors import InputError

FEW = 10


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Figures of one segment of held-out loans; ``None`` where one does not exist.

    ``is_small`` marks fewer than 10 defaults or 10 other loans: read its figures by their intervals alone.
    """

    name: str
    num_loans: int
    num_defaults: int
    bad_rate: float
    bad_rate_interval: Interval
    mean_pd: float
    auc: float | None
    auc_interval: Interval | None
    mean_pd_over_bad_rate: float | None
    mean_pd_over_bad_rate_interval: Interval | None
    is_small: bool


def segment_table(
    pd: ArrayLike, default: ArrayLike, names: ArrayLike, *, order: Sequence[str] = (), confidence: float = 0.95
) -> tuple[Segment, ...]:
    """Measure each segment by itself: AUC by DeLong, rates by Wilson, the level by the delta method.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.
        names: the segment of each loan, text, ``[loans]``.
        order: segments that come first, in this order; the others follow by name.
        confidence: level of the intervals, in (0, 1).

    Returns:
        The segments that hold a loan.

    Raises:
        InputError: if the arrays are not scored loans with a segment each, or the level is out of range.
    """
    level = checked_confidence(confidence)
    scored, segments = Scored(pd=pd, default=default), checked_names(names, num_loans=np.asarray(pd).size)
    return tuple(
        _segment(name, scored.pd[segments == name], scored.default[segments == name], level)
        for name in ordered_names(segments, order)
    )


def checked_names(names: ArrayLike, *, num_loans: int) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """Return the segments or groups of loans as text, or refuse them.

    Args:
        names: one a loan.
        num_loans: how many loans there are.

    Returns:
        The same as text, ``[loans]``.

    Raises:
        InputError: if there is not one for each loan.
    """
    found = np.asarray(names, dtype=np.str_)
    if found.shape != (num_loans,):
        raise InputError(f"names has shape {found.shape} for {num_loans} loans; give one text a loan")
    return found


def ordered_names(names: ArrayLike, order: Sequence[str]) -> tuple[str, ...]:
    """Return each name that occurs once.

    Args:
        names: one a loan, ``[loans]``.
        order: names that come first, in this order.

    Returns:
        The names, those that ``order`` lacks last and sorted.
    """
    present = np.unique(np.asarray(names, dtype=np.str_)).tolist()
    listed = [name for name in order if name in present]
    return (*listed, *(name for name in present if name not in listed))


def _segment(name: str, pd: ArrayLike, default: ArrayLike, level: float) -> Segment:
    loans = Scored(pd=pd, default=default)
    ratio = calibration.mean_pd_over_bad_rate(pd, default, confidence=level)
    return Segment(
        name=name,
        num_loans=loans.num_loans,
        num_defaults=loans.num_defaults,
        bad_rate=loans.num_defaults / loans.num_loans,
        bad_rate_interval=wilson(loans.num_defaults, loans.num_loans, level),
        mean_pd=float(loans.pd.mean()),
        auc=discrimination.auc(pd, default),
        auc_interval=discrimination.auc_interval(pd, default, confidence=level),
        mean_pd_over_bad_rate=None if ratio is None else ratio.value,
        mean_pd_over_bad_rate_interval=None if ratio is None else ratio.interval,
        is_small=min(loans.num_defaults, loans.num_loans - loans.num_defaults) < FEW,
    )
