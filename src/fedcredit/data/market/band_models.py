"""The models that the bands compare: boosted trees, logistic regressions and a small network."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

from fedcredit.data.market.band_statistics import bins
from fedcredit.data.market.simulate import Market
from fedcredit.data.market.snapshots import CATEGORIES, Snapshot

Matrix = NDArray[np.float64]
Score = Callable[[Matrix], NDArray[np.float64]]

TRAIN_SHARE = 0.7
_HASH = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Design:
    """A snapshot as a matrix, and its split by borrower; every borrower is on one side only.

    ``rows`` is ``[rows, columns]`` with NaN for a gap and codes for categories.
    """

    names: tuple[str, ...]
    rows: Matrix
    default: NDArray[np.int8]
    is_category: NDArray[np.bool_]
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def design(market: Market, snapshot: Snapshot, *, extra: dict[str, NDArray[Any]] | None = None) -> Design:
    """Lay out a snapshot for models.

    Args:
        market: the market.
        snapshot: the snapshot.
        extra: further columns, each ``[rows]``.

    Returns:
        The design.
    """
    columns = snapshot.columns | (extra or {})
    in_train = place_of(market.accounts.borrower[snapshot.account], salt=0) < TRAIN_SHARE
    return Design(
        names=tuple(columns),
        rows=np.column_stack([column.astype(np.float64) for column in columns.values()]),
        default=snapshot.default,
        is_category=np.array([name in CATEGORIES for name in columns]),
        train=np.flatnonzero(in_train),
        test=np.flatnonzero(~in_train),
    )


def place_of(key: NDArray[np.integer], *, salt: int) -> NDArray[np.float64]:
    """Scatter whole numbers over [0, 1) by multiplicative hashing, twice.

    Args:
        key: whole numbers, ``[rows]``.
        salt: another number gives another order.

    Returns:
        Places, ``[rows]``, equal for equal keys.
    """
    mixed = (key.astype(np.uint64) + np.uint64(1 + 1_000_003 * salt)) * _HASH
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _HASH
    return (mixed >> np.uint64(40)) / 2.0**24


def trees(rows: Matrix, default: NDArray[np.int8], is_category: NDArray[np.bool_], *, seed: int = 0) -> Score:
    """Boost trees: rate .05, 15 leaves, stopped early on log-loss.

    Args:
        rows: training rows, ``[rows, columns]``.
        default: 0 or 1, ``[rows]``.
        is_category: which columns are categories, ``[columns]``.
        seed: of the held-out share that stops the boosting.

    Returns:
        A function from rows to scores that rise with risk.
    """
    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_leaf_nodes=15, max_iter=400, early_stopping=True, random_state=seed,
        categorical_features=is_category, min_samples_leaf=40, l2_regularization=5.0,
    )  # fmt: skip
    model.fit(rows, default)
    return lambda found: np.asarray(model.decision_function(found), dtype=np.float64)


def raw_logistic(rows: Matrix, default: NDArray[np.int8], is_category: NDArray[np.bool_]) -> Score:
    """Fit a logistic regression on standardised columns, flags for gaps, and one flag per category.

    Args:
        rows: training rows, ``[rows, columns]``.
        default: 0 or 1, ``[rows]``.
        is_category: which columns are categories, ``[columns]``.

    Returns:
        A function from rows to scores that rise with risk.
    """
    gaps = np.isnan(rows).any(axis=0)
    means, deviations = _moments(rows)

    def prepare(found: Matrix) -> Matrix:
        numbers = np.where(np.isnan(found), 0.0, (found - means) / deviations)[:, ~is_category]
        return np.hstack([numbers, np.isnan(found)[:, gaps], _flags(found[:, is_category])])

    return _logistic(prepare, rows, default, strength=1.0)


def binned_logistic(
    rows: Matrix, default: NDArray[np.int8], is_category: NDArray[np.bool_], *, strength: float = 0.03
) -> Score:
    """Fit a logistic regression on ten quantile bins of every column: a scorecard.

    Args:
        rows: training rows, ``[rows, columns]``.
        default: 0 or 1, ``[rows]``.
        is_category: which columns are categories, ``[columns]``.
        strength: inverse of the ridge penalty.

    Returns:
        A function from rows to scores that rise with risk.
    """
    reference = rows.copy()

    def prepare(found: Matrix) -> Matrix:
        parts = []
        for column in range(rows.shape[1]):
            place, number = bins(reference[:, column], found[:, column], count=10)
            parts.append(np.eye(number)[place])
        return np.hstack(parts)

    return _logistic(prepare, rows, default, strength=strength)


def small_network(rows: Matrix, default: NDArray[np.int8], is_category: NDArray[np.bool_]) -> Score:
    """Train three networks of 32 and 16 units on ranks and average their log-odds.

    Args:
        rows: training rows, ``[rows, columns]``.
        default: 0 or 1, ``[rows]``.
        is_category: which columns are categories, ``[columns]``.

    Returns:
        A function from rows to scores that rise with risk.
    """
    gaps = np.isnan(rows).any(axis=0)
    sorted_columns = np.sort(rows, axis=0)
    known = np.maximum((~np.isnan(rows)).sum(axis=0), 1)

    def prepare(found: Matrix) -> Matrix:
        ranks = np.zeros_like(found)
        for column in range(found.shape[1]):
            ordered = sorted_columns[: known[column], column]
            low = np.searchsorted(ordered, found[:, column], side="left")
            high = np.searchsorted(ordered, found[:, column], side="right")
            ranks[:, column] = (low + high) / known[column] - 1.0
        ranks[np.isnan(found)] = 0.0
        return np.hstack([ranks[:, ~is_category], np.isnan(found)[:, gaps], _flags(found[:, is_category])])

    inputs = prepare(rows)
    models = [
        MLPClassifier(
            (32, 16), alpha=0.02, batch_size=512, learning_rate_init=0.002, max_iter=_passes(len(rows)),
            random_state=seed, tol=0.0, n_iter_no_change=1000,
        )
        for seed in range(3)
    ]  # fmt: skip
    with _quiet():
        for model in models:
            model.fit(inputs, default)

    def score(found: Matrix) -> NDArray[np.float64]:
        ready = prepare(found)
        chances = [np.clip(model.predict_proba(ready)[:, 1], 1e-9, 1.0 - 1e-9) for model in models]
        return np.mean([np.log(chance / (1.0 - chance)) for chance in chances], axis=0)  # type: ignore[no-any-return]

    return score


def auc(default: NDArray[np.int8], score: NDArray[Any]) -> float:
    """Return the area under the ROC curve.

    Args:
        default: 0 or 1, ``[rows]``.
        score: rising with risk, ``[rows]``.

    Returns:
        The area.
    """
    return float(roc_auc_score(default, score))


def _passes(count: int) -> int:
    """Allow about 1,200 steps of 512 rows, five passes at least."""
    return max(5, round(1200 * 512 / count))


def _logistic(
    prepare: Callable[[Matrix], Matrix], rows: Matrix, default: NDArray[np.int8], *, strength: float
) -> Score:
    model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
    with _quiet():
        model.fit(prepare(rows), default)
    return lambda found: np.asarray(model.decision_function(prepare(found)), dtype=np.float64)


def _moments(rows: Matrix) -> tuple[Matrix, Matrix]:
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, rows, 0.0).sum(axis=0) / count
    squares = (np.where(known, rows - means, 0.0) ** 2).sum(axis=0) / count
    return means, np.maximum(np.sqrt(squares), 1e-9)


def _flags(codes: Matrix) -> Matrix:
    widths = [len(labels) for labels in CATEGORIES.values()]
    return np.hstack([np.eye(width)[codes[:, i].astype(np.int64)] for i, width in enumerate(widths)])


def _quiet() -> warnings.catch_warnings[None]:
    """Silence the remark that a fixed number of passes was used up: it is what was asked for."""
    return warnings.catch_warnings(action="ignore", category=ConvergenceWarning)
