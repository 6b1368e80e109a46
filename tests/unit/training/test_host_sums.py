from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import threadpoolctl
import torch
from numpy.typing import NDArray

from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.mechanism import clip_factors
from fedcredit.seeds import normals, public_stream
from fedcredit.training import host_sums as module
from fedcredit.training.clipped_sums import ClippedSums
from fedcredit.training.derivatives import Desk, Loss
from fedcredit.training.host_sums import HostSums, host_sums

NETWORKS = {
    "logistic": DefaultNetwork(num_features=5, hidden=()),
    "16-16 relu": DefaultNetwork(num_features=5, hidden=(16, 16), activation="relu"),
    "16-7-16 relu": DefaultNetwork(num_features=5, hidden=(16, 7, 16), activation="relu"),
    "20-16-3 tanh": DefaultNetwork(num_features=5, hidden=(20, 16, 3)),
    "9-12 gelu": DefaultNetwork(num_features=5, hidden=(9, 12), activation="gelu"),
    "20 tanh": DefaultNetwork(num_features=5, hidden=(20,)),
}
NUM_LOANS = 400
FEATURES = normals(public_stream(seed=1, purpose="loans"), count=NUM_LOANS * 5).reshape(-1, 5).astype(np.float32)
DEFAULT = (FEATURES[:, 0] > 0.5).astype(np.float32)
PLAIN = Loss(pos_weight=1.0, focal_gamma=0.0)
LOSSES = {
    "plain": PLAIN,
    "weighted": Loss(pos_weight=3.5, focal_gamma=0.0),
    "focal": Loss(pos_weight=2.0, focal_gamma=1.5),
}
CLIP = partial(clip_factors, clipping_norm=1.0)


def start(network: DefaultNetwork) -> NDArray[np.float32]:
    stream = public_stream(seed=1, purpose="start")
    return 0.5 * normals(stream, count=network.num_parameters).astype(np.float32)


def on_host(sums: HostSums, num_rows: int, loss: Loss = PLAIN) -> NDArray[np.float64]:
    return sums.of_rows(FEATURES, DEFAULT, np.arange(num_rows), clip=CLIP, loss=loss)


def by_torch(network: DefaultNetwork, num_rows: int, loss: Loss) -> NDArray[np.float64]:
    def lay_out(desk: Desk, rows: slice) -> None:
        table, labels = desk.host
        table[:] = 0.0
        table[: rows.stop - rows.start], labels[: rows.stop - rows.start] = FEATURES[rows], DEFAULT[rows]

    with torch.no_grad():
        parameters = torch.from_numpy(start(network))
        sums = ClippedSums(network, parameters, clip=CLIP, loss=loss, num_rows=num_rows)
        return sums.of_rows(num_rows, lay_out).numpy()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("num_rows", [0, 1, 64, 150, 400])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_numpy_and_torch_add_up_the_same(network: DefaultNetwork, num_rows: int, loss: Loss) -> None:
    sums = HostSums(network)
    sums.parameters[...] = start(network)
    found = on_host(sums, num_rows, loss)
    assert found == pytest.approx(by_torch(network, num_rows, loss), rel=0, abs=3e-5)
    assert (np.linalg.norm(found) > 0.05 * num_rows) == (num_rows > 0)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_sum_has_the_same_bits_whatever_was_in_the_room_before(network: DefaultNetwork) -> None:
    sums = HostSums(network)
    sums.parameters[...] = start(network)
    first = {num_rows: on_host(sums, num_rows).tobytes() for num_rows in (1, 70, 400, 150, 64)}
    for num_rows in (400, 64, 1, 150, 70, 400):
        assert on_host(sums, num_rows).tobytes() == first[num_rows]


def test_a_batch_in_several_parts_adds_up_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network = NETWORKS["16-7-16 relu"]
    whole, parts = HostSums(network), []
    for most in (1, 2, 5):
        monkeypatch.setattr(module, "MOST_BLOCKS", most)
        parts.append(HostSums(network))
    for sums in (whole, *parts):
        sums.parameters[...] = start(network)
    expected = on_host(whole, 400)
    for sums in parts:
        assert on_host(sums, 400) == pytest.approx(expected, rel=0, abs=1e-12)


def test_a_room_is_kept_for_a_network_and_numpy_has_one_thread_inside() -> None:
    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        assert before
        with host_sums(NETWORKS["20 tanh"]) as first:
            assert set(threads()) == {1}
        assert threads() == before
    with host_sums(DefaultNetwork(num_features=5, hidden=(20,))) as again:
        assert again is first
    with host_sums(NETWORKS["logistic"]) as other:
        assert other is not first
