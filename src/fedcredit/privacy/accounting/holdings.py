"""What actual borrowers lose: the loans that one of them has, at the lenders where it has them.

Rows of a borrower at one lender are priced as a mixture (each is sampled on its own, unless the lender's events
are about whole borrowers already), and its lenders are composed. So the two ways of turning up more than once
add up, and lenders that no borrower shares never do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fedcredit.privacy.accounting.accountants import Epsilon, epsilon, quick_epsilon
from fedcredit.privacy.accounting.events import Events, for_rows, merge, order

Holding: TypeAlias = tuple[tuple[str, int], ...]
_Part: TypeAlias = tuple[Events, int]
_MAX_CHOICES = 2000


@dataclass(frozen=True, kw_only=True)
class WorstOff:
    """The borrower that loses most at so many lenders.

    Attributes:
        epsilon: the bound for all its loans there.
        num_loans: how many it has at each of them, falling; of those that are trained on.
    """

    epsilon: Epsilon
    num_loans: tuple[int, ...]

    def text(self) -> str:
        """Return its loans in words."""
        if sum(self.num_loans) == 1:
            return "1 loan"
        return f"{' + '.join(str(count) for count in self.num_loans)} loans"


def worst_off(
    lenders: Mapping[str, Events], holdings: Collection[Holding], *, is_about_loans: bool, delta: float
) -> dict[int, WorstOff]:
    """Price the borrowers that lose most at one, two and three lenders, and at as many as any borrower has.

    Which borrower that is, is decided by the Renyi bound; what it loses is then the bound of
    `accountants.epsilon`.

    Args:
        lenders: lender -> merged events of its ledger.
        holdings: (lender, number of loans) of each lender where a borrower has loans; at least one borrower.
        is_about_loans: whether an event is about one loan; otherwise it is about all of a borrower's.
        delta: above 0 and below 1.

    Returns:
        Number of lenders -> the borrower that loses most at so many of its lenders.
    """
    owned = {_parts(lenders, holding, is_about_loans=is_about_loans) for holding in set(holdings)}
    most = max(len(parts) for parts in owned)
    found = {}
    for count in sorted({*(k for k in (1, 2, 3) if k <= most), most}):
        choices = {
            merge(itertools.chain.from_iterable(events for events, _ in choice)): tuple(
                sorted((num_loans for _, num_loans in choice), reverse=True)
            )
            for parts in owned
            if len(parts) >= count
            for choice in _choices(parts, count, delta)
        }
        events = max(sorted(choices, key=_order), key=lambda events: quick_epsilon(events, delta=delta).value)
        found[count] = WorstOff(epsilon=epsilon(events, delta=delta), num_loans=choices[events])
    return found


def _parts(lenders: Mapping[str, Events], holding: Holding, *, is_about_loans: bool) -> tuple[_Part, ...]:
    """Return what a borrower loses at each of its lenders, without their names: equal parts are one thing."""
    parts = [
        (tuple(for_rows(event, num_loans if is_about_loans else 1) for event in lenders[name]), num_loans)
        for name, num_loans in holding
    ]
    return tuple(sorted(parts, key=lambda part: (_order(part[0]), part[1])))


def _order(events: Events) -> list[tuple[bool, int, float, float, int]]:
    return [order(event) for event in events]


def _choices(parts: Sequence[_Part], count: int, delta: float) -> Iterator[tuple[_Part, ...]]:
    """Choices of a borrower's lenders; where there are too many, from those that are dearest alone."""
    pool = len(parts)
    while math.comb(pool, count) > _MAX_CHOICES:
        pool -= 1
    if pool < len(parts):
        parts = sorted(parts, key=lambda part: -quick_epsilon(part[0], delta=delta).value)[:pool]
    return itertools.combinations(parts, count)
