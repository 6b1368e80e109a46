from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import NoReturn

import pytest
from flwr.app import Message

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.data import institution
from fedcredit.errors import InputError
from fedcredit.experiment import outlook as outlook_module
from fedcredit.experiment.outlook import look_ahead, parse_counts
from fedcredit.experiment.outlook_view import lender_plan, outlook_json, plan_lines
from fedcredit.experiment.prepare import prepare
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Experiment
from fedcredit.federation.flower_private import wire_bytes
from fedcredit.federation.runtimes.inline import InlineGrid
from fedcredit.federation.traffic import traffic
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.events import GaussianSteps, merge
from fedcredit.privacy.accounting.ledger import read_ledger
from fedcredit.privacy.accounting.parts import dearest_epsilon, state_parts
from fedcredit.privacy.accounting.releases import RECALIBRATION, TEST_HISTOGRAM

STEP = GaussianSteps(sampling_probability=1.0, noise_multiplier=6.0, num_steps=1)
COUNTS = {"north": 3000, "south": 900, "west": 120}
SMALL = (
    "portfolio=german",
    "partition=iid",
    "network=tanh16",
    "partition.num_institutions=3",
    "privacy.target_delta=1e-5",
    "privacy.target_epsilon=2",
    "training.num_rounds=12",
    "evaluation.every=5",
    "evaluation.references=[]",
)


def experiment(*overrides: str) -> Experiment:
    return compose(None, [*SMALL, *overrides])


def closed(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a private row was touched")


@pytest.mark.usefixtures("credit_data")
def test_plan_is_what_the_run_then_does(tmp_path: Path) -> None:
    chosen = experiment(f"results_dir={tmp_path}")
    planned = look_ahead(chosen)
    record = run(chosen, progress=False)
    assert planned.contracts == record.contracts
    assert planned.plan.noise_multiplier == record.noise_multiplier
    assert planned.statement is not None
    assert record.statement is not None
    told = planned.statement.to_json()
    assert {key: told[key] for key in ("per_lender", "worst", "overlap", "reading", "unit", "relation")} == {
        key: record.statement[key] for key in ("per_lender", "worst", "overlap", "reading", "unit", "relation")
    }
    assert set(record.remarks) <= set(planned.warnings)


HISTOGRAM = "evaluation.charged.score_histogram.loans=test"
CHARGED = {
    "a held-out release alone": (HISTOGRAM,),
    "one that costs more than training": (HISTOGRAM, "evaluation.charged.score_histogram.noise_multiplier=.8"),
    "all of them, with a budget": (
        HISTOGRAM, "evaluation.charged.recalibration.num_bins=8", "evaluation.own_intercept=charged",
        "encoding.ranges=charged_quantiles", "privacy.budgets={lender_02: 1}",
    ),
    "two of the same part, noise given": (
        "privacy.target_epsilon=null", "privacy.noise_multiplier=3",
        "evaluation.charged.score_histogram.loans=validation", "evaluation.charged.score_histogram.noise_multiplier=2",
        "evaluation.charged.recalibration.noise_multiplier=1.5",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("credit_data")
@pytest.mark.parametrize("asked", CHARGED)
def test_a_plan_with_charged_releases_states_what_the_ledgers_then_say(tmp_path: Path, asked: str) -> None:
    quick = ("training.num_rounds=4", "trainer=vectorised", "privacy.target_delta=1e-4", *CHARGED[asked])
    chosen = experiment(f"results_dir={tmp_path}", *quick)
    planned = look_ahead(chosen)
    record = run(chosen, progress=False, report=False)
    assert planned.statement is not None
    assert record.statement is not None
    told = planned.statement.to_json()
    for key in ("per_lender", "worst", "overlap", "reading"):
        assert told[key] == record.statement[key], key
    for path in tmp_path.rglob("ledger/*.jsonl"):
        content = read_ledger(path)
        assert dearest_epsilon(content.events, delta=1e-4) == planned.statement.per_lender[content.institution]
    assert [line for line in plan_lines(planned) if line.startswith("by the part of")] == [
        line for line in record.statement_lines if line.startswith("by the part of")
    ]
    assert planned.curve[-1][1].value <= planned.statement.worst.value


def test_a_plan_prices_what_is_charged_of_held_out_loans_too() -> None:
    price = GaussianSteps(sampling_probability=1.0, noise_multiplier=0.8, num_steps=1)
    noise = "evaluation.charged.score_histogram.noise_multiplier=.8"
    planned = look_ahead(experiment(HISTOGRAM, noise, "training.num_rounds=1", "trainer=vectorised"), num_loans=COUNTS)
    assert planned.statement is not None
    assert planned.statement.worst == epsilon([price], delta=1e-5)
    assert planned.statement.worst.value > 2.0


def test_with_borrower_keys_a_plan_takes_the_dearest_part_and_without_them_the_dearest_choice_of_parts() -> None:
    events = {
        lender: {"federation": [STEP.times(4)], TEST_HISTOGRAM: [STEP.times(3)], RECALIBRATION: [STEP]}
        for lender in ("north", "south")
    }
    plans = {
        has_keys: state_parts(
            {lender: lambda name, own=own: merge(own.get(name, ())) for lender, own in events.items()},
            delta=1e-5, unit="loan", relation="zero_out", mode="simulated", covers="", known={}, is_one_part=has_keys,
        )
        for has_keys in (True, False)
    }  # fmt: skip
    assert plans[True].worst == plans[False].worst == epsilon([STEP.times(4)], delta=1e-5)
    assert plans[True].overlap[2] == epsilon([STEP.times(8)], delta=1e-5)
    assert plans[False].overlap[2].value >= plans[True].overlap[2].value


@pytest.mark.usefixtures("credit_data")
@pytest.mark.parametrize(
    "more", [(), ("partition.num_institutions=8", "strategy.cohort.kind=fraction", "strategy.cohort.fraction=0.5")]
)
def test_messages_and_bytes_are_those_that_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    chosen = experiment(f"results_dir={tmp_path}", *more)
    seen: Counter[str] = Counter()
    deliver = InlineGrid._deliver

    def counted(self: InlineGrid, message: Message) -> str:
        seen["to_lenders"] += wire_bytes(message.content)
        found = deliver(self, message)
        seen["to_server"] += wire_bytes(self._replies[found].content)
        seen["messages"] += 2
        return found

    monkeypatch.setattr(InlineGrid, "_deliver", counted)
    run(chosen, progress=False)
    prepared = prepare(chosen)
    sent = traffic(
        chosen,
        num_parameters=prepared.network.num_parameters,
        validation_loans={lender.name: lender.validation.num_loans for lender in prepared.institutions},
    )
    assert sent.num_messages == seen["messages"]
    assert sent.bytes_to_server == pytest.approx(seen["to_server"], rel=2e-3)
    assert sent.bytes_to_lenders == pytest.approx(seen["to_lenders"], rel=2e-3)
    travelled = dict(seen)
    planned = look_ahead(chosen).traffic
    assert planned.num_messages == travelled["messages"]
    assert planned.bytes_to_server == pytest.approx(travelled["to_server"], rel=0.1)


def test_with_given_numbers_no_table_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(outlook_module, "load_portfolio", closed)
    planned = look_ahead(experiment(f"results_dir={tmp_path / 'results'}"), num_loans=COUNTS)
    assert {contract.institution: contract.num_loans for contract in planned.contracts} == COUNTS
    assert "no table was opened" in planned.counts
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AssertionError, match="a private row was touched"):
        look_ahead(experiment())


@pytest.mark.usefixtures("credit_data")
def test_counting_encodes_no_loan_and_says_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = experiment("split_seed=77")
    with monkeypatch.context() as patch:
        for computing in ("encode", "computed"):
            patch.setattr(institution, computing, closed)
        planned = look_ahead(chosen)
        with pytest.raises(AssertionError, match="a private row was touched"):
            prepare(chosen)
    expected = {lender.name: lender.train.num_loans for lender in prepare(chosen).institutions}
    assert {contract.institution: contract.num_loans for contract in planned.contracts} == expected
    assert "No loan was encoded" in planned.counts


def test_epsilon_grows_by_round_to_the_planned_one() -> None:
    planned = look_ahead(experiment(), num_loans=COUNTS)
    values = [bound.value for _, bound in planned.curve]
    assert [count for count, _ in planned.curve] == [1, 3, 6, 9, 12]
    assert values == sorted(values)
    assert planned.statement is not None
    assert values[-1] == planned.statement.worst.value <= 2.0
    assert sorted(planned.statement.overlap) == [2, 3]


@pytest.mark.parametrize(
    ("overrides", "counts", "said"),
    [
        (("training=local_epochs",), {"a": 3000, "b": 40}, "Batches of fewer than 64 loans under privacy at 1 lender"),
        (
            ("privacy.target_epsilon=null", "privacy.noise_multiplier=3", "training=local_epochs"),
            {"a": 3000, "b": 300},
            "One noise multiplier for unequal rates or steps: epsilon is ",
        ),
        (("privacy.clipping_norm=0.5",), COUNTS, "clipping_norm 0.5 is below the row-norm cap"),
        (("privacy.target_delta=1e-4",), COUNTS, "target_delta 0.0001 is 0.1 / (training loans) or more at 1 l"),
        (("evaluation.references=[alone,pooled_trees]",), COUNTS, "1 private references (alone)"),
    ],
)  # fmt: skip
def test_warnings_name_the_lender_and_stay_away_where_there_is_nothing(
    overrides: tuple[str, ...], counts: dict[str, int], said: str
) -> None:
    with_it = look_ahead(experiment(*overrides), num_loans=counts)
    assert sum(warning.startswith(said) for warning in with_it.warnings) == 1
    without = look_ahead(experiment(), num_loans={"a": 3000, "b": 3000, "c": 3000})
    assert without.warnings == ()
    assert without.refusal is None


def test_delta_that_gives_a_loan_away_is_a_plan_that_would_be_refused(capsys: pytest.CaptureFixture[str]) -> None:
    planned = look_ahead(experiment("privacy.target_delta=1e-3"), num_loans=COUNTS)
    assert planned.refusal is not None
    assert "privacy.target_delta is 0.001, but the largest lender, north, has 3000" in planned.refusal
    words = [*SMALL, "privacy.target_delta=1e-3", "--num-loans", "north=3000"]
    assert main(["plan", *words]) == 2
    assert "this run would be refused: privacy.target_delta" in capsys.readouterr().out.replace("\n", " ")


def test_without_privacy_there_is_a_plan_and_no_epsilon() -> None:
    planned = look_ahead(experiment("privacy.target_epsilon=inf"), num_loans=COUNTS)
    assert planned.statement is None
    assert planned.curve == ()
    assert plan_lines(planned)[0].startswith("no privacy")
    assert all(row[-1] == "–" for row in lender_plan(planned).rows)  # noqa: RUF001
    assert json.loads(outlook_json(planned))["plan"]["target_epsilon"] == {"$float": "inf"}


def test_text_and_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, *(f"--num-loans={name}={count}" for name, count in COUNTS.items())]
    assert main(["plan", *words]) == 0
    shown = capsys.readouterr().out
    assert main(["plan", *words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["format"] == "fedcredit/plan/1"
    assert content["statement"]["worst"]["value"] <= 2.0
    assert content["train_seconds"] > 0.0
    for name, sigma in content["plan"]["noise_multiplier"].items():
        assert f"{sigma:.4f}" in next(line for line in shown.splitlines() if f" {name} " in line)
    assert f"messages: {content['traffic']['num_messages']:,};" in shown
    assert "for a borrower with one loan at each of three lenders" in shown


@pytest.mark.parametrize("text", ["north", "north=", "=5", "north=-1", "north=2.5", "north=x"])
def test_numbers_that_are_none_are_one_message(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *SMALL, "--num-loans", text]) == 2
    shown = capsys.readouterr().err
    assert "allowed is name=count once for each lender" in shown
    assert "Traceback" not in shown


def test_numbers_are_at_least_one_and_each_lender_is_named_once() -> None:
    assert parse_counts(["a=b=3", "c d=4"]) == {"a=b": 3, "c d": 4}
    with pytest.raises(InputError, match="allowed is name=count once"):
        parse_counts(["a=3", "a=4"])
    with pytest.raises(InputError, match="allowed is a whole number from 1"):
        look_ahead(experiment(), num_loans={"a": 0})
