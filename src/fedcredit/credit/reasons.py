"""Why a loan scored as it did: exact attributions of its log-odds to columns, and the reasons against it.

Integrated gradients (Sundararajan, Taly and Yan, ICML 2017): the attribution of feature j is
(x_j - b_j) times the integral over t in [0, 1] of the gradient at b + t (x - b), from a public background
loan b. Attributions add up to the log-odds of the loan minus those of the background. Features that are
made of one column are added up: the column is the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.scorecard import Scorecard
from fedcredit.errors import InputError

Vector = NDArray[np.float64]
Gradients = Callable[[Vector], tuple[Vector, Vector]]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_MAX_CUTS = 80
_INTERVALS_A_LOAN = 1024
_CHUNK = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Attributions:
    """What each column adds to the log-odds of default, beyond the background loan's.

    ``values`` is ``[loans, columns]``; each row adds up to ``log_odds`` - ``background_log_odds``.
    """

    columns: tuple[str, ...]
    values: Vector
    log_odds: Vector
    background_log_odds: float

    @property
    def largest_gap(self) -> float:
        """How far the attributions of a loan are from adding up, at most."""
        gaps = self.values.sum(axis=1) - (self.log_odds - self.background_log_odds)
        return float(np.abs(gaps).max()) if gaps.size else 0.0


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A column that counts against a loan, and the scorecard points that it costs beyond the background."""

    column: str
    points: float


def attribute(
    features: NDArray[np.floating], *, gradients: Gradients, background: NDArray[np.floating],
    columns: Sequence[str], tolerance: float = 1e-6,
) -> Attributions:  # fmt: skip
    """Attribute the log-odds of loans to columns by integrated gradients.

    Gauss-Legendre on intervals that are cut until each adds up: by turns in the middle, and where the tangents at
    its outermost nodes meet, so that the kinks of ReLU are found wherever they are.

    Args:
        features: encoded loans, ``[loans, features]``.
        gradients: gives the log-odds ``[rows]`` and their gradients ``[rows, features]`` of encoded rows.
        background: a public loan, ``[features]``.
        columns: the column that each feature is made of, ``[features]``.
        tolerance: how far a loan's attributions may be from adding up, above 0.

    Returns:
        The attributions, columns in the order in which they first come.

    Raises:
        InputError: if shapes do not fit, or attributions do not add up within the tolerance.
    """
    loans, start = np.asarray(features, dtype=np.float64), np.asarray(background, dtype=np.float64)
    if loans.ndim != 2 or start.shape != loans.shape[1:] or len(columns) != loans.shape[1]:
        raise InputError(
            f"features have shape {loans.shape}, background {start.shape} and columns {len(columns)} names; give one "
            "background value and one column a feature"
        )
    units = tuple(dict.fromkeys(columns))
    belongs = np.array([[name == unit for unit in units] for name in columns], dtype=np.float64)
    parts = [_integrated(loans[at : at + _CHUNK], start, gradients, tolerance) for at in range(0, len(loans), _CHUNK)]
    found = Attributions(
        columns=units,
        values=np.concatenate([values for values, _ in parts]) @ belongs if parts else np.empty((0, len(units))),
        log_odds=np.concatenate([ends for _, ends in parts]) if parts else np.empty(0),
        background_log_odds=float(gradients(start[None])[0][0]),
    )
    if not found.largest_gap <= tolerance:
        raise InputError(
            f"attributions miss the log-odds by {found.largest_gap:.1e}, more than the tolerance {tolerance:.1e}; "
            "raise the tolerance"
        )
    return found


def adverse_reasons(
    found: Attributions, *, num_reasons: int = 4, scorecard: Scorecard | None = None
) -> tuple[tuple[Reason, ...], ...]:
    """Return the columns that raise each loan's risk most, the worst first.

    Args:
        found: the attributions.
        num_reasons: reasons a loan at most, at least 1.
        scorecard: the scale of the points; 20 points to double the odds where it is left out.

    Returns:
        The reasons of each loan; fewer where fewer columns count against it.

    Raises:
        InputError: if ``num_reasons`` is below 1.
    """
    if num_reasons < 1:
        raise InputError(f"num_reasons is {num_reasons}; allowed is 1 or more, for example 4")
    factor = (scorecard or Scorecard()).factor
    order = np.argsort(-found.values, axis=1, kind="stable")[:, :num_reasons]
    return tuple(
        tuple(
            Reason(column=found.columns[place], points=float(factor * values[place]))
            for place in places
            if values[place] > 0.0
        )
        for values, places in zip(found.values, order.tolist(), strict=True)
    )


def _integrated(loans: Vector, start: Vector, gradients: Gradients, tolerance: float) -> tuple[Vector, Vector]:
    way = loans - start
    totals = np.zeros_like(loans)
    ends, _ = gradients(loans)
    owner, lower, upper = np.arange(len(loans)), np.zeros(len(loans)), np.ones(len(loans))
    for cut in range(_MAX_CUTS + 1):
        slopes, gaps, kinks = _on_intervals(way, start, gradients, owner, lower, upper)
        done = (np.abs(gaps) <= tolerance / _INTERVALS_A_LOAN) | (cut == _MAX_CUTS)
        done |= owner.size > _INTERVALS_A_LOAN * len(loans)
        np.add.at(totals, owner[done], slopes[done])
        middle = (kinks if cut % 2 else (lower + upper) / 2.0)[~done]
        owner, lower, upper = np.tile(owner[~done], 2), lower[~done], upper[~done]
        lower, upper = np.concatenate([lower, middle]), np.concatenate([middle, upper])
        if not owner.size:
            break
    return way * totals, ends


def _on_intervals(
    way: Vector, start: Vector, gradients: Gradients, owner: NDArray[np.intp], lower: Vector, upper: Vector
) -> tuple[Vector, Vector, Vector]:
    """Integrate the gradient over one interval a row.

    Returns the integrals, by how much the log-odds' change is missed, and where the tangents at the outermost nodes
    meet: a single kink lies there.
    """
    width = upper - lower
    along = lower[:, None] + width[:, None] * np.concatenate([[0.0, 1.0], (_NODES + 1.0) / 2.0])
    rows = start + along[:, :, None] * way[owner][:, None, :]
    log_odds, slopes = gradients(rows.reshape(-1, start.size))
    heights, slopes = log_odds.reshape(along.shape), slopes.reshape(rows.shape)
    integral = width[:, None] / 2.0 * np.einsum("k,nkf->nf", _WEIGHTS, slopes[:, 2:])
    gaps = heights[:, 1] - heights[:, 0] - np.einsum("nf,nf->n", integral, way[owner])
    first, last = (np.einsum("nf,nf->n", slopes[:, place], way[owner]) for place in (2, -1))
    rise = heights[:, -1] - heights[:, 2] - last * (along[:, -1] - along[:, 2])
    kinks = along[:, 2] + np.divide(rise, first - last, out=np.full_like(rise, np.nan), where=first != last)
    inside = (kinks > along[:, 2]) & (kinks < along[:, -1])
    return integral, gaps, np.where(inside, kinks, (lower + upper) / 2.0)
