"""Sampling and noise of a release that nobody can draw again: a key from the operating system, used once.

A deployed lender takes a fresh key of 256 bits for each release. Words are SHAKE-256 (FIPS 202) of the key, the
purpose and the step, so they are as hard to predict as the key; the key is never written, printed or derived
from anything, and the same words are never given twice. Against Mironov (2012), who reads a signal off the gaps
between the floats of one Gaussian, each normal is a sum of four, halved (Holohan and Braghin 2021), and what is
released lies on a public grid (`fedcredit.privacy.grid`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Literal, Self, final

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 32
SUMMED_DRAWS = 4
_DOMAIN = b"fedcredit/entropy/1"
Purpose = Literal["sampling", "noise"]


class KeyReusedError(RuntimeError):
    """The same words of a key were asked for twice: two releases would share their noise."""


@final
class ReleaseKey:
    """The key of one release of one lender."""

    __slots__ = ("_key", "_used")

    def __init__(self, key: bytes) -> None:
        """Take a key; use `ReleaseKey.fresh`, or known bytes in a test of the arithmetic.

        Args:
            key: 32 bytes.

        Raises:
            ValueError: if there are not 32 of them.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"key has {len(key)} bytes; a release needs {KEY_BYTES}")
        self._key = key
        self._used: set[tuple[Purpose, int]] = set()

    @classmethod
    def fresh(cls) -> Self:
        """Take a new key from the operating system."""
        return cls(os.urandom(KEY_BYTES))

    def normals(self, *, step: int, count: int) -> NDArray[np.float64]:
        """Return standard normals of a step, once: each is four of Box and Muller (1958), summed and halved.

        Args:
            step: the local step, from 0.
            count: how many, at least 0.

        Returns:
            Normals, ``[count]``, float64; the largest magnitude is about 17.

        Raises:
            KeyReusedError: if those of this step were given before.
        """
        self._use("noise", step)
        pairs = self._expanded("noise", step=step, count=SUMMED_DRAWS * (count + count % 2)).reshape(2, -1)
        radius = np.sqrt(-2.0 * np.log(_fractions(pairs[0]) + 2.0**-54))
        angle = 2.0 * np.pi * _fractions(pairs[1])
        draws = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)]).reshape(SUMMED_DRAWS, -1)
        total = np.zeros(draws.shape[1])
        for draw in draws:
            total += draw
        total /= SUMMED_DRAWS**0.5
        return total[:count]

    def uniforms(self, *, step: int) -> Callable[[int], NDArray[np.float64]]:
        """Return the one sequence of uniforms for the sample of a step.

        Args:
            step: the local step, from 0.

        Returns:
            What gives the first so many of them, on [0, 1), multiples of 2**-53, as often as they are asked for.

        Raises:
            KeyReusedError: if that sequence was given before.
        """
        self._use("sampling", step)
        return lambda count: _fractions(self._expanded("sampling", step=step, count=count))

    def _use(self, purpose: Purpose, step: int) -> None:
        if (purpose, step) in self._used:
            raise KeyReusedError(f"{purpose} of step {step} was drawn before; every release has a key of its own")
        self._used.add((purpose, step))

    def _expanded(self, purpose: Purpose, *, step: int, count: int) -> NDArray[np.uint64]:
        name = b"/".join((_DOMAIN, purpose.encode(), str(step).encode(), self._key))
        return np.frombuffer(hashlib.shake_256(name).digest(8 * count), dtype="<u8").astype(np.uint64)


def _fractions(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Turn words into multiples of 2**-53 on [0, 1)."""
    return np.asarray((words >> np.uint64(11)).astype(np.float64) * 2.0**-53, dtype=np.float64)
