from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm as standard_normal

import fedcredit
from fedcredit import seeds
from fedcredit.experiment.spec import Sgd
from fedcredit.model import torch_network
from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.privacy.mechanism import LARGEST_NORM, clip_factors
from fedcredit.privacy.sampling import poisson_indices
from fedcredit.training import compiled, kept_code, trainers, vectorised
from fedcredit.training.compiled import activations, draws, passes
from fedcredit.training.compiled.layout import layout_of
from fedcredit.training.compiled.tile import add_outer, multiply
from fedcredit.training.contract import LocalSettings, RoundStreams

SOURCE = str(Path(fedcredit.__file__).parents[1])
STREAM = seeds.public_stream(seed=3, purpose="test")
KEYS = np.array([STREAM.key0, STREAM.key1, STREAM.tag], dtype=np.uint64)
SETTINGS = LocalSettings(
    num_steps=3,
    sampling_probability=0.25,
    divisor=100.0,
    clipping_norm=1.0,
    noise_multiplier=1.0,
    optimiser=Sgd(learning_rate=0.5),
)
STREAMS = RoundStreams(sampling=STREAM, noise=seeds.public_stream(seed=3, purpose="noise"), server_round=1)


def some(*shape: int, purpose: str = "numbers") -> np.ndarray:
    stream = seeds.public_stream(seed=5, purpose=purpose)
    return seeds.normals(stream, count=math.prod(shape)).reshape(shape).astype(np.float32)


# The streams are those of the package.


@pytest.mark.parametrize(("server_round", "step", "first"), [(0, 0, 0), (3, 7, 0), (2**32 - 1, 2**32 - 1, 5)])
def test_words_are_those_of_the_package_to_the_bit(server_round: int, step: int, first: int) -> None:
    words = np.empty((4, 37), dtype=np.uint32)
    draws.philox(KEYS, server_round, step, first, words)
    expected = seeds.words(STREAM, count=4 * (first + 37), server_round=server_round, step=step)
    assert np.array_equal(words.T.reshape(-1), expected[4 * first :])


def test_normals_are_those_of_the_package_to_single_precision() -> None:
    words = np.empty((4, 250_000), dtype=np.uint32)
    draws.philox(KEYS, 1, 2, 0, words)
    got = np.empty(1_000_000, dtype=np.float32)
    draws.normals(words, got)
    expected = seeds.normals(STREAM, count=1_000_000, server_round=1, step=2)
    assert np.abs(got - expected).max() < 2e-6


RADII = [0, 1, 2**23, 2**24 - 1, 2**31, 3037000498, 3037000500, 2**32 - 2**7, 2**32 - 2, 2**32 - 1]


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("angle", [0, 1, 2**29 - 1, 2**29, 2**30, 3 * 2**29, 2**31, 3 * 2**30, 7 * 2**29, 2**32 - 1])
def test_normals_are_right_at_the_ends_of_every_branch(radius: int, angle: int) -> None:
    words = np.array([[radius], [angle], [radius], [angle]], dtype=np.uint32)
    got = np.empty(4, dtype=np.float32)
    draws.normals(words, got)
    size, turn = math.sqrt(-2.0 * math.log((radius + 1) / 2**32)), 2.0 * math.pi * angle / 2**32
    assert got == pytest.approx([size * math.cos(turn), size * math.sin(turn)] * 2, abs=2e-6)


@settings(max_examples=200)
@given(
    num_loans=st.integers(0, 3000),
    probability=st.one_of(st.floats(1e-6, 1.0), st.sampled_from([1.0, 1e-9, 1.0 - 1e-12])),
    step=st.integers(0, 2**32 - 1),
)
def test_batches_are_those_of_the_package(num_loans: int, probability: float, step: int) -> None:
    gaps, loans = np.empty((4, 16), dtype=np.uint32), np.empty(num_loans, dtype=np.int64)
    size = draws.sample(KEYS, 9, step, probability, gaps, loans)
    expected = poisson_indices(STREAM, num_loans=num_loans, probability=probability, server_round=9, step=step)
    assert np.array_equal(loans[:size], expected)


# Activations, products and clip factors are those of slow definitions.


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_an_activation_and_its_slope_are_those_of_torch(name: str) -> None:
    values = np.concatenate([np.linspace(-12, 12, 4001), [0.0, -0.0, 1e-30, 90.0, -90.0, 1e30, -1e30]])
    values = values.astype(np.float32)
    inputs = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    function = {"relu": torch.relu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu}[name]
    expected = function(inputs)
    slopes = torch.autograd.grad(expected.sum(), inputs)[0].numpy()
    space = np.concatenate([values, np.zeros_like(values)])
    kind = {"relu": activations.RELU, "tanh": activations.TANH, "gelu": activations.GELU}[name]
    activations.activate(kind, space, 0, len(values), 1, len(values))
    assert space[: len(values)] == pytest.approx(expected.detach().numpy(), abs=1e-6, rel=1e-6)
    assert space[len(values) :] == pytest.approx(slopes, abs=3e-6)


@pytest.mark.parametrize("kind", [activations.RELU, activations.TANH, activations.GELU])
def test_what_is_no_number_stays_none_through_an_activation(kind: int) -> None:
    space = np.array([np.nan] * 3 + [1.0] + [0.0] * 4, dtype=np.float32)
    activations.activate(kind, space, 0, 4, 1, 4)
    assert np.isnan(space[:3]).all()
    assert np.isfinite(space[3])


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 64])
@pytest.mark.parametrize(("depth", "width"), [(1, 16), (5, 32), (64, 64), (300, 48)])
def test_products_and_sums_of_outer_products_are_those_of_numpy(rows: int, depth: int, width: int) -> None:
    left, right, start = some(rows, depth), some(depth, width, purpose="right"), some(width, purpose="start")
    panels = right.reshape(depth, width // 16, 16).transpose(1, 0, 2).reshape(-1)
    space = np.concatenate([left.reshape(-1), panels, start, np.zeros(rows * width, dtype=np.float32)])
    places = np.cumsum([0, left.size, panels.size, width]).tolist()
    multiply(space, 0, depth, places[1], places[2], places[3], width, rows, depth)
    expected = start + left.astype(np.float64) @ right
    assert space[places[3] :].reshape(rows, width) == pytest.approx(expected, rel=1e-5, abs=1e-4)
    sums = np.ones(depth * width)
    both = np.concatenate([left.reshape(-1), expected.astype(np.float32).reshape(-1)])
    add_outer(both, 0, depth, left.size, width, sums, 0, depth, rows)
    outer = 1.0 + left.T.astype(np.float64) @ expected
    assert sums.reshape(depth, width) == pytest.approx(outer, rel=1e-4, abs=1e-3)


def test_a_product_is_a_chain_of_fused_multiply_adds_in_rising_order() -> None:
    left, right = some(3, 40), some(40, 16, purpose="right")
    space = np.concatenate([left.reshape(-1), right.reshape(-1), np.zeros(16 + 48, dtype=np.float32)])
    multiply(space, 0, 40, 120, 760, 776, 16, 3, 40)
    chain = np.zeros((3, 16), dtype=np.float32)
    for place in range(40):
        exact = left[:, place, np.newaxis].astype(np.float64) * right[place].astype(np.float64)
        chain = (chain.astype(np.float64) + exact).astype(np.float32)
    assert np.array_equal(space[776:].reshape(3, 16), chain)


@pytest.mark.parametrize("clipping_norm", [1e-3, 1.0, math.inf])
def test_clip_factors_are_those_of_the_mechanism(clipping_norm: float) -> None:
    edge = LARGEST_NORM**2
    squared = np.array([0.0, 1e-300, 1e-6, 0.999, 1.0, 4.0, 1e20, np.nextafter(edge, 0.0), edge, np.inf, np.nan])
    got = [passes.factor(value, clipping_norm) for value in squared]
    assert np.array_equal(got, clip_factors(squared, clipping_norm))


@pytest.mark.parametrize("hidden", [(), (1,), (16,), (20, 7), (64, 64)])
def test_a_step_is_the_sum_of_its_stages(hidden: tuple[int, ...]) -> None:
    network = DefaultNetwork(num_features=12, hidden=hidden, output_scale=1.0)
    parameters = some(network.num_parameters, purpose="parameters")
    x, y = some(300, 12), (some(300, purpose="labels") > 0).astype(np.float32)
    chosen = replace(SETTINGS, num_steps=1, noise_multiplier=0.0, divisor=1.0, optimiser=Sgd(learning_rate=1.0))
    moved = compiled.local_round(network, parameters, x, y, settings=chosen, streams=STREAMS).parameters
    batch = poisson_indices(STREAM, num_loans=300, probability=0.25, server_round=1, step=0)
    total = compiled.clipped_gradient_sum(network, parameters, x[batch], y[batch], clipping_norm=1.0, pos_weight=1.0)
    assert np.array_equal(moved, (parameters.astype(np.float64) - total).astype(np.float32))


# Predictions, threads, and what stands in.


@pytest.mark.parametrize("hidden", [(), (5,), (16,), (64, 64), (7, 11, 3)])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_predictions_are_those_of_torch_and_the_same_bits_in_any_company(
    hidden: tuple[int, ...], activation: str
) -> None:
    network = DefaultNetwork(num_features=9, hidden=hidden, activation=activation, output_scale=1.0)
    parameters, x = some(network.num_parameters, purpose="parameters"), some(300, 9)
    together = compiled.predict_logit(network, parameters, x)
    assert together == pytest.approx(torch_network.predict_logit(network, parameters, x), rel=1e-4, abs=1e-4)
    for rows in (np.arange(1), np.arange(64), np.array([299, 3, 3, 64]), np.arange(0)):
        assert np.array_equal(compiled.predict_logit(network, parameters, x[rows]), together[rows])


def test_lenders_in_threads_give_the_bits_of_lenders_in_turn() -> None:
    network = DefaultNetwork(num_features=12, hidden=(64, 64), activation="relu")
    start = initial_parameters(network, STREAM)
    x, y = some(400, 12), (some(400, purpose="labels") > 0).astype(np.float32)

    def round_of(seed: int) -> bytes:
        streams = replace(STREAMS, noise=seeds.public_stream(seed=seed, purpose="noise"))
        return compiled.local_round(network, start, x, y, settings=SETTINGS, streams=streams).parameters.tobytes()

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(round_of, range(12)))
    assert together == [round_of(seed) for seed in range(12)]
    assert len(set(together)) == 12


@pytest.mark.parametrize("hidden", [(), (16,), (64, 64), (5, 7, 9)])
def test_a_layout_keeps_every_place_apart(hidden: tuple[int, ...]) -> None:
    network = DefaultNetwork(num_features=28, hidden=hidden)
    layout = layout_of(network)
    singles, doubles = [], []
    widths = [-(-layer.num_inputs // 16) * 16 for layer in network.layers]
    for place, (layer, line) in enumerate(zip(network.layers, layout.table.tolist(), strict=True)):
        after = 1 if layer.is_output else widths[place + 1]
        blocks = [64 * width for width in (widths[place], after, after)]
        counts = (layer.num_inputs * after, layer.num_outputs * widths[place], after, *blocks)
        singles += [(start, start + count) for start, count in zip(line[5:11], counts, strict=True)]
        doubles += [(line[11], line[11] + layer.num_outputs * widths[place]), (line[12], line[12] + layer.num_outputs)]
    for spans, size in ((singles, layout.sizes[0] - layout.sizes[2]), (doubles, layout.sizes[1])):
        ordered = sorted(spans)
        assert all(stop <= start for (_, stop), (start, _) in pairwise(ordered))
        assert ordered[-1][1] <= size


@pytest.fixture
def forgetful() -> Iterator[None]:
    trainers.why_not_compiled.cache_clear()
    yield
    trainers.why_not_compiled.cache_clear()


@pytest.mark.usefixtures("forgetful")
def test_where_numba_refuses_vectorised_takes_over_with_one_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise OSError("no such place")

    monkeypatch.setattr(compiled, "warm_up", refuse)
    with caplog.at_level(logging.WARNING):
        assert trainers.trainer("compiled") is vectorised.local_round
        assert trainers.predictor("compiled") is torch_network.predict_logit
    assert [record.getMessage() for record in caplog.records] == [
        "trainer compiled: numba cannot compile here (OSError: no such place); vectorised computes the local rounds"
    ]
    network = DefaultNetwork(num_features=3)
    assert trainers.computed_by("compiled", network).startswith(
        "vectorised, because numba cannot compile here (OSError"
    )
    assert trainers.computed_by("reference", network) == "reference"


def test_a_network_with_layer_norm_is_handed_to_vectorised(caplog: pytest.LogCaptureFixture) -> None:
    network = DefaultNetwork(num_features=12, hidden=(8,), layer_norm=True)
    start = initial_parameters(network, STREAM)
    given = network, start, some(50, 12), np.ones(50, dtype=np.float32)
    with caplog.at_level(logging.WARNING):
        compiled.vectorised_instead.cache_clear()
        first, second = (compiled.local_round(*given, settings=SETTINGS, streams=STREAMS) for _ in range(2))
    assert np.array_equal(first.parameters, second.parameters)
    slow = vectorised.local_round(*given, settings=SETTINGS, streams=STREAMS)
    assert np.array_equal(first.parameters, slow.parameters)
    assert len(caplog.records) == 1
    assert trainers.computed_by("compiled", network) == "vectorised, because a network with LayerNorm is not compiled"
    assert trainers.computed_by("compiled", DefaultNetwork(num_features=12)) == "compiled"


def test_a_change_of_any_source_file_changes_the_folder_of_compiled_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEDCREDIT_CACHE", str(tmp_path / "cache"))
    before = kept_code.code_folder()
    assert before.is_relative_to(tmp_path / "cache")
    twin = tmp_path / "source"
    twin.mkdir()
    for path in Path(compiled.__file__).parent.glob("*.py"):
        (twin / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(kept_code, "_SOURCE", twin)
    assert kept_code.code_folder() == before
    with (twin / "draws.py").open("a") as file:
        file.write("\n")
    assert kept_code.code_folder() != before


def test_the_compiled_trainer_needs_neither_torch_nor_a_place_to_write(tmp_path: Path) -> None:
    script = """
import sys
from fedcredit.training.trainers import computed_by, predictor, trainer
trainer("compiled"), predictor("compiled")
from fedcredit.model.network import DefaultNetwork
assert computed_by("compiled", DefaultNetwork(num_features=2)) == "compiled"
assert "torch" not in sys.modules
"""
    blocked = tmp_path / "file"
    blocked.write_text("")
    environment = {**os.environ, "PYTHONPATH": SOURCE, "FEDCREDIT_CACHE": str(blocked)}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300, env=environment)


# 2,000,000 normals: a right generator's mean, variance and Kolmogorov distance pass at 1e-6 each; a deviation that is
# 1 % off, or a mean of .01, is 14 standard errors away and fails.
@pytest.mark.statistical
@pytest.mark.parametrize(("shift", "scale", "is_right"), [(0.0, 1.0, True), (0.0, 1.01, False), (0.01, 1.0, False)])
def test_compiled_normals_are_standard_and_planted_errors_are_seen(shift: float, scale: float, is_right: bool) -> None:
    words = np.empty((4, 500_000), dtype=np.uint32)
    draws.philox(KEYS, 5, 6, 0, words)
    got = np.empty(2_000_000, dtype=np.float32)
    draws.normals(words, got)
    found = np.sort(shift + scale * got.astype(np.float64))
    size = len(found)
    limit = standard_normal.isf(5e-7)
    mean_is_right = abs(found.mean()) * math.sqrt(size) < limit
    variance_is_right = abs(found.var() - 1.0) * math.sqrt(size / 2.0) < limit
    ranks = np.arange(1, size + 1) / size
    distance = np.abs(standard_normal.cdf(found) - ranks).max() + 1.0 / size
    kolmogorov_is_right = distance * math.sqrt(size) < math.sqrt(-0.5 * math.log(1e-6 / 2.0)) + 1.0 / math.sqrt(size)
    assert bool(mean_is_right and variance_is_right and kolmogorov_is_right) is is_right
