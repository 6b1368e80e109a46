"""Keyed hashes of borrower keys: a random order of loans that no other loan has a say in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.portfolio import Portfolio
from fedcredit.seeds import public_stream, words


def keyed_uniforms(portfolio: Portfolio, *, seed: int, purpose: str) -> NDArray[np.float64]:
    """Map every loan's borrower key to a uniform on [0, 1), one row at a time.

    BLAKE2b of the key (RFC 7693), keyed with a salt from the stream (seed, purpose). Loans of one
    borrower get the same number, wherever they are.

    Args:
        portfolio: the loans.
        seed: the experiment's ``split_seed``.
        purpose: what the numbers are for.

    Returns:
        Uniforms with 53 bits, ``[loans]``.
    """
    numbers = keyed_numbers((str(key) for key in portfolio.borrower.tolist()), seed=seed, purpose=purpose)
    return (numbers >> np.uint64(11)) / 9007199254740992.0


def keyed_numbers(texts: Iterable[str], *, seed: int, purpose: str) -> NDArray[np.uint64]:
    """Map texts to uniform integers of 64 bits, one at a time, as `keyed_uniforms` does.

    Args:
        texts: what is hashed.
        seed: the experiment's ``split_seed``.
        purpose: what the numbers are for.

    Returns:
        Integers, ``[texts]``.
    """
    salt = words(public_stream(seed=seed, purpose=purpose), count=8).astype("<u4").tobytes()
    digests = (hashlib.blake2b(text.encode(), key=salt, digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype="<u8")
