from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from fedcredit.errors import InputError
from fedcredit.experiment.charged_record import ChargedRecord
from fedcredit.experiment.privacy_page import privacy_page
from fedcredit.experiment.record import RunRecord, record_from_json, record_to_json
from fedcredit.experiment.who_sees import CHARGED, LOCAL, READERS, TRUST_MODELS, who_sees_what
from fedcredit.experiment.wording import statement_of
from fedcredit.privacy.accounting.releases import ENCODING_RANGES, OWN_INTERCEPT, RELEASES

MakeRecord = Callable[..., RunRecord]


def test_sections_stand_in_the_order_of_the_guideline(made_up: MakeRecord) -> None:
    page = privacy_page(made_up())
    titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert titles == [
        "1. Unit of privacy", "2. Neighbouring relation", "3. Parameters", "4. Trust model", "5. What is released",
        "6. Who sees what", "7. What is not covered",
    ]  # fmt: skip
    assert "In the order of NIST SP 800-226" in page


def test_figures_are_those_of_the_statement_and_survive_the_record(made_up: MakeRecord) -> None:
    record = made_up()
    page = privacy_page(record)
    assert privacy_page(record_from_json(record_to_json(record))) == page
    statement = statement_of(record)
    assert statement is not None
    assert f"**{statement.reading[1].sentence(unit='loan')}**" in page
    assert "| one lender | 1.000 | 0.3 % | 1.9 % | 8.0 % | 10.0 % | 55.0 % |" in page
    assert "| each of two lenders | 1.402 |" in page
    assert "every update of 20 rounds" in page
    assert "private references of this run (alone, pooled, one_shot)" in page
    for who in (
        "the lender",
        "the server",
        "other lenders",
        "recipients of the network",
        "the simulation's researcher",
    ):
        assert who in page.split("## 6.")[1].split("## 7.")[0].splitlines()[2]


def test_page_stays_a_page_however_many_lenders_there_are(made_up: MakeRecord) -> None:
    page = privacy_page(made_up(lenders=tuple(f"lender {number:03}" for number in range(60)), references=()))
    assert "48 more lenders are in `institutions.parquet`" in page
    assert len(page.splitlines()) < 100


def test_odd_names_break_no_table(made_up: MakeRecord) -> None:
    page = privacy_page(made_up(lenders=("a|b", "c", "d")))
    assert "| a\\|b |" in page


def test_without_privacy_it_says_so(made_up: MakeRecord) -> None:
    page = privacy_page(made_up(epsilon=None))
    assert "promises no privacy" in page
    assert "##" not in page


def test_infinite_epsilon_is_written(made_up: MakeRecord) -> None:
    assert "| inf |" in privacy_page(made_up(epsilon=math.inf))


def test_statement_of_another_version_is_one_clear_message(made_up: MakeRecord) -> None:
    record = made_up()
    assert record.statement is not None
    old = {key: value for key, value in record.statement.items() if key != "reading"}
    with pytest.raises(InputError, match="not of this version"):
        privacy_page(replace(record, statement=old))


def test_deployed_page_says_where_noise_is_from_and_that_nothing_else_leaves(made_up: MakeRecord) -> None:
    page = privacy_page(replace(made_up(), mode="deployed"))
    assert "come from a key of the operating system" in page
    assert "not yet a deployment of separate machines" in " ".join(page.split())
    assert "comes from a seed" not in page
    assert "who runs the process" in page


def test_every_trust_model_answers_for_every_reader() -> None:
    for trust_model, rows in TRUST_MODELS.items():
        assert {len(row) for row in rows} == {1 + len(READERS)}
        for mode in ("simulated", "deployed"):
            table = who_sees_what(trust_model=trust_model, mode=mode)
            assert {len(row) for row in table.rows} == {len(table.headings)}
    for row in who_sees_what(trust_model=LOCAL, mode="simulated").rows:
        assert row[-1] == "yes"


def test_every_charged_release_has_its_reader_and_no_other_run_shows_it(made_up: MakeRecord) -> None:
    assert set(CHARGED) == {name for name in RELEASES if name.startswith("charged.")}
    plain = privacy_page(made_up())
    for name, rows in CHARGED.items():
        assert {len(row) for row in rows} == {1 + len(READERS)}
        assert all(row[0] not in plain for row in rows)
        page = privacy_page(replace(made_up(), charged=ChargedRecord(noise_multiplier={name: 2.0})))
        seen = page.split("## 6.")[1].split("## 7.")[0]
        assert all(f"| {' | '.join(row)} | yes |" in seen for row in rows)
        assert "Noisy counts are charged" in seen
        is_open = "| other figures on validation and test loans" in seen
        assert is_open == (name not in (OWN_INTERCEPT, ENCODING_RANGES))
        assert ("own intercepts |" in seen) == (name != OWN_INTERCEPT)
    assert "Noisy counts are charged" not in plain
