"""The row-wise encoding of loans from the public schema.

Law: encoding a portfolio without loan i equals the encoding without row i, to the bit. So nothing
here reads two rows at once, and sums over columns run in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.columns import OTHER, CategoryColumn, FlagColumn, NumberColumn, as_label
from fedcredit.data.features import (
    AtLeast,
    Derived,
    Equals,
    Feature,
    IsMissing,
    OneHot,
    Ratio,
    ScaledNumber,
    Summary,
    Tally,
    Thermometer,
)
from fedcredit.data.kept import computed
from fedcredit.data.portfolio import Portfolio
from fedcredit.data.schema import Schema
from fedcredit.data.schema_checks import Source, category_labels, encoded_names, one_hot_labels, range_of

_Vector = NDArray[np.float64]


class Encodable(Protocol):
    """Loans that can be encoded: a portfolio, or new loans without outcomes."""

    @property
    def schema(self) -> Schema:
        """The public description of the loans."""

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, ``[loans]``, as a portfolio holds it."""


def encode(portfolio: Encodable) -> NDArray[np.float32]:
    """Encode loans as network inputs; rows are capped in norm last.

    Each row x becomes ``x * min(1, cap / |x|)``, and rounding to float32 never takes it beyond the
    cap again.

    Args:
        portfolio: the loans.

    Returns:
        Inputs, ``[loans, features]``, each row with an Euclidean norm (in float64) of at most
        ``schema.row_norm_cap``.
    """
    schema = portfolio.schema
    numbers = _numbers(portfolio)
    texts = _texts(portfolio)
    sources: dict[str, Source] = {item.name: item for item in (*schema.columns, *schema.derived)}
    encoded = [
        (raw - feature.centre) * feature.scale
        for feature in schema.features
        for raw in _raw(feature, sources[feature.of], portfolio, numbers, texts)
    ]
    return _capped(encoded, schema.row_norm_cap)


def raw_matrix(portfolio: Portfolio) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the table's own columns as numbers, for a tree that needs no encoding; asked again, they are shared.

    Numbers and flags are as read, NaN where missing. A category is its place in the schema's list,
    an unlisted one comes after the last, and a missing one is NaN.

    Args:
        portfolio: the loans.

    Returns:
        The matrix, ``[loans, columns]``, and which of its columns are categories, ``[columns]``; nobody may write to
        them.
    """
    return computed(portfolio, "raw_matrix", None, lambda: _raw_matrix(portfolio))


def _raw_matrix(portfolio: Portfolio) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    columns: list[_Vector] = []
    is_category: list[bool] = []
    for column in portfolio.schema.columns:
        if isinstance(column, NumberColumn | FlagColumn | CategoryColumn):
            cells = portfolio.column(column.name)
            if isinstance(column, CategoryColumn):
                labels = column.labels
                place = {label: float(i) for i, label in enumerate(labels)} | {"": np.nan}
                cells = np.array([place.get(cell, len(labels)) for cell in cells.tolist()], dtype=np.float64)
            columns.append(cells)
            is_category.append(isinstance(column, CategoryColumn))
    found = np.stack(columns, axis=1), np.array(is_category)
    for array in found:
        array.flags.writeable = False
    return found


def numbers_of(portfolio: Portfolio) -> Mapping[str, NDArray[np.float64]]:
    """Return numbers and flags, imputed and clipped to their public ranges, and the derived columns.

    Args:
        portfolio: the loans.

    Returns:
        Name -> values in the column's units, ``[loans]``.
    """
    return _numbers(portfolio)


def feature_names(schema: Schema) -> tuple[str, ...]:
    """Return the names of the encoded columns.

    Args:
        schema: the schema.

    Returns:
        One name per column of ``encode``, in its order.
    """
    sources: dict[str, Source] = {item.name: item for item in (*schema.columns, *schema.derived)}
    return tuple(name for feature in schema.features for name in encoded_names(feature, sources[feature.of]))


def _numbers(portfolio: Encodable) -> dict[str, _Vector]:
    """Numbers and flags, imputed and clipped to their public ranges, then the derived columns."""
    numbers: dict[str, _Vector] = {}
    for column in portfolio.schema.columns:
        if isinstance(column, NumberColumn | FlagColumn):
            values = portfolio.column(column.name)
            filled = values if column.impute is None else np.where(np.isnan(values), float(column.impute), values)
            low, high = range_of(column) or (0.0, 1.0)
            numbers[column.name] = np.clip(filled, low, high)
    for item in portfolio.schema.derived:
        numbers[item.name] = np.clip(_derive(item, numbers), *item.range)
    return numbers


def _texts(portfolio: Encodable) -> dict[str, NDArray[np.str_]]:
    """Categories, with missing cells imputed and unlisted values as ``other``."""
    texts = {}
    for column in portfolio.schema.columns:
        if isinstance(column, CategoryColumn):
            values = portfolio.column(column.name)
            missing = OTHER if column.impute is None else as_label(column.impute)
            known = np.where(np.isin(values, column.labels), values, OTHER)
            texts[column.name] = np.where(values == "", missing, known)
    return texts


def _derive(item: Derived, numbers: Mapping[str, _Vector]) -> _Vector:
    parts = [numbers[name] for name in item.of]
    match item:
        case Ratio():
            above = parts[1] > 0
            with np.errstate(over="ignore"):  # a quotient beyond float64 is clipped to the range like any other
                return np.where(above, parts[0] / np.where(above, parts[1], 1.0), item.otherwise)
        case Summary(kind="max"):
            largest: _Vector = np.maximum.reduce(parts)
            return largest
        case Summary(kind="min"):
            smallest: _Vector = np.minimum.reduce(parts)
            return smallest
        case Summary():
            return _total(parts) / (len(parts) if item.kind == "mean" else 1)
        case Tally(kind="count_at_least"):
            return _total([(part >= item.value).astype(np.float64) for part in parts])
        case Tally():
            return _total([(part == item.value).astype(np.float64) for part in parts]) / len(parts)


def _total(parts: list[_Vector]) -> _Vector:
    total = np.zeros_like(parts[0])
    for part in parts:
        total = total + part
    return total


def _raw(
    feature: Feature,
    source: Source,
    portfolio: Encodable,
    numbers: Mapping[str, _Vector],
    texts: Mapping[str, NDArray[np.str_]],
) -> list[_Vector]:
    """Return a feature's columns before centre and scale."""
    match feature:
        case ScaledNumber():
            low, high = feature.range or range_of(source) or (0.0, 1.0)
            clipped = np.clip(numbers[feature.of], low, high)
            return [clipped if feature.kind == "linear" else _log1p(clipped)]
        case Thermometer():
            return [_flag(numbers[feature.of] >= cut) for cut in feature.cuts]
        case AtLeast():
            return [_flag(numbers[feature.of] >= feature.value)]
        case OneHot():
            assert isinstance(source, CategoryColumn)
            labels = one_hot_labels(feature, source)
            flags = [_flag(texts[feature.of] == label) for label in labels]
            return [*flags, _flag(~np.isin(texts[feature.of], labels))] if feature.other else flags
        case Equals() if isinstance(source, CategoryColumn):
            return [_flag(np.isin(texts[feature.of], category_labels(feature)))]
        case Equals():
            return [_flag(np.isin(numbers[feature.of], [float(value) for value in feature.values]))]
        case IsMissing():
            cells = portfolio.column(feature.of)
            return [_flag(cells == "" if isinstance(source, CategoryColumn) else np.isnan(cells))]


def _log1p(values: _Vector) -> _Vector:
    """Take logarithms one by one: a vectorised one may differ in its last bit with its place in the array."""
    return np.fromiter(map(math.log1p, values.tolist()), dtype=np.float64, count=len(values))


def _flag(mask: NDArray[np.bool_]) -> _Vector:
    return mask.astype(np.float64)


def _capped(encoded: list[_Vector], cap: float) -> NDArray[np.float32]:
    norm = np.sqrt(_total([column * column for column in encoded]))
    factor = np.where(norm > cap, cap / np.maximum(norm, cap), 1.0)
    rounded = [(column * factor).astype(np.float32) for column in encoded]
    wide = [column.astype(np.float64) for column in rounded]
    above = np.sqrt(_total([column * column for column in wide])) > cap * (1 - 2.0**-40)
    shrink = np.where(above, 1.0 - 2.0**-22, 1.0)
    return np.stack([(column * shrink).astype(np.float32) for column in wide], axis=1)
