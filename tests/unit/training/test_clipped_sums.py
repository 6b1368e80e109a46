from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.privacy.mechanism import clip_factors
from fedcredit.seeds import normals, public_stream
from fedcredit.training import reference, vectorised
from fedcredit.training.clipped_sums import ClippedSums, set_apart
from fedcredit.training.derivatives import Desk, Factors, Loss
from fedcredit.training.host_sums import host_sums

LAYER_NORM = DefaultNetwork(num_features=5, hidden=(7,), layer_norm=True, output_scale=1.0)
NETWORKS = {
    "logistic": DefaultNetwork(num_features=5, hidden=()),
    "16-7-16 relu": DefaultNetwork(num_features=5, hidden=(16, 7, 16), activation="relu", output_scale=1.0),
    "20-16-3 tanh, in two widths of memory": DefaultNetwork(num_features=5, hidden=(20, 16, 3), output_scale=1.0),
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
    network: DefaultNetwork,
    features: NDArray[np.float32],
    *,
    num_rows: int,
    room: str,
    only: int | None = None,
    parameters: NDArray[np.float32] | None = None,
    norm: float = 1.0,
) -> NDArray:
    parameters = start(network) if parameters is None else parameters
    seen = 0

    def clip(squared: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal seen
        rows = np.arange(seen, seen + len(squared))
        seen += len(squared)
        factors = clip_factors(squared, norm)
        return factors if only is None else np.where(rows == only, factors, 0.0)

    if room == "host":
        with host_sums(network) as on_host:
            on_host.parameters[...] = parameters
            rows = np.arange(len(features))
            return on_host.of_rows(features, DEFAULT, rows, clip=clip, loss=Loss(pos_weight=1.0, focal_gamma=0.0))
    with torch.no_grad():
        sums = ClippedSums(
            network,
            torch.from_numpy(parameters),
            clip=clip,
            loss=Loss(pos_weight=1.0, focal_gamma=0.0),
            num_rows=num_rows,
        )
        return sums.of_rows(len(features), lay_out(features)).numpy().copy()  # type: ignore[arg-type]


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_room_for_fewer_rows_than_a_batch_has_changes_the_sum_by_rounding_alone(network: DefaultNetwork) -> None:
    whole = summed(network, FEATURES, num_rows=NUM_LOANS, room="torch")
    # products of 32 columns round differently in batches of different sizes
    rounding = 1e-6 if 20 in network.hidden else 1e-12
    for num_rows in (0, 1, 64, 65):
        assert summed(network, FEATURES, num_rows=num_rows, room="torch") == pytest.approx(whole, rel=0, abs=rounding)


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
            network, torch.from_numpy(start(network)), clip=lambda squared: clip_factors(squared, 1.0),
            loss=Loss(pos_weight=1.0, focal_gamma=0.0), num_rows=num_rows,
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


@pytest.mark.parametrize("size", [1e13, 1e16, 1e20])
@in_each_room
def test_a_clipped_loan_outside_its_block_has_the_norm_that_clipping_aims_at_to_twelve_digits(
    network: DefaultNetwork, room: str, size: float
) -> None:
    features = FEATURES * np.float32(size)
    sums = [summed(network, features, num_rows=NUM_LOANS, room=room, only=only, norm=0.1) for only in range(8)]
    clipped = [norm for norm in map(np.linalg.norm, sums) if norm > 0.0999]
    assert len(clipped) > 1
    assert clipped == pytest.approx([0.1 * (1.0 - 2.0**-10)] * len(clipped), rel=1e-12)


@pytest.mark.parametrize("room", ["torch", "host"])
def test_a_loan_with_an_input_of_exactly_2_40_is_outside_its_block(room: str) -> None:
    features = np.zeros((1, 5), dtype=np.float32)
    features[0, 0] = 2.0**40
    for logit in (-1.7, -0.6, 0.3, 0.9, 1.4):  # a product in single precision may be exact by chance
        parameters = np.array([logit * 2.0**-40, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=np.float32)
        found = summed(NETWORKS["logistic"], features, num_rows=1, room=room, parameters=parameters)
        assert np.linalg.norm(found) == pytest.approx(1.0 - 2.0**-10, rel=1e-12)


def test_a_row_is_taken_out_from_a_gradient_of_2_100_or_an_input_of_2_40_on_and_added_up_where_it_counts() -> None:
    network = NETWORKS["logistic"]
    most, widest = 2.0**200, 2.0**80
    cases = [
        (1.0, 1.0, 0.5, False), (np.nextafter(most, 0.0), np.nextafter(widest, 0.0), 0.5, False),
        (most, 1.0, 0.0, True), (1.0, widest, 0.25, True), (most, widest, 0.0, True), (np.nan, 1.0, 0.0, True),
        (np.inf, 1.0, 0.0, True), (0.0, np.inf, 0.125, True), (1.0, np.nan, 0.0, True), (1.0, 4.0 * widest, 2.0, True),
    ]  # fmt: skip
    squared, inputs, factors = np.ones((3, 64))
    squared[: len(cases)], inputs[: len(cases)], factors[: len(cases)] = np.array(cases)[:, :3].T
    is_taken = np.zeros(64, dtype=bool)
    is_taken[: len(cases)] = [case[3] for case in cases]
    value, gradient = FEATURES[:64].copy(), FEATURES[64:128, :1].copy()
    found = Factors(linear=((torch.from_numpy(gradient[np.newaxis]), torch.from_numpy(value[np.newaxis])),))
    scaled = (factors * is_taken)[:, np.newaxis] * gradient.astype(np.float64)
    expected = np.append(scaled.T @ value.astype(np.float64), scaled.sum())
    kept = (gradient * ~is_taken[:, np.newaxis]).copy(), (value * ~is_taken[:, np.newaxis]).copy()
    total = set_apart(network, found, factors, squared, inputs)
    assert total.numpy() == pytest.approx(expected, rel=1e-12)
    assert np.array_equal(gradient, kept[0])
    assert np.array_equal(value, kept[1])


@in_each_room
def test_the_sum_is_that_of_gradients_laid_out_loan_by_loan(network: DefaultNetwork, room: str) -> None:
    expected = reference.clipped_gradient_sum(
        network, start(network), FEATURES, DEFAULT, clipping_norm=1.0, pos_weight=1.0
    )
    assert np.linalg.norm(expected) > 1.0
    assert summed(network, FEATURES, num_rows=NUM_LOANS, room=room) == pytest.approx(expected, rel=0, abs=2e-5)


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
