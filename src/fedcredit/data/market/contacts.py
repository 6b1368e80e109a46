"""The contact graph: who has whose number, with like near like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedcredit.data.market.borrowers import Borrowers
from fedcredit.data.market.settings import Flags, Floats, Ints, MarketSettings
from fedcredit.data.market.streams import generator

_MEAN_EXTRA_CONTACTS = 3.0
_MOST_CONTACTS = 12
_REACH = 25
_HOMOPHILY = 0.7


@dataclass(frozen=True, kw_only=True)
class Contacts:
    """Directed edges: ``source`` has ``target`` among her contacts, each ``[edges]``, sorted by source."""

    source: Ints
    target: Ints
    degree: Ints

    def share(self, marked: Flags) -> Floats:
        """Return which share of each borrower's contacts is marked, 0 without contacts.

        Args:
            marked: a flag per borrower, ``[borrowers]``.

        Returns:
            Shares, ``[borrowers]``.
        """
        hits = np.bincount(self.source[marked[self.target]], minlength=len(self.degree))
        return (hits / np.maximum(self.degree, 1)).astype(np.float32)


def draw_contacts(settings: MarketSettings, borrowers: Borrowers, ring: Ints) -> Contacts:
    """Draw the contact graph.

    Borrowers are lined up by region and by a noisy copy of their willingness to repay; each has one to
    twelve contacts near her in that line. Members of a fraud ring know their ring alone.

    Args:
        settings: the market's settings.
        borrowers: the borrowers.
        ring: the ring of each borrower, -1 for none, ``[borrowers]``.

    Returns:
        The graph.
    """
    draw = generator(seed=settings.seed, entity="contacts")
    count = borrowers.num_borrowers
    noise = draw.standard_normal(count, np.float32)
    alike = _HOMOPHILY * borrowers.willingness + np.sqrt(1.0 - _HOMOPHILY**2) * noise
    line = np.lexsort((alike, borrowers.region, ring)).astype(np.int32)
    place = np.empty(count, dtype=np.int32)
    place[line] = np.arange(count, dtype=np.int32)
    degree = np.minimum(1 + draw.poisson(_MEAN_EXTRA_CONTACTS, count), _MOST_CONTACTS).astype(np.int32)
    source = np.repeat(np.arange(count, dtype=np.int32), degree)
    offset = draw.integers(1, _REACH + 1, len(source), dtype=np.int32)
    offset *= np.where(draw.random(len(source), np.float32) < 0.5, np.int32(-1), np.int32(1))
    target = line[(place[source] + offset) % count]
    stays = ring[source] == ring[target]
    source, target = source[stays], target[stays]
    return Contacts(source=source, target=target, degree=np.bincount(source, minlength=count).astype(np.int32))
