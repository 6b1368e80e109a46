"""Where a federation stands after a round: all that its later rounds depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.federation.rounds import RoundRecord


@dataclass(frozen=True, kw_only=True)
class Iterate:
    """What a server rule makes of a round, each ``[num_parameters]``: what is sent next, what is released."""

    parameters: NDArray[np.float32]
    released: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A federation between two rounds; a federation that starts from it goes on with the same bits.

    Attributes:
        rounds: the rounds that are over, from round 1.
        iterate: what is sent next and what would be released.
        rule: what the server rule keeps from round to round, by name.
        ledger_heads: by institution, the digest that its last good reply gave of its ledger; empty where nothing is
            private.
    """

    rounds: tuple[RoundRecord, ...]
    iterate: Iterate
    rule: Mapping[str, NDArray[Any]]
    ledger_heads: Mapping[str, str]

    @property
    def server_round(self) -> int:
        """The last round that is over; 0 before round 1."""
        return len(self.rounds)


Keep = Callable[[Callable[[], Snapshot]], None]
"""Told after each round how to take a snapshot; it may take it and keep it, or not."""


def before_round_one(initial: NDArray[np.float32]) -> Snapshot:
    """Return where every federation starts.

    Args:
        initial: initial parameters, ``[num_parameters]``.

    Returns:
        A snapshot without rounds; a server rule begins afresh from it.
    """
    return Snapshot(rounds=(), iterate=Iterate(parameters=initial, released=initial), rule={}, ledger_heads={})
