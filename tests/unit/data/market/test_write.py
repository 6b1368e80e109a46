from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fedcredit.cli import main
from fedcredit.data.market.portfolio import market_portfolio
from fedcredit.data.market.settings import MarketSettings
from fedcredit.data.market.write import write_market
from fedcredit.data.tables import data_checksum, load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import spec

SETTINGS = MarketSettings(num_borrowers=2500, seed=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("markets") / "m", SETTINGS, snapshot_months=(12, 17)).parent


@pytest.mark.parametrize("view", ["behaviour", "application"])
def test_a_written_market_reads_back_as_the_portfolio_it_was(folder: Path, view: spec.MarketView) -> None:
    written = load_portfolio(
        spec.FileTable(kind="parquet", path=str(folder / f"{view}.parquet"), schema_file=str(folder / f"{view}.yaml"))
    )
    settings = spec.MarketPortfolio(num_borrowers=2500, market_seed=8, view=view, snapshot_months=(12, 17))
    assert data_checksum(written) == data_checksum(market_portfolio(settings))


def test_a_lender_has_its_own_loans_and_nothing_of_the_truth(folder: Path) -> None:
    everything = pq.read_table(folder / "behaviour.parquet")
    total = 0
    for lender in sorted((folder / "lenders").iterdir()):
        loans = pq.read_table(lender / "behaviour.parquet")
        assert set(loans.column("lender").to_pylist()) <= {lender.name}
        total += loans.num_rows
        own = set(pq.read_table(lender / "accounts.parquet").column("account").to_pylist())
        for name in ("plans", "panel", "behaviour", "application"):
            assert set(pq.read_table(lender / f"{name}.parquet").column("account").to_pylist()) <= own
        for file in lender.iterdir():
            names = pq.read_schema(file).names
            assert not [name for name in names if "true" in name or name in ("ring", "ability", "willingness")], file
    assert total == everything.num_rows


def test_the_truth_stands_row_by_row_beside_the_loans(folder: Path) -> None:
    for lender in sorted((folder / "truth").iterdir()):
        if lender.is_dir():
            truth = pq.read_table(lender / "behaviour.parquet")
            loans = pq.read_table(folder / "lenders" / lender.name / "behaviour.parquet")
            assert truth.column("account").equals(loans.column("account"))
            assert truth.column("snapshot_month").equals(loans.column("snapshot_month"))


def test_the_panel_starts_at_opening_and_its_labels_are_those_of_the_snapshot(folder: Path) -> None:
    lender = folder / "lenders" / "bnpl_1"
    panel = pq.read_table(lender / "panel.parquet").to_pydict()
    opened = dict(zip(*pq.read_table(lender / "accounts.parquet", columns=["account", "opened"]).to_pydict().values(),
                      strict=True))  # fmt: skip
    first: dict[int, int] = {}
    when: dict[int, int] = {}
    for account, month, bucket in zip(panel["account"], panel["month"], panel["bucket"], strict=True):
        first.setdefault(account, month)
        if bucket == "D":
            when.setdefault(account, month)
    assert first == opened
    loans = pq.read_table(lender / "behaviour.parquet").to_pydict()
    for account, month, default in zip(loans["account"], loans["snapshot_month"], loans["default"], strict=True):
        assert default == int(month < when.get(account, 999) <= month + 12)


def test_the_manifest_names_every_file_by_its_content(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"]
    assert manifest["settings"]["seed"] == 8
    assert len(manifest["macro_factor"]) == 36


def test_one_seed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = write_market(tmp_path / "again", SETTINGS, snapshot_months=(12, 17)).parent
    assert (again / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


def test_a_folder_with_something_in_it_is_left_alone(folder: Path) -> None:
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="holds something"):
        write_market(folder, SETTINGS, snapshot_months=(17,))
    assert (folder / "manifest.json").read_bytes() == before


def test_a_refused_market_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "m"
    for arguments, said in (
        (["--snapshot-month", "30"], "allowed is 6 to 23"),
        (["--borrowers", "3"], "num_borrowers is 3"),
        (["--shock", "pandemi"], "nearest: pandemic"),
    ):
        assert main(["data", "simulate", str(target), *arguments]) == 2
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_market(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "simulate", str(tmp_path / "m"), "--borrowers", "600", "--shock", "mild"]) == 0
    assert "manifest.json" in capsys.readouterr().out
    rows = [pq.read_metadata(path).num_rows for path in (tmp_path / "m" / "lenders").rglob("behaviour.parquet")]
    assert len(rows) == 10
    assert np.sum(rows) == pq.read_metadata(tmp_path / "m" / "behaviour.parquet").num_rows
