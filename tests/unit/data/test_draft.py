from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcredit.data.draft import draft_schema
from fedcredit.data.encoding import encode
from fedcredit.data.portfolio import portfolio_from_table
from fedcredit.data.schema import read_schema
from fedcredit.data.sources import SOURCES
from fedcredit.errors import InputError


def test_a_draft_says_that_it_is_not_private_and_marks_what_to_decide(tmp_path: Path) -> None:
    path = tmp_path / "our loans.csv"
    path.write_text(
        "loan id,bank,income,phone,score,empty,bad\n"
        + "".join(f'L{i},"n: {i % 3}, x",{1000 + i},{i % 2},{"" if i % 5 else i},,{i % 2}\n' for i in range(60))
    )
    text = draft_schema(path)
    assert "Looking at private data to write a schema is not private" in text
    assert "public: false" in text
    (tmp_path / "draft.yaml").write_text(text)
    schema = read_schema(tmp_path / "draft.yaml")
    assert schema.name == "our_loans"
    assert {column.name: column.kind for column in schema.columns} == {
        "loan id": "key", "bank": "category", "income": "number", "phone": "flag", "score": "number",
        "empty": "ignored",
    }  # fmt: skip
    assert schema.column("score").missing == "allowed"  # type: ignore[union-attr]
    assert schema.default.positive_labels == ("1",)
    for line in text.splitlines():
        if line.startswith("  ") and ": {" in line:
            assert "DECIDE" in line


def test_without_a_known_label_the_draft_leaves_the_label_to_be_decided(tmp_path: Path) -> None:
    path = tmp_path / "loans.csv"
    path.write_text("income,phone\n1,0\n2,1\n")
    text = draft_schema(path)
    (tmp_path / "draft.yaml").write_text(text)
    schema = read_schema(tmp_path / "draft.yaml")
    assert schema.default.column == "DECIDE"
    with pytest.raises(InputError, match="column DECIDE: is missing"):
        portfolio_from_table(pa.table({"income": [1.0], "phone": [0]}), schema)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_draft_of_a_public_table_reads_and_encodes(name: str, credit_data: Path, tmp_path: Path) -> None:
    path = credit_data / SOURCES[name].file_name
    (tmp_path / "draft.yaml").write_text(draft_schema(path))
    schema = read_schema(tmp_path / "draft.yaml")
    rows = encode(portfolio_from_table(pq.read_table(path), schema))
    assert np.isfinite(rows).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [("a,a\n1,2\n", "no name of their own"), ("a,b\n", "only a header"), ("", "is empty"), ("a,b\n1\n", "fields")],
)
def test_a_file_that_is_no_table_has_no_draft(content: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "loans.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=says):
        draft_schema(path)


def test_a_label_of_fractions_is_left_to_be_decided(tmp_path: Path) -> None:
    pq.write_table(pa.table({"income": [1.0, 2.0], "default": [0.5, 1.0]}), tmp_path / "loans.parquet")
    assert "positive: [DECIDE]" in draft_schema(tmp_path / "loans.parquet")
