"""A first draft of a schema for a table of the user's own, with marks where she must decide."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from fedcredit.data.cells import CellError, label_cells, number_cells
from fedcredit.data.columns import LARGEST
from fedcredit.data.files import read_csv, read_parquet
from fedcredit.errors import InputError

DECIDE = "DECIDE"
_MAX_CATEGORIES = 30
_LABEL_NAMES = ("default", "defaulted", "bad", "is_default", "target", "label", "class", "y")
_KEY_ENDINGS = ("id", "key", "number", "nr")

_PREAMBLE = """\
# Draft of a schema, written by looking at {count} rows of {name}.
# Looking at private data to write a schema is not private: ranges, categories and the choice of columns
# below come from these rows, and no epsilon covers them. Replace every line marked {decide} by what is
# publicly known about the column, from its documentation or from law, not from its values.
"""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    name: str
    column: dict[str, Any]
    features: tuple[dict[str, Any], ...]
    note: str


def draft_schema(path: Path | str) -> str:
    """Draft the schema of a csv or parquet file.

    Args:
        path: the table; a file name ending in ``.parquet`` or ``.pq`` is parquet, any other csv.

    Returns:
        The yaml text. It reads back as a schema once the marked lines are decided.

    Raises:
        InputError: if the file is no table, or its columns have no names of their own.
    """
    path = Path(path)
    table = (read_parquet if path.suffix.lower() in (".parquet", ".pq") else read_csv)(path)
    names = table.column_names
    if len(set(names)) < len(names) or not all(names):
        raise InputError(f"file {path}: {len(names) - len(set(filter(None, names)))} columns have no name of their own")
    if table.num_rows == 0:
        raise InputError(f"file {path}: holds no loans, only a header; at least one row is needed")
    label = next((name for known in _LABEL_NAMES for name in names if name.lower() == known), None)
    entries = [_entry(name, table.column(name)) for name in names if name != label]
    borrower = next((entry.name for entry in entries if entry.column["kind"] == "key"), None)
    lines = [
        *_PREAMBLE.format(count=table.num_rows, name=path.name, decide=DECIDE).splitlines(),
        f"name: {_yaml(_identifier(path.stem))}",
        f"public: false  # {DECIDE}: true only if anyone may have the table",
        "row_norm_cap: 2.5",
        f"borrower: {_yaml(borrower)}  # {DECIDE}: the key that is the same for all loans of a borrower",
        f"institution: null  # {DECIDE}: the column that names the lender, if the table has several",
        *_default_lines(label, table),
        "",
        "columns:",
        *(f"  {_yaml(entry.name)}: {_yaml(entry.column)}  # {entry.note}" for entry in entries),
        "",
        f"# Encoded as (value - centre) * scale. {DECIDE}: which columns enter, log1p for long tails, cuts for curves.",
        "features:",
        *(f"  - {_yaml(feature)}" for entry in entries for feature in entry.features),
    ]
    return "\n".join(lines) + "\n"


def _default_lines(label: str | None, table: pa.Table) -> list[str]:
    values: list[str] = []
    if label is not None:
        with suppress(CellError):  # a label that is no text leaves its values to be decided
            values = sorted(set(label_cells(table.column(label)).tolist()) - {""})
    positive = [value for value in values if value.lower() in ("1", "true", "yes", "bad", "default")][:1] or [DECIDE]
    negative = [value for value in values if value not in positive][:_MAX_CATEGORIES] or [f"not {DECIDE}"]
    return [
        "default:",
        f"  column: {_yaml(label or DECIDE)}  # {DECIDE}: the column that says whether a loan defaulted",
        f"  positive: {_yaml(positive)}  # {DECIDE}: its values for a loan that defaulted",
        f"  negative: {_yaml(negative)}  # {DECIDE}: its values for a loan that did not",
        f"  horizon: {DECIDE}  # what counts as default, and over which window",
    ]


def _entry(name: str, cells: pa.ChunkedArray) -> _Entry:
    try:
        texts = label_cells(cells)
    except CellError:
        return _number_entry(name, cells)
    known = texts[texts != ""]
    missing = {"missing": "allowed"} if len(known) < len(texts) else {}
    values = sorted(set(known.tolist()))
    if values and set(values) <= {"0", "1", "true", "false"}:
        column = {"kind": "flag", **missing, **({"impute": 0} if missing else {})}
        return _Entry(name=name, column=column, features=({"kind": "at_least", "of": name, "value": 1},), note=DECIDE)
    if len(values) == len(texts) and len(values) > 1 and name.lower().endswith(_KEY_ENDINGS):
        return _Entry(name=name, column={"kind": "key"}, features=(), note=f"{DECIDE}: differs in every row")
    entry = _number_entry(name, cells)
    if entry.column["kind"] == "number" or not 0 < len(values) <= _MAX_CATEGORIES:
        return entry
    column = {"kind": "category", "categories": values, **missing, **({"impute": "other"} if missing else {})}
    feature = {"kind": "one_hot", "of": name, "scale": 0.5}
    return _Entry(name=name, column=column, features=(feature,), note=f"{DECIDE}: the publicly known values")


def _number_entry(name: str, cells: pa.ChunkedArray) -> _Entry:
    try:
        numbers = number_cells(cells)
    except CellError as problem:
        ignored = {"kind": "ignored", "reason": f"{problem}"}
        return _Entry(name=name, column=ignored, features=(), note=f"{DECIDE}: how to read it, if at all")
    known = numbers[~np.isnan(numbers)]
    if len(known) == 0:
        ignored = {"kind": "ignored", "reason": "every cell is missing"}
        return _Entry(name=name, column=ignored, features=(), note=DECIDE)
    low, high = _outward(float(known.min()), -1), _outward(float(known.max()), 1)
    low, high = (low, high) if low < high else (low - 1, high + 1)
    column: dict[str, Any] = {"kind": "number", "unit": DECIDE, "range": [low, high]}
    if len(known) < len(numbers):
        column |= {"missing": "allowed", "impute": low}
    feature = {"kind": "linear", "of": name, "centre": (low + high) / 2, "scale": 2 / (high - low)}
    return _Entry(name=name, column=column, features=(feature,), note=f"{DECIDE}: the publicly known range and unit")


def _outward(value: float, direction: int) -> float:
    """Round away from the data to one significant digit."""
    if value == 0:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(abs(value)))
    rounded = (math.ceil if direction > 0 else math.floor)(value / unit) * unit
    return float(min(max(rounded, -LARGEST), LARGEST))


def _identifier(text: str) -> str:
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)[:90].strip("_")
    return plain or "table"


def _yaml(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
