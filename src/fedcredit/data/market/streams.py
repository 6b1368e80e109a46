"""Random generators of the market, one per kind of entity and month.

Each is NumPy's counter-based Philox with the 96 bits of a named stream as its key, so what one kind of
entity draws never depends on another kind, on another month, or on the order of work.
"""

from __future__ import annotations

import numpy as np

from fedcredit.seeds import public_stream


def generator(*, seed: int, entity: str, month: int = 0) -> np.random.Generator:
    """Return the generator of one kind of entity in one month.

    Args:
        seed: the market's seed, at least 0.
        entity: for example ``"borrowers"`` or ``"panel"``.
        month: 0 to 65,535.

    Returns:
        A fresh generator at the start of its stream.
    """
    stream = public_stream(seed=seed, purpose=f"market.{entity}")
    key = stream.key0 | stream.key1 << 32 | stream.tag << 64
    return np.random.Generator(np.random.Philox(key=key, counter=month << 128))
