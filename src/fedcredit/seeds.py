"""Named, counter-based random streams: the only source of randomness in the package.

Every random number is a pure function of *what it is for*. A stream has a 96-bit name, hashed from
its purpose and its scope; a counter then addresses any word of it directly. Nothing here has state,
so a draw does not depend on who else draws, on the order of work, or on an interruption.

Generator: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

Layout (version 1; a change of it is a change of every experiment, so it gets a new version):

* key words ``k0, k1`` and counter word ``c3`` are the first 96 bits (little endian) of
  SHA-256 over the compact ASCII JSON list of ``"fedcredit/stream/1"`` and the scope's texts, so that no
  two scopes are written alike, whatever characters a name holds;
* counter word ``c0`` is the block (four output words each), ``c1`` the local step,
  ``c2`` the server round (0 where there is none).

Two scopes exist. Splits, partition and initial weights are named by ``(seed, purpose)`` alone, so
that arms can be compared in pairs. Sampling and noise are also named by the experiment's fingerprint
and the institution, so that no two arms and no two lenders ever share a batch or a Gaussian draw.

The generator is not cryptographic: a seeded epsilon holds against an adversary without the seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

VERSION = "fedcredit/stream/1"
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MAX_BLOCKS = 2**32
_BLOCKS_AT_ONCE = 2**14


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The name of a random stream: two key words and one counter word of 32 bits each."""

    key0: int
    key1: int
    tag: int


def public_stream(*, seed: int, purpose: str) -> Stream:
    """Name a stream that all arms of a study share: split, partition, initial weights.

    Args:
        seed: the experiment's ``seed`` or ``split_seed``, at least 0.
        purpose: what the numbers are for, for example ``"partition"``.

    Returns:
        The stream.
    """
    return _named("public", str(seed), purpose)


def private_stream(*, fingerprint: str, seed: int, institution: str, purpose: str) -> Stream:
    """Name a stream for sampling or noise, shared by no other arm and no other lender.

    Args:
        fingerprint: the experiment's fingerprint.
        seed: the experiment's ``seed``, at least 0.
        institution: the lender's name (or the name of a reference run such as ``"pooled"``).
        purpose: ``"sampling"`` or ``"noise"``, with the name of the release before it.

    Returns:
        The stream.
    """
    return _named("private", fingerprint, str(seed), institution, purpose)


def words(stream: Stream, *, count: int, server_round: int = 0, step: int = 0) -> NDArray[np.uint32]:
    """Return the first ``count`` 32-bit words of a stream at one round and step.

    Args:
        stream: the stream.
        count: how many words, at least 0.
        server_round: 0 to 2**32 - 1.
        step: 0 to 2**32 - 1.

    Returns:
        Words, ``[count]``.

    Raises:
        ValueError: if an argument is outside its range.
    """
    blocks = _blocks_of_steps(stream, count=count, server_round=server_round, steps=range(step, step + 1))
    return np.moveaxis(blocks, 0, -1).astype(np.uint32).reshape(-1)[:count]


def philox4x32(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Apply the ten rounds of Philox4x32 to counters.

    Args:
        counter: counter words, ``[4, blocks]``, each below 2**32.
        key: the two key words.

    Returns:
        Output words, ``[4, blocks]``.
    """
    scratch = np.empty((6, counter.shape[1]), dtype=np.uint64)
    return _philox(tuple(counter), key, scratch).astype(np.uint32)


def uniforms(stream: Stream, *, count: int, server_round: int = 0, step: int = 0) -> NDArray[np.float64]:
    """Return uniforms on [0, 1) with 53 random bits each.

    Args:
        stream: the stream.
        count: how many, at least 0.
        server_round: 0 to 2**32 - 1.
        step: 0 to 2**32 - 1.

    Returns:
        Uniforms, ``[count]``, multiples of 2**-53.
    """
    return uniforms_of_steps(stream, count=count, server_round=server_round, steps=range(step, step + 1)).reshape(-1)


def uniforms_of_steps(stream: Stream, *, count: int, server_round: int, steps: range) -> NDArray[np.float64]:
    """Return what `uniforms` gives at each of several steps, in one draw.

    Args:
        stream: the stream.
        count: how many at each step, at least 0.
        server_round: 0 to 2**32 - 1.
        steps: the steps, each 0 to 2**32 - 1.

    Returns:
        Uniforms, ``[steps, count]``, multiples of 2**-53.
    """
    blocks = _blocks_of_steps(stream, count=2 * count, server_round=server_round, steps=steps)
    draws = np.empty((*blocks.shape[1:], 2))
    for place, (first, second) in enumerate((blocks[:2], blocks[2:])):
        draws[..., place] = ((first >> np.uint64(5)) * 67108864.0 + (second >> np.uint64(6))) / 9007199254740992.0
    return draws.reshape(len(steps), -1)[:, :count]


def normals(stream: Stream, *, count: int, server_round: int = 0, step: int = 0) -> NDArray[np.float64]:
    """Return standard normals by Box and Muller (1958) from 32-bit uniforms.

    Words ``(a, b)`` give ``r = sqrt(-2 ln((a + 1) / 2**32))`` and ``t = 2 pi b / 2**32``, and with
    them ``r cos t`` and ``r sin t``; the largest magnitude is 6.66.

    Args:
        stream: the stream.
        count: how many, at least 0.
        server_round: 0 to 2**32 - 1.
        step: 0 to 2**32 - 1.

    Returns:
        Normals, ``[count]``, computed in float64.
    """
    even = count + count % 2
    pairs = words(stream, count=even, server_round=server_round, step=step).reshape(-1, 2).astype(np.float64)
    radius = np.sqrt(-2.0 * np.log((pairs[:, 0] + 1.0) / 4294967296.0))
    angle = pairs[:, 1] * (2.0 * np.pi / 4294967296.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:count]


def normals_by_step(stream: Stream, *, count: int, server_round: int, num_steps: int) -> Iterator[NDArray[np.float64]]:
    """Give what `normals` gives at steps 0, 1, ..., to 1e-14, in a fraction of the time.

    Many steps are drawn at once, in memory that stays in a core's cache. The point (cos t, sin t) of an angle
    t = 2 pi b / 2**32 is the product of three tabled points, of the upper 11, the next 11 and the last 10 bits of b.

    Args:
        stream: the stream.
        count: how many at each step, at least 0.
        server_round: 0 to 2**32 - 1.
        num_steps: how many steps, at most 2**32.

    Yields:
        Normals, ``[count]``, computed in float64, the caller's to keep and change.
    """
    num_blocks = max(1, -(-count // 4))
    width, depth = min(num_blocks, _BLOCKS_AT_ONCE), max(1, min(_BLOCKS_AT_ONCE // num_blocks, num_steps))
    scratch = np.empty((6, depth, width), dtype=np.uint64)
    points = np.empty((2, depth, width), dtype=np.complex128)
    for first in range(0, num_steps, depth):
        steps = range(first, min(first + depth, num_steps))
        draws = np.empty((len(steps), num_blocks, 2), dtype=np.complex128)
        for start in range(0, num_blocks, width):
            blocks = range(start, min(start + width, num_blocks))
            room, point = scratch[:, : len(steps), : len(blocks)], points[:, : len(steps), : len(blocks)]
            counter = _counter(stream, blocks=blocks, server_round=server_round, steps=steps)
            _philox(counter, (stream.key0, stream.key1), room)
            _box_muller(room, point, draws[:, blocks.start : blocks.stop])
        yield from draws.reshape(len(steps), -1).view(np.float64)[:, :count]


def _box_muller(words: NDArray[np.uint64], points: NDArray[np.complex128], draws: NDArray[np.complex128]) -> None:
    """Turn ``[6, steps, blocks]``, of which four are words and two are room, into complex ``[steps, blocks, 2]``."""
    coarse, middle, fine = _points()
    point, turn = points
    radius, place = words[5].view(np.float64), words[4].view(np.int64)
    for half, (length, angle) in enumerate((words[:2], words[2:4])):
        np.copyto(radius, length)
        radius += 1.0
        radius *= 2.0**-32
        np.log(radius, out=radius)
        radius *= -2.0
        np.sqrt(radius, out=radius)
        np.right_shift(angle, np.uint64(21), out=words[4])
        np.take(coarse, place, out=point, mode="clip")
        for table, shift in ((middle, 10), (fine, 0)):
            np.right_shift(angle, np.uint64(shift), out=words[4])
            np.bitwise_and(words[4], np.uint64(len(table) - 1), out=words[4])
            np.take(table, place, out=turn, mode="clip")
            np.multiply(point, turn, out=point)
        np.multiply(point, radius, out=draws[..., half])


@cache
def _points() -> tuple[NDArray[np.complex128], ...]:
    """Points of the unit circle at multiples of 2 pi / 2**11, of 2 pi / 2**22 and of 2 pi / 2**32, up to the last."""
    sizes = ((2**11, 11), (2**11, 22), (2**10, 32))
    return tuple(np.exp(2j * np.pi * (np.arange(size) / 2.0**bits)) for size, bits in sizes)


def permutation(stream: Stream, *, count: int, step: int = 0) -> NDArray[np.int64]:
    """Return a random order of ``0 .. count - 1`` (a stable sort of uniforms).

    Args:
        stream: the stream.
        count: how many, at least 0.
        step: 0 to 2**32 - 1.

    Returns:
        A permutation, ``[count]``.
    """
    return np.argsort(uniforms(stream, count=count, step=step), kind="stable").astype(np.int64)


def _blocks_of_steps(stream: Stream, *, count: int, server_round: int, steps: range) -> NDArray[np.uint64]:
    """The blocks that hold the first ``count`` words at each step, ``[4, steps, blocks]``."""
    num_blocks = -(-count // 4)
    if count < 0 or num_blocks > _MAX_BLOCKS:
        raise ValueError(f"count is {count}; allowed is 0 to {4 * _MAX_BLOCKS}")
    counter = _counter(stream, blocks=range(num_blocks), server_round=server_round, steps=steps)
    scratch = np.empty((6, len(steps), num_blocks), dtype=np.uint64)
    return _philox(counter, (stream.key0, stream.key1), scratch)


def _counter(stream: Stream, *, blocks: range, server_round: int, steps: range) -> tuple[NDArray[np.uint64], ...]:
    """Counter words that broadcast to ``[steps, blocks]``."""
    _check("server_round", server_round)
    for step in (*steps[:1], *steps[-1:]):
        _check("step", step)
    return (
        np.arange(blocks.start, blocks.stop, dtype=np.uint64)[np.newaxis],
        np.arange(steps.start, steps.stop, dtype=np.uint64)[:, np.newaxis],
        np.full((1, 1), server_round, dtype=np.uint64),
        np.full((1, 1), stream.tag, dtype=np.uint64),
    )


def _philox(
    counter: tuple[NDArray[np.uint64], ...], key: tuple[int, int], scratch: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Ten rounds, in the memory ``[6, ...]`` whose first four parts hold the answer.

    The first two rounds keep the shapes of the counters: block, step and round number have not all met yet.
    """
    keys = [((key[0] + turn * _W0) & 0xFFFFFFFF, (key[1] + turn * _W1) & 0xFFFFFFFF) for turn in range(10)]
    c0, c1, c2, c3 = counter
    for k0, k1 in keys[:2]:
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1), p0 & _LOW
    for place, word in enumerate((c0, c1, c2, c3)):
        scratch[place] = word
    even, odd, products = scratch[0:4:2], scratch[1:4:2], scratch[4:6]
    crossed, column = products[::-1], (2,) + (1,) * (scratch.ndim - 1)
    multipliers = np.array([_M0, _M1], dtype=np.uint64).reshape(column)
    for subkeys in np.array(keys[2:], dtype=np.uint64):
        np.multiply(even, multipliers, out=products)
        np.right_shift(crossed, _SHIFT, out=even)
        np.bitwise_xor(even, odd, out=even)
        np.bitwise_xor(even, subkeys.reshape(column), out=even)
        np.bitwise_and(crossed, _LOW, out=odd)
    return scratch[:4]


def _named(*scope: str) -> Stream:
    digest = hashlib.sha256(json.dumps((VERSION, *scope), separators=(",", ":")).encode()).digest()
    first, second, third = (int.from_bytes(digest[i : i + 4], "little") for i in (0, 4, 8))
    return Stream(key0=first, key1=second, tag=third)


def _check(name: str, value: int) -> None:
    if not 0 <= value < 2**32:
        raise ValueError(f"{name} is {value}; allowed is 0 to {2**32 - 1}")
