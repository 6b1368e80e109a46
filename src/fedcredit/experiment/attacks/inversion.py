"""A loan read off the update of a lender that has one, or a few: analytic inversion of the first layer.

For one loan x the gradient of the first layer is d x^T for its weights and d for its biases, whatever d is, so x is
the one over the other (Phong et al. 2018, "Privacy-preserving deep learning via additively homomorphic encryption",
section 3). Clipping scales both alike. The estimate is least squares over hidden units and rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.features import ScaledNumber
from fedcredit.data.schema import Schema
from fedcredit.data.schema_checks import Source, encoded_names, range_of
from fedcredit.errors import InputError
from fedcredit.experiment.attacks.game import Examples, train_game, training_loans, with_counts
from fedcredit.experiment.prepare import Prepared, Progress, local_settings
from fedcredit.seeds import permutation, private_stream, public_stream
from fedcredit.training.contract import LocalRound, LocalSettings, RoundStreams
from fedcredit.training.trainers import trainer

LOANS_A_LENDER = (1, 2, 4, 8)
MOST_LENDERS = 10_000
NUMBER_TOLERANCE, FLAG_TOLERANCE = 0.05, 0.5
_PURPOSE = "attack.inversion"
_VICTIM = "attacked lender"
_SAYS_EVERY = 5


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """How much of their loans is read off the updates of lenders of one size.

    Attributes:
        num_loans: loans that each of the lenders has.
        share: of columns recovered, mean over loans.
        standard_error: of that mean.
        whole_loans: share of loans of which every column is recovered.
        guessed: share of columns right by the median of other loans, without any update.
        noise_multiplier: of these lenders; 0 without privacy.
    """

    num_loans: int
    share: float
    standard_error: float
    whole_loans: float
    guessed: float
    noise_multiplier: float


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """What inversion reads; ``columns`` are those of the encoding, ``num_lenders`` how many of each size."""

    columns: tuple[str, ...]
    num_lenders: int
    recovered: tuple[Recovered, ...]


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Which source each encoded feature is of, ``[features]``, and how near counts as recovered, ``[features]``."""

    names: tuple[str, ...]
    source: NDArray[np.int64]
    tolerance: NDArray[np.float64]

    def are_near(self, guesses: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which columns are recovered: ``[..., features]`` twice to ``[..., columns]``."""
        is_near = np.abs(guesses - truth) <= self.tolerance
        return np.stack([is_near[..., self.source == place].all(axis=-1) for place in range(len(self.names))], axis=-1)


def attack_inversion(
    prepared: Prepared, *, num_lenders: int = 40, seed: int = 1, progress: Progress | None = None
) -> Inversion:
    """Invert the updates of made-up lenders of 1, 2, 4 and 8 training loans each.

    Args:
        prepared: the prepared experiment; its federation is trained to have the networks that are sent.
        num_lenders: attacked lenders of each size, 2 to 10,000.
        seed: of loans, sampling and noise, at least 0.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        Shares of columns recovered.

    Raises:
        InputError: if the number is outside its range, or there are too few loans.
    """
    loans = training_loans(prepared)
    features = np.concatenate([own.features for own in loans.values()])
    default = np.concatenate([own.default for own in loans.values()])
    needed = num_lenders * max(LOANS_A_LENDER)
    if not 2 <= num_lenders <= MOST_LENDERS:
        raise InputError(f"number is {num_lenders}; allowed is 2 to {MOST_LENDERS:,} attacked lenders")
    if needed > len(default):
        raise InputError(f"number is {num_lenders}, which takes {needed} training loans; there are {len(default)}")
    sent = _networks(prepared, loans, seed, progress)
    columns = _columns(prepared.portfolio.schema)
    order = permutation(public_stream(seed=seed, purpose=f"{_PURPOSE}.loans"), count=len(default))
    typical = np.median(features, axis=0).astype(np.float64)
    recovered = []
    for size in LOANS_A_LENDER:
        rows = order[: num_lenders * size].reshape(num_lenders, size)
        game = with_counts(prepared, {_VICTIM: size})
        settings = local_settings(prepared.experiment, game.contracts[_VICTIM], game.plan)
        shares = []
        for number, own in enumerate(rows):
            victim = Examples(features=features[own], default=default[own])
            guesses = _candidates(prepared, sent, victim, settings, seed=seed, name=f"{size}.{number}")
            shares.append(_best(columns, guesses, victim.features.astype(np.float64)))
            if progress is not None and ((number + 1) % _SAYS_EVERY == 0 or number + 1 == num_lenders):
                progress(f"lenders of {size}", number + 1, num_lenders)
        guessed = columns.are_near(typical, features[rows.ravel()].astype(np.float64)).mean()
        recovered.append(_recovered(size, np.array(shares), float(guessed), settings.noise_multiplier))
    return Inversion(columns=columns.names, num_lenders=num_lenders, recovered=tuple(recovered))


def _recovered(size: int, shares: NDArray[np.float64], guessed: float, noise_multiplier: float) -> Recovered:
    by_lender = shares.mean(axis=1)
    return Recovered(
        num_loans=size,
        share=float(by_lender.mean()),
        standard_error=float(by_lender.std(ddof=1) / np.sqrt(len(by_lender))),
        whole_loans=float((shares == 1.0).mean()),
        guessed=guessed,
        noise_multiplier=noise_multiplier,
    )


def _networks(
    prepared: Prepared, loans: dict[str, Examples], seed: int, progress: Progress | None
) -> list[NDArray[np.float32]]:
    """Train the federation, and keep what the server sent in each round."""
    sent: list[NDArray[np.float32]] = []
    num_rounds = prepared.experiment.training.num_rounds

    def observe(server_round: int, parameters: NDArray[np.float32], received: NDArray[np.float64]) -> None:
        sent.append(parameters)
        if progress is not None:
            progress("rounds", server_round, num_rounds)

    train_game(prepared, loans, purpose=f"{_PURPOSE}.federation", seed=seed, observe=observe)
    return sent


def _candidates(
    prepared: Prepared,
    sent: list[NDArray[np.float32]],
    victim: Examples,
    settings: LocalSettings,
    *,
    seed: int,
    name: str,
) -> NDArray[np.float64]:
    """Guess encoded loans: one by all hidden units together, and one by each of them, ``[1 + units, features]``."""
    layer = prepared.network.layers[0]
    sampling, noise = (
        private_stream(
            fingerprint=prepared.fingerprint, seed=seed, institution=_VICTIM, purpose=f"{_PURPOSE}.{name}.{what}"
        )
        for what in ("sampling", "noise")
    )
    compute: LocalRound = trainer(prepared.experiment.trainer.kind, device=prepared.experiment.trainer.device)
    above, below = np.zeros((layer.num_outputs, layer.num_inputs)), np.zeros(layer.num_outputs)
    for server_round, parameters in enumerate(sent, start=1):
        outcome = compute(
            prepared.network, parameters, victim.features, victim.default, settings=settings,
            streams=RoundStreams(sampling=sampling, noise=noise, server_round=server_round),
        )  # fmt: skip
        update = outcome.parameters.astype(np.float64) - parameters
        weight, bias = update[layer.weight].reshape(above.shape), update[layer.bias]
        above += bias[:, np.newaxis] * weight
        below += bias**2
    together = above.sum(axis=0) / max(float(below.sum()), np.finfo(np.float64).tiny)
    each = above / np.maximum(below, np.finfo(np.float64).tiny)[:, np.newaxis]
    return np.vstack([together, each])


def _best(columns: _Columns, guesses: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of columns recovered of each loan, ``[loans]``; of several loans, each by the guess that fits it best."""
    if len(truth) == 1:
        guesses = guesses[:1]
    near = columns.are_near(guesses[:, np.newaxis], truth[np.newaxis])
    shares: NDArray[np.float64] = near.mean(axis=2).max(axis=0)
    return shares


def _columns(schema: Schema) -> _Columns:
    """Group encoded features by what they are made of, and say how near is near, from the public schema alone."""
    sources: dict[str, Source] = {item.name: item for item in (*schema.columns, *schema.derived)}
    names = tuple(dict.fromkeys(feature.of for feature in schema.features))
    source, tolerance = [], []
    for feature in schema.features:
        count = len(encoded_names(feature, sources[feature.of]))
        if isinstance(feature, ScaledNumber):
            low, high = feature.range or range_of(sources[feature.of]) or (0.0, 1.0)
            span = high - low if feature.kind == "linear" else float(np.log1p(high) - np.log1p(low))
            near = NUMBER_TOLERANCE * span * feature.scale
        else:
            near = FLAG_TOLERANCE * feature.scale
        source += [names.index(feature.of)] * count
        tolerance += [near] * count
    return _Columns(names=names, source=np.array(source), tolerance=np.array(tolerance))
