from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.privacy import mechanism
from fedcredit.seeds import normals, public_stream
from fedcredit.training import compiled, reference, vectorised

Rows = NDArray[np.float32]
TRAINERS = {"compiled": compiled, "vectorised": vectorised, "reference": reference}
NUM_FEATURES = 12


def loans(num_loans: int, *, seed: int = 1, num_features: int = NUM_FEATURES) -> tuple[Rows, Rows]:
    draws = normals(public_stream(seed=seed, purpose="loans"), count=num_loans * (num_features + 1))
    table = draws.reshape(num_loans, num_features + 1)
    return 0.7 * table[:, 1:].astype(np.float32), (table[:, 0] + 0.5 * table[:, 1] > 0.8).astype(np.float32)


def start(network: DefaultNetwork, seed: int = 1) -> Rows:
    if not network.hidden:
        return 0.3 * normals(public_stream(seed=seed, purpose="start"), count=network.num_parameters).astype(np.float32)
    return initial_parameters(network, public_stream(seed=seed, purpose="initialisation"))


def clipped_sum(
    room: Any,  # noqa: ANN401
    network: DefaultNetwork,
    parameters: Rows,
    x: Rows,
    y: Rows,
    norm: float,
    gamma: float,
) -> NDArray:
    given = network, parameters, x, y
    return room.clipped_gradient_sum(*given, clipping_norm=norm, pos_weight=1.0, focal_gamma=gamma)


class OneLoan:
    """Stands in for ``clip_factors``: lets one row of the batch through and remembers every norm."""

    def __init__(self, row: int) -> None:
        self.row = row
        self.norms = np.empty(0)

    def __call__(self, squared_norms: NDArray[np.float64], clipping_norm: float) -> NDArray[np.float64]:
        factors = mechanism.clip_factors(squared_norms, clipping_norm)
        rows = np.arange(len(self.norms), len(self.norms) + len(squared_norms))
        self.norms = np.concatenate([self.norms, squared_norms])
        return np.where(rows == self.row, factors, 0.0)


def contribution(
    monkeypatch: pytest.MonkeyPatch,
    room: Any,  # noqa: ANN401
    network: DefaultNetwork,
    x: Rows,
    y: Rows,
    row: int,
    gamma: float,
) -> tuple[NDArray, NDArray]:
    spy = OneLoan(row)
    monkeypatch.setattr(room, "clip_factors", spy)
    total = clipped_sum(room, network, start(network), x, y, 0.5, gamma)
    assert total.any()
    return total, spy.norms


CASES = [(kind, layer_norm) for kind in TRAINERS for layer_norm in (False, True)]
CASES.remove(("compiled", True))  # handed to vectorised


@pytest.mark.parametrize(("kind", "layer_norm"), CASES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("hidden", [(), (1,), (5,), (6, 7), (9, 10), (16,), (33, 11), (64, 64), (100,), (256, 256)])
def test_a_loan_gives_the_same_bits_in_any_batch_at_any_place(
    kind: str,
    hidden: tuple[int, ...],
    activation: str,
    layer_norm: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_the_bits(kind, hidden, activation, layer_norm, monkeypatch, gamma=0.0)


@pytest.mark.parametrize(("kind", "layer_norm"), CASES)
@pytest.mark.parametrize("hidden", [(), (16,)])
def test_a_loan_gives_the_same_bits_in_any_batch_under_the_focal_loss(
    kind: str, hidden: tuple[int, ...], layer_norm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_the_bits(kind, hidden, "tanh", layer_norm, monkeypatch, gamma=2.0)


def check_the_bits(
    kind: str,
    hidden: tuple[int, ...],
    activation: str,
    layer_norm: bool,
    monkeypatch: pytest.MonkeyPatch,
    *,
    gamma: float,
) -> None:
    network = DefaultNetwork(
        num_features=NUM_FEATURES, hidden=hidden, activation=activation, layer_norm=layer_norm, output_scale=1.0
    )
    x, y = loans(1500)
    room = TRAINERS[kind]
    sizes = [1, 2, 63, 64, 65, 300] + ([1500] if room is not reference else [])
    alone, _ = contribution(monkeypatch, room, network, x[7:8], y[7:8], 0, gamma)
    generator = np.random.default_rng(len(hidden))
    norms = np.full(1500, np.nan)
    for size in sizes:
        batch = generator.permutation(1500)[:size]
        row = int(generator.integers(size))
        batch = np.where(batch == 7, batch[row], batch)
        batch[row] = 7
        total, found = contribution(monkeypatch, room, network, x[batch], y[batch], row, gamma)
        assert total.tobytes() == alone.tobytes()
        known = ~np.isnan(norms[batch])
        assert np.array_equal(found[known], norms[batch][known])
        norms[batch] = found
