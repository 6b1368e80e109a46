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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = "fedcredit/stream/1"
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MAX_BLOCKS = 2**32


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
    _check("server_round", server_round)
    _check("step", step)
    blocks = -(-count // 4)
    if count < 0 or blocks > _MAX_BLOCKS:
        raise ValueError(f"count is {count}; allowed is 0 to {4 * _MAX_BLOCKS}")
    counter = np.empty((4, blocks), dtype=np.uint64)
    counter[0] = np.arange(blocks, dtype=np.uint64)
    counter[1] = step
    counter[2] = server_round
    counter[3] = stream.tag
    return philox4x32(counter, (stream.key0, stream.key1)).T.reshape(-1)[:count]


def philox4x32(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Apply the ten rounds of Philox4x32 to counters.

    Args:
        counter: counter words, ``[4, blocks]``, each below 2**32.
        key: the two key words.

    Returns:
        Output words, ``[4, blocks]``.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


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
    pairs = words(stream, count=2 * count, server_round=server_round, step=step).reshape(-1, 2).astype(np.uint64)
    return ((pairs[:, 0] >> np.uint64(5)) * 67108864.0 + (pairs[:, 1] >> np.uint64(6))) / 9007199254740992.0


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


def _named(*scope: str) -> Stream:
    digest = hashlib.sha256(json.dumps((VERSION, *scope), separators=(",", ":")).encode()).digest()
    first, second, third = (int.from_bytes(digest[i : i + 4], "little") for i in (0, 4, 8))
    return Stream(key0=first, key1=second, tag=third)


def _check(name: str, value: int) -> None:
    if not 0 <= value < 2**32:
        raise ValueError(f"{name} is {value}; allowed is 0 to {2**32 - 1}")
