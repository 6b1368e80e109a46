"""Institutions as the unit: what one of them can move, how much noise the server adds, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import dp_accounting
import numpy as np
import pytest
from flwr.app import ArrayRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.config import compose
from fedcredit.data.contract import ContractTable, draw_up
from fedcredit.errors import InputError
from fedcredit.experiment.ledger_files import ledger_files, verify_ledgers
from fedcredit.experiment.prepare import lenders, open_ledgers, prepare, server_noise
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Cohort, FixedSteps, FullCohort, PoissonCohort, Sgd, Strategy
from fedcredit.federation.central import CentralRule, ServerNoise, clipped_parameters, gate_bound, secret_cohort
from fedcredit.federation.gate import Expected, examine_training
from fedcredit.federation.protocol import ProtocolError, TrainReply, write_train_reply
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.ledger import PrivacyLedger, ledger_path, read_ledger
from fedcredit.privacy.terms import agree
from fedcredit.seeds import private_stream

SIZES = {"north": 500, "south": 300, "west": 200}
SIGMA, NORM = 3.0, 0.5
PLAIN = Strategy(server_optimiser=Sgd(), averaging_decay=0.0)
GERMAN = (
    "portfolio=german", "partition=quantity", "partition.num_institutions=4", "privacy=institution_level",
    "training.num_rounds=3", "trainer=vectorised", "privacy.target_epsilon=8", "privacy.target_delta=1e-3",
    "evaluation.references=[alone,pooled]",
)  # fmt: skip


def table(weights: str | Mapping[str, float] = "by_size") -> ContractTable:
    return draw_up(SIZES, local=FixedSteps(), weights=weights)


def server(folder: Path, *, rate: float = 1.0, fingerprint: str = "a run") -> ServerNoise:
    event = GaussianSteps(sampling_probability=rate, noise_multiplier=SIGMA, num_steps=1)
    noise, cohorts = (
        private_stream(fingerprint=fingerprint, seed=1, institution="server", purpose=purpose)
        for purpose in ("federation.server_noise", "federation.server_cohorts")
    )
    ledger = PrivacyLedger.open(
        folder / "server.jsonl", institution="server", fingerprint=fingerprint, mode="simulated", unit="institution",
        sync_every_line=False,
    )  # fmt: skip
    return ServerNoise(
        event=event, clipping_norm=NORM, fingerprint=fingerprint, computed_by="a trainer", noise=noise,
        cohorts=cohorts, ledger=ledger,
    )  # fmt: skip


def step(
    folder: Path,
    updates: Mapping[str, np.ndarray],
    *,
    cohort: Cohort | None = None,
    contracts: ContractTable | None = None,
) -> np.ndarray:
    """Take one round from zero and return where the server went."""
    size = len(next(iter(updates.values()))) if updates else 4
    rule = CentralRule(
        PLAIN.model_copy(update={"cohort": cohort or FullCohort()}), contracts or table(),
        np.zeros(size, dtype=np.float32), server(folder),
    )  # fmt: skip
    replies = {
        name: TrainReply(server_round=1, parameters=update.astype(np.float32), ledger_digest="")
        for name, update in sorted(updates.items())
    }
    return rule(1, np.zeros(size, dtype=np.float32), replies).parameters.astype(np.float64)


@pytest.mark.parametrize(("cohort", "chance"), [(FullCohort(), 1.0), (PoissonCohort(sampling_probability=0.25), 0.25)])
@pytest.mark.parametrize("weights", ["by_size", "uniform"])
def test_the_noise_is_sigma_c_times_the_largest_weight(
    cohort: Cohort, chance: float, weights: str, tmp_path: Path
) -> None:
    """Variance of 400,000 numbers: its estimate has sd .0022; scales wrong by 1 % are 9 sd away and are rejected."""
    size, contracts = 400_000, table(weights)
    moved = step(tmp_path, dict.fromkeys(SIZES, np.zeros(size)), cohort=cohort, contracts=contracts)
    largest = max(contract.weight for contract in contracts.contracts)

    def is_accepted(deviation: float) -> bool:
        return abs(float(np.mean(moved**2)) / deviation**2 - 1.0) < 4.5 * math.sqrt(2.0 / size)

    right = SIGMA * NORM * largest / chance
    assert is_accepted(right)
    planted = [right * 1.01, right / 1.01, right * chance if chance < 1.0 else right / 2, right / len(SIZES)]
    planted += [right / largest] + ([right / largest / 3.0] if weights == "by_size" else [])
    assert not any(is_accepted(wrong) for wrong in planted)


@settings(max_examples=80)
@given(
    scale=st.floats(-12.0, 30.0), seed=st.integers(0, 2**31), gone=st.sampled_from(sorted(SIZES)),
    weights=st.sampled_from(["by_size", "uniform"]), poison=st.sampled_from([None, np.nan, np.inf]),
)  # fmt: skip
def test_one_institution_moves_the_mean_by_no_more_than_its_bound_whatever_it_sends(
    scale: float, seed: int, gone: str, weights: str, poison: float | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Replaced by nothing, and replaced by nobody: the noise is the same draw, so the difference is the signal's."""
    rng = np.random.default_rng(seed)
    updates = {name: rng.normal(size=12) * 10.0**scale for name in SIZES}
    if poison is not None:
        updates[gone][3] = poison
    contracts = table(weights)
    bound = NORM * max(contract.weight for contract in contracts.contracts)
    places = [tmp_path_factory.mktemp("round") for _ in range(3)]
    with np.errstate(over="ignore", invalid="ignore"):
        with_it = step(places[0], updates, contracts=contracts)
    without = step(places[1], {**updates, gone: np.zeros(12)}, contracts=contracts)
    absent = step(places[2], {n: u for n, u in updates.items() if n != gone}, contracts=contracts)
    assert np.linalg.norm(with_it - without) <= bound * (1.0 + 1e-5)
    assert np.array_equal(without, absent)


def test_a_renormalised_mean_would_move_further_than_the_bound() -> None:
    """The planted error that the law above is for: without the fixed weights an absence moves everybody's share."""
    weights = {contract.institution: contract.weight for contract in table().contracts}
    update = np.array([NORM])
    both = sum(weights[name] * update for name in ("north", "south", "west"))
    renormalised = sum(weights[name] * -update for name in ("south", "west")) / (weights["south"] + weights["west"])
    kept = weights["north"] * update + sum(weights[name] * -update for name in ("south", "west"))
    assert np.allclose(both, update)
    assert abs(float(kept[0] - renormalised[0])) > NORM * max(weights.values())


@settings(max_examples=60)
@given(scale=st.floats(-6.0, 6.0), seed=st.integers(0, 2**31))
def test_what_a_lender_clips_passes_the_gate_and_what_it_does_not_clip_is_quarantined(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    incoming = rng.normal(size=200).astype(np.float32)
    trained = (incoming + 10.0**scale * rng.normal(size=200)).astype(np.float32)
    sent = clipped_parameters(incoming, trained, NORM)
    moved = np.linalg.norm(sent.astype(np.float64) - incoming)
    wanted = min(NORM, float(np.linalg.norm(trained.astype(np.float64) - incoming)))
    assert wanted * 0.998 - 1e-5 <= moved <= NORM
    expected = Expected(server_round=1, parameters=incoming, norm_bound={"north": gate_bound(NORM)})
    examine_training("north", _content(sent), expected)
    if np.linalg.norm(trained.astype(np.float64) - incoming) > 1.01 * NORM:
        with pytest.raises(ProtocolError, match="the update's norm is"):
            examine_training("north", _content(trained), expected)


def _content(parameters: np.ndarray) -> ArrayRecord:
    return write_train_reply(TrainReply(server_round=1, parameters=parameters, ledger_digest=""))  # type: ignore[return-value]


def test_poisson_cohorts_take_each_lender_at_the_rate_and_independently_and_may_be_empty(tmp_path: Path) -> None:
    """6,000 rounds at rate .3: sd of a frequency .0059, of a joint one .0037; 4.5 sd reject a rate wrong by 10 %."""
    names, rate, rounds = tuple("abc"), 0.3, 6000
    stream = server(tmp_path).cohorts
    drawn = [secret_cohort(rate, names, stream, number) for number in range(1, rounds + 1)]
    for name in names:
        assert abs(sum(name in cohort for cohort in drawn) / rounds - rate) < 4.5 * math.sqrt(
            rate * (1 - rate) / rounds
        )
    both = sum({"a", "b"} <= set(cohort) for cohort in drawn) / rounds
    assert abs(both - rate**2) < 4.5 * math.sqrt(rate**2 / rounds)
    assert abs(sum(not cohort for cohort in drawn) / rounds - 0.7**3) < 4.5 * math.sqrt(0.343 * 0.657 / rounds)


def test_an_empty_cohort_is_a_step_of_noise_alone(tmp_path: Path) -> None:
    moved = step(tmp_path, {}, cohort=PoissonCohort(sampling_probability=0.25))
    assert np.all(moved != 0.0)


def test_no_stream_is_shared_between_server_and_lenders_or_between_runs(tmp_path: Path) -> None:
    one, other = (
        server(tmp_path / place, fingerprint=place) for place in ("one", "other") if not (tmp_path / place).mkdir()
    )
    lenders_own = [
        private_stream(fingerprint="one", seed=1, institution=name, purpose=f"federation.{purpose}")
        for name in (*SIZES, "server")
        for purpose in ("noise", "sampling")
    ]
    assert len({one.noise, one.cohorts, other.noise, other.cohorts, *lenders_own}) == 4 + len(lenders_own)


@pytest.mark.parametrize(
    ("cohort", "rate"),
    [([], 1.0), (["strategy/cohort=fraction"], 1.0), (["strategy/cohort=poisson"], 0.5)],
)
def test_only_poisson_cohorts_are_amplified(cohort: list[str], rate: float) -> None:
    typed = ["privacy=institution_level", "privacy.target_epsilon=null", "privacy.noise_multiplier=8", *cohort]
    plan = agree(compose("taiwan/loan_level", typed), SIZES).plan
    assert plan.events == {"server": GaussianSteps(sampling_probability=rate, noise_multiplier=8.0, num_steps=100)}
    found = plan.epsilon("server").value
    gaussian = dp_accounting.get_epsilon_gaussian(8.0 / math.sqrt(100), 1e-6)
    if rate == 1.0:
        assert found == pytest.approx(gaussian, rel=1e-6)
    else:
        accountant = dp_accounting.rdp.RdpAccountant()
        accountant.compose(dp_accounting.PoissonSampledDpEvent(0.5, dp_accounting.GaussianDpEvent(8.0)), 100)
        assert 0.7 * accountant.get_epsilon(1e-6) < found <= accountant.get_epsilon(1e-6)
        assert found < 0.6 * gaussian


def test_a_target_is_kept_from_the_safe_side() -> None:
    typed = ["privacy=institution_level", "privacy.target_epsilon=2", "strategy/cohort=poisson"]
    plan = agree(compose("taiwan/loan_level", [*typed, "training.num_rounds=20"]), SIZES).plan
    assert 2.0 * (1.0 - 2e-4) <= plan.epsilon("server").value <= 2.0


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["strategy=flower_fedavg"], "strategy.strategy is FedAvg, a stock Flower strategy"),
        (["strategy=median"], "strategy.aggregator is median and privacy_unit is institution"),
        (["strategy=trimmed_mean"], "strategy.aggregator is trimmed_mean"),
        (["strategy.weights=inverse_noise_variance"], "lenders add no noise"),
        (["privacy.budgets={a: 1}"], "privacy: budgets are of single lenders"),
        (["privacy=loan_level", "strategy/cohort=poisson"], "strategy.cohort is poisson"),
        (["privacy.target_epsilon=inf", "strategy/cohort=poisson"], "strategy.cohort is poisson"),
    ],
)
def test_what_would_void_the_promise_is_refused_by_name(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        compose("taiwan/loan_level", ["privacy=institution_level", *overrides])


def test_names_and_deltas_that_cannot_be_are_refused() -> None:
    experiment = compose("taiwan/loan_level", ["privacy=institution_level", "privacy.target_delta=.5"])
    with pytest.raises(InputError, match="there are 3 institutions: allowed is below"):
        agree(experiment, SIZES)
    with pytest.raises(InputError, match="a lender is called 'server'"):
        agree(compose("taiwan/loan_level", ["privacy=institution_level"]), {**SIZES, "server": 10})


@pytest.mark.usefixtures("credit_data")
@pytest.mark.parametrize("cohort", [(), ("strategy/cohort=poisson",)])
def test_a_run_keeps_one_ledger_for_the_server_and_says_what_it_is_worth(
    cohort: tuple[str, ...], tmp_path: Path
) -> None:
    experiment = compose(None, [*GERMAN, *cohort, f"results_dir={tmp_path}"])
    record = run(experiment, progress=False, report=False)
    folder = next(tmp_path.rglob("record.json")).parent
    assert [path.name for path in (folder / "ledger").iterdir()] == [ledger_path(Path(), "server").name]
    ledger = read_ledger(ledger_path(folder / "ledger", "server"))
    rate = 0.5 if cohort else 1.0
    (spent,) = ledger.events()
    assert (ledger.unit, spent.num_steps, spent.sampling_probability) == ("institution", 3, rate)
    assert 8.0 * (1 - 2e-4) <= epsilon([spent], delta=1e-3).value <= 8.0
    assert all(verdict.is_sound for verdict in verify_ledgers(ledger_files(folder)))
    lines = "\n".join(record.statement_lines)
    assert lines.startswith("epsilon 8.000 for one institution, whoever its borrowers are\n")
    assert "unit: institution (all that one lender holds" in lines
    assert "trust: central (the server sees every lender's clipped update" in lines
    assert "warning: 4 institutions, and hiding one of fewer than about 1,000 drowns the others" in lines
    assert ("rate 0.5" in lines) == bool(cohort)
    assert record.references == {}
    assert any("alone, pooled: left out" in remark for remark in record.remarks)
    page = (folder / "privacy.md").read_text(encoding="utf-8")
    assert "Central trust: lenders send clipped updates without noise" in page
    assert "without noise | its own | yes" in page
    (folder / "record.json").unlink()
    again = run(experiment, progress=False, report=False)
    assert (again.ledger_heads, again.evaluation) == (record.ledger_heads, record.evaluation)


@pytest.mark.usefixtures("credit_data")
def test_lenders_add_no_noise_hold_no_ledger_and_are_charged_before_they_are_asked(tmp_path: Path) -> None:
    prepared = prepare(compose(None, [*GERMAN, f"results_dir={tmp_path}"]))
    ledgers = open_ledgers(prepared, folder=tmp_path)
    for lender in lenders(prepared, ledgers=ledgers).values():
        assert lender.ledger is None
        assert lender.settings.noise_multiplier == 0.0
        assert lender.settings.clipping_norm == math.inf
        assert lender.update_clipping_norm == prepared.experiment.privacy.clipping_norm
    found = server_noise(prepared, ledgers=ledgers)
    assert found is not None
    first = found.intend(1, prepared.initial)
    assert replace(found, computed_by="another").ledger.events() == (first.event,)
    assert found.intend(1, prepared.initial) == first
    assert found.ledger.events() == (first.event,)
