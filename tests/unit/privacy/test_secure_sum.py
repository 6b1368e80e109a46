"""Lenders that share the noise of their sum: how much it is, what it costs, and what is left when some tell theirs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution
from scipy import stats

from fedcredit.config import compose
from fedcredit.data.contract import draw_up
from fedcredit.errors import InputError
from fedcredit.experiment.audit_claims import planned_claims
from fedcredit.experiment.ledger_files import ledger_files, verify_ledgers
from fedcredit.experiment.outlook import look_ahead
from fedcredit.experiment.prepare import lenders, open_ledgers, prepare
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Mean, Privacy
from fedcredit.federation.aggregate import aggregate
from fedcredit.federation.gate import QuorumError
from fedcredit.federation.runtimes.inline import run_inline
from fedcredit.federation.server import federate
from fedcredit.model.network import network_from_spec
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.events import GaussianSteps, several_rows
from fedcredit.privacy.accounting.ledger import ledger_path, read_ledger
from fedcredit.privacy.accounting.statement import EpsilonStatement
from fedcredit.privacy.mechanism import noise
from fedcredit.privacy.plan import plan_privacy
from fedcredit.privacy.secure_sum import noise_share, under_collusion
from fedcredit.privacy.terms import agree
from fedcredit.seeds import private_stream

SIZES = {"north": 500, "south": 300, "west": 200}
SECURE = ("privacy=secure_sum", "strategy.quorum=1")
GERMAN = (
    "portfolio=german", "partition=quantity", "partition.num_institutions=3", *SECURE, "trainer=vectorised",
    "training.num_rounds=3", "privacy.target_epsilon=.5", "privacy.target_delta=1e-4", "evaluation.references=[alone]",
)  # fmt: skip


def test_the_sum_carries_the_noise_of_one_mechanism() -> None:
    """Variance of 400,000 numbers: sd of its estimate .0022; a share wrong by 1 % is 9 sd away and is rejected."""
    experiment = compose("taiwan/loan_level", [*SECURE, "privacy.target_epsilon=null", "privacy.noise_multiplier=2"])
    terms, size = agree(experiment, SIZES), 400_000
    total, norm = sum(SIZES.values()), experiment.privacy.clipping_norm

    def variance(share: float) -> float:
        updates = [
            noise(
                private_stream(fingerprint="a run", seed=1, institution=c.institution, purpose="federation.noise"),
                num_parameters=size, noise_multiplier=2.0 * share, clipping_norm=norm, server_round=1, step=0,
            ) / c.divisor
            for c in terms.contracts.contracts
        ]  # fmt: skip
        weights = np.array([contract.weight for contract in terms.contracts.contracts])
        return float(np.mean(aggregate(Mean(), np.array(updates), weights) ** 2))

    right = (2.0 * norm / (0.25 * total)) ** 2

    def is_accepted(found: float) -> bool:
        return abs(found / right - 1.0) < 4.5 * math.sqrt(2.0 / size)

    share = noise_share(experiment.privacy, 3)
    assert is_accepted(variance(share))
    assert not any(is_accepted(variance(wrong)) for wrong in (share * 1.01, share / 1.01, 1.0, 1.0 / 3.0))


@pytest.mark.parametrize("num_lenders", [1, 2, 10])
def test_the_noise_of_an_update_falls_with_the_number_of_lenders_and_local_trust_keeps_all_of_it(
    num_lenders: int,
) -> None:
    shared = Privacy(target_epsilon=1.0, trust="secure_sum")
    assert noise_share(shared, num_lenders) ** 2 * num_lenders == pytest.approx(1.0)
    assert noise_share(Privacy(target_epsilon=1.0), num_lenders) == 1.0
    assert noise_share(Privacy(target_epsilon=math.inf, trust="secure_sum"), num_lenders) == 1.0


def test_the_price_is_that_of_one_subsampled_gaussian_on_all_loans() -> None:
    typed = [*SECURE, "training.num_rounds=20", "privacy.target_epsilon=2"]
    shared = agree(compose("taiwan/loan_level", typed), SIZES).plan
    pooled = plan_privacy(
        Privacy(target_epsilon=2.0), draw_up({"all": 1000}, local=compose().training.local, weights="uniform"),
        num_rounds=20,
    )  # fmt: skip
    assert set(shared.events.values()) == set(pooled.events.values())


@pytest.mark.parametrize(
    ("rate", "sigma", "steps", "num_rows", "looseness"),
    [
        (0.25, 9.5, 100, 2, 1.005),
        (0.25, 9.5, 100, 3, 1.01),
        (0.25, 3.0, 20, 2, 1.03),
        pytest.param(0.25, 3.0, 20, 5, 1.1, marks=pytest.mark.long),
        pytest.param(0.05, 1.0, 50, 2, 1.4, marks=pytest.mark.long),
    ],
)
def test_the_bound_for_several_rows_is_above_the_exact_mixture(
    rate: float, sigma: float, steps: int, num_rows: int, looseness: float
) -> None:
    """The oracle is dp-accounting's mixture of Gaussians: Binomial(k, q) rows of the borrower are in a step."""
    counts = np.arange(num_rows + 1)
    exact = privacy_loss_distribution.from_mixture_gaussian_mechanism(
        sigma, counts.astype(float), stats.binom.pmf(counts, num_rows, rate), value_discretization_interval=1e-3
    ).self_compose(steps)
    step = GaussianSteps(sampling_probability=rate, noise_multiplier=sigma, num_steps=steps)
    bound = epsilon([several_rows(step, num_rows)], delta=1e-6).value
    truth = exact.get_epsilon_for_delta(1e-6)
    assert truth <= bound <= looseness * truth
    assert bound > epsilon([step], delta=1e-6).value
    assert several_rows(step, 1) == step


@pytest.mark.parametrize("num_rows", [2, 3])
def test_without_sampling_the_bound_for_several_rows_is_that_of_their_whole_shift(num_rows: int) -> None:
    step = GaussianSteps(sampling_probability=1.0, noise_multiplier=6.0, num_steps=4)
    whole = GaussianSteps(sampling_probability=1.0, noise_multiplier=6.0 / num_rows, num_steps=4)
    found = epsilon([several_rows(step, num_rows)], delta=1e-6).value
    assert found == pytest.approx(epsilon([whole], delta=1e-6).value, rel=1e-9)


def test_what_colluders_leave_is_the_noise_of_the_others() -> None:
    event = GaussianSteps(sampling_probability=1.0, noise_multiplier=8.0, num_steps=2)
    prices = [under_collusion([event], num_lenders=4, num_colluders=count, delta=1e-5).value for count in range(4)]
    exact = [
        epsilon([GaussianSteps(sampling_probability=1.0, noise_multiplier=sigma, num_steps=2)], delta=1e-5).value
        for sigma in (8.0, 8.0 * math.sqrt(0.75), 8.0 * math.sqrt(0.5), 4.0)
    ]
    assert prices == pytest.approx(exact, rel=1e-9)
    assert prices == sorted(prices)
    with pytest.raises(ValueError, match="allowed is 0 to 3"):
        under_collusion([event], num_lenders=4, num_colluders=4, delta=1e-5)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["training=local_steps"], "training.local has several steps"),
        (["training=local_epochs"], "training.local has several steps"),
        (["training/optimiser=adam"], "training.optimiser is adam"),
        (["strategy=flower_fedavg"], "strategy.strategy is FedAvg"),
        (["strategy=median"], "strategy.aggregator is median"),
        (["strategy.weights=uniform"], "strategy.weights is uniform"),
        (["strategy/cohort=fraction"], "strategy.cohort is fraction"),
        (["strategy.quorum=.9"], "strategy.quorum is 0.9, and a lender that is missing takes its noise with it"),
        (["privacy.budgets={a: 1}"], "budgets are of single lenders"),
        (["privacy.privacy_unit=institution"], "privacy_unit is institution and trust is secure_sum"),
    ],
)
def test_what_is_no_sum_is_refused_by_name(overrides: list[str], said: str) -> None:
    quorum = [] if any("quorum" in line for line in overrides) else ["strategy.quorum=1"]
    with pytest.raises(InputError, match=said):
        compose("taiwan/loan_level", ["privacy=secure_sum", *overrides, *quorum])


def test_a_delta_that_gives_one_of_all_loans_away_is_refused() -> None:
    experiment = compose("taiwan/loan_level", [*SECURE, "privacy.target_delta=1.5e-3"])
    with pytest.raises(InputError, match="1000 training loans in one sum"):
        agree(experiment, SIZES)


@pytest.mark.usefixtures("credit_data")
def test_a_run_tells_what_the_sum_costs_and_what_collusion_takes(tmp_path: Path) -> None:
    experiment = compose(None, [*GERMAN, f"results_dir={tmp_path}"])
    record = run(experiment, progress=False, report=False)
    folder = next(tmp_path.rglob("record.json")).parent
    ledgers = [read_ledger(ledger_path(folder / "ledger", c.institution)) for c in record.contracts]
    (spent,) = {ledger.events("federation") for ledger in ledgers}
    assert spent == tuple(ledger.events("reference.alone")[0] for ledger in ledgers[:1])
    assert all(verdict.is_sound for verdict in verify_ledgers(ledger_files(folder)))
    statement = EpsilonStatement.from_json(record.statement or {})
    assert statement.worst == epsilon(spent, delta=1e-4)
    assert statement.overlap[2] == epsilon([several_rows(spent[0], 2)], delta=1e-4)
    assert statement.collusion == {
        count: under_collusion(spent, num_lenders=3, num_colluders=count, delta=1e-4) for count in (1, 2)
    }
    lines = "\n".join(record.statement_lines)
    assert "trust: secure_sum (lenders share the noise of their sum" in lines
    assert f"epsilon {math.ceil(statement.collusion[1].value * 1000) / 1000:.3f} if one other lender tells" in lines
    assert "if two other lenders tell what noise they drew (of 3 lenders)" in lines
    assert "as many rows in one sum" in lines
    assert "Secure sum, simulated for comparison" in (folder / "privacy.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("credit_data")
def test_a_round_without_one_lender_is_refused_because_its_noise_is_missing_too(tmp_path: Path) -> None:
    prepared = prepare(compose(None, [*GERMAN, f"results_dir={tmp_path}"]))
    found = lenders(prepared, ledgers=open_ledgers(prepared, folder=tmp_path))
    (shared,) = {lender.settings.noise_multiplier for lender in found.values()}
    assert shared == pytest.approx(prepared.plan.noise_multiplier["lender_01"] / math.sqrt(3))
    object.__setattr__(found["lender_02"], "ledger", None)
    with pytest.raises(QuorumError, match="2 good replies of 3 and needs 3"):
        run_inline(
            found,
            lambda grid: federate(
                grid, experiment=prepared.experiment, fingerprint=prepared.fingerprint, contracts=prepared.contracts,
                network=network_from_spec(prepared.experiment.network, prepared.network.num_features),
                initial=prepared.initial, noise_multiplier=prepared.plan.noise_multiplier,
            ),
        )  # fmt: skip


@pytest.mark.usefixtures("credit_data")
@pytest.mark.parametrize("privacy", [SECURE, ("privacy=institution_level",)])
def test_an_audit_of_what_no_lender_claims_is_refused(privacy: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="an audit attacks what one lender sends"):
        planned_claims(compose("taiwan/loan_level", privacy))


def test_a_plan_says_it_before_anything_is_paid() -> None:
    typed = [*SECURE, "training.num_rounds=10", "trainer=vectorised", "network=logistic"]
    outlook = look_ahead(compose("taiwan/loan_level", typed), num_loans=SIZES)
    assert outlook.statement is not None
    assert set(outlook.statement.collusion) == {1, 2}
    assert outlook.refusal is None
