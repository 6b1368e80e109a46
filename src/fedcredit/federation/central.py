"""The server that adds the noise: every lender's update is clipped as a whole, and one noised mean is released a round.

For comparison with lenders that protect their own loans. The unit is an institution: under the zero-out relation its
update is replaced by nothing. With public weights w_k, clipping norm C and updates u_k the released sum is

    sum over the cohort of w_k clip(u_k, C)  +  noise of deviation sigma C max(w),

so one institution moves it by at most C max(w), whoever answers and whoever does not: nothing is renormalised by who
is there, and an update that is missing, refused or not finite counts as zero. The sum is divided by the public chance
of a lender to be in the cohort. The server step follows, as post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.contract import ContractTable
from fedcredit.experiment import spec
from fedcredit.federation.cohort import cohort
from fedcredit.federation.protocol import TrainReply, release_digest
from fedcredit.federation.server_optimiser import initial_state, kept_state, released, restored_state, server_step
from fedcredit.federation.snapshot import Iterate
from fedcredit.privacy.accounting.events import Event
from fedcredit.privacy.accounting.ledger import PrivacyLedger, Release
from fedcredit.privacy.accounting.releases import FEDERATION
from fedcredit.privacy.cap import SpendingCap
from fedcredit.privacy.mechanism import noise
from fedcredit.privacy.sampling import poisson_indices
from fedcredit.seeds import Stream

_CLIP_SLACK = 1.001
_CLIP_MARGIN = 2.0**-20
_CLIENT_MARGIN = 2.0**-10


@dataclass(frozen=True, kw_only=True)
class ServerNoise:
    """What the server needs to protect institutions: its noise, its secret cohorts, and its ledger."""

    event: Event
    clipping_norm: float
    fingerprint: str
    computed_by: str
    noise: Stream
    cohorts: Stream
    ledger: PrivacyLedger
    cap: SpendingCap | None = None

    def intend(self, server_round: int, parameters: NDArray[np.float32]) -> Release:
        """Charge a round before any lender is asked for its update.

        Args:
            server_round: the round, from 1.
            parameters: what the cohort receives, ``[num_parameters]``.

        Returns:
            The release, for the commit.

        Raises:
            InputError: if the ledger does not permit it.
        """
        digest = release_digest(
            fingerprint=self.fingerprint,
            computed_by=self.computed_by,
            release=FEDERATION,
            server_round=server_round,
            parameters=parameters,
        )
        release = Release(name=FEDERATION, server_round=server_round, event=self.event, digest=digest)
        self.ledger.intend(release, within=self.cap)
        return release


def secret_cohort(
    sampling_probability: float, institutions: tuple[str, ...], stream: Stream, server_round: int
) -> tuple[str, ...]:
    """Draw a Poisson cohort, which may be empty.

    Args:
        sampling_probability: the chance of each lender, independently.
        institutions: the names of all lenders.
        stream: the server's stream for cohorts, which no lender and no arm shares.
        server_round: the round, from 1.

    Returns:
        Names, sorted.
    """
    names = tuple(sorted(institutions))
    chosen = poisson_indices(
        stream, num_loans=len(names), probability=sampling_probability, server_round=server_round, step=0
    )
    return tuple(names[place] for place in chosen)


def clipped(update: NDArray[np.float64], clipping_norm: float) -> NDArray[np.float64]:
    """Clip a whole update a little below a norm, for rounding; one that is not finite counts as zero.

    Args:
        update: local minus global parameters, ``[num_parameters]``.
        clipping_norm: C, above 0.

    Returns:
        The update times min(1, C (1 - 2**-20) / norm), ``[num_parameters]``.
    """
    norm = math.sqrt(float(np.dot(update, update)))
    if not math.isfinite(norm):
        return np.zeros_like(update)
    target = clipping_norm * (1.0 - _CLIP_MARGIN)
    return update if norm <= target else update * (target / norm)


def clipped_parameters(
    incoming: NDArray[np.float32], parameters: NDArray[np.float32], clipping_norm: float
) -> NDArray[np.float32]:
    """Clip on the lender's side, with room for the rounding of parameters, so that the gate lets the reply in.

    Args:
        incoming: what the lender received, ``[num_parameters]``.
        parameters: what it trained, ``[num_parameters]``.
        clipping_norm: C, above 0.

    Returns:
        What it sends, ``[num_parameters]``.
    """
    update = clipped(np.subtract(parameters, incoming, dtype=np.float64), clipping_norm * (1.0 - _CLIENT_MARGIN))
    return (incoming.astype(np.float64) + update).astype(np.float32)


def gate_bound(clipping_norm: float) -> float:
    """Return the norm above which an update was not clipped by its lender.

    Args:
        clipping_norm: C, above 0.

    Returns:
        The bound; a thousandth is for the rounding of parameters, and the server clips to C all the same.
    """
    return clipping_norm * _CLIP_SLACK


@final
class CentralRule:
    """Clip the updates, add them up with public weights, add the server's noise, step the server optimiser."""

    def __init__(
        self,
        strategy: spec.Strategy,
        contracts: ContractTable,
        initial: NDArray[np.float32],
        server: ServerNoise,
    ) -> None:
        """Start from the initial parameters.

        Args:
            strategy: cohort, server optimiser and averaging, as data.
            contracts: where the weights come from.
            initial: initial parameters, ``[num_parameters]``.
            server: the server's noise and ledger.
        """
        self._strategy = strategy
        self._contracts = contracts
        self._state = initial_state(initial)
        self._server = server
        self._largest_weight = max(contract.weight for contract in contracts.contracts)
        self._chance = expected_share(strategy.cohort, contracts.institutions)

    def __call__(self, server_round: int, incoming: NDArray[np.float32], replies: Mapping[str, TrainReply]) -> Iterate:
        """Take the step of one round; see ``strategy.ServerRule``.

        Args:
            server_round: the round, from 1.
            incoming: what the lenders received, ``[num_parameters]``.
            replies: the good replies by institution, sorted by name.

        Returns:
            The next iterate and the average so far.

        Raises:
            InputError: if the ledger does not permit the round.
        """
        release = self._server.intend(server_round, incoming)
        total = np.zeros(len(incoming))
        for name, reply in replies.items():
            update = np.subtract(reply.parameters, incoming, dtype=np.float64)
            total += self._contracts[name].weight * clipped(update, self._server.clipping_norm)
        total += noise(
            self._server.noise,
            num_parameters=len(incoming),
            noise_multiplier=self._server.event.noise_multiplier,
            clipping_norm=self._server.clipping_norm * self._largest_weight,
            server_round=server_round,
            step=0,
        )
        self._server.ledger.commit(release, num_noise_draws=1)
        self._state = server_step(self._strategy, self._state, total / self._chance)
        return Iterate(parameters=self._state.parameters, released=released(self._state))

    def kept(self) -> dict[str, NDArray[Any]]:
        """Return the server's state by the names of its fields."""
        return kept_state(self._state)

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Go on from an earlier state.

        Args:
            kept: as `kept` returned it.
        """
        self._state = restored_state(self._state, kept)


def expected_share(chosen: spec.Cohort, institutions: tuple[str, ...]) -> float:
    """Return the public chance of a lender to be in a round's cohort.

    Args:
        chosen: how cohorts are chosen.
        institutions: the names of all lenders.

    Returns:
        The chance, above 0 and at most 1.
    """
    if isinstance(chosen, spec.PoissonCohort):
        return chosen.sampling_probability
    return len(cohort(chosen, institutions, seed=0, server_round=1)) / len(institutions)
