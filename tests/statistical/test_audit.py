"""Audits of real trainers: an honest one is not contradicted, a grossly wrong one is, and a blind one shows.

The running example: 3,000 loans, rate .043, 460 steps, noise multiplier 1: epsilon 6.10 at delta 1e-5. An audit at
95 % confidence contradicts a true claim with probability at most 5 %; streams are fixed. Planted errors change
what the trainer is told, and not what is claimed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fedcredit.experiment.audit import canary_scores
from fedcredit.experiment.audit_claims import Claim
from fedcredit.experiment.spec import Sgd
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.accounting.events import Event, GaussianSteps, for_rows
from fedcredit.privacy.auditing.canaries import plant
from fedcredit.privacy.auditing.tradeoff import ClaimFamily
from fedcredit.privacy.auditing.verdict import CONSISTENT, CONTRADICTED, POWERLESS, Findings, judge
from fedcredit.seeds import private_stream
from fedcredit.training.contract import LocalOutcome, LocalRound, LocalSettings, RoundStreams
from fedcredit.training.trainers import Kind, trainer

pytestmark = pytest.mark.statistical

CONFIDENCE = 0.95
BATCH = 129.0
SETTINGS = LocalSettings(
    num_steps=23, sampling_probability=0.043, divisor=BATCH, clipping_norm=1.0, noise_multiplier=1.0, optimiser=Sgd()
)
EVENT = GaussianSteps(sampling_probability=0.043, noise_multiplier=1.0, num_steps=460)
ERRORS = {
    "noise forgotten": {"noise_multiplier": 0.0},
    "noise divided by the batch": {"noise_multiplier": 1.0 / BATCH},
    "ten-fold sensitivity": {"clipping_norm": 10.0, "noise_multiplier": 0.1},
}


def mistaken(local_round: LocalRound, change: dict[str, float]) -> LocalRound:
    def wrong(
        network: DefaultNetwork,
        parameters: NDArray[np.float32],
        features: NDArray[np.float32],
        default: NDArray[np.float32],
        *,
        settings: LocalSettings,
        streams: RoundStreams,
    ) -> LocalOutcome:
        return local_round(
            network, parameters, features, default, settings=replace(settings, **change), streams=streams
        )

    return wrong


@cache
def family() -> ClaimFamily:
    return ClaimFamily(events=(EVENT,), delta=1e-5)


def audited(local_round: LocalRound, *, seed: int, num_canaries: int = 1000) -> Findings:
    claim = Claim(
        lenders=("bank",), events=(EVENT,), settings=SETTINGS, num_steps=EVENT.num_steps, delta=1e-5, basis="planned"
    )
    coins, sampling, noise, split = (
        private_stream(fingerprint="fedcredit/audit/test", seed=seed, institution="bank", purpose=purpose)
        for purpose in ("coins", "sampling", "noise", "split")
    )
    canaries = plant(num_canaries=num_canaries, clipping_norm=1.0, coins=coins)
    scores, num_draws = canary_scores(local_round, claim, canaries, sampling=sampling, noise=noise)
    assert num_draws in (0, EVENT.num_steps)
    return judge(scores, canaries.is_included, family=family(), confidence=CONFIDENCE, split=split)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_honest_trainer_is_consistent_and_its_audit_is_not_blind(kind: Kind) -> None:
    found = audited(trainer(kind), seed=1)
    assert found.verdict == CONSISTENT
    assert 1.0 <= found.deciding.epsilon <= found.claimed_epsilon == pytest.approx(6.10, rel=0.005)
    assert found.deciding.ceiling > 8.0
    assert all(bound.epsilon <= min(bound.ceiling, found.claimed_epsilon) for bound in found.bounds)


@pytest.mark.parametrize("error", ERRORS)
def test_gross_error_of_a_trainer_is_contradicted(error: str) -> None:
    assert audited(mistaken(trainer("compiled"), ERRORS[error]), seed=1).verdict == CONTRADICTED


def test_too_few_canaries_are_powerless_and_say_how_far_they_see() -> None:
    found = audited(trainer("compiled"), seed=1, num_canaries=20)
    assert found.verdict == POWERLESS
    assert found.deciding.ceiling < found.claimed_epsilon


def test_scores_of_canaries_separate_as_the_claim_allows() -> None:
    """Advantage of 3,000 canaries against the curve's .429: four standard errors are .073."""
    found = audited(trainer("compiled"), seed=2, num_canaries=3000)
    reached = max(power - alarms for alarms, power in found.roc)
    assert reached == pytest.approx(0.429, abs=0.073)


@pytest.mark.long
def test_two_hundred_honest_runs_are_contradicted_no_more_often_than_stated() -> None:
    """Refutes a false-alarm rate of 5 % or less with probability at most 1e-3."""
    contradicted = sum(audited(trainer("compiled"), seed=seed).verdict == CONTRADICTED for seed in range(1, 201))
    assert contradicted <= stats.binom.isf(1e-3, 200, 1.0 - CONFIDENCE)


@pytest.mark.long
@pytest.mark.parametrize("error", ERRORS)
def test_gross_error_is_contradicted_in_twelve_of_twelve_runs(error: str) -> None:
    wrong = mistaken(trainer("compiled"), ERRORS[error])
    assert [audited(wrong, seed=seed).verdict for seed in range(1, 13)] == [CONTRADICTED] * 12


@pytest.mark.long
@pytest.mark.parametrize(("num_canaries", "least"), [(1000, 1.6), (3000, 2.0)])
def test_mean_lower_bound_over_twenty_runs_is_what_is_promised(num_canaries: int, least: float) -> None:
    bounds = [
        audited(trainer("compiled"), seed=seed, num_canaries=num_canaries).deciding.epsilon for seed in range(1, 21)
    ]
    assert float(np.mean(bounds)) >= least


def audited_borrowers(
    local_round: LocalRound, event: Event, *, loans_in_sample: int, samples_in_unit: int, num_canaries: int = 300
) -> Findings:
    settings = replace(
        SETTINGS, clipping_norm=1.0 / loans_in_sample, noise_multiplier=event.noise_multiplier * loans_in_sample
    )
    claim = Claim(
        lenders=("bank",), events=(event,), settings=settings, num_steps=event.num_steps, delta=1e-5, basis="planned",
        loans_in_sample=loans_in_sample, samples_in_unit=samples_in_unit,
    )  # fmt: skip
    coins, sampling, noise, split = (
        private_stream(fingerprint="fedcredit/audit/test", seed=1, institution="bank", purpose=purpose)
        for purpose in ("coins", "sampling", "noise", "split")
    )
    canaries = plant(
        num_canaries=num_canaries, clipping_norm=settings.clipping_norm, coins=coins, num_rows=claim.loans_in_unit
    )
    scores, _ = canary_scores(local_round, claim, canaries, sampling=sampling, noise=noise)
    family = ClaimFamily(events=claim.events, delta=claim.delta)
    return judge(scores, canaries.is_included, family=family, confidence=CONFIDENCE, split=split)


def test_sampled_borrowers_keep_their_claim_and_loans_that_do_not_share_the_norm_break_it() -> None:
    def found(local_round: LocalRound) -> Findings:
        return audited_borrowers(local_round, EVENT, loans_in_sample=4, samples_in_unit=1)

    honest = found(trainer("compiled"))
    assert honest.verdict == CONSISTENT
    assert honest.deciding.epsilon > 0.5
    alone = mistaken(trainer("compiled"), {"clipping_norm": 1.0, "noise_multiplier": 1.0})
    assert found(alone).verdict == CONTRADICTED


@pytest.mark.long
def test_loans_of_a_borrower_keep_the_mixtures_claim_and_break_that_of_one_loan() -> None:
    event = replace(EVENT, noise_multiplier=2.0)
    honest = audited_borrowers(trainer("compiled"), for_rows(event, 5), loans_in_sample=1, samples_in_unit=5)
    assert honest.verdict != CONTRADICTED  # 400 canaries see too little to be consistent with a claim as large
    assert honest.claimed_epsilon == pytest.approx(13.6, abs=0.06)
    assert honest.deciding.epsilon > 2.06
    as_one_loan = audited_borrowers(trainer("compiled"), event, loans_in_sample=1, samples_in_unit=5)
    assert as_one_loan.claimed_epsilon == pytest.approx(2.05, abs=0.006)
    assert as_one_loan.verdict == CONTRADICTED
