"""The peer's two apps: federated averaging with Opacus at each client, in the manner of Flower's own example.

Each training message builds a model, an optimiser, a loader and a ``PrivacyEngine`` and makes them
private. Two things are kinder to the peer than the example: no epsilon is computed, and the
model is scored once a round at the server.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.processes import Clock
from benchmarks.workloads import Dealt, Table, Workload, deal, workload

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """One local epoch of DP-SGD."""
    warnings.filterwarnings("ignore", category=UserWarning)
    work, shard = _shard(message.content["config"], int(str(context.node_config["partition-id"])))
    model = build_model(work)
    arrays = message.content["arrays"]
    assert isinstance(arrays, ArrayRecord)
    model.load_state_dict(arrays.to_torch_state_dict())
    dataset = TensorDataset(torch.from_numpy(shard.features), torch.from_numpy(shard.default))
    private, optimiser, loader = PrivacyEngine(secure_mode=False).make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=work.learning_rate),
        data_loader=DataLoader(dataset, batch_size=work.expected_batch, shuffle=True),
        noise_multiplier=work.noise_multiplier,
        max_grad_norm=work.clipping_norm,
    )
    private.train()
    criterion = nn.BCEWithLogitsLoss()
    for features, default in loader:
        optimiser.zero_grad()
        criterion(private(features).squeeze(1), default).backward()
        optimiser.step()
    metrics = MetricRecord({"num-examples": len(dataset)})
    return Message(RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message)


def build_model(work: Workload) -> nn.Sequential:
    """The workload's network as plain torch layers."""
    layers: list[nn.Module] = []
    inputs = work.num_features
    for width in work.hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


def make_server_app(work: Workload, task: dict[str, str | int | bool], clock: Clock, areas: list[float]) -> ServerApp:
    """Stock FedAvg that weighs by size; the score of each round goes to ``areas``."""
    server = ServerApp()

    @server.main()
    def serve(grid: Grid, context: Context) -> None:
        clock.mark("ready")
        held_out = deal(work).held_out
        torch.manual_seed(1)
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=work.num_lenders, min_available_nodes=work.num_lenders)

        def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
            model = build_model(work)
            model.load_state_dict(arrays.to_torch_state_dict())
            with torch.no_grad():
                areas.append(_auc(model(torch.from_numpy(held_out.features)).numpy()[:, 0], held_out.default))
            if server_round in (1, work.num_rounds):
                clock.mark("round 1" if server_round == 1 else "last round")
            return MetricRecord({"auc": areas[-1]})

        strategy.start(
            grid, ArrayRecord(build_model(work).state_dict()), num_rounds=work.num_rounds,
            train_config=ConfigRecord({key: task[key] for key in ("workload", "quick")}), evaluate_fn=evaluate,
        )  # fmt: skip

    return server


def _shard(config: object, partition: int) -> tuple[Workload, Table]:
    assert isinstance(config, ConfigRecord)
    work = workload(str(config["workload"]), quick=bool(config["quick"]))
    return work, list(_dealt(work).lenders.values())[partition]


@cache
def _dealt(work: Workload) -> Dealt:
    """A worker draws the loans once."""
    return deal(work)


def _auc(score: NDArray[np.float32], default: NDArray[np.float32]) -> float:
    """The rank form; continuous scores have no ties to speak of."""
    ranks = np.empty(len(score))
    ranks[np.argsort(score)] = np.arange(1, len(score) + 1)
    bads = default == 1.0
    num_bads, num_goods = int(bads.sum()), int((~bads).sum())
    return float((ranks[bads].sum() - num_bads * (num_bads + 1) / 2) / (num_bads * num_goods))
