"""Malformed loan files: one message each, naming the column and a count, and never a cell."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcredit.data.tables import load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import spec

SCHEMA = """
name: toy
public: false
row_norm_cap: 2.5
borrower: customer
missing_texts: [n.a.]
default: {column: bad, positive: [1], negative: [0], horizon: 90 days past due within 12 months}
columns:
  customer: {kind: key}
  income: {kind: number, range: [0, 200000], outside: error}
  debt: {kind: number, range: [0, 500000], missing: allowed, impute: 0}
  phone: {kind: flag}
  bank: {kind: category, categories: [north, south], unknown: error}
  memo: {kind: ignored}
features:
  - {kind: linear, of: income, scale: 0.00001}
"""
CANARY = "Zelda-771903"
NUMBER_CANARY = "771903.25"
SECRETS = ("Zelda", "771903", "771,903", "771_903", "BC73F", "2021-05-06", "922337", "900719", "maybe", "hello")
HEADER = "customer,income,debt,phone,bank,memo,bad"
ROW = "c1,1000,5,1,north,hello,0"


def csv(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    return (end.join([header, *rows]) + end).encode()


def row(**cells: str) -> str:
    values = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | cells
    return ",".join(values.values())


def parquet(**columns: object) -> bytes:
    good: dict[str, object] = {
        "customer": ["c1", "c2"], "income": [1.0, 2.0], "debt": [1.0, None], "phone": [0, 1],
        "bank": ["north", "south"], "memo": ["a", "b"], "bad": [0, 1],
    }  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(pa.table(good | columns), sink)
    return sink.getvalue()


def parquet_named(names: list[str], columns: list[pa.Array]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, names=names), sink)
    return sink.getvalue()


def zipped() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("loans.csv", csv(row(memo=CANARY)))
    return sink.getvalue()


@dataclass(frozen=True, kw_only=True)
class Case:
    content: bytes
    says: tuple[str, ...]
    kind: str = "csv"


CASES: dict[str, Case] = {
    "empty file": Case(content=b"", says=("is empty",)),
    "only white space": Case(content=b"\n\n  \n", says=("is empty",)),
    "only a byte-order mark": Case(content=b"\xef\xbb\xbf", says=("is empty",)),
    "header only": Case(content=csv(), says=("no loans", "only a header")),
    "header missing": Case(
        content=f"{CANARY},1,2,1,north,x,0\n{ROW}\n".encode(), says=("none of the 6 declared columns", "header")
    ),
    "a column missing": Case(
        content=csv("c1,5,1,north,x,0", header="customer,debt,phone,bank,memo,bad"), says=("column income", "missing")
    ),
    "a column misspelt": Case(
        content=csv(ROW, header=HEADER.replace("income", "incme")),
        says=("column income", "nearest: incme", "column incme", "not in the schema"),
    ),
    "a column too many": Case(
        content=csv(f"{ROW},{CANARY}", header=f"{HEADER},extra"), says=("column extra", "not in the schema")
    ),
    "a column twice": Case(content=csv(f"{ROW},7", header=f"{HEADER},debt"), says=("column debt", "2 times")),
    "label column missing": Case(
        content=csv("c1,1000,5,1,north,x", header=HEADER.removesuffix(",bad")), says=("column bad", "missing")
    ),
    "semicolons": Case(content=csv(ROW.replace(",", ";"), header=HEADER.replace(",", ";")), says=("semicolons",)),
    "tabs": Case(content=csv(ROW.replace(",", "\t"), header=HEADER.replace(",", "\t")), says=("tabs",)),
    "a short row": Case(content=csv(ROW, f"{CANARY},1", ROW), says=("1 rows", "7 fields", "row 3")),
    "long rows": Case(content=csv(f"{ROW},{CANARY}", f"{ROW},{CANARY}", ROW), says=("2 rows", "7 fields", "row 2")),
    "unclosed quote": Case(content=csv(ROW, row(customer=f'"{CANARY}'), ROW), says=("fields",)),
    "thousands separator": Case(
        content=csv(row(income='"771,903"'), ROW), says=("column income", "1 of 2", "plain decimal")
    ),
    "decimal comma": Case(
        content=csv(row(income='"771903,25"'), row(income='"771903,25"')), says=("column income", "2 of 2")
    ),
    "currency sign": Case(content=csv(row(income="$771903")), says=("column income", "1 of 1")),
    "N/A in a number": Case(content=csv(row(income="N/A"), ROW), says=("column income", "1 of 2")),
    "nan in a number": Case(content=csv(row(debt="nan"), ROW), says=("column debt", "1 of 2")),
    "inf in a number": Case(content=csv(row(debt="inf"), ROW), says=("column debt", "1 of 2")),
    "1e400": Case(content=csv(row(debt="1e400"), ROW), says=("column debt", "1 of 2", "infinite")),
    "hexadecimal": Case(content=csv(row(debt="0xBC73F")), says=("column debt", "1 of 1")),
    "an underscore in a number": Case(content=csv(row(debt="771_903")), says=("column debt", "1 of 1")),
    "a date as a number": Case(content=csv(row(debt="2021-05-06")), says=("column debt", "1 of 1")),
    "empty cell where none may be": Case(
        content=csv(row(income=""), ROW, row(income="")), says=("column income", "2 of 3", "missing")
    ),
    "declared missing text where none may be": Case(
        content=csv(row(income="n.a."), ROW), says=("column income", "1 of 2", "missing")
    ),
    "borrower key missing": Case(content=csv(row(customer=""), ROW), says=("column customer", "1 of 2", "missing")),
    "outside the public range": Case(
        content=csv(row(income=NUMBER_CANARY), ROW), says=("column income", "1 of 2", "[0, 200000]")
    ),
    "negative where the range starts at 0": Case(
        content=csv(row(income="-771903.25")), says=("column income", "1 of 1", "[0, 200000]")
    ),
    "unknown category": Case(
        content=csv(row(bank=CANARY), ROW), says=("column bank", "1 of 2", "2 declared categories")
    ),
    "category in other case": Case(content=csv(row(bank="North")), says=("column bank", "1 of 1")),
    "flag that is text": Case(
        content=csv(row(phone=CANARY), row(phone="maybe")), says=("column phone", "2 of 2", "0, 1, true or false")
    ),
    "flag of 2": Case(content=csv(row(phone="2")), says=("column phone", "1 of 1")),
    "label not declared": Case(
        content=csv(row(bad="771903"), ROW), says=("column bad", "1 of 2", "positive 1; negative 0")
    ),
    "label missing": Case(content=csv(row(bad=""), ROW), says=("column bad", "1 of 2", "missing")),
    "integer beyond 2**63": Case(content=csv(row(debt="9223372036854775809")), says=("column debt", "1 of 1", "2**53")),
    "integer beyond 2**53": Case(content=csv(row(debt="9007199254740993")), says=("column debt", "1 of 1", "2**53")),
    "invalid UTF-8 in a cell": Case(
        content=csv(ROW) + b"c\xff\xfe,1,2,1,north,x,0\n", says=("column customer", "1 of 2", "UTF-8")
    ),
    "invalid UTF-8 in a number": Case(
        content=csv(ROW) + b"c2,\xff,2,1,north,x,0\n", says=("column income", "1 of 2", "UTF-8")
    ),
    "invalid UTF-8 in the header": Case(content=b"customer\xff" + csv(ROW)[8:], says=("header",)),
    "UTF-16": Case(content=csv(row(customer=CANARY)).decode().encode("utf-16"), says=("UTF-16",)),
    "NUL bytes": Case(content=csv(row(customer="c\0")), says=("NUL",)),
    "a huge field": Case(
        content=csv(row(customer=CANARY * 1000)), says=("column customer", "1 of 1", "1000 characters")
    ),
    "gzip called csv": Case(content=gzip.compress(csv(row(customer=CANARY))), says=("gzip",)),
    "zip called csv": Case(content=zipped(), says=("zip archive",)),
    "parquet called csv": Case(content=parquet(), says=("kind: parquet",)),
    "csv called parquet": Case(kind="parquet", content=csv(row(customer=CANARY)), says=("kind: csv",)),
    "empty parquet": Case(kind="parquet", content=b"", says=("is empty",)),
    "parquet cut short": Case(kind="parquet", content=parquet()[:-20], says=("cut short",)),
    "parquet with a broken footer": Case(
        kind="parquet", content=parquet()[:-200] + b"\xff" * 192 + parquet()[-8:], says=("damaged",)
    ),
    "parquet with broken pages": Case(
        kind="parquet", content=b"PAR1" + b"\xff" * 60 + parquet()[64:], says=("damaged",)
    ),
    "parquet without loans": Case(
        kind="parquet", content=parquet_named(HEADER.split(","), [pa.array([], pa.int64())] * 7), says=("no loans",)
    ),
    "nested parquet": Case(kind="parquet", content=parquet(debt=[[1.0], [771903.25]]), says=("column debt", "nested")),
    "struct in parquet": Case(
        kind="parquet", content=parquet(debt=[{"a": 1}, {"a": 771903}]), says=("column debt", "nested")
    ),
    "text in a parquet number": Case(
        kind="parquet", content=parquet(income=[CANARY, "5"]), says=("column income", "1 of 2")
    ),
    "dates in a parquet number": Case(
        kind="parquet", content=parquet(income=pa.array([0, 1], pa.date32())), says=("column income", "date32")
    ),
    "booleans in a parquet number": Case(
        kind="parquet", content=parquet(income=[True, False]), says=("column income", "bool")
    ),
    "NaN in a parquet number": Case(
        kind="parquet", content=parquet(income=[float("nan"), 771903.25]), says=("column income", "1 of 2", "missing")
    ),
    "infinity in a parquet number": Case(
        kind="parquet", content=parquet(debt=[float("inf"), 771903.25]), says=("column debt", "1 of 2", "infinite")
    ),
    "integer beyond 2**63 in parquet": Case(
        kind="parquet",
        content=parquet(debt=pa.array([2**63 + 5, 1], pa.uint64())),
        says=("column debt", "1 of 2", "2**53"),
    ),
    "fractions as a category": Case(
        kind="parquet", content=parquet(bank=[771903.25, 1.0]), says=("column bank", "1 of 2", "fractions")
    ),
    "bytes as a key": Case(
        kind="parquet", content=parquet(customer=[b"\xff\xfe", b"c2"]), says=("column customer", "1 of 2", "UTF-8")
    ),
    "a whole column missing": Case(
        kind="parquet", content=parquet(income=pa.nulls(2)), says=("column income", "2 of 2", "missing")
    ),
    "durations as a key": Case(
        kind="parquet",
        content=parquet(customer=pa.array([1, 2], pa.duration("s"))),
        says=("column customer", "duration"),
    ),
    "a parquet column twice": Case(
        kind="parquet",
        content=parquet_named([*HEADER.split(","), "debt"], [pa.array([0])] * 8),
        says=("column debt", "2 times"),
    ),
}


def _load(kind: str, path: Path, folder: Path) -> None:
    schema = folder / "toy.yaml"
    schema.write_text(SCHEMA)
    load_portfolio(spec.FileTable(kind=kind, path=str(path), schema_file=str(schema)))  # type: ignore[arg-type]


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_table_is_one_message_without_a_cell(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    path = tmp_path / f"loans.{case.kind}"
    path.write_bytes(case.content)
    (tmp_path / "toy.yaml").write_text(SCHEMA)
    before = _snapshot(tmp_path)
    with pytest.raises(InputError) as caught:
        _load(case.kind, path, tmp_path)
    message = str(caught.value)
    for words in case.says:
        assert words in message
    assert str(path) in message
    for secret in SECRETS:
        assert secret not in message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert capsys.readouterr() == ("", "")
    assert _snapshot(tmp_path) == before


def test_there_are_at_least_forty_malformed_tables() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "none.csv", "does not exist"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: Path("/dev/null"), "not a plain file"),
    ],
)
def test_a_path_without_a_file_is_told(make: Callable[[Path], Path], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        _load("csv", make(tmp_path), tmp_path)


def test_all_problems_of_a_table_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "loans.csv"
    path.write_bytes(csv(row(income="N/A", phone="x", bank="mars", bad="7")))
    with pytest.raises(InputError, match="4 problems") as caught:
        _load("csv", path, tmp_path)
    for name in ("income", "phone", "bank", "bad"):
        assert f"column {name}" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        csv(ROW, row(customer="c2", debt="", bad="1")),
        csv(ROW, row(customer="c2", debt="n.a.", bad="1"), end="\r\n"),
        b"\xef\xbb\xbf" + csv(ROW, row(customer="c2", debt="", bad="1")),
        csv(ROW, row(customer='"c2"', debt="", memo='"two\nlines, quoted ""so"""', bad="1")),
        csv(row(income=" 1e3 "), row(customer="c2", income="+1000.", debt="", phone="false", bad="1")).replace(
            b",5,1,", b",5,true,"
        ),
    ],
    ids=["plain", "CRLF", "byte-order mark", "quoted newline", "spellings of numbers and flags"],
)
def test_harmless_spellings_of_csv_are_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "loans.csv").write_bytes(content)
    (tmp_path / "toy.yaml").write_text(SCHEMA)
    where = spec.FileTable(kind="csv", path=str(tmp_path / "loans.csv"), schema_file=str(tmp_path / "toy.yaml"))
    loans = load_portfolio(where)
    assert loans.num_loans == 2
    assert loans.column("income")[0] == 1000.0
    assert loans.column("debt")[0] == 5.0
    assert loans.column("debt")[1] != loans.column("debt")[1], "a missing number is NaN"
    assert loans.borrower.tolist() == ["c1", "c2"]
    assert loans.default.tolist() == [0, 1]
    assert "memo" not in loans.columns


def test_the_same_loans_from_parquet_and_csv_are_the_same_portfolio(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(SCHEMA)
    (tmp_path / "a.csv").write_bytes(csv("17,1000,5,1,north,x,0", "18,2000.5,,0,south,y,1"))
    (tmp_path / "a.parquet").write_bytes(
        parquet(customer=[17, 18], income=[1000, 2000.5], debt=[5.0, None], phone=[True, False])
    )
    schema_file = str(tmp_path / "toy.yaml")
    read = [
        load_portfolio(spec.FileTable(kind="csv", path=str(tmp_path / "a.csv"), schema_file=schema_file)),
        load_portfolio(spec.FileTable(kind="parquet", path=str(tmp_path / "a.parquet"), schema_file=schema_file)),
    ]
    for name in ("customer", "income", "phone", "bank"):
        assert read[0].column(name).tolist() == read[1].column(name).tolist()
    assert read[0].default.tolist() == read[1].default.tolist()
