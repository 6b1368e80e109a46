"""The concave hull of the ROC curve: the cut-offs that some cost of mistakes makes best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.ranking import steps
from fedcredit.credit.scored import Scored


@dataclass(frozen=True, kw_only=True, eq=False)
class RocHull:
    """The corners of the hull, from rejecting nobody to rejecting everybody; all ``[corners]``.

    ``goods_rejected`` and ``bads_rejected`` are shares of their class, both rising; ``bad_rate`` is that of the loans.
    """

    goods_rejected: NDArray[np.float64]
    bads_rejected: NDArray[np.float64]
    bad_rate: float

    @property
    def rejected(self) -> NDArray[np.float64]:
        """The share of all loans that is rejected at each corner."""
        return (1.0 - self.bad_rate) * self.goods_rejected + self.bad_rate * self.bads_rejected


def roc_hull(pd: ArrayLike, default: ArrayLike) -> RocHull | None:
    """Find the hull of the ROC curve that rejects the highest ``pd`` first.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The hull; ``None`` without both outcomes.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    scored = Scored(pd=pd, default=default)
    if not scored.has_both_classes:
        return None
    counted = steps(scored)
    return hull_of(counted.goods, counted.bads)


def hull_of(goods: NDArray[Any], bads: NDArray[Any]) -> RocHull:
    """Find the hull of a ROC curve given as counts or expected counts.

    Args:
        goods: sound loans at each distinct score, the lowest first, ``[distinct]``, with a positive sum.
        bads: defaults there, ``[distinct]``, with a positive sum.

    Returns:
        The hull.
    """
    good, bad = (np.concatenate(([0], np.cumsum(counts[::-1]))) for counts in (goods, bads))
    corners = _corners(good.tolist(), bad.tolist())
    return RocHull(
        goods_rejected=good[corners] / good[-1],
        bads_rejected=bad[corners] / bad[-1],
        bad_rate=float(bad[-1] / (good[-1] + bad[-1])),
    )


def _corners(goods: list[float], bads: list[float]) -> list[int]:
    """Return which points are corners of the upper hull; of whole numbers without rounding."""
    kept: list[int] = []
    for point in range(len(goods)):
        while len(kept) >= 2 and _is_below(goods, bads, kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _is_below(goods: list[float], bads: list[float], first: int, middle: int, last: int) -> bool:
    """Whether the middle point lies on or below the line between its neighbours."""
    rise = (bads[middle] - bads[first]) * (goods[last] - goods[first])
    return rise <= (bads[last] - bads[first]) * (goods[middle] - goods[first])
