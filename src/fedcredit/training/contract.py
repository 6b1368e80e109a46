"""The array-level contract of a local round, which every trainer keeps.

Flat parameters in, flat parameters out. All constants are public (contract table and config); the
only private inputs are the features and labels. A trainer

* draws the Poisson batch of each step, of loans or of borrowers, from the ``sampling`` stream
  (``privacy.sampling``),
* clips each loan's whole gradient to ``clipping_norm``, and adds up in single precision within blocks of
  at most 64 loans and in float64 between them (``privacy.mechanism``),
* adds ``noise_multiplier * clipping_norm`` times standard normals of the ``noise`` stream at
  (server_round, step), one per parameter in flat order,
* divides by the constant ``divisor``, adds ``proximal_weight * (parameters - incoming)``,
* and takes one optimiser step, an empty batch included.

Parameters are float32; the optimiser's arithmetic is float64 and rounded to float32 once a step. A
trainer may compute the normals to single precision (2e-6), from the same words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.experiment.spec import Adam, Sgd
from fedcredit.model.network import DefaultNetwork
from fedcredit.seeds import Stream


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """The public constants of a local round.

    ``clipping_norm`` is infinite and ``noise_multiplier`` zero where there is no privacy.
    """

    num_steps: int
    sampling_probability: float
    divisor: float
    clipping_norm: float
    noise_multiplier: float
    optimiser: Sgd | Adam
    proximal_weight: float = 0.0
    pos_weight: float = 1.0
    focal_gamma: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RoundStreams:
    """The two streams of a lender, the round they are read at, and what the first one samples.

    With ``borrower_starts``, ``[borrowers + 1]``, borrowers are sampled, and all loans of each come into the batch:
    those from its start to the next. Without, loans are.
    """

    sampling: Stream
    noise: Stream
    server_round: int
    borrower_starts: NDArray[np.int64] | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class LocalOutcome:
    """What a local round gives: parameters ``[num_parameters]`` and how often noise was drawn."""

    parameters: NDArray[np.float32]
    num_noise_draws: int


class LocalRound(Protocol):
    """A trainer: all local steps of one lender in one round."""

    def __call__(
        self,
        network: DefaultNetwork,
        parameters: NDArray[np.float32],
        features: NDArray[np.float32],
        default: NDArray[np.float32],
        *,
        settings: LocalSettings,
        streams: RoundStreams,
    ) -> LocalOutcome:
        """Run the round.

        Args:
            network: the shape of the network.
            parameters: incoming flat parameters, ``[num_parameters]``.
            features: encoded loans, ``[loans, features]``.
            default: labels 0 or 1, ``[loans]``.
            settings: public constants.
            streams: where sampling and noise come from.

        Returns:
            The outcome.
        """
        ...


class PredictLogit(Protocol):
    """What scores loans beside a trainer."""

    def __call__(
        self, network: DefaultNetwork, parameters: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Predict log-odds of default; a loan's have the same bits in any company.

        Args:
            network: the shape of the network.
            parameters: flat parameters, ``[num_parameters]``.
            features: encoded loans, ``[loans, features]``.

        Returns:
            Log-odds, ``[loans]``.
        """
        ...


def check_round(
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    settings: LocalSettings,
    borrower_starts: NDArray[np.int64] | None = None,
) -> None:
    """Refuse what no trainer can run.

    Args:
        network: the network's shape.
        parameters: incoming flat parameters.
        features: encoded loans.
        default: labels.
        settings: public constants.
        borrower_starts: where each borrower's loans begin, if borrowers are sampled.

    Raises:
        InputError: if shapes do not fit each other, borrowers do not share out the loans, noise is asked for without
            a finite clipping norm, or the divisor is not a finite number above 0.
    """
    if parameters.shape != (network.num_parameters,):
        raise InputError(f"parameters have shape {list(parameters.shape)}; this network has [{network.num_parameters}]")
    if features.ndim != 2 or features.shape[1] != network.num_features or default.shape != features.shape[:1]:
        raise InputError(
            f"features have shape {list(features.shape)} and default has {list(default.shape)}; "
            f"give [loans, {network.num_features}] and [loans]"
        )
    if borrower_starts is not None and not _shares_out(borrower_starts, len(default)):
        raise InputError(
            f"borrower_starts has {len(borrower_starts)} places for {len(default)} loans; it must rise from 0 to the "
            "number of loans"
        )
    if settings.noise_multiplier > 0.0 and not math.isfinite(settings.clipping_norm):
        raise InputError(
            f"noise_multiplier is {settings.noise_multiplier} with an infinite clipping_norm; "
            "noise needs a finite clipping_norm"
        )
    if not (math.isfinite(settings.divisor) and settings.divisor > 0.0):
        raise InputError(f"divisor is {settings.divisor}; give a finite number above 0, usually rate times loans")


def _shares_out(starts: NDArray[np.int64], num_loans: int) -> bool:
    if starts.ndim != 1 or len(starts) == 0 or starts[0] != 0 or starts[-1] != num_loans:
        return False
    return bool(np.all(np.diff(starts) >= 0))
