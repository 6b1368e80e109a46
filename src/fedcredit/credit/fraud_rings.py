"""Fraud rings: false identities that share a device, an address or a phone, found by what they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fedcredit.credit.loans import Floats, numbers, setting
from fedcredit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ReviewPolicy:
    """How many accounts people can look at.

    Attributes:
        capacity: reviews, at least 0.
        cost_amount: of one review, at least 0.
        largest_group: keys shared by more accounts than this join nobody (a shop's device, a dormitory), at least 2.
    """

    capacity: int
    cost_amount: float = 30.0
    largest_group: int = 60

    def __post_init__(self) -> None:
        """Check the ranges."""
        setting(self.capacity, "capacity", low=0)
        setting(self.cost_amount, "cost_amount", low=0.0)
        setting(self.largest_group, "largest_group", low=2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rings:
    """Accounts joined by shared keys.

    ``component`` numbers the groups, ``size`` counts the accounts of each account's group, ``num_shared`` how many
    kinds of key the account shares with another; all ``[accounts]``.
    """

    component: NDArray[np.int64]
    size: NDArray[np.int64]
    num_shared: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Review:
    """What reviewing the accounts of highest ring score prevents, amounts in the currency of the exposures.

    Attributes:
        num_reviewed: accounts looked at.
        num_found: ring accounts among them.
        found_rate: share of all ring accounts; ``None`` if there is none.
        precision_rate: share of the reviewed; ``None`` if nothing was reviewed.
        prevented_amount: exposure of the ring accounts that were found.
        net_amount: that less the cost of all reviews.
    """

    num_reviewed: int
    num_found: int
    found_rate: float | None
    precision_rate: float | None
    prevented_amount: float
    net_amount: float


def join_by_keys(keys: Mapping[str, ArrayLike], *, largest_group: int = 60) -> Rings:
    """Join accounts that share a key, and those that are joined to these, and so on.

    Args:
        keys: kind of key (device, address, phone) -> the key of each account, ``[accounts]``; negative for none.
        largest_group: keys with more accounts join nobody.

    Returns:
        The groups.

    Raises:
        InputError: if there is no key, or lengths differ.
    """
    if not keys:
        raise InputError("keys is empty; give at least one kind, for example device")
    setting(largest_group, "largest_group", low=2)
    columns = {name: np.asarray(values) for name, values in keys.items()}
    sizes = {column.shape for column in columns.values()}
    if len(sizes) > 1 or any(len(shape) != 1 for shape in sizes):
        raise InputError(f"keys have shapes {sorted(sizes)}; give one key of each kind for every account")
    num = next(iter(columns.values())).size
    shared, edges = np.zeros(num, dtype=np.int64), []
    for column in columns.values():
        members = _shared(column, largest_group)
        shared[np.concatenate(members) if members else np.empty(0, dtype=np.int64)] += 1
        edges += [np.stack([np.full(len(group) - 1, group[0]), group[1:]]) for group in members]
    ends = np.concatenate(edges, axis=1) if edges else np.empty((2, 0), dtype=np.int64)
    graph = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(num, num))
    _, component = connected_components(graph, directed=False)
    size = np.bincount(component, minlength=1)[component] if num else np.empty(0, dtype=np.int64)
    return Rings(component=component.astype(np.int64), size=size.astype(np.int64), num_shared=shared)


def ring_score(rings: Rings, pd: ArrayLike) -> Floats:
    """Score accounts by how much they look like members of a ring; the score falls with the risk of nothing else.

    The mean predicted risk of an account's group, times the logarithm of its size, times the kinds of keys shared: a
    family shares an address, a ring shares all it has and borrows badly throughout.

    Args:
        rings: the groups.
        pd: predicted probability of default of each account, ``[accounts]``, in [0, 1].

    Returns:
        Scores, ``[accounts]``, at least 0; 0 for accounts that share nothing.

    Raises:
        InputError: if a PD is out of range.
    """
    risk = numbers(pd, "pd", low=0.0, high=1.0, num=rings.component.size)
    if not risk.size:
        return risk
    totals = np.bincount(rings.component, weights=risk)
    mean = totals[rings.component] / rings.size
    return mean * np.log(rings.size) * rings.num_shared


def review(score: ArrayLike, is_ring: ArrayLike, exposure_amount: ArrayLike, policy: ReviewPolicy) -> Review:
    """Review the accounts of highest score, as many as there is capacity for.

    Args:
        score: ``[accounts]``, at least 0; accounts of score 0 are not reviewed.
        is_ring: which accounts belong to a ring, ``[accounts]``.
        exposure_amount: what each would lose, ``[accounts]``, at least 0.
        policy: capacity and cost.

    Returns:
        What was found.

    Raises:
        InputError: if a number is out of range.
    """
    rank = numbers(score, "score", low=0.0)
    ring = numbers(is_ring, "is_ring", low=0.0, high=1.0, num=rank.size).astype(np.bool_)
    money = numbers(exposure_amount, "exposure_amount", low=0.0, num=rank.size)
    order = np.argsort(-rank, kind="stable")[: policy.capacity]
    chosen = order[rank[order] > 0.0]
    found = ring[chosen]
    prevented = float(money[chosen][found].sum())
    return Review(
        num_reviewed=chosen.size,
        num_found=int(found.sum()),
        found_rate=float(found.sum()) / int(ring.sum()) if ring.any() else None,
        precision_rate=float(found.mean()) if chosen.size else None,
        prevented_amount=prevented,
        net_amount=prevented - policy.cost_amount * chosen.size,
    )


def _shared(column: NDArray[Any], largest_group: int) -> list[NDArray[np.int64]]:
    """Return the accounts of each key that at least two, and not too many, share."""
    known = np.flatnonzero(column >= 0)
    order = known[np.argsort(column[known], kind="stable")]
    starts = np.flatnonzero(np.diff(column[order])) + 1 if order.size else np.empty(0, dtype=np.int64)
    return [group for group in np.split(order, starts) if 2 <= len(group) <= largest_group]
