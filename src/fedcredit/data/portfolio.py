"""A portfolio: the checked, immutable columns of a loan table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.cells import CellError, label_cells, number_cells
from fedcredit.data.columns import CategoryColumn, Column, FlagColumn, IgnoredColumn, KeyColumn, NumberColumn
from fedcredit.data.schema import Schema
from fedcredit.data.wording import nearest
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Portfolio:
    """Loans as read-only columns, each ``[loans]``; a portfolio equals itself alone.

    Numbers and flags are float64 with NaN for a missing cell; categories and keys are text with the
    empty text for one. ``borrower`` is the borrower key as text or, where the schema names none, the
    loan's position in the table it was first read from. ``remarks`` are for the holder of the data
    only: they count cells.
    """

    schema: Schema
    columns: Mapping[str, NDArray[Any]]
    default: NDArray[np.int8]
    borrower: NDArray[Any]
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the lengths and lock the arrays."""
        for array in (*self.columns.values(), self.default, self.borrower):
            if array.shape != self.default.shape:
                raise ValueError(f"a column has shape {array.shape}, the labels have {self.default.shape}")
            array.flags.writeable = False
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    @property
    def num_loans(self) -> int:
        """How many loans there are."""
        return len(self.default)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column.

        Args:
            name: a column of the schema that is not ignored.

        Returns:
            The column, ``[loans]``, read-only.

        Raises:
            InputError: if there is no such column.
        """
        if name not in self.columns:
            raise InputError(
                f"portfolio {self.schema.name} has no column {name!r}{nearest(name, self.columns)}; "
                f"it has {', '.join(self.columns)}"
            )
        return self.columns[name]

    def take(self, indices: NDArray[np.int64]) -> Portfolio:
        """Return some of the loans.

        Args:
            indices: rows to keep, in the order wanted, ``[kept]``.

        Returns:
            The smaller portfolio; borrower keys and positions stay.
        """
        return replace(
            self,
            columns={name: array[indices] for name, array in self.columns.items()},
            default=self.default[indices],
            borrower=self.borrower[indices],
            remarks=(),
        )


def portfolio_from_table(table: pa.Table, schema: Schema) -> Portfolio:
    """Check a table against its schema and read it.

    Args:
        table: the table, one loan a row.
        schema: its public description.

    Returns:
        The portfolio.

    Raises:
        InputError: all problems of the table at once, as column names and counts.
    """
    problems = _header_problems(table, schema)
    if problems:
        raise InputError(problems_text(schema, problems))
    if table.num_rows == 0:
        raise InputError(f"table of schema {schema.name}: holds no loans, only a header; at least one row is needed")
    remarks: list[str] = []
    columns = read_columns(table, schema, problems, remarks)
    default = _read_default(table, schema, problems, remarks)
    if problems:
        raise InputError(problems_text(schema, problems))
    positions = np.arange(table.num_rows, dtype=np.int64)
    borrower = positions if schema.borrower is None else columns[schema.borrower]
    remarks += _borrower_remarks(borrower)
    return Portfolio(schema=schema, columns=columns, default=default, borrower=borrower, remarks=tuple(remarks))


def read_columns(table: pa.Table, schema: Schema, problems: list[str], remarks: list[str]) -> dict[str, NDArray[Any]]:
    """Read and check the columns that a schema declares and does not ignore; all of them are in the table.

    Args:
        table: the table, one loan a row.
        schema: its public description.
        problems: collects one line per column that cannot be read.
        remarks: collects what was clipped or taken as other.

    Returns:
        The columns that could be read, each ``[loans]``.
    """
    columns: dict[str, NDArray[Any]] = {}
    for column in schema.columns:
        if not isinstance(column, IgnoredColumn):
            try:
                columns[column.name] = _read(column, table.column(column.name), schema, remarks)
            except CellError as problem:
                problems.append(f"column {column.name}: {problem}")
    return columns


def problems_text(schema: Schema, problems: list[str]) -> str:
    """Put all problems of a table into one message.

    Args:
        schema: the schema that it is held against.
        problems: one line each.

    Returns:
        The message.
    """
    lines = "".join(f"\n  {line}" for line in problems)
    return f"table of schema {schema.name}: {len(problems)} problem{'s' * (len(problems) > 1)}:{lines}"


def _header_problems(table: pa.Table, schema: Schema) -> list[str]:
    """Compare names. Names of the table are quoted only where its first line is surely a header."""
    expected = [*(column.name for column in schema.columns), schema.default.column]
    optional = {column.name for column in schema.columns if isinstance(column, IgnoredColumn)}
    found = Counter(table.column_names)
    missing = [name for name in expected if name not in found and name not in optional]
    if len(missing) == len(expected) - len(optional):
        return [f"none of the {len(missing)} declared columns is there{header_hint(table.column_names)}"]
    problems = [f"column {name}: is missing{nearest(name, set(found) - set(expected))}" for name in missing]
    problems += [f"column {name}: stands there {count} times" for name, count in found.items() if count > 1]
    problems += [
        f"column {name}: is not in the schema; declare it (kind: ignored leaves it unread) or drop it"
        for name in found
        if name not in expected
    ]
    return problems


def header_hint(names: list[str]) -> str:
    """Guess from its header why a table has none of the declared columns; quotes no name."""
    if len(names) == 1:
        for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in names[0]:
                return f"; the file seems to be separated by {word}, not by commas"
    return f" ({len(names)} others are); is the header line missing, or is this another table?"


def _read(column: Column, cells: pa.ChunkedArray, schema: Schema, remarks: list[str]) -> NDArray[Any]:
    match column:
        case NumberColumn():
            numbers = number_cells(cells, missing_texts=schema.missing_texts)
            _check_missing(np.isnan(numbers), column)
            _check_range(numbers, column, remarks)
            return numbers
        case FlagColumn():
            texts = label_cells(cells, missing_texts=schema.missing_texts)
            _check_missing(texts == "", column)
            flags = np.select([np.isin(texts, ["1", "true"]), np.isin(texts, ["0", "false"])], [1.0, 0.0], np.nan)
            _refuse(np.isnan(flags) & (texts != ""), "are not 0, 1, true or false")
            return flags
        case CategoryColumn() | KeyColumn():
            texts = label_cells(cells, missing_texts=schema.missing_texts)
            _check_missing(texts == "", column)
            if isinstance(column, CategoryColumn):
                _check_categories(texts, column, remarks)
            return texts
    raise TypeError(column.kind)


def _refuse(bad: NDArray[np.bool_], what: str) -> None:
    count = int(np.count_nonzero(bad))
    if count:
        raise CellError(f"{count} of {len(bad)} values {what}")


def _check_missing(missing: NDArray[np.bool_], column: NumberColumn | FlagColumn | CategoryColumn | KeyColumn) -> None:
    if column.missing == "error":
        how = "" if isinstance(column, KeyColumn) else " and impute: a fixed constant"
        _refuse(missing, f"are missing; fill them, or write missing: allowed{how} in the schema")


def _check_range(numbers: NDArray[np.float64], column: NumberColumn, remarks: list[str]) -> None:
    low, high = column.range
    outside = (numbers < low) | (numbers > high)
    what = f"are outside the public range [{low:g}, {high:g}]"
    if column.outside == "error":
        _refuse(outside, f"{what}; mend them, or widen the range if it is wrong")
    elif outside.any():
        remarks.append(f"column {column.name}: {np.count_nonzero(outside)} of {len(numbers)} values {what} and clipped")


def _check_categories(texts: NDArray[np.str_], column: CategoryColumn, remarks: list[str]) -> None:
    unknown = ~np.isin(texts, ["", *column.labels])
    if column.unknown == "error":
        _refuse(unknown, f"are none of the {len(column.labels)} declared categories; mend them or write unknown: other")
    elif unknown.any():
        remarks.append(
            f"column {column.name}: {np.count_nonzero(unknown)} of {len(texts)} values are none of the declared "
            "categories and count as other"
        )


def _read_default(table: pa.Table, schema: Schema, problems: list[str], remarks: list[str]) -> NDArray[np.int8]:
    definition = schema.default
    positive, negative = definition.positive_labels, definition.negative_labels
    try:
        texts = label_cells(table.column(definition.column), missing_texts=schema.missing_texts)
        _refuse(texts == "", "are missing; a loan without an outcome cannot be used")
        declared = f"positive {', '.join(positive)}; negative {', '.join(negative)}"
        _refuse(~np.isin(texts, [*positive, *negative]), f"are not declared labels ({declared})")
    except CellError as problem:
        problems.append(f"default column {definition.column}: {problem}")
        return np.zeros(table.num_rows, dtype=np.int8)
    default = np.isin(texts, positive).astype(np.int8)
    if default.min() == default.max():
        remarks.append(f"default column {definition.column}: all {len(default)} loans have the same outcome")
    return default


def _borrower_remarks(borrower: NDArray[Any]) -> list[str]:
    counts = np.unique(borrower, return_counts=True)[1]
    several = int(np.count_nonzero(counts > 1))
    if not several:
        return []
    return [f"{several} borrowers hold several loans (at most {counts.max()}): a promise per loan covers one of them"]
