"""Stock Flower strategies, for comparison: made deterministic and kept behind our gate.

A stock strategy samples nodes from Python's global generator, sums replies in the order they come
in, and takes its weights from the lenders. Here it sees every lender of the cohort, good replies
only, sorted by institution name, and with weights put in from the contract table; the global
generator is left as it was found. So a stock strategy gives the same bits on every run and runtime.

Stock FedProx only *sends* its proximal weight. The local term is ``training.proximal_weight``, which
is also what FedProx is told; with the same weight it is therefore FedAvg with that term. QFedAvg and
the stock privacy wrappers are not offered: the first needs losses that may not leave a lender, the
others draw unseeded noise that our ledger does not know.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast, final

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower
from numpy.typing import NDArray

from fedcredit.data.contract import ContractTable
from fedcredit.errors import InputError
from fedcredit.experiment.spec import FlowerStrategy
from fedcredit.federation.protocol import TrainReply
from fedcredit.federation.snapshot import Iterate
from fedcredit.model.arrays import parameters_to_record, rounded_parameters

_ADAPTIVE = frozenset({"eta", "eta_l", "beta_1", "beta_2", "tau"})
_MOMENTS = {"m_t": dict, "v_t": dict, "momentum_vector": list}
OPTIONS: Mapping[str, frozenset[str]] = {
    "FedAvg": frozenset(),
    "FedAvgM": frozenset({"server_learning_rate", "server_momentum"}),
    "FedAdam": _ADAPTIVE,
    "FedYogi": _ADAPTIVE,
    "FedAdagrad": frozenset({"eta", "eta_l", "tau"}),
    "FedProx": frozenset(),
    "FedMedian": frozenset(),
    "FedTrimmedAvg": frozenset({"beta"}),
    "Krum": frozenset({"num_malicious_nodes"}),
    "MultiKrum": frozenset({"num_malicious_nodes", "num_nodes_to_select"}),
    "Bulyan": frozenset({"num_malicious_nodes"}),
}


def stock_strategy(strategy: FlowerStrategy, *, proximal_weight: float) -> flower.Strategy:
    """Build a stock strategy with full participation and without an evaluation of its own.

    Args:
        strategy: its name and options.
        proximal_weight: ``training.proximal_weight``, which FedProx is told.

    Returns:
        The stock strategy.

    Raises:
        InputError: if an option is not one of the strategy's.
    """
    allowed = OPTIONS[strategy.strategy]
    unknown = sorted(set(strategy.options) - allowed)
    if unknown:
        raise InputError(
            f"strategy.options.{unknown[0]} is not an option of {strategy.strategy}; "
            f"allowed: {', '.join(sorted(allowed)) or 'none'}"
        )
    for name, value in strategy.options.items():
        if name.startswith("num_") and not (isinstance(value, int) and value >= 0):
            raise InputError(f"strategy.options.{name} is {value}; allowed is a whole number from 0")
    options: dict[str, Any] = dict(strategy.options)
    if strategy.strategy == "FedProx":
        options["proximal_mu"] = proximal_weight
    build: type[flower.FedAvg] = getattr(flower, strategy.strategy)
    return build(
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=1,
        min_evaluate_nodes=0,
        min_available_nodes=1,
        **options,
    )


@final
class OrderedFlowerStrategy:
    """A server rule around a stock strategy, by composition."""

    def __init__(self, inner: flower.Strategy, contracts: ContractTable) -> None:
        """Wrap a stock strategy.

        Args:
            inner: the stock strategy.
            contracts: where the weights come from.
        """
        self._inner = inner
        self._contracts = contracts

    def __call__(self, server_round: int, incoming: NDArray[np.float32], replies: Mapping[str, TrainReply]) -> Iterate:
        """Take the step of one round; see ``strategy.ServerRule``.

        Args:
            server_round: the round, from 1.
            incoming: what the lenders received, ``[num_parameters]``.
            replies: the good replies by institution, sorted by name.

        Returns:
            The next iterate, which is also what is released.

        Raises:
            InputError: if the stock strategy makes nothing of the replies.
        """
        arrays = parameters_to_record(incoming)
        grid = cast(Grid, _Nodes(len(replies)))
        with _global_generator_kept():
            requests = list(self._inner.configure_train(server_round, arrays, ConfigRecord(), grid))
            aggregated, _ = self._inner.aggregate_train(server_round, self._as_stock(requests, replies))
        if aggregated is None:
            raise InputError(
                f"round {server_round}: {type(self._inner).__name__} made nothing of {len(replies)} replies; "
                "use more lenders, or a smaller num_malicious_nodes"
            )
        parameters = rounded_parameters(aggregated)
        return Iterate(parameters=parameters, released=parameters)

    def kept(self) -> dict[str, NDArray[Any]]:
        """Return the moments of the stock strategy; its other arrays are the iterate, which it is handed each round."""
        kept: dict[str, NDArray[Any]] = {}
        for name in _MOMENTS:
            moments = getattr(self._inner, name, None)
            items = enumerate(moments) if isinstance(moments, list) else (moments or {}).items()
            kept.update({f"{name}.{key}": np.asarray(array) for key, array in items})
        return kept

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Give the stock strategy the moments of an earlier round.

        Args:
            kept: as `kept` returned it.
        """
        for name, kind in _MOMENTS.items():
            found = {key.removeprefix(f"{name}."): array for key, array in kept.items() if key.startswith(f"{name}.")}
            if found:
                setattr(self._inner, name, [found[str(row)] for row in range(len(found))] if kind is list else found)

    def _as_stock(self, requests: Iterable[Message], replies: Mapping[str, TrainReply]) -> list[Message]:
        ordered = sorted(requests, key=lambda request: request.metadata.dst_node_id)
        return [
            Message(self._content(name, reply), reply_to=request)
            for request, (name, reply) in zip(ordered, replies.items(), strict=True)
        ]

    def _content(self, name: str, reply: TrainReply) -> RecordDict:
        weight = MetricRecord({"num-examples": self._contracts[name].weight})
        arrays: ArrayRecord = parameters_to_record(reply.parameters)
        return RecordDict({"arrays": arrays, "metrics": weight})


@final
class _Nodes:
    """All that a stock strategy asks of a grid when it configures a round: node ids."""

    def __init__(self, count: int) -> None:
        self._count = count

    def get_node_ids(self) -> list[int]:
        return list(range(1, self._count + 1))


@contextmanager
def _global_generator_kept() -> Iterator[None]:
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
