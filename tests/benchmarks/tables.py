"""Synthetic loan tables on disk, with a schema, for what starts from a table."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.workloads import synthetic_table

TABLE = "loans.parquet"
SCHEMA = "schema.yaml"


def write_table(folder: Path, *, num_loans: int, num_features: int = 32) -> Path:
    """Write ``loans.parquet`` and ``schema.yaml``; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"x{position:02d}" for position in range(num_features)]
    table = synthetic_table(num_loans, num_features, purpose="table")
    columns = {name: table.features[:, position].astype("float64") for position, name in enumerate(names)}
    pq.write_table(pa.table({**columns, "default": table.default.astype("int64")}), folder / TABLE)
    (folder / SCHEMA).write_text(_schema(names), encoding="utf-8")
    return folder


def overrides(folder: Path) -> list[str]:
    """The table as overrides of ``fedcredit run``."""
    return [
        "portfolio=parquet",
        f"portfolio.path={folder / TABLE}",
        f"portfolio.schema_file={folder / SCHEMA}",
    ]


def _schema(names: list[str]) -> str:
    columns = "\n".join(f"  {name}: {{kind: number, range: [-6, 6]}}" for name in names)
    features = "\n".join(f"  - {{kind: linear, of: {name}, scale: 0.4}}" for name in names)
    return f"""name: synthetic
public: true
row_norm_cap: 2.5
default:
  column: default
  positive: [1]
  negative: [0]
  horizon: one synthetic year
columns:
{columns}
features:
{features}
"""
