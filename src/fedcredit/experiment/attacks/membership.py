"""Which loans a federation was trained on: the likelihood-ratio attack with shadow federations.

Every loan of the attacked lenders is trained on by half of the federations, by coin. The public contract of an
attacked lender counts half of its loans, so that noise and signal stand as they do in a federation of that size.
Each federation is attacked in turn, with all others but its complement as shadows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.experiment.attacks.game import Examples, train_game, training_loans, with_counts
from fedcredit.experiment.prepare import Prepared, Progress
from fedcredit.experiment.workers import call_all, one_thread_each
from fedcredit.privacy.auditing.membership import (
    LEAST_RUNS,
    AttackPoint,
    area_under,
    attack_points,
    likelihood_ratios,
    receiver_curve,
)
from fedcredit.privacy.auditing.tradeoff import TradeOff, trade_off
from fedcredit.privacy.reading import FALSE_POSITIVE_RATES
from fedcredit.seeds import public_stream, uniforms
from fedcredit.training.trainers import predictor

MOST_RUNS = 1024
SIGNIFICANCE = 0.05
LIRA, THRESHOLD = "LiRA", "one threshold on confidence"
_PURPOSE = "attack.membership"
_LEAST_RATE = 1e-4
_POINTS = 300


@dataclass(frozen=True, kw_only=True)
class Success:
    """What one attack reaches: its area under the curve, points, and the curve over `Membership.rates`."""

    method: str
    auc: float
    points: tuple[AttackPoint, ...]
    curve: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Membership:
    """What membership attacks reach, and what the promise allows.

    Attributes:
        lenders: whose loans were looked for.
        num_loans: how many, in each federation half of them trained on.
        num_runs: federations, each attacked with all but its own pair as shadows.
        train_gap: mean log-odds of the true outcome, members minus others: how far the network overfits.
        attacks: the likelihood-ratio attack, then the one threshold.
        epsilon: promised to each of these loans; infinite without privacy.
        delta: the promise's.
        rates: false-positive rates of the curves, ``[points]``.
        allowed: largest true-positive rates that the promise allows, ``[points]``.
        allowed_at: the same at each of `FALSE_POSITIVE_RATES`.
        allowed_auc: area under it.
    """

    lenders: tuple[str, ...]
    num_loans: int
    num_runs: int
    train_gap: float
    attacks: tuple[Success, ...]
    epsilon: float
    delta: float
    rates: NDArray[np.float64]
    allowed: NDArray[np.float64]
    allowed_at: tuple[float, ...]
    allowed_auc: float


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two federations that share the attacked loans between them."""

    prepared: Prepared
    lenders: tuple[str, ...]
    number: int
    seed: int


def attack_membership(
    prepared: Prepared,
    *,
    num_runs: int = 64,
    seed: int = 1,
    lender: str | None = None,
    num_workers: int = 1,
    progress: Progress | None = None,
) -> Membership:
    """Look for loans in the networks of shadow federations.

    Args:
        prepared: the prepared experiment.
        num_runs: federations to train, an even number from 8 to 1,024.
        seed: of coins, sampling and noise, at least 0.
        lender: whose loans are looked for; those of all lenders by default.
        num_workers: processes that train, at least 1.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        What the attacks reach.

    Raises:
        InputError: if a number is outside its range, there is no such lender, or a lender has too few loans.
    """
    names = _check(prepared, num_runs, lender)
    counts = {name: own.default.size for name, own in training_loans(prepared).items()}
    halved = {name: max(1, count // 2) if name in names else count for name, count in counts.items()}
    game = with_counts(prepared, halved, progress=progress)
    pairs = [_Pair(prepared=game, lenders=names, number=number, seed=seed) for number in range(num_runs // 2)]
    confidence: list[NDArray[np.float64]] = []
    is_member: list[NDArray[np.bool_]] = []
    with one_thread_each():
        for number, pair in enumerate(call_all(_confidence, pairs, num_workers=num_workers), start=1):
            confidence.extend(pair)
            coins = _coins(pairs[number - 1])
            is_member.extend((coins, ~coins))
            if progress is not None:
                progress("shadow federations", 2 * number, num_runs)
    return _judged(game, names, np.stack(confidence), np.stack(is_member))


def _check(prepared: Prepared, num_runs: int, lender: str | None) -> tuple[str, ...]:
    if num_runs % 2 or not LEAST_RUNS <= num_runs <= MOST_RUNS:
        raise InputError(f"number is {num_runs}; allowed is an even number of federations, {LEAST_RUNS} to {MOST_RUNS}")
    known = prepared.contracts.institutions
    if lender is not None and lender not in known:
        raise InputError(f"lender is {lender!r}; this experiment has {', '.join(known[:10])}")
    return known if lender is None else (lender,)


def _judged(
    game: Prepared, names: tuple[str, ...], confidence: NDArray[np.float64], is_member: NDArray[np.bool_]
) -> Membership:
    rates = np.geomspace(_LEAST_RATE, 1.0, _POINTS)
    curves = _curves(game, names)
    scored = ((LIRA, likelihood_ratios(confidence, is_member)), (THRESHOLD, confidence))
    return Membership(
        lenders=names,
        num_loans=confidence.shape[1],
        num_runs=len(confidence),
        train_gap=float(confidence[is_member].mean() - confidence[~is_member].mean()),
        attacks=tuple(
            Success(
                method=method,
                auc=area_under(scores, is_member),
                points=attack_points(scores, is_member, rates=FALSE_POSITIVE_RATES, significance=SIGNIFICANCE),
                curve=receiver_curve(scores, is_member, rates),
            )
            for method, scores in scored
        ),
        epsilon=max(game.plan.epsilon(name).value for name in names) if game.plan.is_private else float("inf"),
        delta=game.plan.target_delta,
        rates=rates,
        allowed=_allowed(curves, rates),
        allowed_at=tuple(_allowed(curves, np.array(FALSE_POSITIVE_RATES)).tolist()),
        allowed_auc=max(
            (float(np.trapezoid(curve.true_positive_rates, curve.false_positive_rates)) for curve in curves),
            default=1.0,
        ),
    )


def _curves(game: Prepared, names: tuple[str, ...]) -> tuple[TradeOff, ...]:
    """Trade-off curves of all that is planned for the attacked lenders; none without privacy."""
    if not game.plan.is_private:
        return ()
    return tuple(trade_off((event,)) for event in {game.plan.events[name] for name in names})


def _allowed(curves: tuple[TradeOff, ...], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    if not curves:
        return np.ones_like(rates)
    found = [np.interp(rates, curve.false_positive_rates, curve.true_positive_rates) for curve in curves]
    highest: NDArray[np.float64] = np.minimum(np.max(found, axis=0), 1.0)
    return highest


def _coins(pair: _Pair) -> NDArray[np.bool_]:
    """Whether the first of a pair trains on each attacked loan, lender by lender, ``[loans]``."""
    loans = training_loans(pair.prepared)
    count = sum(loans[name].default.size for name in pair.lenders)
    stream = public_stream(seed=pair.seed, purpose=f"{_PURPOSE}.coins")
    coins: NDArray[np.bool_] = uniforms(stream, count=count, step=pair.number) < 0.5
    return coins


def _confidence(pair: _Pair) -> list[NDArray[np.float64]]:
    """Train both federations of a pair, and give the log-odds of the true outcome of every attacked loan."""
    prepared, loans, coins = pair.prepared, training_loans(pair.prepared), _coins(pair)
    attacked = [loans[name] for name in pair.lenders]
    features = np.concatenate([own.features for own in attacked])
    sign = 2.0 * np.concatenate([own.default for own in attacked]).astype(np.float64) - 1.0
    predict = predictor(prepared.experiment.trainer.kind)
    found = []
    for side, is_member in enumerate((coins, ~coins)):
        chosen = {**loans, **dict(_chosen(loans, pair.lenders, is_member))}
        purpose = f"{_PURPOSE}.{2 * pair.number + side}"
        parameters = train_game(prepared, chosen, purpose=purpose, seed=pair.seed)
        found.append(sign * predict(prepared.network, parameters, features))
    return found


def _chosen(
    loans: Mapping[str, Examples], lenders: tuple[str, ...], is_member: NDArray[np.bool_]
) -> Iterator[tuple[str, Examples]]:
    start = 0
    for name in lenders:
        own = loans[name]
        mask = is_member[start : start + own.default.size]
        start += own.default.size
        yield name, Examples(features=own.features[mask], default=own.default[mask])
