from __future__ import annotations

import math

import pytest

from fedcredit.data.contract import ContractTable, draw_up
from fedcredit.errors import InputError
from fedcredit.experiment.prepare import local_settings
from fedcredit.experiment.spec import Experiment, FixedSteps, LocalEpochs, NaturalPartition, Privacy, PublicTable
from fedcredit.privacy.accounting.events import rows_of
from fedcredit.privacy.plan import plan_privacy

LOANS = {"large": 5967, "middle": 900, "small": 429}
STEPS = FixedSteps(num_steps=1, sampling_probability=0.25)


def contracts(local: FixedSteps | LocalEpochs = STEPS) -> ContractTable:
    return draw_up(LOANS, local=local, weights="by_size")


def test_common_rate_and_steps_give_every_lender_the_same_noise_by_one_calibration() -> None:
    told: list[tuple[str, int, int]] = []
    plan = plan_privacy(
        Privacy(target_epsilon=2.0), contracts(), num_rounds=100, progress=lambda *step: told.append(step)
    )
    assert len(set(plan.noise_multiplier.values())) == 1
    assert [(done, total) for _, done, total in told] == [(0, 1), (1, 1)]
    assert plan.is_private
    assert (plan.unit, plan.relation, plan.target_delta, plan.clipping_norm) == ("loan", "zero_out", 1e-6, 2.5)


def test_own_rates_give_own_noise_and_everyone_keeps_the_target() -> None:
    plan = plan_privacy(
        Privacy(target_epsilon=1.0, target_delta=1e-5), contracts(LocalEpochs(expected_batch=64)), num_rounds=20
    )
    assert len(set(plan.noise_multiplier.values())) == 3
    for name in LOANS:
        assert 1.0 - 2e-4 <= plan.epsilon(name).value <= 1.0


def test_rounds_add_up_to_the_run() -> None:
    plan = plan_privacy(Privacy(noise_multiplier=1.5), contracts(LocalEpochs(expected_batch=64)), num_rounds=7)
    for contract in contracts(LocalEpochs(expected_batch=64)).contracts:
        one = plan.round_event(contract.institution)
        assert one.num_steps == contract.local_steps
        assert one.sampling_probability == contract.sampling_probability
        assert one.times(7) == plan.events[contract.institution]


def test_given_noise_is_everybodys_noise() -> None:
    plan = plan_privacy(Privacy(noise_multiplier=1.5), contracts(), num_rounds=100)
    assert set(plan.noise_multiplier.values()) == {1.5}
    assert plan.target_epsilon is None
    assert plan.is_private
    assert 0.0 < plan.epsilon("small").value < math.inf


def test_infinite_target_is_the_same_path_without_noise_and_costs_infinity() -> None:
    plan = plan_privacy(Privacy(target_epsilon=math.inf, target_delta=0.5), contracts(), num_rounds=100)
    assert not plan.is_private
    assert set(plan.noise_multiplier.values()) == {0.0}
    assert plan.clipping_norm == math.inf
    assert plan.epsilon("small").value == math.inf


@pytest.mark.parametrize("delta", [1 / 5967, 1e-3, 0.5])
def test_delta_that_permits_giving_a_loan_away_is_refused(delta: float) -> None:
    with pytest.raises(InputError) as error:
        plan_privacy(Privacy(target_epsilon=1.0, target_delta=delta), contracts(), num_rounds=100)
    assert "privacy.target_delta is" in str(error.value)
    assert "the largest lender, large, has 5967 training loans" in str(error.value)
    assert "Set privacy.target_delta=2e-05 or smaller" in str(error.value)


def test_delta_just_below_one_over_the_largest_lender_is_allowed() -> None:
    plan = plan_privacy(Privacy(noise_multiplier=1.0, target_delta=0.999 / 5967), contracts(), num_rounds=1)
    assert plan.target_delta == 0.999 / 5967


def test_lender_outside_the_plan_is_refused() -> None:
    with pytest.raises(KeyError):
        plan_privacy(Privacy(noise_multiplier=1.0), contracts(), num_rounds=1).round_event("another")


def by_borrower(mechanism: str, most: int = 4) -> Privacy:
    return Privacy.model_validate(
        {
            "privacy_unit": "borrower", "borrower_mechanism": mechanism, "max_loans_per_borrower": most,
            "target_epsilon": 2.0, "target_delta": 1e-5,
        }
    )  # fmt: skip


def test_loans_of_a_sampled_borrower_share_the_norm_and_the_noise_stays() -> None:
    loan = plan_privacy(Privacy(target_epsilon=2.0, target_delta=1e-5), contracts(), num_rounds=10)
    privacy = by_borrower("borrower_sampling")
    plan = plan_privacy(privacy, contracts(), num_rounds=10)
    assert (plan.unit, plan.sampled, plan.events) == ("borrower", "borrowers", loan.events)
    experiment = Experiment(
        portfolio=PublicTable(table="sba"), partition=NaturalPartition(column="Bank"), privacy=privacy
    )
    settings = local_settings(experiment, contracts()["small"], plan)
    assert settings.clipping_norm == privacy.clipping_norm / 4
    noise = settings.noise_multiplier * settings.clipping_norm
    assert noise == pytest.approx(plan.noise_multiplier["small"] * privacy.clipping_norm, rel=1e-12)


def test_loans_sampled_one_by_one_are_priced_for_as_many_as_a_borrower_has() -> None:
    plan = plan_privacy(by_borrower("loan_sampling_capped"), contracts(), num_rounds=10)
    assert (plan.unit, plan.sampled) == ("borrower", "loans")
    for name in LOANS:
        assert rows_of(plan.events[name]) == rows_of(plan.round_event(name)) == 4
        assert 2.0 * (1.0 - 2e-4) <= plan.epsilon(name).value <= 2.0
    one = plan_privacy(by_borrower("loan_sampling_capped", 1), contracts(), num_rounds=10)
    assert one.noise_multiplier["small"] < 0.5 * plan.noise_multiplier["small"]
    loan = plan_privacy(Privacy(target_epsilon=2.0, target_delta=1e-5), contracts(), num_rounds=10)
    assert one.events == loan.events
