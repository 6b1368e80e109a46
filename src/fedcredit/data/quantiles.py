"""Ranges of features from noisy histograms on a public grid, within the schema's outer bounds.

A lender counts its training loans in public bins of each feature's column; one loan is in one bin of each, so it
moves the counts of m features by sqrt(m) in the Euclidean norm. Everything after the noise is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.encoding import numbers_of
from fedcredit.data.features import ScaledNumber
from fedcredit.data.portfolio import Portfolio
from fedcredit.data.schema import Schema
from fedcredit.data.schema_checks import range_of
from fedcredit.errors import InputError

_THRESHOLD = 2.0


@dataclass(frozen=True, kw_only=True)
class RangedFeature:
    """A feature whose range is found: its place in the schema and the outer bounds, in the column's units."""

    place: int
    feature: ScaledNumber
    lowest: float
    highest: float

    @property
    def name(self) -> str:
        """What the feature is called."""
        return self.feature.name or self.feature.of

    def edges(self, num_bins: int) -> NDArray[np.float64]:
        """Return the public bin edges, ``[num_bins + 1]``, of equal width on the feature's own scale."""
        ends = self.on_scale(np.array([self.lowest, self.highest]))
        return np.linspace(ends[0], ends[1], num_bins + 1)

    def on_scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``t(values)`` with the feature's transform."""
        return np.log1p(values) if self.feature.kind == "log1p" else values


def ranged_features(schema: Schema, names: Sequence[str] = ()) -> tuple[RangedFeature, ...]:
    """List the scaled numbers of a schema whose range is to be found.

    Args:
        schema: the schema.
        names: features, by their name or column; none are all of them.

    Returns:
        The features, in the schema's order.

    Raises:
        InputError: if a name is of no linear or log1p feature, or there is none.
    """
    sources = {item.name: item for item in (*schema.columns, *schema.derived)}
    found = []
    for place, feature in enumerate(schema.features):
        if isinstance(feature, ScaledNumber) and (not names or {feature.name, feature.of} & set(names)):
            low, high = range_of(sources[feature.of]) or (0.0, 1.0)
            found.append(RangedFeature(place=place, feature=feature, lowest=low, highest=high))
    known = {name for item in found for name in (item.feature.name, item.feature.of)}
    absent = [name for name in names if name not in known]
    if absent or not found:
        raise InputError(
            f"encoding.features: {', '.join(absent) or 'the schema'} has no linear or log1p feature; allowed are names "
            "or columns of such features, or [] for all of them"
        )
    return tuple(found)


def sensitivity(num_features: int) -> float:
    """Return how far one loan moves the counts in the Euclidean norm: sqrt(features).

    Args:
        num_features: features that are counted.

    Returns:
        The sensitivity under the zero-out relation.
    """
    return math.sqrt(num_features)


def count_values(
    portfolio: Portfolio, rows: NDArray[np.int64], features: Sequence[RangedFeature], *, num_bins: int
) -> NDArray[np.float64]:
    """Count loans in public bins of each feature.

    Args:
        portfolio: the loans.
        rows: which of them, ``[loans]``.
        features: what is counted.
        num_bins: bins of each.

    Returns:
        Exact counts, private until noise is added, ``[features, num_bins]``.
    """
    numbers = numbers_of(portfolio)
    counts = np.zeros((len(features), num_bins))
    for place, item in enumerate(features):
        values = item.on_scale(numbers[item.feature.of][rows])
        bins = np.searchsorted(item.edges(num_bins)[1:-1], values, side="right")
        counts[place] = np.bincount(bins, minlength=num_bins)
    return counts


def found_ranges(
    counts: NDArray[np.float64],
    features: Sequence[RangedFeature],
    *,
    quantiles: tuple[float, float],
    deviation: float,
) -> dict[str, tuple[float, float]]:
    """Read ranges off noisy counts; a count below two standard deviations of its noise counts as none.

    Args:
        counts: noisy counts, summed over lenders, ``[features, bins]``.
        features: what was counted.
        quantiles: lower and upper share of the loans.
        deviation: standard deviation of the noise in each cell.

    Returns:
        Feature -> range in the column's units, at bin edges; the outer bounds where noise hides everything.
    """
    ranges = {}
    for row, item in zip(counts, features, strict=True):
        edges = item.edges(len(row))
        kept = np.where(row > _THRESHOLD * deviation, row, 0.0)
        if kept.sum() <= 0.0:
            ranges[item.name] = (item.lowest, item.highest)
            continue
        shares = np.cumsum(kept) / kept.sum()
        first = int(np.searchsorted(shares, quantiles[0], side="right"))
        last = int(np.searchsorted(shares, quantiles[1], side="left"))
        ends = edges[[min(first, last), max(first, last) + 1]]
        back = np.expm1(ends) if item.feature.kind == "log1p" else ends
        ranges[item.name] = (max(item.lowest, float(back[0])), min(item.highest, float(back[1])))
    return ranges


def with_ranges(schema: Schema, features: Sequence[RangedFeature], ranges: Mapping[str, tuple[float, float]]) -> Schema:
    """Give features their ranges, each scaled to [-1, 1] between them.

    Args:
        schema: the schema.
        features: the features.
        ranges: feature -> range, in the column's units.

    Returns:
        The schema for one run.
    """
    changed = list(schema.features)
    for item in features:
        low, high = ranges[item.name]
        ends = item.on_scale(np.array([low, high]))
        changed[item.place] = replace(
            item.feature,
            range=(low, high),
            centre=float(ends.mean()),
            scale=float(2.0 / (ends[1] - ends[0])),
        )
    return replace(schema, features=tuple(changed))
