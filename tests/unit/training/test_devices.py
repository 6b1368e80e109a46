"""The device code, run on a CPU: no test here has met a real GPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedcredit.errors import InputError
from fedcredit.experiment.spec import Adam, Sgd
from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.seeds import normals, philox4x32, public_stream, words
from fedcredit.training import reference, vectorised
from fedcredit.training.contract import LocalOutcome, LocalSettings, RoundStreams
from fedcredit.training.devices import find_device, normals_on_device, philox_on_device
from fedcredit.training.trainers import trainer

CPU = torch.device("cpu")
STREAM = public_stream(seed=1, purpose="noise")
STREAMS = RoundStreams(sampling=public_stream(seed=1, purpose="sampling"), noise=STREAM, server_round=2)
NETWORKS = {
    "logistic": DefaultNetwork(num_features=6, hidden=()),
    "16-16-5 relu": DefaultNetwork(num_features=6, hidden=(16, 16, 5), activation="relu", output_scale=1.0),
    "20 gelu": DefaultNetwork(num_features=6, hidden=(20,), activation="gelu", output_scale=1.0),
    "16-8 tanh LayerNorm": DefaultNetwork(num_features=6, hidden=(16, 8), layer_norm=True, output_scale=1.0),
}
SETTINGS = LocalSettings(
    num_steps=6,
    sampling_probability=0.25,
    divisor=100.0,
    clipping_norm=1.0,
    noise_multiplier=1.0,
    optimiser=Sgd(learning_rate=0.5),
    proximal_weight=0.3,
    pos_weight=2.5,
)
FEATURES = normals(public_stream(seed=1, purpose="loans"), count=400 * 6).reshape(400, 6).astype(np.float32)
DEFAULT = (FEATURES[:, 0] + FEATURES[:, 1] > 1.0).astype(np.float32)


def on_device(network: DefaultNetwork, settings: LocalSettings) -> LocalOutcome:
    start = initial_parameters(network, public_stream(seed=1, purpose="initialisation"))
    with torch.no_grad():
        return vectorised.on_device(network, start, FEATURES, DEFAULT, settings, STREAMS, device=CPU)


def test_philox_on_a_device_is_philox() -> None:
    counter = words(STREAM, count=4 * 1000).reshape(4, 1000).astype(np.uint64)
    counter[:, 0], counter[:, 1] = 0, 0xFFFFFFFF
    for key in ((0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0xA4093822, 0x299F31D0)):
        found = philox_on_device(tuple(torch.from_numpy(counter.astype(np.int64))), key)
        assert np.array_equal(torch.stack(found).numpy(), philox4x32(counter, key))


@pytest.mark.parametrize(("count", "num_steps"), [(0, 2), (7, 3), (6337, 3), (300_001, 5)])
def test_normals_on_a_device_are_those_of_each_step(count: int, num_steps: int) -> None:
    found = list(normals_on_device(STREAM, count=count, server_round=3, num_steps=num_steps, device=CPU))
    assert len(found) == num_steps
    for step, draw in enumerate(found):
        assert draw.dtype == torch.float64
        expected = normals(STREAM, count=count, server_round=3, step=step)
        assert draw.numpy() == pytest.approx(expected, rel=0, abs=1e-13)


@pytest.mark.parametrize("optimiser", [Sgd(learning_rate=0.5), Sgd(learning_rate=0.2, momentum=0.9), Adam()], ids=str)
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_round_on_a_device_agrees_with_the_reference(network: DefaultNetwork, optimiser: Sgd | Adam) -> None:
    settings = replace(SETTINGS, optimiser=optimiser)
    start = initial_parameters(network, public_stream(seed=1, purpose="initialisation"))
    slow = reference.local_round(network, start, FEATURES, DEFAULT, settings=settings, streams=STREAMS)
    fast = on_device(network, settings)
    assert np.abs(fast.parameters - slow.parameters).max() <= 1e-5
    assert np.abs(fast.parameters - start).max() > 1e-2
    assert fast.parameters.dtype == np.float32
    assert fast.num_noise_draws == slow.num_noise_draws == 6


def test_a_round_on_a_device_without_privacy_draws_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("noise was drawn")

    monkeypatch.setattr(vectorised, "normals_on_device", refuse)
    settings = replace(SETTINGS, clipping_norm=float("inf"), noise_multiplier=0.0)
    assert on_device(NETWORKS["16-16-5 relu"], settings).num_noise_draws == 0


def test_an_empty_batch_on_a_device_is_a_step_of_noise_alone() -> None:
    network = NETWORKS["logistic"]
    settings = replace(SETTINGS, sampling_probability=1e-9, num_steps=1, proximal_weight=0.0)
    start = initial_parameters(network, public_stream(seed=1, purpose="initialisation"))
    noise = normals(STREAM, count=network.num_parameters, server_round=2)
    assert on_device(network, settings).parameters == pytest.approx(start - 0.5 * noise / 100.0, abs=1e-6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_refused_and_never_replaced() -> None:
    for ask in (lambda: find_device("cuda"), lambda: trainer("vectorised", device="cuda")):
        with pytest.raises(InputError, match=r"trainer\.device is 'cuda', .* no GPU here .* trainer\.device=cpu"):
            ask()


def test_a_trainer_that_has_no_device_refuses_one() -> None:
    with pytest.raises(InputError, match=r"trainer\.device is 'cuda' with trainer\.kind=reference"):
        trainer("reference", device="cuda")


def test_the_device_reaches_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def found(name: str) -> torch.device:
        asked.append(name)
        return torch.device("meta")

    monkeypatch.setattr("fedcredit.training.devices.find_device", found)
    monkeypatch.setattr(vectorised, "find_device", found)
    seen: list[torch.device] = []

    def remember(*_: object, device: torch.device) -> LocalOutcome:
        seen.append(device)
        return LocalOutcome(parameters=np.zeros(7, dtype=np.float32), num_noise_draws=0)

    monkeypatch.setattr(vectorised, "on_device", remember)
    network = NETWORKS["logistic"]
    start = np.zeros(network.num_parameters, dtype=np.float32)
    trainer("vectorised", device="cuda")(network, start, FEATURES, DEFAULT, settings=SETTINGS, streams=STREAMS)
    assert asked == ["cuda", "cuda"]
    assert seen == [torch.device("meta")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_round_on_a_gpu_agrees_with_the_reference_and_repeats(network: DefaultNetwork) -> None:
    start = initial_parameters(network, public_stream(seed=1, purpose="initialisation"))
    given = network, start, FEATURES, DEFAULT
    slow = reference.local_round(*given, settings=SETTINGS, streams=STREAMS)
    run = trainer("vectorised", device="cuda")
    first, second = (run(*given, settings=SETTINGS, streams=STREAMS) for _ in range(2))
    assert np.abs(first.parameters - slow.parameters).max() <= 1e-5
    assert np.array_equal(first.parameters, second.parameters)
