"""The one Flower Strategy: cohort, gate, server rule and evaluation, round after round.

Flower's ``start`` drives it. What a round's updates become is a ``ServerRule``: ours (aggregator,
server optimiser, average of the iterates) or a stock Flower strategy with ordered replies
(``flower_strategy``). Nothing here draws from a global generator or depends on the order of replies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, final

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower
from numpy.typing import NDArray

from fedcredit.data.contract import ContractTable
from fedcredit.experiment import spec
from fedcredit.federation.aggregate import aggregate
from fedcredit.federation.central import ServerNoise, secret_cohort
from fedcredit.federation.cohort import cohort, quorum
from fedcredit.federation.gate import Expected, Sent, admit, check_quorum, examine_training
from fedcredit.federation.protocol import (
    EVALUATE,
    TRAIN,
    ModelRequest,
    TrainReply,
    read_evaluate_reply,
    write_model_request,
)
from fedcredit.federation.rounds import RoundRecord, evaluate_replies
from fedcredit.federation.server_optimiser import initial_state, kept_state, released, restored_state, server_step
from fedcredit.federation.snapshot import Iterate, Keep, Snapshot
from fedcredit.model.arrays import parameters_from_record, parameters_to_record
from fedcredit.privacy.plan import SERVER


class ServerRule(Protocol):
    """From the good replies of a round, sorted by institution, to the next iterate."""

    def __call__(self, server_round: int, incoming: NDArray[np.float32], replies: Mapping[str, TrainReply]) -> Iterate:
        """Take the step of one round.

        Args:
            server_round: the round, from 1.
            incoming: what the lenders received, ``[num_parameters]``.
            replies: the good replies by institution, sorted by name.

        Returns:
            The next iterate.
        """
        ...

    def kept(self) -> dict[str, NDArray[Any]]:
        """Return all that this rule carries from round to round, by name."""
        ...

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `kept` returned.

        Args:
            kept: what the rule carried after an earlier round.
        """
        ...


@final
class FedcreditRule:
    """Aggregate the updates, step the server optimiser, average the iterates."""

    def __init__(self, strategy: spec.Strategy, contracts: ContractTable, initial: NDArray[np.float32]) -> None:
        """Start from the initial parameters.

        Args:
            strategy: aggregator, server optimiser and averaging, as data.
            contracts: where the weights come from.
            initial: initial parameters, ``[num_parameters]``.
        """
        self._strategy = strategy
        self._contracts = contracts
        self._state = initial_state(initial)

    def __call__(self, server_round: int, incoming: NDArray[np.float32], replies: Mapping[str, TrainReply]) -> Iterate:
        """Take the step of one round; see ``ServerRule``.

        Args:
            server_round: the round, from 1.
            incoming: what the lenders received, ``[num_parameters]``.
            replies: the good replies by institution, sorted by name.

        Returns:
            The next iterate and the average so far.
        """
        updates = np.empty((len(replies), len(incoming)))
        for row, reply in zip(updates, replies.values(), strict=True):
            np.subtract(reply.parameters, incoming, out=row, dtype=np.float64)
        weights = np.array([self._contracts[name].weight for name in replies])
        self._state = server_step(self._strategy, self._state, aggregate(self._strategy.aggregator, updates, weights))
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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The public constants of a federation's rounds; ``nodes`` is the roster, sorted by institution."""

    fingerprint: str
    nodes: Mapping[str, int]
    cohort: spec.Cohort
    seed: int
    quorum: float
    num_rounds: int
    evaluate_every: int | None
    norm_bound: Mapping[str, float | None] = field(default_factory=dict)
    server: ServerNoise | None = None

    def asked(self, server_round: int) -> tuple[str, ...]:
        """Return the cohort of a round, sorted; a Poisson one is drawn in secret and may be empty."""
        names = tuple(self.nodes)
        if isinstance(self.cohort, spec.PoissonCohort):
            if self.server is None:
                raise RuntimeError("a Poisson cohort is drawn from the server's own stream, and there is none")
            return secret_cohort(self.cohort.sampling_probability, names, self.server.cohorts, server_round)
        return cohort(self.cohort, names, seed=self.seed, server_round=server_round)

    def needed(self, asked: int) -> int:
        """Return how many good replies a round needs; none is renormalised where the server adds the noise."""
        if self.server is not None:
            return math.ceil(self.quorum * asked)
        return quorum(self.quorum, cohort_size=asked, num_lenders=len(self.nodes))


@final
class FederatedStrategy(flower.Strategy):
    """Flower's strategy interface around one server rule."""

    def __init__(
        self,
        *,
        plan: Plan,
        rule: ServerRule,
        start: Snapshot,
        on_round: Callable[[RoundRecord], None] | None = None,
        keep: Keep | None = None,
    ) -> None:
        """Start after the rounds of a snapshot.

        Args:
            plan: the public constants.
            rule: what a round's replies become; it carries what the snapshot holds of it.
            start: where the federation stands.
            on_round: told each round's record.
            keep: told after each round how to take a snapshot.
        """
        self._plan = plan
        self._rule = rule
        self._on_round = on_round
        self._requests: dict[Sent, Message] = {}
        self._started = 0.0
        self._record: RoundRecord | None = None
        self._keep = keep
        self._num_before = start.server_round
        self._ledger_heads = dict(start.ledger_heads)
        self.rounds: list[RoundRecord] = list(start.rounds)
        self.iterate = start.iterate

    @property
    def num_rounds_left(self) -> int:
        """How many rounds Flower's ``start`` has to drive; it counts them from 1 again."""
        return self._plan.num_rounds - self._num_before

    def snapshot(self) -> Snapshot:
        """Return where the federation stands; to be called between two rounds."""
        return Snapshot(
            rounds=tuple(self.rounds),
            iterate=self.iterate,
            rule=self._rule.kept(),
            ledger_heads=dict(self._ledger_heads),
        )

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the cohort of the round to train; see Flower's ``Strategy``.

        Args:
            server_round: the round, from 1 after the rounds of the snapshot.
            arrays: the current iterate.
            config: not used; requests carry what ``protocol`` says.
            grid: not used; the roster says who is where.

        Returns:
            One request for each lender of the cohort, sorted by name.
        """
        self._started = time.perf_counter()
        server_round += self._num_before
        parameters = parameters_from_record(arrays, num_parameters=len(self.iterate.parameters))
        if self._plan.server is not None:
            self._plan.server.intend(server_round, parameters)
        return self._ask(TRAIN, self._plan.asked(server_round), server_round, parameters)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Pass the replies through the gate and take the server's step; see Flower's ``Strategy``.

        Args:
            server_round: the round, from 1 after the rounds of the snapshot.
            replies: what came back, in any order.

        Returns:
            The next iterate, and no metrics.

        Raises:
            QuorumError: if too few replies are good.
            TransportError: if the runtime itself reports an error.
        """
        server_round += self._num_before
        incoming = self.iterate.parameters
        expected = Expected(server_round=server_round, parameters=incoming, norm_bound=self._plan.norm_bound)
        admission = admit(replies, self._sent(), lambda name, content: examine_training(name, content, expected))
        asked = tuple(addressee.institution for addressee in self._requests)
        needed = self._plan.needed(len(asked))
        check_quorum(admission, server_round=server_round, asked=len(asked), needed=needed)
        self.iterate = self._rule(server_round, incoming, admission.accepted)
        heads = {name: reply.ledger_digest for name, reply in admission.accepted.items() if reply.ledger_digest}
        self._ledger_heads.update(heads)
        if self._plan.server is not None:
            self._ledger_heads[SERVER] = self._plan.server.ledger.head
        self._record = RoundRecord(
            server_round=server_round,
            cohort=asked,
            quarantined=admission.quarantined,
            update_norm=float(np.linalg.norm(self.iterate.parameters.astype(np.float64) - incoming)),
            train_seconds=time.perf_counter() - self._started,
        )
        return parameters_to_record(self.iterate.parameters), None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """On every n-th round and the last, ask all lenders to score the released parameters.

        Args:
            server_round: the round, from 1 after the rounds of the snapshot.
            arrays: not used; the released parameters are evaluated, not the iterate.
            config: not used.
            grid: not used.

        Returns:
            One request for each lender, or none.
        """
        server_round += self._num_before
        if not self._is_evaluated(server_round):
            return []
        return self._ask(EVALUATE, tuple(self._plan.nodes), server_round, self.iterate.released)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Close the round's record, with its evaluation if there is one; see Flower's ``Strategy``.

        Args:
            server_round: the round, from 1 after the rounds of the snapshot.
            replies: what came back, in any order.

        Returns:
            Nothing; the record goes to ``on_round``.

        Raises:
            TransportError: if the runtime itself reports an error.
        """
        server_round += self._num_before
        if self._record is None or self._record.server_round != server_round:
            raise RuntimeError(f"round {server_round} is closed before it was trained")
        record = self._record
        if self._is_evaluated(server_round):
            admission = admit(replies, self._sent(), lambda _, content: read_evaluate_reply(content))
            evaluation = evaluate_replies(admission.accepted, missing=admission.quarantined)
            record = replace(record, evaluation=evaluation)
        self.rounds.append(record)
        if self._on_round is not None:
            self._on_round(record)
        if self._keep is not None:
            self._keep(self.snapshot)
        return None

    def summary(self) -> None:
        """Say nothing: the run's own display says it."""

    def _is_evaluated(self, server_round: int) -> bool:
        every = self._plan.evaluate_every
        return every is not None and (server_round % every == 0 or server_round == self._plan.num_rounds)

    def _ask(
        self, message_type: str, names: tuple[str, ...], server_round: int, parameters: NDArray[np.float32]
    ) -> list[Message]:
        request = ModelRequest(fingerprint=self._plan.fingerprint, server_round=server_round, parameters=parameters)
        content = write_model_request(request)
        self._requests = {
            Sent(institution=name, node_id=self._plan.nodes[name]): Message(
                content.copy(), self._plan.nodes[name], message_type, group_id=str(server_round)
            )
            for name in names
        }
        return list(self._requests.values())

    def _sent(self) -> dict[str, Sent]:
        return {message.metadata.message_id: addressee for addressee, message in self._requests.items()}
