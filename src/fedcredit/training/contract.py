"""The array-level contract of a local round, which every trainer keeps.

Flat parameters in, flat parameters out. All constants are public (contract table and config); the
only private inputs are the features and labels. A trainer

* draws the Poisson batch of each step from the ``sampling`` stream (``privacy.sampling``),
* clips each loan's whole gradient to ``clipping_norm`` and sums in float64,
* adds ``noise_multiplier * clipping_norm`` times standard normals of the ``noise`` stream at
  (server_round, step), one per parameter in flat order,
* divides by the constant ``divisor``, adds ``proximal_weight * (parameters - incoming)``,
* and takes one optimiser step, an empty batch included.

Parameters are float32; the sum, the noise and the optimiser's arithmetic are float64 and rounded to
float32 once a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, kw_only=True)
class RoundStreams:
    """The two streams of a lender, and the round they are read at."""

    sampling: Stream
    noise: Stream
    server_round: int


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
