"""A cap on epsilon: the last step that fits, the round that is not begun, and the ledger that refuses it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fedcredit.config import compose
from fedcredit.data.contract import draw_up
from fedcredit.errors import InputError
from fedcredit.experiment.charged_plan import training_releases
from fedcredit.experiment.fingerprint import fingerprint
from fedcredit.experiment.ledger_files import ledger_files, verify_ledgers
from fedcredit.experiment.outlook import look_ahead
from fedcredit.experiment.record import read_record
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import FixedSteps
from fedcredit.experiment.stopping import planned_stop
from fedcredit.privacy.accounting.accountants import epsilon, quick_epsilon
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.ledger import PrivacyLedger, Release, ledger_path, read_ledger
from fedcredit.privacy.accounting.parts import dearest_epsilon
from fedcredit.privacy.cap import SpendingCap
from fedcredit.privacy.plan import plan_privacy

STEP = GaussianSteps(sampling_probability=0.25, noise_multiplier=4.0, num_steps=1)
GERMAN = (
    "portfolio=german", "partition=quantity", "partition.num_institutions=3", "privacy.target_delta=1e-4",
    "privacy.target_epsilon=null", "privacy.noise_multiplier=3", "training.num_rounds=12", "trainer=vectorised",
)  # fmt: skip
PRIVATE = "evaluation.references=[alone,pooled,one_shot]"


@pytest.mark.parametrize("rate", [0.25, 1.0])
@pytest.mark.parametrize("cap", [0.5, 1.0, 3.0])
def test_the_last_step_that_fits_fits_and_the_next_does_not(cap: float, rate: float) -> None:
    step = GaussianSteps(sampling_probability=rate, noise_multiplier=4.0, num_steps=1)
    most = SpendingCap(epsilon=cap, delta=1e-5).most_steps(step)
    prices = [epsilon([step.times(count)], delta=1e-5).value for count in (most or 1, most + 1)]
    assert most == 0 or prices[0] <= cap
    assert prices[1] > cap


def test_the_quick_bound_alone_would_stop_too_soon_and_the_other_confirms() -> None:
    cap = SpendingCap(epsilon=1.0, delta=1e-5)
    most = cap.most_steps(STEP)
    assert quick_epsilon([STEP.times(most)], delta=1e-5).value > 1.0
    assert cap.permits([STEP.times(most)])
    assert not cap.permits([STEP.times(most), STEP])


def test_other_events_count_against_the_cap_too() -> None:
    cap, most = SpendingCap(epsilon=1.0, delta=1e-5), SpendingCap(epsilon=1.0, delta=1e-5).most_steps(STEP)
    other = GaussianSteps(sampling_probability=1.0, noise_multiplier=6.0, num_steps=1)
    assert cap.permits([STEP.times(most)])
    assert not cap.permits([STEP.times(most), other])
    assert cap.permits([other])


def test_room_is_kept_for_what_is_released_beside_the_training() -> None:
    other = GaussianSteps(sampling_probability=1.0, noise_multiplier=6.0, num_steps=1)
    alone = SpendingCap(epsilon=1.0, delta=1e-5)
    cap = SpendingCap(epsilon=1.0, delta=1e-5, beside=(other,))
    most = cap.most_steps(STEP)
    assert 0 < most < alone.most_steps(STEP)
    prices = [epsilon([STEP.times(count), other], delta=1e-5).value for count in (most, most + 1)]
    assert prices[0] <= 1.0 < prices[1]
    assert cap.permits([STEP.times(most)])
    assert not cap.permits([STEP.times(most), STEP])
    assert not cap.permits([STEP.times(most), other])
    assert SpendingCap(epsilon=0.2, delta=1e-5, beside=(other,)).most_steps(STEP) == 0


@pytest.mark.usefixtures("credit_data")
def test_a_capped_run_with_charged_releases_ends_below_the_cap_and_as_planned(tmp_path: Path) -> None:
    charged = (
        "evaluation.own_intercept=charged", "evaluation.charged.score_histogram.loans=test",
        "encoding.ranges=charged_quantiles", "privacy.epsilon_cap=1", "evaluation.references=[]",
    )  # fmt: skip
    chosen = compose(None, [*GERMAN, *charged, f"results_dir={tmp_path}"])
    record = run(chosen, progress=False, report=False)
    planned = look_ahead(chosen).statement
    assert planned is not None
    assert record.statement is not None
    assert planned.to_json()["per_lender"] == record.statement["per_lender"]
    assert 0.8 < planned.worst.value <= 1.0
    assert 0 < len(record.rounds) < 12
    beside = training_releases(chosen)
    for path in tmp_path.rglob("ledger/*.jsonl"):
        content = read_ledger(path)
        done = content.events("federation")
        assert epsilon([*done, *beside], delta=1e-4).value <= 1.0
        assert dearest_epsilon(content.events, delta=1e-4).value <= 1.0
        assert sum(event.num_steps for event in done) == len(record.rounds)


def test_held_out_releases_that_pass_the_cap_by_themselves_are_refused_by_name() -> None:
    chosen = compose(
        None,
        [
            *GERMAN, "privacy.epsilon_cap=1", "evaluation.charged.score_histogram.loans=test",
            "evaluation.charged.score_histogram.noise_multiplier=1",
        ],
    )  # fmt: skip
    local = FixedSteps(num_steps=1, sampling_probability=0.25)
    plan = plan_privacy(chosen.privacy, draw_up({"a": 300}, local=local, weights="by_size"), num_rounds=12)
    with pytest.raises(InputError, match=r"test loans alone \(charged\.score_histogram\.test\) cost epsilon"):
        planned_stop(chosen, plan)


def test_no_noise_fits_under_no_cap() -> None:
    step = GaussianSteps(sampling_probability=0.25, noise_multiplier=0.0, num_steps=1)
    assert SpendingCap(epsilon=1e6, delta=1e-5).most_steps(step) == 0


def test_a_ledger_refuses_the_release_that_passes_the_cap_and_charges_nothing_for_it(tmp_path: Path) -> None:
    cap = SpendingCap(epsilon=1.0, delta=1e-5)
    most = cap.most_steps(STEP)
    releases = [Release(name="federation", server_round=n, event=STEP, digest=str(n)) for n in range(1, most + 2)]
    path = tmp_path / "ledger.jsonl"
    for _ in range(2):
        with PrivacyLedger.open(path, institution="a", fingerprint="f", mode="simulated") as ledger:
            for release in releases[:most]:
                ledger.intend(release, within=cap)
            with pytest.raises(InputError, match=f"round {most + 1} of 'federation' would pass the cap"):
                ledger.intend(releases[most], within=cap)
    assert read_ledger(path).events() == (STEP.times(most),)


def test_an_interrupted_ledger_that_is_ahead_of_the_rounds_replays_them_free(tmp_path: Path) -> None:
    """A restart asks for round 1 again while the ledger already stands at the cap."""
    cap = SpendingCap(epsilon=1.0, delta=1e-5)
    most = cap.most_steps(STEP)
    with PrivacyLedger.open(tmp_path / "l.jsonl", institution="a", fingerprint="f", mode="simulated") as ledger:
        for number in [*range(1, most + 1), 1, 2, most]:
            ledger.intend(Release(name="federation", server_round=number, event=STEP, digest=str(number)), within=cap)
        assert ledger.events() == (STEP.times(most),)


def test_a_cohort_that_leaves_lenders_out_gets_further_under_the_same_cap() -> None:
    typed = [
        "privacy.target_epsilon=null",
        "privacy.noise_multiplier=4",
        "privacy.epsilon_cap=1",
        "training.num_rounds=400",
    ]
    loans = {f"lender {number}": 500 for number in range(10)}
    stops = []
    for cohort in ([], ["strategy/cohort=fraction", "strategy.cohort.fraction=0.5"]):
        experiment = compose("taiwan/loan_level", [*typed, *cohort])
        contracts = draw_up(loans, local=FixedSteps(), weights="by_size")
        stops.append(planned_stop(experiment, plan_privacy(experiment.privacy, contracts, num_rounds=400)))
    full, half = stops
    assert full is not None
    assert half is not None
    assert full.after_round == SpendingCap(epsilon=1.0, delta=1e-6).most_steps(STEP)
    assert 1.3 * full.after_round < half.after_round < 2 * full.after_round


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["privacy=none", "privacy.epsilon_cap=1"], "epsilon_cap is 1 and"),
        (["privacy.epsilon_cap=0"], "epsilon_cap is 0"),
    ],
)
def test_caps_that_mean_nothing_are_refused_by_name(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        compose("taiwan/loan_level", overrides)


def test_the_cap_is_meaning() -> None:
    prints = {
        fingerprint(compose("taiwan/loan_level", [f"privacy.epsilon_cap={cap}"]), data_checksum="a table")
        for cap in ("null", "1", "2")
    }
    assert len(prints) == 3


@pytest.mark.usefixtures("credit_data")
def test_a_run_stops_before_the_round_that_would_pass_the_cap(tmp_path: Path) -> None:
    experiment = compose(None, [*GERMAN, "privacy.epsilon_cap=.7", PRIVATE, f"results_dir={tmp_path}"])
    record = run(experiment, progress=False, report=False)
    folder = next(tmp_path.rglob("record.json")).parent
    done = len(record.rounds)
    step = GaussianSteps(sampling_probability=0.25, noise_multiplier=3.0, num_steps=1)
    assert 1 <= done < 12
    assert epsilon([step.times(done)], delta=1e-4).value <= 0.7 < epsilon([step.times(done + 1)], delta=1e-4).value
    for contract in record.contracts:
        ledger = read_ledger(ledger_path(folder / "ledger", contract.institution))
        assert ledger.events("federation") == (step.times(done),)
        for release in ("reference.alone", "reference.pooled", "reference.one_shot"):
            assert epsilon(ledger.events(release), delta=1e-4).value <= 0.7
    assert all(verdict.is_sound for verdict in verify_ledgers(ledger_files(folder)))
    assert record.stopped is not None
    assert record.stopped.startswith(
        f"stopped by privacy.epsilon_cap 0.7 after {done} of 12 planned rounds: round {done + 1}"
    )
    assert record.statement_lines[0] == record.stopped
    assert record.rounds[-1]["evaluation"] is not None
    assert read_record(folder) == record
    (folder / "record.json").unlink()
    again = run(experiment, progress=False, report=False)
    assert (again.ledger_heads, again.stopped, again.evaluation) == (
        record.ledger_heads,
        record.stopped,
        record.evaluation,
    )


@pytest.mark.usefixtures("credit_data")
def test_a_cap_that_never_binds_changes_nothing_that_was_planned(tmp_path: Path) -> None:
    typed = [*GERMAN, "evaluation.references=[]", f"results_dir={tmp_path}"]
    record = run(compose(None, [*typed, "privacy.epsilon_cap=100"]), progress=False, report=False)
    assert record.stopped is None
    assert len(record.rounds) == 12
    assert math.isfinite(record.evaluation.overall.log_loss or math.nan)


@pytest.mark.usefixtures("credit_data")
def test_a_cap_below_one_round_is_refused_before_anything_is_charged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Not even one round fits"):
        run(compose(None, [*GERMAN, "privacy.epsilon_cap=.01", f"results_dir={tmp_path}"]), progress=False)
    assert not list(tmp_path.rglob("*.jsonl"))
