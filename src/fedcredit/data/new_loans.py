"""Loans without an outcome, to be scored: only what the encoding reads is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.columns import KeyColumn
from fedcredit.data.portfolio import header_hint, problems_text, read_columns
from fedcredit.data.schema import Schema
from fedcredit.data.wording import nearest
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class NewLoans:
    """Loans as read-only columns, each ``[loans]``, in the order of their table.

    ``schema`` is the part of the run's schema that its encoding reads. ``keys`` are the key columns that the
    table happens to have. ``not_read`` names its other columns; ``remarks`` count cells that were clipped or taken
    as other, as in training.
    """

    schema: Schema
    columns: Mapping[str, NDArray[Any]]
    keys: Mapping[str, NDArray[Any]]
    num_loans: int
    not_read: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Lock the arrays."""
        for array in (*self.columns.values(), *self.keys.values()):
            array.flags.writeable = False
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    def column(self, name: str) -> NDArray[Any]:
        """Return a column that the encoding reads.

        Args:
            name: its name.

        Returns:
            The column, ``[loans]``.
        """
        return self.columns[name]

    def between(self, first: int, last: int) -> NewLoans:
        """Return consecutive loans.

        Args:
            first: the first row, from 0.
            last: the row after the last one.

        Returns:
            The loans of these rows.
        """
        return replace(
            self,
            columns={name: cells[first:last] for name, cells in self.columns.items()},
            keys={name: cells[first:last] for name, cells in self.keys.items()},
            num_loans=len(range(self.num_loans)[first:last]),
        )


def new_loans(table: pa.Table, schema: Schema) -> NewLoans:
    """Check a table of new loans against the schema of a run, and read what the encoding needs.

    A column that the encoding does not read (the label, a borrower, a lender, a month) may be missing.

    Args:
        table: the table, one loan a row.
        schema: the run's schema.

    Returns:
        The loans.

    Raises:
        InputError: all problems at once, as column names and counts.
    """
    wanted = encoded_part(schema)
    problems = _header_problems(table, wanted)
    if problems:
        raise InputError(problems_text(schema, problems))
    if table.num_rows == 0:
        raise InputError(f"table of schema {schema.name}: holds no loans, only a header; at least one row is needed")
    names = {column.name for column in wanted.columns}
    keys = [column for column in schema.columns if isinstance(column, KeyColumn) and column.name in table.column_names]
    lenient = tuple(replace(column, missing="allowed") for column in keys)
    remarks: list[str] = []
    columns = read_columns(table, replace(wanted, columns=(*wanted.columns, *lenient)), problems, remarks)
    if problems:
        raise InputError(problems_text(schema, problems))
    known = {*names, *(column.name for column in keys)}
    return NewLoans(
        schema=wanted,
        columns={name: columns[name] for name in names},
        keys={column.name: columns[column.name] for column in keys},
        num_loans=table.num_rows,
        not_read=tuple(name for name in table.column_names if name not in known),
        remarks=tuple(remarks),
    )


def encoded_part(schema: Schema) -> Schema:
    """Return what an encoding reads: its features, and the columns they are made of.

    Args:
        schema: a schema.

    Returns:
        The same encoding, without keys, ignored columns, and what no feature looks at.
    """
    needed = {feature.of for feature in schema.features}
    for item in reversed(schema.derived):
        if item.name in needed:
            needed.update(item.of)
    return replace(
        schema,
        columns=tuple(column for column in schema.columns if column.name in needed),
        derived=tuple(item for item in schema.derived if item.name in needed),
        segments=(),
    )


def _header_problems(table: pa.Table, wanted: Schema) -> list[str]:
    """Compare names. Names of the table are quoted only where its first line is surely a header."""
    expected = [column.name for column in wanted.columns]
    found = Counter(table.column_names)
    missing = [name for name in expected if name not in found]
    if len(missing) == len(expected):
        return [f"none of the {len(missing)} columns that the run reads is there{header_hint(table.column_names)}"]
    problems = [f"column {name}: is missing{nearest(name, set(found) - set(expected))}" for name in missing]
    return problems + [f"column {name}: stands there {count} times" for name, count in found.items() if count > 1]
