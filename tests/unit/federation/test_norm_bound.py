from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fedcredit.experiment.spec import Adam, Sgd
from fedcredit.federation.norm_bound import update_norm_bound
from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.seeds import normals, private_stream, public_stream
from fedcredit.training.contract import LocalSettings, RoundStreams
from fedcredit.training.trainers import trainer

LOANS = 80
NETWORK = DefaultNetwork(num_features=6, hidden=(5,))
BASE = LocalSettings(
    num_steps=3,
    sampling_probability=0.25,
    divisor=20.0,
    clipping_norm=2.5,
    noise_multiplier=1.0,
    optimiser=Sgd(learning_rate=0.5),
)
RECIPES = {
    "sgd": BASE,
    "one step": replace(BASE, num_steps=1, optimiser=Sgd(learning_rate=1.0)),
    "momentum": replace(BASE, num_steps=8, optimiser=Sgd(learning_rate=0.1, momentum=0.9)),
    "proximal": replace(BASE, num_steps=8, proximal_weight=1.0),
    "much noise": replace(BASE, noise_multiplier=20.0),
    "little noise": replace(BASE, noise_multiplier=0.01),
    "every loan": replace(BASE, sampling_probability=1.0, divisor=80.0),
    "adam": replace(BASE, num_steps=8, optimiser=Adam(learning_rate=0.02)),
    "adam, long memory": replace(BASE, num_steps=30, optimiser=Adam(beta1=0.95, beta2=0.9)),
}


def bound(settings: LocalSettings) -> float | None:
    return update_norm_bound(settings, num_loans=LOANS, num_parameters=NETWORK.num_parameters)


def moved(settings: LocalSettings, institution: str) -> float:
    draws = normals(public_stream(seed=3, purpose="loans"), count=7 * LOANS).reshape(LOANS, 7)
    features = (5 * draws[:, :6]).astype(np.float32)
    default = (draws[:, 6] > 0).astype(np.float32)
    start = initial_parameters(NETWORK, public_stream(seed=1, purpose="initialisation"))
    sampling, noise = (
        private_stream(fingerprint="f", seed=1, institution=institution, purpose=purpose)
        for purpose in ("sampling", "noise")
    )
    streams = RoundStreams(sampling=sampling, noise=noise, server_round=1)
    outcome = trainer("vectorised")(NETWORK, start, features, default, settings=settings, streams=streams)
    return float(np.linalg.norm(outcome.parameters.astype(np.float64) - start))


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_honest_lender_is_never_refused(recipe: str) -> None:
    limit = bound(RECIPES[recipe])
    assert limit is not None
    assert all(moved(RECIPES[recipe], f"bank {number}") <= limit for number in range(10))


@pytest.mark.parametrize("recipe", ["one step", "much noise", "adam"])
def test_the_bound_is_not_idle(recipe: str) -> None:
    limit = bound(RECIPES[recipe])
    assert limit is not None
    assert 20 * moved(RECIPES[recipe], "bank 1") > limit


def test_noise_alone_fits_below_the_bound_with_slack() -> None:
    settings = RECIPES["one step"]
    limit = bound(settings)
    assert limit is not None
    noise = settings.noise_multiplier * settings.clipping_norm * math.sqrt(NETWORK.num_parameters) / settings.divisor
    assert limit > noise


@pytest.mark.parametrize(
    "settings",
    [
        replace(BASE, clipping_norm=math.inf, noise_multiplier=0.0),
        replace(BASE, proximal_weight=1.0, optimiser=Sgd(momentum=0.9)),
        replace(BASE, proximal_weight=5.0),
        replace(BASE, optimiser=Adam(beta2=0.0)),
    ],
)
def test_no_bound_is_stated_where_none_holds(settings: LocalSettings) -> None:
    assert bound(settings) is None


def test_adams_step_never_exceeds_its_factor_whatever_the_gradients() -> None:
    # A spike after silence is the worst case of Adam: the bound must be reached from below, closely.
    optimiser = Adam(learning_rate=1.0, beta1=0.9, beta2=0.99)
    first = second = 0.0
    moves = []
    for step, gradient in enumerate([1e-12] * 60 + [1.0], start=1):
        first = optimiser.beta1 * first + (1 - optimiser.beta1) * gradient
        second = optimiser.beta2 * second + (1 - optimiser.beta2) * gradient**2
        moves.append((first / (1 - optimiser.beta1**step)) / math.sqrt(second / (1 - optimiser.beta2**step)))
    limit = update_norm_bound(replace(BASE, num_steps=61, optimiser=optimiser), num_loans=LOANS, num_parameters=1)
    assert limit is not None
    assert sum(moves) <= limit
