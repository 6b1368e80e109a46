"""Training without messages: the loop behind the references of a run.

The same local round, aggregation and server step as the federation's, called directly. It trains
a lender alone, all loans pooled, or a federation of another network, and every private release goes
through the ledgers of the lenders whose loans it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.experiment.spec import FlowerStrategy, Sgd, Strategy
from fedcredit.federation.aggregate import aggregate
from fedcredit.federation.protocol import release_digest
from fedcredit.federation.server_optimiser import initial_state, released, server_step
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.accounting.events import Event
from fedcredit.privacy.accounting.ledger import PrivacyLedger, Release
from fedcredit.seeds import private_stream
from fedcredit.training.contract import LocalRound, LocalSettings, RoundStreams

Observe = Callable[[int, NDArray[np.float32], NDArray[np.float64]], None]


@dataclass(frozen=True, kw_only=True)
class Participant:
    """One body of loans that trains: a lender, or several lenders pooled.

    ``event`` is what one round costs every loan in it (``None`` without privacy) and ``ledgers`` those of the lenders
    that own the loans. ``borrower_starts`` says where each borrower's loans begin, if borrowers are sampled.
    """

    name: str
    features: NDArray[np.float32]
    default: NDArray[np.float32]
    settings: LocalSettings
    weight: float
    event: Event | None
    ledgers: tuple[PrivacyLedger, ...]
    borrower_starts: NDArray[np.int64] | None = None


def server_rule(strategy: Strategy | FlowerStrategy) -> Strategy:
    """Return an experiment's own server rule; a stock Flower strategy is stood in for by plain averaging.

    Args:
        strategy: the experiment's strategy.

    Returns:
        The rule for `train_directly`.
    """
    return strategy if isinstance(strategy, Strategy) else Strategy(server_optimiser=Sgd(), averaging_decay=0.0)


def train_directly(
    network: DefaultNetwork,
    initial: NDArray[np.float32],
    participants: Sequence[Participant],
    *,
    release: str,
    fingerprint: str,
    seed: int,
    strategy: Strategy,
    num_rounds: int,
    trainer: LocalRound,
    computed_by: str,
    observe: Observe | None = None,
) -> NDArray[np.float32]:
    """Train over rounds with full participation and return the parameters that are released.

    Args:
        network: the shape of the network.
        initial: initial parameters, ``[num_parameters]``.
        participants: who trains; their weights sum to one.
        release: the name of the release in the ledgers and in the streams.
        fingerprint: the experiment's fingerprint.
        seed: the experiment's seed.
        strategy: aggregator, server optimiser and averaging.
        num_rounds: at least 1.
        trainer: computes the local rounds.
        computed_by: its name, as `fedcredit.experiment.prepare.trainer_name` tells it.
        observe: told of each round what a server sees: its number, the parameters it sent, ``[num_parameters]``, and
            the updates it received, ``[participants, num_parameters]``.

    Returns:
        Flat parameters, ``[num_parameters]``.
    """
    state = initial_state(initial)
    weights = np.array([participant.weight for participant in participants])
    for server_round in range(1, num_rounds + 1):
        sent = state.parameters
        updates = np.empty((len(participants), sent.size), dtype=np.float64)
        for position, participant in enumerate(participants):
            outcome = _one_round(
                network, sent, participant, release, fingerprint, seed, server_round, trainer, computed_by
            )
            updates[position] = outcome.astype(np.float64) - sent
        if observe is not None:
            observe(server_round, sent, updates)
        state = server_step(strategy, state, aggregate(strategy.aggregator, updates, weights))
    return released(state)


def _one_round(
    network: DefaultNetwork,
    sent: NDArray[np.float32],
    participant: Participant,
    release: str,
    fingerprint: str,
    seed: int,
    server_round: int,
    trainer: LocalRound,
    computed_by: str,
) -> NDArray[np.float32]:
    streams = RoundStreams(
        sampling=private_stream(
            fingerprint=fingerprint, seed=seed, institution=participant.name, purpose=f"{release}.sampling"
        ),
        noise=private_stream(
            fingerprint=fingerprint, seed=seed, institution=participant.name, purpose=f"{release}.noise"
        ),
        server_round=server_round,
        borrower_starts=participant.borrower_starts,
    )
    entry = None
    if participant.event is not None:
        digest = release_digest(
            fingerprint=fingerprint,
            computed_by=computed_by,
            release=release,
            server_round=server_round,
            parameters=sent,
        )
        entry = Release(name=release, server_round=server_round, event=participant.event, digest=digest)
        for ledger in participant.ledgers:
            ledger.intend(entry)
    outcome = trainer(
        network, sent, participant.features, participant.default, settings=participant.settings, streams=streams
    )
    if entry is not None:
        for ledger in participant.ledgers:
            ledger.commit(entry, num_noise_draws=outcome.num_noise_draws)
    return outcome.parameters
