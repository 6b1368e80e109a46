from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.privacy.mechanism import clip_factors
from fedcredit.seeds import normals, public_stream
from fedcredit.training import reference, vectorised
from fedcredit.training.clipped_sums import ClippedSums
from fedcredit.training.derivatives import Desk, Loss
from fedcredit.training.host_sums import host_sums

LAYER_NORM = DefaultNetwork(num_features=5, hidden=(7,), layer_norm=True, output_scale=1.0)
NETWORKS = {
    "logistic": DefaultNetwork(num_features=5, hidden=()),
    "16-7-16 relu": DefaultNetwork(num_features=5, hidden=(16, 7, 16), activation="relu", output_scale=1.0),
    "9 gelu": DefaultNetwork(num_features=5, hidden=(9,), activation="gelu", output_scale=1.0),
    "7 tanh LayerNorm": LAYER_NORM,
}
ROOMS = [(network, "torch") for network in NETWORKS.values()]
ROOMS += [(network, "host") for network in NETWORKS.values() if not network.layer_norm]
in_each_room = pytest.mark.parametrize(("network", "room"), ROOMS)
NUM_LOANS = 150
FEATURES = normals(public_stream(seed=1, purpose="loans"), count=NUM_LOANS * 5).reshape(-1, 5).astype(np.float32)
DEFAULT = (FEATURES[:, 0] > 0.5).astype(np.float32)


def start(network: DefaultNetwork) -> NDArray[np.float32]:
    drawn = initial_parameters(network, public_stream(seed=1, purpose="initialisation"))
    return drawn if network.hidden else drawn + np.float32(0.1)


def lay_out(features: NDArray[np.float32]) -> object:
    def lay(desk: Desk, rows: slice) -> None:
        part = torch.from_numpy(features[rows])
        flat = desk.rows.view(-1, features.shape[1]).zero_()
        flat[: len(part)] = part
        desk.labels.view(-1)[: len(part)] = torch.from_numpy(DEFAULT[rows])

    return lay


def summed(
    network: DefaultNetwork, features: NDArray[np.float32], *, num_rows: int, room: str, only: int | None = None
) -> NDArray:
    seen = 0

    def clip(squared: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal seen
        rows = np.arange(seen, seen + len(squared))
        seen += len(squared)
        factors = clip_factors(squared, 1.0)
        return factors if only is None else np.where(rows == only, factors, 0.0)

    if room == "host":
        with host_sums(network) as on_host:
            on_host.parameters[...] = start(network)
            rows = np.arange(len(features))
            return on_host.of_rows(features, DEFAULT, rows, clip=clip, loss=Loss(pos_weight=1.0, focal_gamma=0.0))
    with torch.no_grad():
        sums = ClippedSums(
            network,
            torch.from_numpy(start(network)),
            clip=clip,
            loss=Loss(pos_weight=1.0, focal_gamma=0.0),
            num_rows=num_rows,
        )
        return sums.of_rows(len(features), lay_out(features)).numpy().copy()  # type: ignore[arg-type]


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_room_for_fewer_rows_than_a_batch_has_changes_the_sum_by_rounding_alone(network: DefaultNetwork) -> None:
    whole = summed(network, FEATURES, num_rows=NUM_LOANS, room="torch")
    for num_rows in (0, 1, 64, 65):
        assert summed(network, FEATURES, num_rows=num_rows, room="torch") == pytest.approx(whole, rel=0, abs=1e-12)


@pytest.mark.parametrize(("num_rows", "most"), [(1, 64), (64, 64), (65, 128), (150, 192), (2048, 2048), (9999, 2048)])
def test_a_batch_is_taken_in_whole_blocks_as_many_at_once_as_there_is_room_for(num_rows: int, most: int) -> None:
    network, taken = NETWORKS["logistic"], list[slice]()
    features = np.tile(FEATURES, (15, 1))

    def lay(desk: Desk, rows: slice) -> None:
        taken.append(rows)
        assert desk.rows.view(-1, 5).shape[0] == 64 * -(-(rows.stop - rows.start) // 64)
        desk.rows.view(-1, 5).zero_()[: rows.stop - rows.start] = torch.from_numpy(features[rows])
        desk.labels.view(-1).zero_()

    with torch.no_grad():
        sums = ClippedSums(
            network, torch.from_numpy(start(network)), clip=lambda squared: clip_factors(squared, 1.0), pos_weight=1.0,
            num_rows=num_rows,
        )  # fmt: skip
        sums.of_rows(len(features), lay)
    assert [(rows.start, rows.stop) for rows in taken] == [
        (first, min(first + most, len(features))) for first in range(0, len(features), most)
    ]


# 1e13 and 1e20 are above 2**40, where rows leave their block; the gradients' norms stay below 2**100
@pytest.mark.parametrize("size", [1e13, 1e20, 1e28])
@in_each_room
def test_loans_too_large_for_single_precision_are_added_up_in_double(
    network: DefaultNetwork, room: str, size: float
) -> None:
    features = FEATURES.copy()
    features[[3, 64, 149]] *= np.float32(size)
    whole = summed(network, features, num_rows=NUM_LOANS, room=room)
    expected = reference.clipped_gradient_sum(
        network, start(network), features, DEFAULT, clipping_norm=1.0, pos_weight=1.0
    )
    assert whole == pytest.approx(expected, rel=0, abs=1e-4)
    assert np.linalg.norm(summed(network, features, num_rows=NUM_LOANS, room=room, only=64)) <= 1.0


@pytest.mark.parametrize("cell", [1e13, 1e28, 3e38, np.inf, np.nan])
@in_each_room
def test_a_loan_taken_out_of_its_block_changes_no_bit_of_its_neighbours_part(
    network: DefaultNetwork, room: str, cell: float
) -> None:
    expected = summed(network, FEATURES, num_rows=NUM_LOANS, room=room, only=70)
    features = FEATURES.copy()
    features[[69, 71], 2] = cell
    assert np.array_equal(summed(network, features, num_rows=NUM_LOANS, room=room, only=70), expected)


@pytest.mark.parametrize("only", [3, 70, 149])
@in_each_room
def test_a_loan_of_any_size_moves_the_sum_by_at_most_the_clipping_norm(
    network: DefaultNetwork, room: str, only: int
) -> None:
    for size in (1e-30, 1e-3, 1e3, 1e12, 1e13, 1e28):
        features = FEATURES.copy()
        features[only] *= np.float32(size)
        silent = features.copy()
        silent[only] = np.nan
        moved = summed(network, features, num_rows=NUM_LOANS, room=room) - summed(
            network, silent, num_rows=NUM_LOANS, room=room
        )
        assert np.linalg.norm(moved) <= 1.0


def test_products_are_worked_out_in_float32_whatever_the_caller_allows() -> None:
    network = DefaultNetwork(num_features=5, hidden=(16, 16), output_scale=1.0)
    expected = vectorised.clipped_gradient_sum(
        network, start(network), FEATURES, DEFAULT, clipping_norm=1.0, pos_weight=1.0
    )
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = vectorised.clipped_gradient_sum(
            network, start(network), FEATURES, DEFAULT, clipping_norm=1.0, pos_weight=1.0
        )
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert np.array_equal(found, expected)
