"""A lender's bad rate, read off its updates: what the promise to a loan does not hide.

A lender's mean gradient is r a + (1 - r) b, where r is its bad rate and a and b are the mean gradients of its bad and
of its good loans. For the bias of the output these are close to pd - 1 and pd, so that one number of the update is
mean(pd) - r. Noise of mean zero is averaged out over the rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.experiment.attacks.game import Examples, train_game, training_loans
from fedcredit.experiment.prepare import Prepared, Progress, local_settings
from fedcredit.experiment.spec import Sgd
from fedcredit.seeds import private_stream, public_stream, uniforms
from fedcredit.training.contract import LocalRound, LocalSettings, RoundStreams
from fedcredit.training.trainers import predictor, trainer

LEAST_LENDERS, LEAST_SHADOWS, MOST_SHADOWS = 3, 8, 4096
ALONE = "output bias, server alone"
REFERENCE = "whole update, reference loans"
SHADOWS = "regression on shadow lenders"
GUESS = "guess: the federation's bad rate"
_PURPOSE = "attack.bad_rate"
_HIGHEST_RATE = 0.9
_RIDGES = tuple(10.0**power for power in range(-4, 4))
_SAYS_EVERY = 8


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Estimated bad rates of the attacked lenders by one method, ``[lenders]``, and how far they are off."""

    method: str
    bad_rates: NDArray[np.float64]
    mean_absolute_error: float
    correlation: float | None


@dataclass(frozen=True, kw_only=True)
class BadRates:
    """What is read off the updates.

    Attributes:
        colluder: the lender whose loans the attacker knows.
        lenders: those attacked, ``[lenders]``.
        num_loans: their training loans.
        truth: their bad rates among training loans, ``[lenders]``.
        estimates: one set a method, the blind guess last.
        why_no_closed_form: why only shadow lenders were used; None where all methods were.
    """

    colluder: str
    lenders: tuple[str, ...]
    num_loans: tuple[int, ...]
    truth: NDArray[np.float64]
    estimates: tuple[Estimates, ...]
    why_no_closed_form: str | None


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the server saw: parameters sent ``[rounds, parameters]``, updates ``[rounds, lenders, parameters]``."""

    sent: NDArray[np.float32]
    updates: NDArray[np.float32]


def attack_bad_rate(
    prepared: Prepared, *, num_shadows: int = 64, seed: int = 1, progress: Progress | None = None
) -> BadRates:
    """Estimate the bad rate of every lender but the one that colludes.

    Args:
        prepared: the prepared experiment, of at least three lenders.
        num_shadows: shadow lenders, 8 to 4,096.
        seed: of sampling, noise and shadow lenders, at least 0.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        Estimates and truth.

    Raises:
        InputError: if a number is outside its range, or the colluding lender has loans of one outcome alone.
    """
    loans = training_loans(prepared)
    colluder = _colluder(loans, num_shadows)
    targets = tuple(name for name in loans if name != colluder)
    seen = _watch(prepared, loans, targets, seed, progress)
    truth = np.array([float(loans[name].default.mean()) for name in targets])
    counts = tuple(loans[name].default.size for name in targets)
    reason = _why_no_closed_form(prepared)
    found = [] if reason else list(_closed_forms(prepared, seen, loans[colluder], progress))
    regressed = _regressed(prepared, seen, loans[colluder], targets, num_shadows, seed, progress)
    overall = float(np.concatenate([own.default for own in loans.values()]).mean())
    estimates = [*found, (SHADOWS, regressed), (GUESS, np.full(len(targets), overall))]
    return BadRates(
        colluder=colluder, lenders=targets, num_loans=counts, truth=truth, why_no_closed_form=reason,
        estimates=tuple(_estimates(method, np.clip(rates, 0.0, 1.0), truth) for method, rates in estimates),
    )  # fmt: skip


def _colluder(loans: Mapping[str, Examples], num_shadows: int) -> str:
    if len(loans) < LEAST_LENDERS:
        raise InputError(f"this experiment has {len(loans)} lenders; the attack needs {LEAST_LENDERS}: one colludes")
    if not LEAST_SHADOWS <= num_shadows <= MOST_SHADOWS:
        raise InputError(f"number is {num_shadows}; allowed is {LEAST_SHADOWS} to {MOST_SHADOWS:,} shadow lenders")
    name = max(loans, key=lambda lender: loans[lender].default.size)
    if len(np.unique(loans[name].default)) < 2:
        raise InputError(f"{name}, the largest lender, has loans of one outcome alone, so it can teach nothing")
    return name


def _watch(
    prepared: Prepared, loans: Mapping[str, Examples], targets: Sequence[str], seed: int, progress: Progress | None
) -> _Seen:
    places = [position for position, name in enumerate(loans) if name in targets]
    sent: list[NDArray[np.float32]] = []
    updates: list[NDArray[np.float32]] = []
    num_rounds = prepared.experiment.training.num_rounds

    def observe(server_round: int, parameters: NDArray[np.float32], received: NDArray[np.float64]) -> None:
        sent.append(parameters)
        updates.append(received[places].astype(np.float32))
        if progress is not None:
            progress("rounds", server_round, num_rounds)

    train_game(prepared, loans, purpose=f"{_PURPOSE}.federation", seed=seed, observe=observe)
    return _Seen(sent=np.stack(sent), updates=np.stack(updates))


def _why_no_closed_form(prepared: Prepared) -> str | None:
    if not isinstance(prepared.experiment.training.optimiser, Sgd):
        return "lenders do not take plain gradient steps"
    if any(contract.local_steps > 1 for contract in prepared.contracts.contracts):
        return "lenders take several steps a round"
    if prepared.experiment.network.focal_gamma > 0.0:
        return "the loss is focal"
    return None


def _closed_forms(
    prepared: Prepared, seen: _Seen, reference: Examples, progress: Progress | None
) -> Sequence[tuple[str, NDArray[np.float64]]]:
    """The output's bias with the PD of a typical loan, and least squares between bad and good reference loans."""
    experiment, bias = prepared.experiment, prepared.network.num_parameters - 1
    assert isinstance(experiment.training.optimiser, Sgd)
    gradients = -seen.updates.astype(np.float64) / experiment.training.optimiser.learning_rate
    typical = np.zeros((1, prepared.network.num_features), dtype=np.float32)
    compute, predict = _trainer(prepared), predictor(experiment.trainer.kind)
    settings = _exact(local_settings(experiment, prepared.contracts.contracts[0], prepared.plan))
    alone = np.zeros(gradients.shape[1])
    above, below, weight = np.zeros(gradients.shape[1]), 0.0, experiment.network.pos_weight
    for number, sent in enumerate(seen.sent):
        pd = float(1.0 / (1.0 + np.exp(-predict(prepared.network, sent, typical)[0])))
        alone += (pd - gradients[number, :, bias]) / (pd + weight * (1.0 - pd)) / len(seen.sent)
        bad, good = (_mean_gradient(prepared, compute, settings, sent, reference, label) for label in (1.0, 0.0))
        above += (gradients[number] - good) @ (bad - good)
        below += float((bad - good) @ (bad - good))
        if progress is not None:
            progress("reference gradients", number + 1, len(seen.sent))
    return (ALONE, alone), (REFERENCE, above / below)


def _exact(settings: LocalSettings) -> LocalSettings:
    return replace(
        settings, num_steps=1, sampling_probability=1.0, noise_multiplier=0.0, optimiser=Sgd(learning_rate=1.0)
    )


def _mean_gradient(
    prepared: Prepared,
    compute: LocalRound,
    settings: LocalSettings,
    sent: NDArray[np.float32],
    reference: Examples,
    label: float,
) -> NDArray[np.float64]:
    mask = reference.default == label
    unread = private_stream(fingerprint=_PURPOSE, seed=0, institution="reference", purpose="unread")
    outcome = compute(
        prepared.network, sent, reference.features[mask], reference.default[mask],
        settings=replace(settings, divisor=float(mask.sum())),
        streams=RoundStreams(sampling=unread, noise=unread, server_round=1),
    )  # fmt: skip
    return sent.astype(np.float64) - outcome.parameters


def _regressed(
    prepared: Prepared,
    seen: _Seen,
    reference: Examples,
    targets: Sequence[str],
    num_shadows: int,
    seed: int,
    progress: Progress | None,
) -> NDArray[np.float64]:
    """Ridge regression of known bad rates on the mean update of the output layer."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    layer = prepared.network.layers[-1]
    part = slice(layer.weight.start, layer.bias.stop)
    rates = _HIGHEST_RATE * (np.arange(num_shadows) + 0.5) / num_shadows
    examples = np.empty((num_shadows, part.stop - part.start))
    for number, rate in enumerate(rates):
        name = targets[number % len(targets)]
        shadow = _shadow(reference, rate, prepared.contracts[name].num_loans, seed=seed, number=number)
        rates[number] = shadow.default.mean()
        examples[number] = _mean_update(prepared, seen, shadow, name, seed=seed, number=number)[part]
        if progress is not None and ((number + 1) % _SAYS_EVERY == 0 or number + 1 == num_shadows):
            progress("shadow lenders", number + 1, num_shadows)
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=_RIDGES)).fit(examples, rates)
    found: NDArray[np.float64] = model.predict(seen.updates.astype(np.float64).mean(axis=0)[:, part])
    return found


def _shadow(reference: Examples, rate: float, num_loans: int, *, seed: int, number: int) -> Examples:
    """Draw a lender of a given bad rate from the reference loans, with replacement."""
    draws = uniforms(public_stream(seed=seed, purpose=f"{_PURPOSE}.shadow"), count=2 * num_loans, step=number)
    is_bad = draws[:num_loans] < rate
    bad, good = np.flatnonzero(reference.default == 1.0), np.flatnonzero(reference.default == 0.0)
    place = draws[num_loans:]
    rows = np.where(is_bad, bad[(place * len(bad)).astype(np.int64)], good[(place * len(good)).astype(np.int64)])
    return Examples(features=reference.features[rows], default=reference.default[rows])


def _mean_update(
    prepared: Prepared, seen: _Seen, shadow: Examples, name: str, *, seed: int, number: int
) -> NDArray[np.float64]:
    settings = local_settings(prepared.experiment, prepared.contracts[name], prepared.plan)
    sampling, noise = (
        private_stream(
            fingerprint=prepared.fingerprint, seed=seed, institution=name, purpose=f"{_PURPOSE}.shadow.{number}.{what}"
        )
        for what in ("sampling", "noise")
    )
    compute, total = _trainer(prepared), np.zeros(prepared.network.num_parameters)
    for server_round, sent in enumerate(seen.sent, start=1):
        outcome = compute(
            prepared.network, sent, shadow.features, shadow.default, settings=settings,
            streams=RoundStreams(sampling=sampling, noise=noise, server_round=server_round),
        )  # fmt: skip
        total += outcome.parameters.astype(np.float64) - sent
    return total / len(seen.sent)


def _estimates(method: str, rates: NDArray[np.float64], truth: NDArray[np.float64]) -> Estimates:
    is_flat = min(float(np.ptp(rates)), float(np.ptp(truth))) < 1e-12
    return Estimates(
        method=method,
        bad_rates=rates,
        mean_absolute_error=float(np.abs(rates - truth).mean()),
        correlation=None if is_flat else float(np.corrcoef(rates, truth)[0, 1]),
    )


def _trainer(prepared: Prepared) -> LocalRound:
    return trainer(prepared.experiment.trainer.kind, device=prepared.experiment.trainer.device)
