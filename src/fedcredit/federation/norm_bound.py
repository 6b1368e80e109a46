"""How far an honest lender's parameters can move in a round, from public constants alone."""

from __future__ import annotations

import math

from fedcredit.experiment.spec import Adam, Sgd
from fedcredit.training.contract import LocalSettings

_TAIL = 8.0
_ROUNDING = 1.001


def update_norm_bound(settings: LocalSettings, *, num_loans: int, num_parameters: int) -> float | None:
    """Bound the norm of an honest update; above it, a reply is not the output of the local round.

    Every step's noised mean gradient is at most

        G = C (B + sigma (sqrt(d) + 8)) / divisor,

    where B = min(n, q n + 8 sqrt(q n) + 22) bounds the Poisson batch (Bernstein's inequality) and
    sqrt(d) + 8 the norm of d standard normals (Gaussian concentration); each fails with a chance
    below 2e-14 a step. So the bound is always above sigma C sqrt(d) / divisor. Then

    * SGD with learning rate r and momentum m moves at most r T G / (1 - m) in T steps. With a
      proximal weight p this holds for m = 0 and r p <= 2 (the pull towards the start contracts).
    * Adam's step t moves each coordinate at most
      r (1 - b1) / sqrt(1 - b2) * sqrt(sum of (b1^2/b2)^j, j < t) * sqrt(1 - b2^t) / (1 - b1^t)
      (Cauchy and Schwarz), whatever the gradients are.

    A thousandth is added for float32 rounding.

    Args:
        settings: the public constants of the lender's local rounds.
        num_loans: its public number of training loans.
        num_parameters: d.

    Returns:
        The bound, or ``None`` where none can be stated: without clipping, with momentum and a
        proximal term together, or with r p > 2, or for Adam with b2 = 0.
    """
    optimiser = settings.optimiser
    if isinstance(optimiser, Adam):
        bound = _adam(optimiser, settings.num_steps, num_parameters)
    else:
        bound = _sgd(optimiser, settings, _largest_gradient(settings, num_loans, num_parameters))
    return bound * _ROUNDING if math.isfinite(bound) else None


def _largest_gradient(settings: LocalSettings, num_loans: int, num_parameters: int) -> float:
    expected = settings.sampling_probability * num_loans
    batch = min(float(num_loans), expected + _TAIL * math.sqrt(expected) + 22.0)
    noise = settings.noise_multiplier * (math.sqrt(num_parameters) + _TAIL)
    return settings.clipping_norm * (batch + noise) / settings.divisor


def _sgd(optimiser: Sgd, settings: LocalSettings, gradient: float) -> float:
    pull = optimiser.learning_rate * settings.proximal_weight
    if pull > 2.0 or (pull > 0.0 and optimiser.momentum > 0.0):
        return math.inf
    return optimiser.learning_rate * settings.num_steps * gradient / (1.0 - optimiser.momentum)


def _adam(optimiser: Adam, num_steps: int, num_parameters: int) -> float:
    if optimiser.beta2 == 0.0:
        return math.inf
    ratio, steps, series = optimiser.beta1**2 / optimiser.beta2, 0.0, 0.0
    for step in range(1, num_steps + 1):
        series = 1.0 + ratio * series
        correction = math.sqrt(1.0 - optimiser.beta2**step) / (1.0 - optimiser.beta1**step)
        steps += (1.0 - optimiser.beta1) / math.sqrt(1.0 - optimiser.beta2) * math.sqrt(series) * correction
    return optimiser.learning_rate * steps * math.sqrt(num_parameters)
