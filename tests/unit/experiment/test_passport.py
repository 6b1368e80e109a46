"""A passport says what the record, the statement and the schema say, and nothing else."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedcredit.config import compose
from fedcredit.data.encoding import feature_names
from fedcredit.data.schema_text import schema_data
from fedcredit.data.tables import public_schema
from fedcredit.experiment.kept_model import KeptModel
from fedcredit.experiment.passport import Passport, passport, passport_html, passport_markdown
from fedcredit.experiment.passport_limits import limits
from fedcredit.experiment.record import RunRecord, record_from_json, record_to_json
from fedcredit.experiment.wording import epsilon_text
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.accounting import accountants

MakeRecord = Callable[..., RunRecord]
SCHEMA = public_schema("taiwan")
# A hexadecimal digest, a date and a version are one token; so is a number with thousands.
TOKEN = re.compile(r"[0-9a-f]{40,}|\d+(?:[.,:+-]?\d+)*(?:e-?\d+)?")


@pytest.fixture
def model_of(tmp_path: Path) -> Callable[[RunRecord], KeptModel]:
    def make(record: RunRecord) -> KeptModel:
        (tmp_path / "weights.safetensors").write_bytes(b"weights")
        network = DefaultNetwork(num_features=len(feature_names(SCHEMA)), hidden=(16,))
        return KeptModel(
            folder=tmp_path,
            record=record,
            experiment=compose("taiwan/loan_level"),
            schema=SCHEMA,
            network=network,
            parameters=None,  # type: ignore[arg-type]
        )

    return make


def leaves(value: Any) -> Iterator[Any]:  # noqa: ANN401
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def figures(text: str) -> list[str]:
    return TOKEN.findall(text)


def sources(model: KeptModel) -> tuple[set[str], list[float]]:
    """Return every text token, and every number, of what a passport may read."""
    record = json.loads(record_to_json(model.record))
    told = [*leaves(record), *leaves(schema_data(model.schema)), model.schema_checksum, model.weights_checksum]
    texts = {token for leaf in told if isinstance(leaf, str) for token in figures(leaf)}
    numbers = [float(leaf) for leaf in told if isinstance(leaf, int | float) and not isinstance(leaf, bool)]
    lists = [leaf for leaf in (record["contracts"], record["rounds"], record["statement"]) if leaf is not None]
    return texts, numbers + [float(len(leaf)) for leaf in lists]


def is_known(token: str, texts: set[str], numbers: list[float]) -> bool:
    """Whether a token is written in a source, or is one of its numbers (or a hundredfold, for per cent) rounded."""
    if token in texts:
        return True
    try:
        value = float(token.replace(",", ""))
    except ValueError:
        return False
    digits = len(token.partition(".")[2])
    unit = 10.0**-digits
    return any(
        abs(abs(factor * number) - value) <= 0.5000001 * unit or math.isclose(-(-number // unit) * unit, value)
        for number in numbers
        for factor in (1.0, 100.0)
        if math.isfinite(number)
    )


WORDS = {"256"}  # of SHA-256
ATTACKER = ("0.1", "1", "5", "50")  # the false alarms of a reading, and a coin


def test_every_figure_is_read_from_the_record_the_schema_or_a_checksum(
    model_of: Callable[[RunRecord], KeptModel], made_up: MakeRecord
) -> None:
    for epsilon in (1.0, None):
        model = model_of(made_up(epsilon=epsilon, references=("alone", "pooled")))
        texts, numbers = sources(model)
        page = passport_markdown(passport(model))
        network = [28.0, 16.0, 1.0, float(model.network.num_parameters)]
        kinds = [float(sum(column.kind == kind for column in SCHEMA.columns)) for kind in ("number", "category")]
        for line in page.splitlines():
            if line.startswith(("## ", "| no.", "1. ")):
                continue
            for place, token in enumerate(figures(line)):
                is_row_number = place == 0 and re.match(r"\| \d+ \| ", line) is not None
                known = is_known(token, texts | WORDS | set(ATTACKER), [*numbers, *network, *kinds])
                best_guess = [(1 + number) / 2 for number in numbers if 0 < number < 1]
                assert is_row_number or known or is_known(token, set(), best_guess), (token, line)


def test_a_figure_from_elsewhere_would_be_seen(model_of: Callable[[RunRecord], KeptModel], made_up: MakeRecord) -> None:
    texts, numbers = sources(model_of(made_up()))
    assert not is_known("0.31416", texts, numbers)
    assert not is_known("987,654", texts, numbers)
    assert not is_known("deadbeef" * 8, texts, numbers)


def test_changed_figures_of_the_record_are_changed_on_the_page(
    model_of: Callable[[RunRecord], KeptModel], made_up: MakeRecord
) -> None:
    record = made_up()
    content = json.loads(record_to_json(record))
    overall = content["evaluation"]["overall"]
    overall |= {"auc": 0.61234, "ks": 0.23456, "brier": 0.11223, "mean_pd_over_bad_rate": 1.77}
    overall["auc_interval"] |= {"lower": 0.60123, "upper": 0.62345}
    content["statement"]["worst"]["value"] = 3.21987
    content["environment"]["packages"]["numpy"] = "9.9.9-made-up"
    page = passport_markdown(passport(model_of(record_from_json(json.dumps(content)))))
    for told in ("0.6123 [0.6012, 0.6234]", "0.2346", "0.1122", "1.77", epsilon_text(3.21987), "9.9.9-made-up"):
        assert told in page
    assert f"epsilon, worst-off lender: **{epsilon_text(3.21987)}" in page


def test_no_epsilon_is_computed(
    model_of: Callable[[RunRecord], KeptModel], made_up: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a passport priced something")

    for price in (accountants.epsilon, accountants.quick_epsilon):
        monkeypatch.setattr(inspect.unwrap(price), "__code__", refuse.__code__)
    with pytest.raises(AssertionError, match="priced"):
        accountants.quick_epsilon((), delta=1e-5)
    record = made_up()
    page = passport_markdown(passport(model_of(record)))
    for line in record.statement_lines:
        assert line in page


def test_the_page_has_the_parts_that_a_review_asks_for(
    model_of: Callable[[RunRecord], KeptModel], made_up: MakeRecord
) -> None:
    page: Passport = passport(model_of(made_up()), purpose="Ranking of card accounts.", ledgers="All verify.")
    told = passport_markdown(page)
    titles = [line.partition(". ")[2] for line in told.splitlines() if line.startswith("## ")]
    assert titles == [
        "Purpose", "Data and schema", "Lenders", "Network and training", "Privacy statement", "Evaluation",
        "Limits and what is not covered", "Versions", "How to reproduce",
    ]  # fmt: skip
    assert "Ranking of card accounts." in told
    assert SCHEMA.default.horizon in told
    assert "not released for any decision" in passport_markdown(passport(model_of(made_up())))
    html = passport_html(page)
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "")
    for title in titles:
        assert f"<h2>{title}</h2>" in html


def test_limits_name_what_was_not_looked_at(model_of: Callable[[RunRecord], KeptModel], made_up: MakeRecord) -> None:
    told = limits(model_of(made_up()))
    assert any("no groups of people were compared" in line for line in told)
    assert any("later months" in line for line in told)
    assert sum(line.startswith("not covered by epsilon") for line in told) >= 5
    assert not any(line.startswith("not covered by epsilon") for line in limits(model_of(made_up(epsilon=None))))


def test_many_lenders_and_odd_names_break_no_page(
    model_of: Callable[[RunRecord], KeptModel], made_up: MakeRecord
) -> None:
    names = ("<script>alert(1)</script>", "a|b", *(f"lender {number:03}" for number in range(40)))
    page = passport(model_of(made_up(lenders=names, references=())))
    assert "30 more lenders are in institutions.parquet" in passport_markdown(page)
    assert "| a\\|b |" in passport_markdown(page)
    assert "<script>alert(1)" not in passport_html(page)
    assert replace(page, title="x").title == "x"
