from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.experiment.spec import Adam, Sgd
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.mechanism import noise
from fedcredit.privacy.sampling import poisson_indices
from fedcredit.seeds import public_stream
from fedcredit.training import optimiser, stepwise
from fedcredit.training.contract import LocalOutcome, LocalSettings, RoundStreams
from fedcredit.training.stepwise import ClippedGradientSum, run_steps

NETWORK = DefaultNetwork(num_features=3, hidden=())
INCOMING = np.array([0.5, -1.0, 2.0, 0.25], dtype=np.float32)
SLOPE = np.array([3.0, -1.0, 0.5, 2.0])
FEATURES = np.arange(150, dtype=np.float32).reshape(50, 3)
LABELS = np.zeros(50, dtype=np.float32)
PLAIN = LocalSettings(
    num_steps=5,
    sampling_probability=0.3,
    divisor=15.0,
    clipping_norm=float("inf"),
    noise_multiplier=0.0,
    optimiser=Sgd(learning_rate=0.1),
)
STREAMS = RoundStreams(
    sampling=public_stream(seed=1, purpose="sampling"), noise=public_stream(seed=1, purpose="noise"), server_round=3
)


def step_noise(step: int, settings: LocalSettings) -> NDArray[np.float64]:
    return noise(
        STREAMS.noise,
        num_parameters=4,
        noise_multiplier=settings.noise_multiplier,
        clipping_norm=settings.clipping_norm,
        server_round=3,
        step=step,
    )


class Planted:
    """A gradient sum that is given, and that remembers what it was asked."""

    def __init__(self, *sums: NDArray[np.float64]) -> None:
        self.sums = sums
        self.parameters: list[NDArray[np.float32]] = []
        self.batches: list[list[float]] = []

    def __call__(
        self,
        network: DefaultNetwork,
        parameters: NDArray[np.float32],
        features: NDArray[np.float32],
        default: NDArray[np.float32],
        *,
        clipping_norm: float,
        pos_weight: float,
        focal_gamma: float = 0.0,
    ) -> NDArray[np.float64]:
        self.parameters.append(parameters.copy())
        self.batches.append((features[:, 0] / 3.0).tolist())
        return self.sums[(len(self.parameters) - 1) % len(self.sums)]


def run(gradient_sum: ClippedGradientSum, settings: LocalSettings) -> LocalOutcome:
    return run_steps(gradient_sum, NETWORK, INCOMING, FEATURES, LABELS, settings=settings, streams=STREAMS)


def test_every_step_sees_its_own_poisson_batch() -> None:
    planted = Planted(SLOPE)
    run(planted, PLAIN)
    expected = [
        poisson_indices(STREAMS.sampling, num_loans=50, probability=0.3, server_round=3, step=step).tolist()
        for step in range(5)
    ]
    assert planted.batches == expected
    assert len({tuple(batch) for batch in expected}) == 5


def test_the_divisor_is_the_constant_and_not_the_batch() -> None:
    outcome = run(Planted(SLOPE), replace(PLAIN, num_steps=1, divisor=7.0))
    assert outcome.parameters == pytest.approx(INCOMING - 0.1 * SLOPE / 7.0, rel=1e-6)


def test_noise_is_added_to_the_sum_once_a_step_and_counted() -> None:
    private = replace(PLAIN, clipping_norm=2.0, noise_multiplier=1.5)
    outcome = run(Planted(SLOPE), private)
    drift = sum(SLOPE + step_noise(step, private) for step in range(5)) / 15.0
    assert outcome.num_noise_draws == 5
    assert outcome.parameters == pytest.approx(INCOMING - 0.1 * drift, abs=1e-6)


def test_without_a_noise_multiplier_no_noise_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("noise was drawn")

    monkeypatch.setattr(stepwise, "noise", refuse)
    assert run(Planted(SLOPE), PLAIN).num_noise_draws == 0
    assert run(Planted(SLOPE), replace(PLAIN, clipping_norm=1.0)).num_noise_draws == 0


@pytest.mark.parametrize("rule", [Sgd(learning_rate=0.1, momentum=0.9), Adam()], ids=str)
def test_the_optimiser_sees_noised_gradients_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, rule: Sgd | Adam
) -> None:
    private = replace(PLAIN, clipping_norm=2.0, noise_multiplier=1.5, optimiser=rule)
    seen: list[NDArray[np.float64]] = []

    def watched(
        rule: Sgd | Adam, state: optimiser.OptimiserState, gradient: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], optimiser.OptimiserState]:
        seen.append(gradient)
        return original(rule, state, gradient)

    original = optimiser.advance
    monkeypatch.setattr(optimiser, "advance", watched)
    run(Planted(SLOPE), private)
    assert len(seen) == 5
    for step, gradient in enumerate(seen):
        assert np.array_equal(gradient, (SLOPE + step_noise(step, private)) / 15.0)


@pytest.mark.parametrize("rule", [Sgd(learning_rate=0.1, momentum=0.9), Adam()], ids=str)
def test_the_outcome_depends_on_gradient_and_noise_through_their_sum_alone(rule: Sgd | Adam) -> None:
    private = replace(PLAIN, clipping_norm=2.0, noise_multiplier=1.5, optimiser=rule)
    hidden = Planted(*[SLOPE - step_noise(step, private) for step in range(5)])
    bare = run(Planted(SLOPE), replace(PLAIN, optimiser=rule))
    assert run(hidden, private).parameters == pytest.approx(bare.parameters, abs=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_the_proximal_term_is_its_closed_form(weight: float) -> None:
    planted = Planted(SLOPE)
    outcome = run(planted, replace(PLAIN, num_steps=40, proximal_weight=weight))
    shrink = 1.0 - 0.1 * weight
    reach = 40.0 if weight == 0.0 else (1.0 - shrink**40) / (1.0 - shrink)
    assert outcome.parameters == pytest.approx(INCOMING - 0.1 * reach * SLOPE / 15.0, abs=2e-6)
    assert np.array_equal(planted.parameters[0], INCOMING)


def test_the_proximal_term_is_added_after_the_noise_and_neither_clipped_nor_divided() -> None:
    private = replace(PLAIN, num_steps=2, clipping_norm=1e-3, noise_multiplier=1.0, proximal_weight=5.0)
    planted = Planted(1500.0 * SLOPE)
    outcome = run(planted, private)
    pull = 5.0 * (planted.parameters[1].astype(np.float64) - INCOMING)
    expected = planted.parameters[1] - 0.1 * ((1500.0 * SLOPE + step_noise(1, private)) / 15.0 + pull)
    assert outcome.parameters == pytest.approx(expected, rel=1e-6)


def test_no_steps_give_the_incoming_parameters() -> None:
    outcome = run(Planted(SLOPE), replace(PLAIN, num_steps=0))
    assert np.array_equal(outcome.parameters, INCOMING)
    assert outcome.num_noise_draws == 0
