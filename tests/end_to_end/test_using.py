"""Finished runs in use: new loans scored, and the wrong folder, table or file told in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.credit.calibration import shift_logits
from fedcredit.credit.discrimination import auc
from fedcredit.credit.scorecard import Scorecard
from fedcredit.data.encoding import encode
from fedcredit.data.market.portfolio import seen_market
from fedcredit.data.new_loans import new_loans
from fedcredit.errors import InputError
from fedcredit.experiment import scoring
from fedcredit.experiment.kept_model import KeptModel, open_model
from fedcredit.experiment.prepare import Prepared, predict_pd, prepare
from fedcredit.experiment.record import record_folders
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import MarketPortfolio

MARKET = (
    "portfolio.num_borrowers=3000", "portfolio.num_banks=1", "portfolio.num_bnpl=1", "portfolio.num_consumer_finance=1",
    "training.num_rounds=4", "evaluation=quick", "evaluation.sections=[]",
)  # fmt: skip


def made(folder: Path, *overrides: str) -> Path:
    run(compose(None, [*MARKET, f"results_dir={folder}", *overrides]), progress=False, report=False)
    return record_folders([folder])[0]


@pytest.fixture(scope="module")
def logistic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("logistic"))


@pytest.fixture(scope="module")
def tanh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("tanh"), "network=tanh16_rare", "privacy.target_epsilon=inf")


@pytest.fixture(scope="module")
def loans(logistic: Path) -> pa.Table:
    """The market's own rows, as `data simulate` writes them."""
    portfolio = open_model(logistic).experiment.portfolio
    assert isinstance(portfolio, MarketPortfolio)
    return seen_market(portfolio).table


def prepared_of(model: KeptModel) -> Prepared:
    return prepare(model.experiment)


def test_the_runs_own_test_loans_get_the_bits_that_its_evaluation_saw(logistic: Path, tanh: Path) -> None:
    for folder in (logistic, tanh):
        model = open_model(folder)
        prepared, table = prepared_of(model), seen_market(model.experiment.portfolio).table  # type: ignore[arg-type]
        scored, defaults = [], []
        for institution in prepared.institutions:
            direct = predict_pd(prepared, prepared.network, model.parameters, institution.test.features)
            own = scoring.score(model, table.take(pa.array(institution.test.rows))).table
            assert own["pd"].to_numpy().tobytes() == direct.tobytes()
            assert own["points"].to_numpy().tobytes() == Scorecard().points(direct).tobytes()
            scored.append(direct)
            defaults.append(institution.test.default)
        assert auc(np.concatenate(scored), np.concatenate(defaults)) == model.record.evaluation.overall.auc


@settings(max_examples=8)
@given(data=st.data())
def test_order_and_chunks_change_no_bit(tanh: Path, loans: pa.Table, data: st.DataObject) -> None:
    model, some = open_model(tanh), loans.slice(0, 300)
    whole = scoring.score(model, some).table["pd"].to_numpy()
    order = data.draw(st.permutations(range(300)))
    chunk = data.draw(st.sampled_from([1, 63, 64, 65, 299, 301]))
    shuffled = scoring.score(model, some.take(pa.array(order)), chunk=chunk).table
    assert shuffled["pd"].to_numpy().tobytes() == whole[list(order)].tobytes()
    assert shuffled["row"].to_pylist() == list(range(1, 301))
    assert shuffled["account"].to_pylist() == [str(some["account"][place].as_py()) for place in order]


def test_csv_and_parquet_in_and_out_are_the_same_scores(logistic: Path, loans: pa.Table, tmp_path: Path) -> None:
    bare = loans.slice(0, 200).drop_columns(["default", "borrower", "lender", "snapshot_month"])
    pacsv.write_csv(bare, tmp_path / "new.csv")
    pq.write_table(bare, tmp_path / "new.parquet")
    outs = []
    for source in ("new.csv", "new.parquet"):
        for kind in ("csv", "parquet"):
            out = tmp_path / f"{source}.{kind}"
            assert main(["score", str(logistic), str(tmp_path / source), "--out", str(out), "--reasons", "2"]) == 0
            outs.append(pacsv.read_csv(out) if kind == "csv" else pq.read_table(out))
    told = pq.read_schema(tmp_path / "new.csv.parquet").metadata
    assert told[b"fingerprint"].decode() == open_model(logistic).record.fingerprint
    names = ["row", "lender_kind", "account", "vintage", "pd", "points"]
    assert [name for name in outs[0].column_names if not name.startswith("reason")] == names
    for other in outs[1:]:
        for name in ("row", "pd", "points", "reason_1_points"):
            assert other[name].to_numpy().tobytes() == outs[0][name].to_numpy().tobytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_reasons_are_columns_of_the_table_and_the_worst_comes_first(tanh: Path, loans: pa.Table) -> None:
    table = scoring.score(open_model(tanh), loans.slice(0, 50), num_reasons=3).table
    first, second = (table[f"reason_{place}_points"].to_pylist() for place in (1, 2))
    assert all(a >= b for a, b in zip(first, second, strict=True) if a is not None and b is not None)
    known = {column.name for column in open_model(tanh).schema.columns}
    assert set(table["reason_1"].to_pylist()) - {None} <= known


def test_a_lenders_own_level_is_the_one_of_its_evaluation(logistic: Path, loans: pa.Table) -> None:
    model = open_model(logistic)
    name = model.record.contracts[0].institution
    level = scoring.lender_level(model, name)
    assert "no epsilon covers" in level.told
    prepared = prepared_of(model)
    (own,) = (institution for institution in prepared.institutions if institution.name == name)
    scored = scoring.score(model, loans.take(pa.array(own.test.rows)), level=level)
    moved = scored.table["pd"].to_numpy()
    assert set(scored.table["level"].to_pylist()) == {"inside, never released"}
    assert b"inside, never released" in scoring.scores_csv(scored)
    direct = predict_pd(prepared, prepared.network, model.parameters, own.test.features)
    assert moved.tobytes() == shift_logits(direct, level.shift).tobytes()
    told = model.record.own_intercept
    assert told is not None
    assert float(np.mean(moved)) == pytest.approx(told.institutions[name].mean_pd, rel=1e-12)


def test_a_charged_level_comes_from_the_record_and_needs_no_loans(tmp_path: Path) -> None:
    model = open_model(made(tmp_path, "evaluation.own_intercept=charged", "privacy.target_epsilon=inf"))
    charged = model.record.charged
    assert charged is not None
    assert charged.shifts is not None
    for name, shift in charged.shifts.items():
        found = scoring.lender_level(model, name)
        assert (found.shift, found.kind) == (shift, "charged")
    hidden = replace(model, record=replace(model.record, charged=replace(charged, shifts={name: None})))
    with pytest.raises(InputError, match="noise hides"):
        scoring.lender_level(hidden, name)


def test_the_folder_alone_is_enough(logistic: Path, tmp_path: Path, loans: pa.Table) -> None:
    moved = shutil.copytree(logistic, tmp_path / "elsewhere")
    one, other = (scoring.score(open_model(place), loans.slice(0, 100)).table for place in (logistic, moved))
    assert one.equals(other)


def test_a_run_from_before_schemas_were_kept_is_opened_by_its_own_loans(logistic: Path, tmp_path: Path) -> None:
    old = shutil.copytree(logistic, tmp_path / "old")
    for name in ("model.json", "schema.yaml"):
        (old / name).unlink()
    assert open_model(old).schema == open_model(logistic).schema
    record = json.loads((old / "record.json").read_text())
    record["environment"]["data_checksum"] = "0" * 64
    (old / "record.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"keeps no schema\.yaml, and its loan table"):
        open_model(old)


def _no_record(folder: Path) -> None:
    (folder / "record.json").unlink()


def _replace(name: str, content: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return lambda folder: (folder / name).write_bytes(content)


def _other_weights(folder: Path) -> None:
    weights = load_file(folder / "weights.safetensors")
    save_file({name: array + 1 for name, array in weights.items()}, folder / "weights.safetensors")


def _nan_weights(folder: Path) -> None:
    weights = load_file(folder / "weights.safetensors")
    save_file({name: array * np.float32("nan") for name, array in weights.items()}, folder / "weights.safetensors")
    _no_model(folder)


def _other_shape(folder: Path) -> None:
    save_file({"output.weight": np.zeros((1, 3), np.float32)}, folder / "weights.safetensors")
    _no_model(folder)


def _no_model(folder: Path) -> None:
    (folder / "model.json").unlink()


def _wider(folder: Path) -> None:
    text = (folder / "schema.yaml").read_text()
    (folder / "schema.yaml").write_text(text.replace("row_norm_cap: 2.5", "row_norm_cap: 9.5"))


def _foreign(folder: Path) -> None:
    told = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**told, "fingerprint": "f" * 64}))


BROKEN = {
    "a folder that is not there": (lambda folder: shutil.rmtree(folder), "does not exist"),
    "a run that has not finished": (_no_record, "has not finished"),
    "a record cut short": (_replace("record.json", b'{"format": "fedcredit/rec'), "not a whole JSON"),
    "a record of nested lists": (_replace("record.json", b"[" * 200_000), "not a whole JSON"),
    "a record of bytes": (_replace("record.json", b"\xff\xfe\x00"), "not a text file"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "cannot be read"),
    "weights cut short": (_replace("weights.safetensors", b"\x08\0\0"), "is damaged or of another run"),
    "weights of another run": (_other_weights, "is damaged or of another run"),
    "weights that are no number": (_nan_weights, "no finite number"),
    "weights of another network": (_other_shape, "not of this run's network"),
    "a pickle in the place of weights": (_replace("weights.safetensors", b"cos\nsystem\n(S'x'\ntR."), "is damaged"),
    "a schema that was edited": (_wider, "checksum is not the one"),
    "no schema": (lambda folder: (folder / "schema.yaml").unlink(), "cannot be read"),
    "a model file of another run": (_foreign, "is of another run"),
    "a model file of a list": (_replace("model.json", b"[]"), "is not a model file"),
    "a model file of nothing": (_replace("model.json", b""), "not a whole JSON"),
    "a model file of nested lists": (_replace("model.json", b"[" * 200_000), "not a whole JSON"),
}


@pytest.mark.parametrize(("damage", "told"), BROKEN.values(), ids=BROKEN.keys())
def test_a_damaged_folder_is_one_line_with_exit_code_2(
    damage: object, told: str, logistic: Path, tmp_path: Path, loans: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(logistic, tmp_path / "run")
    pq.write_table(loans.slice(0, 5), tmp_path / "new.parquet")
    damage(folder)  # type: ignore[operator]
    assert main(["score", str(folder), str(tmp_path / "new.parquet")]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_two_runs_in_a_folder_are_asked_apart(
    logistic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        shutil.copytree(logistic, tmp_path / name)
    assert main(["score", str(tmp_path), "new.csv"]) == 2
    assert "holds 2 runs" in capsys.readouterr().err


def test_bad_options_lose_nothing_that_was_there(
    logistic: Path, tmp_path: Path, loans: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, new, out = shutil.copytree(logistic, tmp_path / "run"), tmp_path / "new.csv", tmp_path / "out.csv"
    pacsv.write_csv(loans.slice(0, 5), new)
    out.write_text("precious")
    wrong = {
        ("--out", str(out)): "is there already",
        ("--out", str(tmp_path / "out.xlsx")): "must end in",
        ("--out", str(tmp_path / "nowhere" / "out.csv")): "its folder is not there",
        ("--out", str(new), "--force"): "is what is read",
        ("--out", str(folder / "rounds.parquet"), "--force"): "in the results folder",
        ("--reasons", "-1"): "reasons is -1",
        ("--reasons", "999"): "reasons is 999; allowed is 0 to ",
        ("--lender", "nobody"): "is none of this run",
    }
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for words, told in wrong.items():
        assert main(["score", str(folder), str(new), *words]) == 2
        assert told in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert main(["score", str(folder), str(new), "--out", str(out), "--force"]) == 0
    assert out.read_text() != "precious"


def test_a_bad_cell_is_counted_and_not_shown_at_the_command_line(
    logistic: Path, tmp_path: Path, loans: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    place = loans.column_names.index("age")
    bad = loans.slice(0, 3).set_column(place, "age", pa.array(["31", "a-private-word", "44"]))
    pacsv.write_csv(bad, tmp_path / "new.csv")
    assert main(["score", str(logistic), str(tmp_path / "new.csv")]) == 2
    said = capsys.readouterr()
    assert "column age: 1 of 3 values are not plain decimal numbers" in said.err
    assert "private-word" not in said.err + said.out


def test_exports_are_written_once_and_whole(
    logistic: Path, tanh: Path, tmp_path: Path, loans: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    model, table = tmp_path / "model.onnx", tmp_path / "card.csv"
    assert main(["export", str(logistic), "--onnx", str(model), "--scorecard", str(table)]) == 0
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    opened = open_model(logistic)
    features = encode(new_loans(loans.slice(0, 200), opened.schema))
    (found,) = session.run(None, {"features": features})
    assert np.abs(found - opened.pd(features)).max() <= 1e-6
    assert len(table.read_text().splitlines()) == opened.network.num_features + 3
    before = {path: path.read_bytes() for path in (model, table)}
    capsys.readouterr()
    wrong = {
        (str(logistic), "--onnx", str(model)): "is there already",
        (str(tanh), "--onnx", str(model), "--scorecard", str(table), "--force"): "hidden layers",
        (str(logistic), "--onnx", str(tmp_path / "model.pt")): "must end in .onnx",
        (str(logistic), "--scorecard", str(tmp_path / "card.xls")): "must end in .csv",
        (str(logistic),): "nothing to export",
        (str(tmp_path / "nowhere"), "--onnx", str(tmp_path / "other.onnx")): "does not exist",
        (str(logistic), "--scorecard", str(logistic / "card.csv")): "in the results folder",
    }
    for words, told in wrong.items():
        assert main(["export", *words]) == 2
        assert told in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (model, table)} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.csv", "model.onnx"]


def test_a_passport_is_written_beside_the_record_and_only_where_the_ledgers_hold(
    logistic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(logistic, tmp_path / "run")
    assert main(["passport", str(folder), "--purpose", "A test."]) == 0
    written = {name: (folder / name).read_bytes() for name in ("passport.md", "passport.html")}
    assert b"A test." in written["passport.md"]
    assert b"ledgers verify" in written["passport.html"]
    assert main(["passport", str(folder)]) == 2
    assert "is there already" in capsys.readouterr().err
    ledger = sorted((folder / "ledger").glob("*.jsonl"))[0]
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:-2]))
    assert main(["passport", str(folder), "--force"]) == 2
    assert "1 of 3 ledgers do not verify" in capsys.readouterr().err
    assert {name: (folder / name).read_bytes() for name in written} == written
    assert main(["passport", str(logistic), "--into", str(tmp_path / "nowhere")]) == 2
    assert "its folder is not there" in capsys.readouterr().err
    assert main(["passport", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_run_without_privacy_has_a_passport_that_says_so(tanh: Path, tmp_path: Path) -> None:
    assert main(["passport", str(tanh), "--into", str(tmp_path)]) == 0
    assert "promises no privacy" in (tmp_path / "passport.md").read_text(encoding="utf-8")
