"""The public description of a loan table.

A schema says everything that an encoding needs, so that the encoding of a loan depends on that loan
and on public statements alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedcredit.data.columns import Column
from fedcredit.data.features import Derived, Feature
from fedcredit.data.schema_checks import reference_mistakes
from fedcredit.data.schema_parts import DefaultDefinition, SegmentColumn, read_parts
from fedcredit.data.strict_yaml import read_yaml
from fedcredit.data.wording import nearest
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The public description of a loan table.

    ``public`` says that the table itself is public, so that runs on it may be compared freely.
    ``borrower``, ``institution`` and ``time`` name key columns, ``exposure_amount`` a number.
    ``missing_texts`` are the texts that mean a missing cell in a csv file, beside the empty cell.
    ``segments`` say in which parts held-out loans are looked at; no number of a run depends on them, so they take
    no part in the checksum of the data.
    """

    name: str
    public: bool
    default: DefaultDefinition
    columns: tuple[Column, ...]
    derived: tuple[Derived, ...]
    features: tuple[Feature, ...]
    row_norm_cap: float
    borrower: str | None = None
    institution: str | None = None
    time: str | None = None
    exposure_amount: str | None = None
    missing_texts: tuple[str, ...] = ()
    segments: tuple[SegmentColumn, ...] = field(default=(), repr=False)

    def column(self, name: str) -> Column:
        """Return a declared column.

        Args:
            name: the column's name.

        Returns:
            Its declaration.

        Raises:
            InputError: if the schema has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        raise InputError(f"schema {self.name} has no column {name!r}{nearest(name, names)}; it has {', '.join(names)}")


def read_schema(path: Path | str) -> Schema:
    """Read and check a schema file.

    Args:
        path: a yaml file.

    Returns:
        The schema.

    Raises:
        InputError: for a file that is no schema; all mistakes are listed at once.
    """
    return parse_schema(read_yaml(Path(path)), source=str(path))


def parse_schema(raw: Mapping[str, Any], *, source: str) -> Schema:
    """Check a schema given as plain data.

    Args:
        raw: what the yaml file holds.
        source: what to call it in messages.

    Returns:
        The schema.

    Raises:
        InputError: all mistakes, listed at once.
    """
    mistakes: list[str] = []
    parts = read_parts(raw, mistakes)
    mistakes += reference_mistakes(parts)
    if mistakes or parts.header is None or parts.default is None:
        lines = "".join(f"\n  {line}" for line in mistakes)
        raise InputError(f"schema file {source}: {len(mistakes)} mistake{'s' * (len(mistakes) > 1)}:{lines}")
    header = parts.header
    return Schema(
        name=header.name,
        public=header.public,
        default=parts.default,
        columns=parts.columns,
        derived=parts.derived,
        features=tuple(feature for _, feature in parts.features),
        row_norm_cap=header.row_norm_cap,
        borrower=header.borrower,
        institution=header.institution,
        time=header.time,
        exposure_amount=header.exposure_amount,
        missing_texts=header.missing_texts,
        segments=tuple(segment for _, segment in parts.segments),
    )
