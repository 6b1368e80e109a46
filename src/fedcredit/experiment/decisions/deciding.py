"""The decisions of one finished run on its held-out loans, lender by lender and for the whole portfolio.

Like every evaluation of a simulation it looks at loans in the clear, is covered by no epsilon, and would not leave a
lender in a deployment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.approval import Approval, CutOff, SwapSet, accept, approve, swap_set
from fedcredit.credit.concentration import (
    LossDistribution,
    basel_correlation,
    herfindahl,
    simulated_losses,
    tail_contributions,
)
from fedcredit.credit.lending import BASIS_POINTS, Lending, LendingPolicy, lend
from fedcredit.credit.level import Level, level_of
from fedcredit.credit.limits import LimitPolicy
from fedcredit.credit.loans import Floats
from fedcredit.credit.scored import Scored
from fedcredit.credit.securitisation import tranche_losses_of
from fedcredit.data.segments import segments_of
from fedcredit.experiment.decisions.curves import LossCurve, ProfitCurve, loss_curve, profit_curve, truth_or_outcome
from fedcredit.experiment.decisions.levels import LevelAt, Levelled, levelled, refuse_wrong_level
from fedcredit.experiment.decisions.limiting import limits_of
from fedcredit.experiment.decisions.price_of_privacy import epsilon_of_run
from fedcredit.experiment.decisions.rescoring import (
    Rescored,
    exposures,
    networks_alone,
    scores_of,
    truth_of,
)
from fedcredit.seeds import public_stream

NUM_DRAWS = 1000
TAIL = 0.999


@dataclass(frozen=True, kw_only=True)
class LenderDecisions:
    """What one lender decides.

    Attributes:
        level: of its PDs on its validation loans.
        shift: the own intercept that was added to its log-odds, 0 if none was.
        approval: by the profit cut-off on the shared network's PDs.
        alone: by the same cut-off on its own network's; ``None`` where the run has no reference ``alone``.
        swap_set: who changes sides from its own network to the shared one.
        mean_limit_amount: over its held-out loans.
    """

    level: Level
    shift: float
    approval: Approval
    alone: Approval | None
    swap_set: SwapSet | None
    mean_limit_amount: float


@dataclass(frozen=True, kw_only=True)
class Concentration:
    """How the approved loans spread over one dimension.

    Attributes:
        herfindahl: sum of squared shares of exposure, from 1 / parts to 1.
        share_rate: part -> its share of exposure.
        tail_share_rate: part -> its share of the unexpected loss at the .999 quantile.
    """

    herfindahl: float
    share_rate: Mapping[str, float]
    tail_share_rate: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Decided:
    """All decisions of a run.

    Attributes:
        name: of the experiment.
        fingerprint: of the run.
        epsilon: target epsilon, infinite without privacy.
        at: the level at which PDs were read.
        level: of all PDs on the validation loans, at the level that was used.
        warnings: what must be known before a figure is used.
        lenders: by name.
        portfolio: approvals of all lenders as one.
        concentration: dimension -> how the approved loans spread.
        expected_loss_bp: of the approved loans, simulated.
        tail_loss_bp: the .999 quantile of their simulated loss.
        tranche_loss_bp: tranche -> expected loss in a large even pool.
        simulated_tranche_loss_bp: the same by simulation of the pool's own loans.
        attachment_rate: tranche -> the loss of the pool from which on it loses.
        profit_curves: profit by approval rate, of the shared network and of each lender's own.
        loss_curve: loss of the approved loans by how likely it is to be passed; ``None`` for an empty pool.
    """

    name: str
    fingerprint: str
    epsilon: float
    at: LevelAt
    level: Level
    warnings: tuple[str, ...]
    lenders: Mapping[str, LenderDecisions]
    portfolio: Lending
    concentration: Mapping[str, Concentration]
    expected_loss_bp: float
    tail_loss_bp: float
    tranche_loss_bp: Mapping[str, float]
    simulated_tranche_loss_bp: Mapping[str, float]
    attachment_rate: Mapping[str, float]
    profit_curves: tuple[ProfitCurve, ...]
    loss_curve: LossCurve | None


def decide(
    run: Rescored,
    *,
    at: LevelAt = LevelAt.RELEASED,
    policy: LendingPolicy | None = None,
    limit_policy: LimitPolicy | None = None,
) -> Decided:
    """Decide on the held-out loans of a run.

    Args:
        run: the run.
        at: the level at which PDs are read: as released, at each lender's own intercept (fitted on its training and
            validation loans and kept inside), or after the run's charged correction; lenders alone are read at their
            own intercept in the last two.
        policy: how probabilities become money.
        limit_policy: how they become limits.

    Returns:
        The decisions.

    Raises:
        WrongLevelError: if mean PD over bad rate of all validation loans is outside .8 to 1.25, but at own level.
        InputError: if there is no charged correction to read PDs after, or the schema names no exposure.
    """
    rules, scores = policy or LendingPolicy(), scores_of(run, run.networks())
    names, read = sorted(scores.test), levelled(run, scores, at)
    level, test = level_of(*_joined(read.validation, names)), read.test
    refuse_wrong_level(run, level, at)
    amounts = exposures(run)
    alone = _alone(run, at_own_level=at is not LevelAt.RELEASED)
    limits = _limits(run, test, names, rules, limit_policy or LimitPolicy())
    lenders = {name: _lender(read, alone.get(name), amounts[name], limits[name], name, rules) for name in names}
    pd, default = _joined(test, names)
    amount = np.concatenate([amounts[name] for name in names])
    known = truth_of(run)
    truth = None if known is None else np.concatenate([known[name] for name in names])
    portfolio = lend(pd, default, amount, policy=rules, true_pd=truth)
    chosen = accept(pd, CutOff(terms=rules.terms))
    losses = _simulated(run, pd[chosen], amount[chosen], rules)
    rankings = {"shared": pd} | ({"alone": _joined(alone, names)[0]} if alone else {})
    curves = (
        profit_curve(
            model, ranked, truth_or_outcome(truth, default), amount, terms=rules.terms, is_true=truth is not None
        )
        for model, ranked in rankings.items()
    )
    return Decided(
        name=run.record.name,
        fingerprint=run.record.fingerprint,
        epsilon=epsilon_of_run(run),
        at=at,
        level=level,
        warnings=_warnings(run, level, lenders),
        lenders=lenders,
        portfolio=portfolio,
        concentration=_concentration(run, names, pd, amount, chosen, rules),
        expected_loss_bp=0.0 if losses is None else BASIS_POINTS * losses.expected_loss_rate,
        tail_loss_bp=0.0 if losses is None else BASIS_POINTS * losses.quantile_rate(TAIL),
        tranche_loss_bp=portfolio.tranche_loss_bp,
        simulated_tranche_loss_bp=_tranches(losses, rules),
        attachment_rate={name: low for name, (low, _) in rules.deal.attachments().items()},
        profit_curves=tuple(curve for curve in curves if curve is not None),
        loss_curve=loss_curve(pd[chosen], amount[chosen], losses, policy=rules),
    )


def _lender(
    read: Levelled, alone: Scored | None, amount: Floats, limits: Floats, name: str, rules: LendingPolicy
) -> LenderDecisions:
    scored, validation, cut_off = read.test[name], read.validation[name], CutOff(terms=rules.terms)
    after = accept(scored.pd, cut_off)
    before = None if alone is None else accept(alone.pd, cut_off)
    return LenderDecisions(
        level=level_of(validation.pd, validation.default),
        shift=read.shifts[name],
        approval=approve(scored.pd, scored.default, amount, accepted=after, terms=rules.terms),
        alone=None
        if alone is None or before is None
        else approve(alone.pd, alone.default, amount, accepted=before, terms=rules.terms),
        swap_set=None
        if before is None
        else swap_set(scored.default, amount, before=before, after=after, terms=rules.terms),
        mean_limit_amount=float(limits.mean()) if limits.size else 0.0,
    )


def _alone(run: Rescored, *, at_own_level: bool) -> Mapping[str, Scored]:
    if "alone" not in run.record.references:
        return {}
    scores = scores_of(run, networks_alone(run))
    return scores.test_at_own_level if at_own_level else scores.test


def _limits(
    run: Rescored, test: Mapping[str, Scored], names: list[str], rules: LendingPolicy, policy: LimitPolicy
) -> dict[str, Floats]:
    order = [institution.name for institution in run.prepared.institutions]
    pd = np.concatenate([test[name].pd for name in order])
    limits = limits_of(run, pd, lgd_rate=rules.terms.lgd_rate, policy=policy)
    ends = np.cumsum([test[name].num_loans for name in order])
    parts = dict(zip(order, np.split(limits, ends[:-1]), strict=True))
    return {name: parts[name] for name in names}


def _warnings(run: Rescored, level: Level, lenders: Mapping[str, LenderDecisions]) -> tuple[str, ...]:
    found = [f"All lenders: {level.warning}"] if level.warning else []
    found += [f"{name}: {item.level.warning}" for name, item in lenders.items() if item.level.warning]
    if "alone" not in run.record.references:
        found.append(
            "The run has no reference alone, so there is no swap set; run it with evaluation.references=[alone]."
        )
    return tuple(found)


def _concentration(
    run: Rescored, names: list[str], pd: Floats, amount: Floats, chosen: NDArray[np.bool_], rules: LendingPolicy
) -> dict[str, Concentration]:
    if not amount[chosen].sum() > 0.0:
        return {}
    own = {institution.name: institution.test.rows for institution in run.prepared.institutions}
    rows = np.concatenate([own[name] for name in names])
    portfolio = run.prepared.portfolio
    parts = {"lender": np.concatenate([np.full(own[name].size, name) for name in names])}
    parts |= {
        segment.of: segments_of(portfolio, segment, rows) for segment in portfolio.schema.segments if not segment.group
    }
    return {
        dimension: _spread(pd[chosen], amount[chosen], labels[chosen].astype(np.str_), rules)
        for dimension, labels in parts.items()
    }


def _spread(pd: Floats, amount: Floats, labels: NDArray[np.str_], rules: LendingPolicy) -> Concentration:
    lgd = np.full(pd.size, rules.terms.lgd_rate)
    tail = tail_contributions(pd, lgd, amount, labels, rho=basel_correlation(pd), quantile=TAIL)
    whole, total = sum(tail.values()), float(amount.sum())
    return Concentration(
        herfindahl=herfindahl(amount, labels),
        share_rate={part: float(amount[labels == part].sum()) / total for part in tail},
        tail_share_rate={part: value / whole for part, value in tail.items()},
    )


def _simulated(run: Rescored, pd: Floats, amount: Floats, rules: LendingPolicy) -> LossDistribution | None:
    if not amount.sum() > 0.0:
        return None
    stream = public_stream(seed=run.prepared.experiment.seed, purpose="decisions.losses")
    return simulated_losses(
        pd,
        np.full(pd.size, rules.terms.lgd_rate),
        amount,
        rho=rules.rho,
        num_draws=NUM_DRAWS,
        generator=np.random.Generator(np.random.Philox(key=stream.key0 | stream.key1 << 32 | stream.tag << 64)),
    )


def _tranches(losses: LossDistribution | None, rules: LendingPolicy) -> dict[str, float]:
    if losses is None:
        return {}
    found = tranche_losses_of(rules.deal, losses.losses_amount / losses.exposure_amount)
    return {name: BASIS_POINTS * float(values.mean()) for name, values in found.items()}


def _joined(scored: Mapping[str, Scored], names: list[str]) -> tuple[Floats, NDArray[np.bool_]]:
    return (
        np.concatenate([scored[name].pd for name in names]),
        np.concatenate([scored[name].default for name in names]),
    )
