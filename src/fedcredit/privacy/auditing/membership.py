"""Scores and figures of a membership attack by shadow federations; attack success, never a bound on epsilon.

The likelihood-ratio attack is that of Carlini et al. 2022, "Membership inference attacks from first principles"
(arXiv 2112.03570), online: for each loan one Gaussian of its logit-scaled confidence in shadow federations that
trained on it, and one in those that did not. Federations come in pairs, 2k and 2k + 1, of which each trains on the
loans that the other leaves out; a federation is attacked with what all but its own pair know. So every loan has
equally many shadows of both kinds, and the pair cannot tell what it trained on by what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fedcredit.privacy.auditing.bounds import Interval

LEAST_RUNS = 8
LEAST_FOR_OWN_SPREAD = 16
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True, kw_only=True)
class AttackPoint:
    """What an attack reaches at one false-positive rate.

    Attributes:
        asked: the false-positive rate that was asked for.
        false_positive_rate: the one that the threshold gives, at most that.
        true_positive_rate: share of the loans trained on that it recognises.
        interval: of the true-positive rate, over federations.
    """

    asked: float
    false_positive_rate: float
    true_positive_rate: float
    interval: Interval


def likelihood_ratios(
    confidence: NDArray[np.float64], is_member: NDArray[np.bool_], *, own_spread: bool | None = None
) -> NDArray[np.float64]:
    """Score every loan in every federation, each federation with the shadows of all other pairs.

    Args:
        confidence: logit of the probability of the true outcome, ``[runs, loans]``.
        is_member: whether the run trained on the loan, ``[runs, loans]``; runs 2k and 2k + 1 are complements.
        own_spread: whether each loan has its own variances, or all share the mean ones; with 16 shadows a side or
            more by default.

    Returns:
        Log-likelihood ratios of having been trained on, ``[runs, loans]``.

    Raises:
        ValueError: if there are fewer than 8 runs, or runs are not pairs of complements.
    """
    num_runs = len(confidence)
    if num_runs < LEAST_RUNS or num_runs % 2 or not np.array_equal(is_member[0::2], ~is_member[1::2]):
        raise ValueError(f"{num_runs} runs; give an even number from {LEAST_RUNS}, in pairs of complements")
    num_shadows = num_runs // 2 - 1
    is_own = num_shadows >= LEAST_FOR_OWN_SPREAD if own_spread is None else own_spread
    centred = confidence - confidence.mean(axis=0)
    inside = np.where(is_member, centred, 0.0)
    outside = np.where(is_member, 0.0, centred)
    scores = np.zeros_like(confidence)
    for sign, part in ((1.0, inside), (-1.0, outside)):
        pairs = part.reshape(-1, 2, part.shape[1]).sum(axis=1)
        first = (pairs.sum(axis=0) - pairs) / num_shadows
        second = ((pairs**2).sum(axis=0) - pairs**2) / num_shadows
        spread = np.maximum(second - first**2, 0.0) * num_shadows / (num_shadows - 1)
        if not is_own:
            spread = np.broadcast_to(spread.mean(axis=1, keepdims=True), spread.shape)
        spread = np.repeat(spread, 2, axis=0) + _LEAST_SPREAD
        distance = (centred - np.repeat(first, 2, axis=0)) ** 2 / spread
        scores -= sign * 0.5 * (distance + np.log(spread))
    return scores


def attack_points(
    scores: NDArray[np.float64], is_member: NDArray[np.bool_], *, rates: tuple[float, ...], significance: float
) -> tuple[AttackPoint, ...]:
    """Read off what one threshold for all loans reaches at false-positive rates.

    Args:
        scores: high for members, ``[runs, loans]``.
        is_member: the truth, ``[runs, loans]``.
        rates: false-positive rates, each from 0 to 1.
        significance: how often an interval may miss, as for `over_federations`.

    Returns:
        One point a rate.
    """
    outsiders = np.sort(scores[~is_member])[::-1]
    points = []
    for rate in rates:
        place = min(int(rate * len(outsiders)), len(outsiders) - 1)
        is_hit = (scores > outsiders[place]) & is_member
        by_pair = is_hit.reshape(-1, 2, scores.shape[1]).sum(axis=(1, 2)) / scores.shape[1]
        points.append(
            AttackPoint(
                asked=rate,
                false_positive_rate=float(np.mean(outsiders > outsiders[place])),
                true_positive_rate=float(by_pair.mean()),
                interval=over_federations(by_pair, trials=int(is_member.sum()), significance=significance),
            )
        )
    return tuple(points)


def over_federations(rates: NDArray[np.float64], *, trials: int, significance: float) -> Interval:
    """Give the Clopper-Pearson interval of a mean rate, at as many trials as its spread over groups leaves.

    Loans of one federation share its noise, so they are not independent trials. The effective number is
    p (1 - p) / (variance of p over groups), at most ``trials`` (Korn and Graubard 1998).

    Args:
        rates: the rate in each group, ``[groups]``, at least two groups of one size.
        trials: loans in all groups together.
        significance: how often the interval may miss the rate, half of it on each side.

    Returns:
        The interval.
    """
    mean = float(rates.mean())
    variance = float(rates.var(ddof=1)) / len(rates)
    effective = float(trials) if variance == 0.0 else min(float(trials), mean * (1.0 - mean) / variance)
    if not 0.0 < mean < 1.0:
        effective = float(trials)
    hits, half = mean * effective, significance / 2.0
    lower = 0.0 if mean == 0.0 else float(stats.beta.ppf(half, hits, effective - hits + 1.0))
    upper = 1.0 if mean == 1.0 else float(stats.beta.ppf(1.0 - half, hits + 1.0, effective - hits))
    return Interval(lower=lower, upper=upper)


def receiver_curve(
    scores: NDArray[np.float64], is_member: NDArray[np.bool_], false_positive_rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Trace true-positive rates over false-positive rates.

    Args:
        scores: high for members, any shape.
        is_member: the truth, same shape.
        false_positive_rates: where, from 0 to 1, ``[points]``.

    Returns:
        True-positive rates, ``[points]``.
    """
    outsiders, members = np.sort(scores[~is_member])[::-1], np.sort(scores[is_member])
    places = np.minimum((false_positive_rates * len(outsiders)).astype(np.int64), len(outsiders) - 1)
    found: NDArray[np.float64] = 1.0 - np.searchsorted(members, outsiders[places], side="right") / len(members)
    return np.where(false_positive_rates >= 1.0, 1.0, found)


def area_under(scores: NDArray[np.float64], is_member: NDArray[np.bool_]) -> float:
    """Give the chance that a member scores higher than an outsider, ties counting half (Mann and Whitney 1947).

    Args:
        scores: high for members, any shape.
        is_member: the truth, same shape.

    Returns:
        The area under the receiver curve; 0.5 is a coin.
    """
    members, outsiders = scores[is_member], np.sort(scores[~is_member])
    below = np.searchsorted(outsiders, members, side="left") + np.searchsorted(outsiders, members, side="right")
    return float(below.mean() / (2.0 * len(outsiders)))
