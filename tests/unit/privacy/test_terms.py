"""Weights of the aggregation: public, summing to one, and of the least noise where that is asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.config import compose
from fedcredit.data.contract import draw_up
from fedcredit.errors import InputError
from fedcredit.experiment.remarks import remarks
from fedcredit.experiment.spec import Experiment, FixedSteps, Mean
from fedcredit.federation.aggregate import aggregate
from fedcredit.privacy.mechanism import noise
from fedcredit.privacy.terms import Terms, agree, noise_variance
from fedcredit.seeds import private_stream

LOANS = {"bank_a": 5967, "bank_b": 900, "bnpl_b": 429}
GIVEN_NOISE = ("privacy.target_epsilon=null", "privacy.noise_multiplier=1.5")
BY_NOISE = "strategy.weights=inverse_noise_variance"


def experiment(*overrides: str) -> Experiment:
    return compose("taiwan/loan_level", ["training.num_rounds=10", *overrides])


def weights(terms: Terms) -> dict[str, float]:
    return {contract.institution: contract.weight for contract in terms.contracts.contracts}


def variances(terms: Terms, described: Experiment) -> np.ndarray:
    return np.array([noise_variance(c, terms.plan, described) for c in terms.contracts.contracts])


@settings(max_examples=60)
@given(
    loans=st.lists(st.integers(1, 100_000), min_size=1, max_size=12),
    kind=st.sampled_from(["by_size", "uniform", "inverse_noise_variance"]),
    local=st.sampled_from(
        [(), ("training/local=epochs",), ("training/local=five_steps", "training.proximal_weight=.3")]
    ),
)
def test_weights_sum_to_one_and_none_is_zero(loans: list[int], kind: str, local: tuple[str, ...]) -> None:
    described = EXPERIMENTS[kind, local]
    found = weights(agree(described, {f"lender {place}": count for place, count in enumerate(loans)}))
    assert math.isclose(math.fsum(found.values()), 1.0, rel_tol=1e-12)
    assert min(found.values()) > 0.0


EXPERIMENTS = {
    (kind, local): experiment(*GIVEN_NOISE, f"strategy.weights={kind}", "privacy.target_delta=1e-6", *local)
    for kind in ("by_size", "uniform", "inverse_noise_variance")
    for local in ((), ("training/local=epochs",), ("training/local=five_steps", "training.proximal_weight=.3"))
}


@settings(max_examples=60)
@given(
    loans=st.lists(st.integers(10, 50_000), min_size=2, max_size=8),
    local=st.sampled_from(
        [(), ("training/local=epochs",), ("training/local=five_steps", "training.proximal_weight=.3")]
    ),
    seed=st.integers(0, 2**31),
)
def test_no_other_weights_have_less_noise_than_those_by_inverse_variance(
    loans: list[int], local: tuple[str, ...], seed: int
) -> None:
    described = EXPERIMENTS["inverse_noise_variance", local]
    terms = agree(described, {f"lender {place}": count for place, count in enumerate(loans)})
    chosen, noises = np.array(list(weights(terms).values())), variances(terms, described)
    least = chosen**2 @ noises
    rng = np.random.default_rng(seed)
    simplex = rng.dirichlet(np.ones(len(loans)), size=2000)
    near = chosen + 0.01 * (np.eye(len(loans))[rng.integers(len(loans), size=200)] - chosen)
    assert np.isclose(least, 1.0 / np.sum(1.0 / noises))
    assert np.all(simplex**2 @ noises >= least * (1.0 - 1e-12))
    assert np.all(near**2 @ noises >= least * (1.0 - 1e-12))


def test_with_one_noise_and_one_step_inverse_variance_is_the_square_of_the_size() -> None:
    found = weights(agree(experiment(*GIVEN_NOISE, BY_NOISE), LOANS))
    total = sum(count**2 for count in LOANS.values())
    assert found == pytest.approx({name: count**2 / total for name, count in LOANS.items()})


def test_a_lender_with_a_small_budget_counts_for_less_by_noise_and_the_same_by_size() -> None:
    budget = ("privacy.target_epsilon=8", "privacy.budgets={bank_b: 1}")
    free, strict = (weights(agree(experiment(*typed, BY_NOISE), LOANS)) for typed in (budget[:1], budget))
    assert strict["bank_b"] < 0.2 * free["bank_b"]
    assert weights(agree(experiment(*budget), LOANS)) == weights(agree(experiment(), LOANS))


def test_the_noise_of_the_aggregate_is_what_the_weights_were_chosen_for() -> None:
    """Moments of 200,000 numbers: sd of the estimate .0022; a weight wrong by 2 % would show at 4 sd or more."""
    described = experiment("privacy.target_epsilon=8", "privacy.budgets={bank_b: 1}", BY_NOISE)
    terms = agree(described, LOANS)
    size, updates = 200_000, []
    for contract in terms.contracts.contracts:
        stream = private_stream(fingerprint="test", seed=1, institution=contract.institution, purpose="noise")
        drawn = noise(
            stream, num_parameters=size, noise_multiplier=terms.plan.noise_multiplier[contract.institution],
            clipping_norm=terms.plan.clipping_norm, server_round=1, step=0,
        )  # fmt: skip
        updates.append(drawn / contract.divisor)
    chosen = np.array(list(weights(terms).values()))
    found = float(np.mean(aggregate(Mean(), np.array(updates), chosen) ** 2))
    least = float(1.0 / np.sum(1.0 / variances(terms, described)))
    assert abs(found / least - 1.0) < 4.5 * math.sqrt(2.0 / size)
    by_size = np.array(list(LOANS.values())) / sum(LOANS.values())
    assert float(np.mean(aggregate(Mean(), np.array(updates), by_size) ** 2)) > 1.2 * least


def test_the_frozen_contract_table_carries_the_weights() -> None:
    tables = {
        kind: agree(experiment(*GIVEN_NOISE, f"strategy.weights={kind}"), LOANS).contracts
        for kind in ("by_size", "uniform", "inverse_noise_variance")
    }
    assert len({table.digest() for table in tables.values()}) == 3


def test_weights_by_contract_are_those_of_the_config_scaled_to_one() -> None:
    typed = "strategy.contract_weights={bank_a: 1, bank_b: 2, bnpl_b: 5}"
    found = weights(agree(experiment("strategy.weights=by_contract", typed), LOANS))
    assert found == {"bank_a": 0.125, "bank_b": 0.25, "bnpl_b": 0.625}


@pytest.mark.parametrize(
    ("given_weights", "said"),
    [
        ({"bank_a": 1.0, "bank_b": 1.0}, "no weight for 1 of 3 lenders: bnpl_b"),
        (
            {"bank_a": 1.0, "bank_b": 1.0, "bnpl_bb": 1.0},
            r"strategy.contract_weights names 'bnpl_bb' \(nearest: bnpl_b\)",
        ),
    ],
)
def test_weights_by_contract_must_name_every_lender_and_nobody_else(given_weights: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        draw_up(LOANS, local=FixedSteps(), weights=given_weights)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["strategy.weights=by_contract"], "strategy: weights is by_contract, and contract_weights names no lender"),
        (["strategy.contract_weights={a: 1}"], "strategy: contract_weights is given and weights is by_size"),
        (["strategy.weights=by_contract", "strategy.contract_weights={a: 0}"], "strategy.contract_weights.a is 0"),
        ([BY_NOISE, "privacy=none"], "without privacy there is no noise"),
        ([BY_NOISE, "training/optimiser=adam"], "knows the noise of plain local SGD alone"),
        ([BY_NOISE, "training.optimiser.momentum=.9"], "knows the noise of plain local SGD alone"),
    ],
)
def test_weights_that_mean_nothing_are_refused_by_name(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        experiment(*overrides)


def test_what_weights_cost_is_said_once() -> None:
    budgets = "privacy.budgets={bank_b: 1}"
    assert any("noise of the strictest lenders" in line for line in remarks(experiment(budgets)))
    assert any("count for little" in line for line in remarks(experiment(budgets, BY_NOISE)))


def test_a_delta_that_gives_a_loan_away_is_refused_unless_one_only_looks() -> None:
    described = experiment("privacy.target_delta=.01")
    with pytest.raises(InputError, match="target_delta"):
        agree(described, LOANS)
    assert agree(described, LOANS, allow_any_delta=True).plan.target_delta == 0.01
