"""The workloads as data: synthetic loans from seeded streams, dealt to lenders, and the arithmetic they need.

This module is light, so that a peer's worker pays for nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedcredit.seeds import normals, public_stream, words

SEED = 7
BAD_RATE = 0.2
SIZE_SIGMA = 0.8
MIN_LOANS = 300


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Federated averaging by size over lenders of log-normal sizes, one local epoch of Poisson DP-SGD a round."""

    name: str
    num_loans: int
    num_features: int
    num_lenders: int
    hidden: tuple[int, ...]
    expected_batch: int
    num_rounds: int
    num_held_out: int = 10_000
    clipping_norm: float = 1.0
    noise_multiplier: float = 1.0
    learning_rate: float = 0.5


W = Workload(
    name="W", num_loans=30_000, num_features=32, num_lenders=10, hidden=(64, 64), expected_batch=128, num_rounds=20
)
W_LARGE = Workload(
    name="W-large", num_loans=300_000, num_features=64, num_lenders=20, hidden=(256, 256), expected_batch=512,
    num_rounds=10,
)  # fmt: skip
WORKLOADS = {workload.name: workload for workload in (W, W_LARGE)}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Features ``[loans, features]`` and defaults 0 or 1 ``[loans]``, both float32."""

    features: NDArray[np.float32]
    default: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """The training loans by lender, sorted by name, and the held-out loans."""

    lenders: dict[str, Table]
    held_out: Table


def workload(name: str, *, num_rounds: int | None = None, quick: bool = False) -> Workload:
    """Look a workload up; ``quick`` has a tenth of its loans, ``num_rounds`` replaces its rounds."""
    found = WORKLOADS[name]
    if quick:
        found = replace(found, num_loans=found.num_loans // 10, num_held_out=found.num_held_out // 10)
    return found if num_rounds is None else replace(found, num_rounds=num_rounds)


def synthetic_table(num_loans: int, num_features: int, *, purpose: str) -> Table:
    """Draw loans whose default follows a small network's score and noise, one loan in five.

    The score's weights are the same for every purpose, so that held-out loans follow the same law.
    """
    generator = np.random.default_rng(words(public_stream(seed=SEED, purpose=purpose), count=4))
    features = generator.standard_normal((num_loans, num_features), dtype=np.float32)
    teacher = normals(public_stream(seed=SEED, purpose="teacher"), count=num_features * 9)
    inner = (teacher[: num_features * 8].reshape(num_features, 8) / np.sqrt(num_features)).astype(np.float32)
    direct = (teacher[num_features * 8 :] / np.sqrt(num_features)).astype(np.float32)
    score = features @ direct + 0.5 * np.tanh(features @ inner).sum(axis=1)
    score += 0.5 * generator.standard_normal(num_loans, dtype=np.float32)
    default = (score > np.quantile(score, 1.0 - BAD_RATE)).astype(np.float32)
    return Table(features=features, default=default)


def lender_sizes(work: Workload) -> tuple[int, ...]:
    """Draw log-normal sizes with a floor; the largest lender takes the rounding."""
    shares = np.exp(SIZE_SIGMA * normals(public_stream(seed=SEED, purpose="sizes"), count=work.num_lenders))
    floor = min(MIN_LOANS, work.num_loans // (2 * work.num_lenders))
    sizes = np.maximum(floor, np.round(work.num_loans * shares / shares.sum()).astype(int))
    sizes[np.argmax(sizes)] += work.num_loans - sizes.sum()
    return tuple(int(size) for size in sizes)


def deal(work: Workload) -> Dealt:
    """Draw a workload's loans and deal them out in order."""
    table = synthetic_table(work.num_loans, work.num_features, purpose="train")
    stops = np.cumsum([0, *lender_sizes(work)])
    lenders = {
        f"lender {position:02d}": Table(features=table.features[first:last], default=table.default[first:last])
        for position, (first, last) in enumerate(pairwise(stops.tolist()))
    }
    held_out = synthetic_table(work.num_held_out, work.num_features, purpose="held out")
    return Dealt(lenders=lenders, held_out=held_out)


def arithmetic(work: Workload) -> float:
    """Count the floating-point operations that a whole run needs.

    An example: forward, derivatives of the hidden layers, weight gradients (two operations a weight
    each, the first layer's inputs need no derivative) and norms by the linear-layer trick; and the
    forward pass of the held-out loans once a round. Noise, clipping and activations are left out.
    """
    shapes = list(pairwise((work.num_features, *work.hidden, 1)))
    weights = sum(inputs * outputs for inputs, outputs in shapes)
    inputs, outputs = shapes[0]
    norms = sum(2 * (fan_in + fan_out) for fan_in, fan_out in shapes)
    example = 6 * weights - 2 * inputs * outputs + norms
    return float(work.num_rounds) * (work.num_loans * example + work.num_held_out * 2 * weights)
