"""A table of the same content is read once; another content, schema, deal or seed is never served from memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedcredit.config import compose
from fedcredit.data import kept
from fedcredit.data.institution import build_institutions
from fedcredit.data.tables import data_checksum, load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import spec

SCHEMA = """\
name: small
public: false
row_norm_cap: 1.0
default: {column: default, positive: [1], negative: [0], horizon: 12 months}
columns:
  amount: {kind: number, unit: EUR, range: [0, 100]}
features:
  - {kind: linear, of: amount, scale: 0.01}
"""


def write(folder: Path, cells: str) -> spec.FileTable:
    (folder / "schema.yaml").write_text(SCHEMA)
    (folder / "loans.csv").write_text(f"amount,default\n{cells}")
    return spec.FileTable(kind="csv", path=str(folder / "loans.csv"), schema_file=str(folder / "schema.yaml"))


def test_the_same_content_is_read_once_and_a_changed_cell_is_seen(tmp_path: Path) -> None:
    where = write(tmp_path, "1,0\n2,1\n")
    first = load_portfolio(where)
    assert load_portfolio(where) is first
    (tmp_path / "loans.csv").write_text("amount,default\n1,0\n3,1\n")
    assert load_portfolio(where).column("amount").tolist() == [1.0, 3.0]


def test_a_changed_schema_is_seen(tmp_path: Path) -> None:
    where = write(tmp_path, "1,0\n2,1\n")
    before = data_checksum(load_portfolio(where))
    (tmp_path / "schema.yaml").write_text(SCHEMA.replace("row_norm_cap: 1.0", "row_norm_cap: 2.0"))
    assert data_checksum(load_portfolio(where)) != before


def test_a_refused_table_is_refused_again(tmp_path: Path) -> None:
    where = write(tmp_path, "many,0\n2,1\n")
    for _ in range(2):
        with pytest.raises(InputError, match="not plain decimal"):
            load_portfolio(where)


def test_no_more_than_two_tables_are_kept(tmp_path: Path) -> None:
    for amount in range(5):
        load_portfolio(write(tmp_path, f"{amount},0\n2,1\n"))
    assert len(kept._tables) == kept.MOST_TABLES


def test_a_large_table_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_LOANS", 1)
    where = write(tmp_path, "7,0\n2,1\n")
    assert load_portfolio(where) is not load_portfolio(where)


DEALT = ("portfolio=german", "partition=dirichlet", "partition.num_institutions=3", "partition.min_loans=50")


def test_arms_share_the_lenders_of_the_same_deal_and_only_of_it() -> None:
    experiment = compose(None, [*DEALT])
    portfolio = load_portfolio(experiment.portfolio)
    first = build_institutions(experiment, portfolio)
    other_arm = compose(None, [*DEALT, "seed=9", "privacy=none"])
    assert build_institutions(other_arm, portfolio) is first
    for changed in ("split_seed=5", "partition.num_institutions=4"):
        again = compose(None, [*DEALT, changed])
        dealt = build_institutions(again, portfolio)
        assert [item.train.rows.tolist() for item in dealt] != [item.train.rows.tolist() for item in first]
    back = build_institutions(experiment, portfolio)
    for was, now in zip(first, back, strict=True):
        assert np.array_equal(was.train.features, now.train.features)
        assert np.array_equal(was.test.rows, now.test.rows)
