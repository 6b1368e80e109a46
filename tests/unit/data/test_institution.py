from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.data.encoding import encode
from fedcredit.data.institution import build_institutions, split
from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.schema import parse_schema
from fedcredit.data.tables import load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import spec

RAW = {
    "name": "toy",
    "public": False,
    "row_norm_cap": 2.5,
    "borrower": "customer",
    "default": {"column": "bad", "positive": [1], "negative": [0], "horizon": "90 days past due within 12 months"},
    "columns": {
        "customer": {"kind": "key"},
        "bank": {"kind": "key"},
        "limit": {"kind": "number", "range": [0, 100]},
    },
    "features": [{"kind": "linear", "of": "limit", "scale": 0.01}],
}
NUM_LOANS = 20_000


def toy(num_borrowers: int = NUM_LOANS, *, keyless: bool = False, num_loans: int = NUM_LOANS) -> Portfolio:
    rng = np.random.default_rng(11)
    table = pa.table(
        {
            "customer": np.arange(num_loans) % num_borrowers,
            "bank": rng.choice(["west", "east", "north"], num_loans),
            "limit": rng.integers(0, 100, num_loans),
            "bad": rng.integers(0, 2, num_loans),
        }
    )
    raw = {key: value for key, value in RAW.items() if not (keyless and key == "borrower")}
    return portfolio_from_table(table, parse_schema(raw, source="toy"))


def experiment(partition: spec.Partition, *, split_seed: int = 1) -> spec.Experiment:
    return spec.Experiment(
        portfolio=spec.PublicTable(table="taiwan"),
        partition=partition,
        privacy=spec.Privacy(target_epsilon=1.0),
        split_seed=split_seed,
    )


def test_the_split_covers_all_loans_in_the_declared_shares() -> None:
    """20,000 hashed keys: five standard errors of a share of .7 are .016."""
    parts = split(toy(), seed=1)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(NUM_LOANS))
    shares = {name: len(rows) / NUM_LOANS for name, rows in parts.items()}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.016)


def test_a_borrower_falls_into_one_part_whatever_the_lender() -> None:
    loans = toy(num_borrowers=500)
    parts = split(loans, seed=1)
    borrowers = [set(loans.borrower[rows].tolist()) for rows in parts.values()]
    assert sum(map(len, borrowers)) == 500
    assert not set.intersection(*borrowers)


def test_a_loans_part_does_not_depend_on_the_other_loans_or_their_order() -> None:
    loans = toy(num_loans=2000)
    whole = split(loans, seed=1)
    part_of = {loans.borrower[row]: name for name, rows in whole.items() for row in rows.tolist()}
    some = np.random.default_rng(3).permutation(2000)[:700]
    fewer = loans.take(some)
    for name, rows in split(fewer, seed=1).items():
        assert all(part_of[key] == name for key in fewer.borrower[rows].tolist())


def test_without_a_borrower_key_the_position_in_the_table_is_the_key_for_good() -> None:
    loans = toy(keyless=True, num_loans=1000)
    assert loans.borrower.tolist() == list(range(1000))
    kept = loans.take(np.arange(500, 1000))
    assert kept.borrower.tolist() == list(range(500, 1000))
    whole = split(loans, seed=1)["test"]
    assert (split(kept, seed=1)["test"] + 500).tolist() == whole[whole >= 500].tolist()


def test_split_seeds_and_the_partition_draw_from_different_hashes() -> None:
    loans = toy()
    first, second = split(loans, seed=1)["train"], split(loans, seed=2)["train"]
    overlap = len(np.intersect1d(first, second)) / NUM_LOANS
    assert overlap == pytest.approx(0.49, abs=0.02)
    lenders = build_institutions(experiment(spec.IidPartition(num_institutions=2)), loans)
    shares = [lender.train.num_loans / (NUM_LOANS / 2) for lender in lenders]
    assert shares == pytest.approx([0.7, 0.7], abs=0.025), "a shared hash would put all train loans with one lender"


def test_lenders_hold_their_own_encoded_loans_sorted_by_name() -> None:
    loans = toy()
    lenders = build_institutions(experiment(spec.NaturalPartition(column="bank")), loans)
    assert [lender.name for lender in lenders] == ["east", "north", "west"]
    features = encode(loans)
    parts = split(loans, seed=1)
    for lender in lenders:
        for name in ("train", "validation", "test"):
            held = getattr(lender, name)
            assert set(held.rows.tolist()) <= set(parts[name].tolist())
            assert (loans.column("bank")[held.rows] == lender.name).all()
            assert held.features.tobytes() == features[held.rows].tobytes()
            assert (held.default == loans.default[held.rows]).all()
            assert held.features.dtype == held.default.dtype == np.float32
            assert held.num_loans == len(held.rows)
    assert sum(getattr(lender, name).num_loans for lender in lenders for name in parts) == NUM_LOANS


def test_a_lender_without_a_train_loan_is_one_message() -> None:
    with pytest.raises(InputError, match=r"no loan to train on .*min_loans"):
        build_institutions(experiment(spec.IidPartition(num_institutions=40)), toy(num_loans=40))


def test_columns_are_read_only() -> None:
    loans = toy(num_loans=10)
    with pytest.raises(ValueError, match="read-only"):
        loans.column("limit")[0] = 1
    with pytest.raises(TypeError):
        loans.columns["limit"] = np.zeros(10)  # type: ignore[index]


def test_what_the_holder_of_the_data_should_know_is_remarked(
    credit_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDCREDIT_DATA", str(credit_data))
    remarks = load_portfolio(spec.PublicTable(table="sba")).remarks
    assert any("84 borrowers hold several loans (at most 3)" in remark for remark in remarks)
    taiwan = load_portfolio(spec.PublicTable(table="taiwan")).remarks
    assert any("column EDUCATION: 345 of 30000" in remark for remark in taiwan)
