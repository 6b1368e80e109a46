"""Dealing a portfolio's loans out to lenders.

Draws are named by (split_seed, purpose) alone and tied to borrower keys, so where every borrower
has one loan a deal does not depend on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.columns import CategoryColumn, FlagColumn, KeyColumn, NumberColumn
from fedcredit.data.keys import keyed_uniforms
from fedcredit.data.portfolio import Portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import spec
from fedcredit.seeds import normals, public_stream, uniforms

_PURPOSE = "partition"


def partition(portfolio: Portfolio, how: spec.Partition, *, seed: int) -> dict[str, NDArray[np.int64]]:
    """Deal loans out to lenders.

    Args:
        portfolio: the loans.
        how: the experiment's partition.
        seed: the experiment's ``split_seed``.

    Returns:
        Row indices by lender, rising and disjoint. They cover the portfolio, apart from natural
        lenders that are too small or beyond ``max_institutions`` and loans without a lender's name.

    Raises:
        InputError: if the loans cannot be dealt out like that.
    """
    match how:
        case spec.NaturalPartition():
            return _natural(portfolio, how)
        case spec.BandsPartition():
            return _bands(portfolio, how)
        case spec.IidPartition():
            _check_enough(portfolio, how.num_institutions, 1)
            sizes = _apportion(np.ones(how.num_institutions), portfolio.num_loans)
            return _named(_deal(_shuffled(portfolio, seed), sizes))
        case spec.QuantityPartition():
            sizes = _log_normal_sizes(portfolio, how, seed)
            return _named(_deal(_shuffled(portfolio, seed), sizes))
        case spec.DirichletPartition():
            return _dirichlet(portfolio, how, seed)


def _natural(portfolio: Portfolio, how: spec.NaturalPartition) -> dict[str, NDArray[np.int64]]:
    try:
        column = portfolio.schema.column(how.column)
    except InputError as error:
        raise InputError(
            f"partition.column is {how.column}: {error}; name a key or a category, or deal the loans out, for example "
            "with partition=dirichlet"
        ) from None
    if not isinstance(column, KeyColumn | CategoryColumn):
        raise InputError(
            f"partition.column is {how.column}, of kind {column.kind}; a natural key is "
            "a column of kind key or category (kind: bands divides a number)"
        )
    names, inverse, counts = np.unique(portfolio.column(how.column), return_inverse=True, return_counts=True)
    large = [i for i in range(len(names)) if names[i] != "" and counts[i] >= how.min_loans]
    large.sort(key=lambda i: (-counts[i], names[i]))
    kept = large[: how.max_institutions]
    if not kept:
        most = max((int(counts[i]) for i in range(len(names)) if names[i] != ""), default=0)
        raise InputError(
            f"partition.min_loans is {how.min_loans}, but no lender in column {how.column} has as many loans; "
            f"the largest has {most}"
        )
    return {str(names[i]): np.flatnonzero(inverse == i).astype(np.int64) for i in sorted(kept, key=lambda i: names[i])}


def _bands(portfolio: Portfolio, how: spec.BandsPartition) -> dict[str, NDArray[np.int64]]:
    """Cut at quantiles of the column; equal values share a lender."""
    column = portfolio.schema.column(how.column)
    if not isinstance(column, NumberColumn | FlagColumn):
        raise InputError(
            f"partition.column is {how.column}, of kind {column.kind}; bands need a number (kind: natural takes a key)"
        )
    raw = portfolio.column(how.column)
    values = raw if column.impute is None else np.where(np.isnan(raw), float(column.impute), raw)
    count = how.num_institutions
    cuts = np.quantile(values, np.arange(1, count) / count, method="inverted_cdf")
    band = np.searchsorted(cuts, values, side="left")
    parts = [np.flatnonzero(band == i).astype(np.int64) for i in range(count)]
    empty = sum(len(rows) == 0 for rows in parts)
    if empty:
        raise InputError(
            f"partition.num_institutions is {count}, but column {how.column} has too many equal values: {empty} bands "
            "stay empty; ask for fewer"
        )
    return _named(parts)


def _dirichlet(portfolio: Portfolio, how: spec.DirichletPartition, seed: int) -> dict[str, NDArray[np.int64]]:
    """Give lender k ``sizes[k]`` loans, of which a Dirichlet share defaults.

    Shares ``p_k ~ Dirichlet(concentration, concentration)`` (Hsu, Qi and Brown 2019) fix the odds of
    default between lenders; one common factor on all odds makes the portfolio's defaults come out.
    """
    from scipy.special import betaincinv, logit

    sizes = _log_normal_sizes(portfolio, how, seed)
    drawn = uniforms(public_stream(seed=seed, purpose=f"{_PURPOSE}.mix"), count=how.num_institutions)
    shares = np.clip(betaincinv(how.concentration, how.concentration, drawn), 1e-12, 1.0 - 1e-12)
    order = _shuffled(portfolio, seed)
    defaulted = portfolio.default[order] == 1
    bad = _bad_counts(sizes, logit(shares), int(defaulted.sum()))
    parts = zip(_deal(order[defaulted], bad), _deal(order[~defaulted], sizes - bad), strict=True)
    return _named([np.sort(np.concatenate(part)) for part in parts])


def _bad_counts(sizes: NDArray[np.int64], log_odds: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round ``sizes * sigmoid(log_odds + shift)``, the shift found by bisection, to sum to ``total``."""
    low, high = -80.0, 80.0
    for _ in range(200):
        middle = (low + high) / 2
        if float((sizes / (1.0 + np.exp(-(log_odds + middle)))).sum()) < total:
            low = middle
        else:
            high = middle
    wanted = sizes / (1.0 + np.exp(-(log_odds + high)))
    counts = np.minimum(np.floor(wanted).astype(np.int64), sizes)
    while (left := total - int(counts.sum())) != 0:
        room = (sizes - counts if left > 0 else counts) > 0
        place = np.argsort(np.where(room, -np.sign(left) * (wanted - counts), np.inf), kind="stable")
        step = place[: min(abs(left), int(room.sum()))]
        counts[step] += int(np.sign(left))
    return counts


def _log_normal_sizes(
    portfolio: Portfolio, how: spec.DirichletPartition | spec.QuantityPartition, seed: int
) -> NDArray[np.int64]:
    """Draw log-normal sizes that add up, each at least ``min_loans``."""
    _check_enough(portfolio, how.num_institutions, how.min_loans)
    stream = public_stream(seed=seed, purpose=f"{_PURPOSE}.sizes")
    weights = np.exp(how.size_sigma * normals(stream, count=how.num_institutions))
    fixed = np.zeros(how.num_institutions, dtype=np.bool_)
    while True:
        spare = portfolio.num_loans - how.min_loans * int(fixed.sum())
        share = np.where(fixed, 0.0, weights) / weights[~fixed].sum() * spare
        small = ~fixed & (share < how.min_loans)
        if not small.any():
            break
        fixed |= small
        if fixed.all():
            return _apportion(np.ones(how.num_institutions), portfolio.num_loans)
    sizes = np.full(how.num_institutions, how.min_loans, dtype=np.int64)
    sizes[~fixed] = _apportion(share[~fixed], spare)
    return sizes


def _check_enough(portfolio: Portfolio, num_institutions: int, min_loans: int) -> None:
    if num_institutions * min_loans > portfolio.num_loans:
        raise InputError(
            f"partition.num_institutions is {num_institutions} with at least {min_loans} loans each, but portfolio "
            f"{portfolio.schema.name} has {portfolio.num_loans} loans; ask for fewer or smaller lenders"
        )


def _apportion(weights: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round shares of a total to whole numbers that add up, by largest remainders."""
    exact = weights / weights.sum() * total
    counts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def _shuffled(portfolio: Portfolio, seed: int) -> NDArray[np.int64]:
    return np.argsort(keyed_uniforms(portfolio, seed=seed, purpose=_PURPOSE), kind="stable").astype(np.int64)


def _deal(order: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [np.sort(rows) for rows in np.split(order, np.cumsum(sizes)[:-1])]


def _named(parts: Sequence[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    width = max(2, len(str(len(parts))))
    return {f"lender_{i:0{width}d}": rows for i, rows in enumerate(parts, start=1)}
