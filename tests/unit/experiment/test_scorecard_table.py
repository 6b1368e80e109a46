"""The points of a scorecard table add up to the points of the loan."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedcredit.config import compose
from fedcredit.credit.scorecard import Scorecard
from fedcredit.data.encoding import encode, feature_names
from fedcredit.data.market.portfolio import market_schema
from fedcredit.data.new_loans import NewLoans, encoded_part
from fedcredit.data.schema import Schema
from fedcredit.data.tables import public_schema
from fedcredit.errors import InputError
from fedcredit.experiment.kept_model import KeptModel
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.scorecard_table import BASE, CAP, HEADINGS, scorecard_csv, scorecard_rows
from fedcredit.model.network import DefaultNetwork

MakeRecord = Callable[..., RunRecord]
SCHEMAS = {"german": public_schema("german"), "taiwan": public_schema("taiwan"), "market": market_schema("behaviour")}


def model_of(record: RunRecord, schema: Schema, *, hidden: tuple[int, ...] = ()) -> KeptModel:
    network = DefaultNetwork(num_features=len(feature_names(schema)), hidden=hidden)
    parameters = np.random.default_rng(5).normal(0.0, 0.7, network.num_parameters).astype(np.float32)
    return KeptModel(
        folder=Path("nowhere"),
        record=record,
        experiment=compose("taiwan/loan_level", ["trainer=vectorised"]),
        schema=schema,
        network=network,
        parameters=parameters,
    )


def made_up_loans(schema: Schema, count: int) -> NewLoans:
    """Draw cells over the public ranges, missing ones where the schema allows them."""
    rng, wanted = np.random.default_rng(11), encoded_part(schema)
    columns: dict[str, np.ndarray] = {}
    for column in wanted.columns:
        match column.kind:
            case "number":
                columns[column.name] = rng.uniform(*column.range, count).round()
            case "flag":
                columns[column.name] = rng.integers(0, 2, count).astype(np.float64)
            case _:
                columns[column.name] = np.array(rng.choice([*column.labels, "unlisted"], count), dtype=np.str_)
        if column.missing == "allowed":
            columns[column.name][rng.random(count) < 0.2] = "" if column.kind == "category" else np.nan
    return NewLoans(schema=wanted, columns=columns, keys={}, num_loans=count)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_rows_times_the_cap_add_up_to_the_points_of_each_loan(schema: Schema, made_up: MakeRecord) -> None:
    model = model_of(made_up(), schema)
    rows = {row["feature"]: row for row in csv.DictReader(io.StringIO(scorecard_csv(scorecard_rows(model)).decode()))}
    loans = made_up_loans(schema, 300)
    points = Scorecard().points(model.pd(encode(loans)))
    raw_features = encode(replace(loans, schema=replace(loans.schema, row_norm_cap=1e6))).astype(np.float64)
    spread = [(feature.scale, feature.centre) for feature in schema.features]
    assert [name for name in rows if name not in (BASE, CAP)] == list(feature_names(schema))
    added, place = np.zeros(300), 0
    for feature, (scale, centre) in zip(schema.features, spread, strict=True):
        for _ in feature_names(replace(schema, features=(feature,))):
            row = rows[feature_names(schema)[place]]
            value = raw_features[:, place] / scale + centre
            takes_log = row["rule"].startswith("log1p(")
            low, high = (math.log1p(float(row[end])) if takes_log else float(row[end]) for end in ("low", "high"))
            part = (value - low) / (high - low)
            added += float(row["points_low"]) + part * (float(row["points_high"]) - float(row["points_low"]))
            assert float(row["points_high"]) - float(row["points_low"]) == pytest.approx(
                float(row["points_per_unit"]) * (high - low), rel=1e-9, abs=1e-12
            )
            place += 1
    cap = float(rows[CAP]["high"])
    shrunk = np.minimum(1.0, cap / np.linalg.norm(raw_features, axis=1))
    assert np.abs(float(rows[BASE]["points_low"]) + shrunk * added - points).max() < 2e-3
    assert (shrunk < 1.0).any()


def test_columns_are_as_named_and_rules_are_read_as_words(made_up: MakeRecord) -> None:
    rows = scorecard_rows(model_of(made_up(), SCHEMAS["taiwan"]))
    assert scorecard_csv(rows).decode().splitlines()[0] == ",".join(HEADINGS)
    assert any(" >= " in row.rule for row in rows)
    assert all(row.rule for row in rows)


def test_hidden_layers_are_refused_with_what_to_use_instead(made_up: MakeRecord) -> None:
    with pytest.raises(InputError, match=r"hidden layers \[16\].*network\.hidden=\[\].*--reasons"):
        scorecard_rows(model_of(made_up(), SCHEMAS["german"], hidden=(16,)))
