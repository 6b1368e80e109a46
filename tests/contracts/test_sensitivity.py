from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.seeds import normals, public_stream
from fedcredit.training import compiled, reference, vectorised

Rows = NDArray[np.float32]
TRAINERS = {"compiled": compiled, "vectorised": vectorised, "reference": reference}
NUM_FEATURES = 12
NETWORKS = [
    DefaultNetwork(num_features=NUM_FEATURES, hidden=()),
    DefaultNetwork(num_features=NUM_FEATURES, hidden=(16,), output_scale=1.0),
    DefaultNetwork(num_features=NUM_FEATURES, hidden=(16, 8), layer_norm=True, output_scale=1.0),
]


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
    x: Rows,
    y: Rows,
    norm: float,
    gamma: float = 0.0,
) -> NDArray:
    given = network, start(network), x, y
    return room.clipped_gradient_sum(*given, clipping_norm=norm, pos_weight=1.0, focal_gamma=gamma)


# One loan moves the clipped sum by at most the clipping norm: in float64, rounding included, no tolerance.


def aligned(x: Rows, y: Rows, row: NDArray[np.int64]) -> tuple[Rows, Rows]:
    return np.broadcast_to(20.0 * x[:1], x.shape).copy(), np.ones_like(y)


def scaled(x: Rows, y: Rows, row: NDArray[np.int64]) -> tuple[Rows, Rows]:
    return (10.0 ** np.linspace(-10, 10, len(x)))[:, np.newaxis].astype(np.float32) * x, y


def alternating(x: Rows, y: Rows, row: NDArray[np.int64]) -> tuple[Rows, Rows]:
    signs = np.where(np.arange(len(x)) % 2, 1.0, -1.0).astype(np.float32)
    return signs[:, np.newaxis] * np.abs(x[:1]), (signs > 0).astype(np.float32)


def planted(cell: float) -> Callable[[Rows, Rows, NDArray[np.int64]], tuple[Rows, Rows]]:
    def plant(x: Rows, y: Rows, row: NDArray[np.int64]) -> tuple[Rows, Rows]:
        x, y = aligned(x, y, row)
        x[row, row % x.shape[1]] = cell
        return x, y

    return plant


BATCHES = {
    "aligned": aligned,
    "scaled": scaled,
    "opposite signs": alternating,
    "ordinary": lambda x, y, row: (x, y),
    "1e25": planted(1e25),
    "1e38": planted(1e38),
    "infinite": planted(np.inf),
    "not a number": planted(np.nan),
}


def moves(room: Any, network: DefaultNetwork, x: Rows, y: Rows, rows: NDArray[np.int64], norm: float) -> list[float]:  # noqa: ANN401
    """How far the sum moves when a row is taken out, and when it is there but counts as zero."""
    whole = clipped_sum(room, network, x, y, norm)
    assert np.isfinite(whole).all()
    moved = []
    for row in rows:
        keep = np.arange(len(x)) != row
        silent = np.where(keep[:, np.newaxis], x, np.float32(np.nan))
        for neighbour in ((x[keep], y[keep]), (silent, y)):
            moved.append(float(np.linalg.norm(whole - clipped_sum(room, network, *neighbour, norm))))
    return moved


SIZES = [(kind, num_loans) for kind in ("compiled", "vectorised") for num_loans in (64, 500, 1500, 5000)]


# compiled and vectorised: 8 batches x 4 sizes x 3 networks x 2 norms x 4 rows x 2 neighbours = 1,536 cases each;
# reference: 96
@pytest.mark.parametrize(("trainer", "num_loans"), [*SIZES, ("reference", 1500)])
@pytest.mark.parametrize("kind", BATCHES)
def test_in_a_large_adversarial_batch_a_neighbour_moves_the_sum_by_at_most_the_clipping_norm(
    trainer: str,
    kind: str,
    num_loans: int,
) -> None:
    room = TRAINERS[trainer]
    norms, num_rows, networks = ((1.0, 2.5), 4, NETWORKS) if room is not reference else ((1.0,), 3, NETWORKS[:2])
    rows = np.random.default_rng(num_loans).choice(num_loans, num_rows, replace=False)
    x, y = BATCHES[kind](*loans(num_loans, seed=num_loans), rows)
    for network in networks:
        for norm in norms:
            moved = moves(room, network, x, y, rows, norm)
            assert max(moved) <= norm
            if kind == "aligned" and network.hidden == (16,):
                assert max(moved) > norm * (1.0 - 2.0**-9)


def test_a_plain_single_precision_sum_would_break_the_sensitivity_law() -> None:
    network = NETWORKS[0]
    x, y = aligned(*loans(1500), np.arange(1))
    row = vectorised.clipped_gradient_sum(network, start(network), x[:1], y[:1], clipping_norm=1.0, pos_weight=1.0)
    single = (row / np.linalg.norm(row)).astype(np.float32)
    sums = np.cumsum(np.broadcast_to(single, (1500, len(single))), axis=0, dtype=np.float32).astype(np.float64)
    assert np.linalg.norm(np.diff(sums, axis=0), axis=1).max() > 1.0 + 1e-6


CELLS = st.one_of(
    st.floats(-3, 3, width=32),
    st.sampled_from([0.0, -0.0, 1e-38, 1e25, -1e25, 3e38, np.inf, -np.inf, np.nan, 1e-45]),
)


@pytest.mark.parametrize("kind", TRAINERS)
@settings(max_examples=150)
@given(data=st.data())
def test_a_neighbour_of_a_small_batch_moves_the_sum_by_at_most_the_clipping_norm(
    kind: str, data: st.DataObject
) -> None:
    check_a_small_batch(TRAINERS[kind], data)


@pytest.mark.long
@pytest.mark.parametrize("kind", TRAINERS)
@settings(max_examples=2000)
@given(data=st.data())
def test_two_thousand_small_batches_keep_the_law(kind: str, data: st.DataObject) -> None:
    check_a_small_batch(TRAINERS[kind], data)


def check_a_small_batch(room: Any, data: st.DataObject) -> None:  # noqa: ANN401
    hidden = tuple(data.draw(st.lists(st.integers(1, 20), max_size=2), label="hidden"))
    network = DefaultNetwork(
        num_features=3,
        hidden=hidden,
        activation=data.draw(st.sampled_from(["relu", "tanh", "gelu"]), label="activation"),
        layer_norm=data.draw(st.booleans(), label="layer_norm"),
        output_scale=1.0,
    )
    norm = data.draw(st.sampled_from([1e-3, 1.0, 2.5, 1e3]), label="norm")
    gamma = data.draw(st.sampled_from([0.0, 0.5, 2.0, 10.0]), label="focal_gamma")
    num_loans = data.draw(st.integers(0, 64), label="num_loans")
    x, y = loans(num_loans, seed=num_loans, num_features=3)
    if num_loans and data.draw(st.booleans(), label="aligned"):
        x, y = aligned(x, y, np.arange(1))
    row = data.draw(st.integers(0, max(num_loans - 1, 0)), label="row")
    if num_loans:
        x[row] = data.draw(st.lists(CELLS, min_size=3, max_size=3), label="cells")
        other = data.draw(st.integers(0, num_loans - 1), label="other")
        x[other] = data.draw(st.lists(CELLS, min_size=3, max_size=3), label="other cells")
    whole = clipped_sum(room, network, x, y, norm, gamma)
    keep = np.arange(num_loans) != row
    without = clipped_sum(room, network, x[keep], y[keep], norm, gamma)
    assert np.isfinite(whole).all()
    assert np.linalg.norm(whole - without) <= norm
