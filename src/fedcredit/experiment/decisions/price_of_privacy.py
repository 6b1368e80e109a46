"""What privacy costs in money: finished runs of several budgets, lender by lender, against three alternatives.

Lending by the federated network of a budget is compared, seed by seed on the same loans, with (1) the lender's own
network at the same epsilon, (2) its own network without privacy, which it may keep to itself, and (3) the federated
network without privacy. All are read at each lender's own level: one intercept, fitted and kept inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedcredit.credit.lending import Lending, LendingPolicy, lend
from fedcredit.credit.level import level_of
from fedcredit.credit.scored import Scored
from fedcredit.errors import InputError
from fedcredit.experiment.arms import split_of
from fedcredit.experiment.by_group import half_width
from fedcredit.experiment.decisions.beside_money import AHEAD, EARLY, GAP, fairness_figures, warning_figures
from fedcredit.experiment.decisions.panel import SeenMonths, follow, months_key, see_months
from fedcredit.experiment.decisions.rescoring import (
    Progress,
    Rescored,
    exposures,
    networks_alone,
    rescored,
    scores_of,
    truth_of,
)
from fedcredit.experiment.record import read_record
from fedcredit.experiment.repeats import Split, mean_over_splits
from fedcredit.experiment.spec import MarketPortfolio
from fedcredit.experiment.wording import epsilon_of

ALL = "all"
FEDERATED, ALONE = "federated", "alone"
AGAINST = ("alone at the same epsilon", "alone without privacy", "federated without privacy")
ALWAYS, NEVER, WHERE_SMALL = "pays at all budgets", "never", "pays at small budgets alone"


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A mean difference over seeds, paired seed by seed, with its 95 % t interval (``None`` for one seed)."""

    value: float
    half_width: float | None
    num_seeds: int


@dataclass(frozen=True, kw_only=True)
class Price:
    """What one budget comes to for one lender, kind of lender, or all.

    Attributes:
        group: lender, kind or ``all``.
        epsilon: target of the budget; infinite without privacy.
        figures: figure of `Lending`, or of what stands beside money, -> its mean over seeds; ``None`` where it does not
            exist.
        differences: alternative of ``AGAINST`` -> figure -> federated minus that alternative, in basis points; rates
            of early warning and gaps between groups of people in percentage points, leads in months.
    """

    group: str
    epsilon: float
    figures: Mapping[str, float | None]
    differences: Mapping[str, Mapping[str, Paired]]


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """The smallest epsilon from which on federating pays for a group, against one alternative.

    Attributes:
        group: lender, kind or ``all``.
        against: the alternative.
        verdict: ``ALWAYS``, ``NEVER``, ``WHERE_SMALL``, or the epsilon as text.
        epsilon: interpolated in its logarithm; ``None`` for the other verdicts.
        clearly_pays: budgets at which the whole 95 % interval is above 0.
        clearly_costs: budgets at which it is below 0.
    """

    group: str
    against: str
    verdict: str
    epsilon: float | None
    clearly_pays: tuple[float, ...]
    clearly_costs: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PriceOfPrivacy:
    """The whole comparison.

    Attributes:
        prices: group by group, epsilon falling.
        break_even: group by group, for the first two alternatives.
        profit: the figure that break-even is judged by: at the true PD where it is known.
        kinds: lender -> kind; empty where lenders have none.
        num_seeds: seeds that hold every budget.
        warnings: runs whose PDs are at a wrong level even at each lender's own.
    """

    prices: tuple[Price, ...]
    break_even: tuple[BreakEven, ...]
    profit: str
    kinds: Mapping[str, str]
    num_seeds: int
    warnings: tuple[str, ...] = ()


_PER_100 = ("profit_per_100", "profit_per_100_asked", "true_profit_per_100", "true_profit_per_100_asked")
_IN_BP = ("expected_loss_bp", "loss_bp", "true_loss_bp", "capital_bp")
_Seen = Mapping[Split, Mapping[str, float]]
_Book = dict[tuple[float, str, str], dict[Split, dict[str, float]]]


def price_of_privacy(
    folders: Sequence[Path],
    *,
    policy: LendingPolicy | None = None,
    with_months: bool = False,
    progress: Progress | None = None,
) -> PriceOfPrivacy:
    """Compare the budgets of a study in money.

    Args:
        folders: results folders of runs that differ in target epsilon and seeds alone, each with the reference
            ``alone``; at least one without privacy.
        policy: how probabilities become money.
        with_months: whether to follow the simulated market month by month, for early warning.
        progress: told ``"runs"``, the runs done and the runs there are.

    Returns:
        Means and paired differences.

    Raises:
        InputError: if a run cannot be scored again, two are the same, or none is without privacy.
    """
    book: _Book = {}
    kinds: dict[str, str] = {}
    months: tuple[object, SeenMonths] | None = None
    warnings: list[str] = []
    ordered = sorted(folders, key=lambda folder: split_of(read_record(folder))) if with_months else folders
    for place, folder in enumerate(ordered):
        if progress is not None:
            progress("runs", place, len(folders))
        run = rescored(folder)
        epsilon, split = epsilon_of_run(run), split_of(run.record)
        kinds |= _kinds(run)
        if with_months and (months is None or months[0] != months_key(run)):
            months = (months_key(run), see_months(run))
        found = figures_by_group(run, policy=policy or LendingPolicy(), seen=None if months is None else months[1])
        warnings += _wrong_level(run)
        for model, groups in found.items():
            for group, figures in groups.items():
                seen = book.setdefault((epsilon, model, group), {})
                if split in seen:
                    raise InputError(f"{folder} and another run have the same epsilon and seeds; give one of them")
                seen[split] = figures
    if progress is not None:
        progress("runs", len(folders), len(folders))
    return replace(_compared(book, kinds), warnings=tuple(warnings))


def figures_by_group(
    run: Rescored, *, policy: LendingPolicy, seen: SeenMonths | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Decide by the federated network of a run and by each lender's own.

    Args:
        run: the run.
        policy: how probabilities become money.
        seen: months of its market, for early warning.

    Returns:
        ``federated`` and ``alone`` -> lender, kind of lender or ``all`` -> figure -> what it came to.
    """
    amounts, truth = exposures(run), truth_of(run)
    groups = groups_of(run)
    found = {}
    for model, networks in ((FEDERATED, run.networks()), (ALONE, networks_alone(run))):
        test = scores_of(run, networks).test_at_own_level
        followed = None if seen is None else follow(run, seen=seen, networks=networks)
        found[model] = {
            group: plain(
                lend(
                    *_joined(test, names),
                    np.concatenate([amounts[name] for name in names]),
                    policy=policy,
                    true_pd=None if truth is None else np.concatenate([truth[name] for name in names]),
                )
            )
            | fairness_figures(run, test, names, terms=policy.terms)
            | ({} if followed is None else warning_figures(followed, names))
            for group, names in groups.items()
        }
    return found


def groups_of(run: Rescored) -> dict[str, list[str]]:
    """Group lenders: each by itself, by kind where they have kinds, and all.

    Args:
        run: the run.

    Returns:
        Group -> names of its lenders.
    """
    names = [institution.name for institution in run.prepared.institutions]
    groups: dict[str, list[str]] = {ALL: names}
    for name, kind in _kinds(run).items():
        groups.setdefault(kind, []).append(name)
    return groups | {name: [name] for name in names}


def plain(lending: Lending) -> dict[str, float]:
    """Flatten what came of lending to its figures, those that exist.

    Args:
        lending: the figures.

    Returns:
        Figure -> value; tranches as ``tranche_loss_bp.<name>``.
    """
    numbers = {name: getattr(lending, name) for name in ("approval_rate", *_PER_100, *_IN_BP)}
    numbers |= {f"tranche_loss_bp.{name}": value for name, value in lending.tranche_loss_bp.items()}
    return {name: value for name, value in numbers.items() if value is not None}


def break_even_epsilon(gains: Mapping[float, float]) -> tuple[str, float | None]:
    """Find the epsilon at which federating stops paying.

    Args:
        gains: finite epsilon -> what federating gains, at least one.

    Returns:
        A verdict, with the epsilon if there is one: gains are not below 0 from it upwards, as far as budgets reach.
        Between two budgets the gain is taken as a straight line in the logarithm of epsilon.
    """
    falling = sorted(gains, reverse=True)
    losing = next((place for place, epsilon in enumerate(falling) if gains[epsilon] < 0.0), None)
    if losing is None:
        return ALWAYS, None
    if losing == 0:
        return (WHERE_SMALL if any(gain >= 0.0 for gain in gains.values()) else NEVER), None
    high, low = falling[losing - 1], falling[losing]
    share = -gains[low] / (gains[high] - gains[low])
    found = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return f"{found:.2g}", found


def _compared(book: _Book, kinds: Mapping[str, str]) -> PriceOfPrivacy:
    budgets = sorted({epsilon for epsilon, _, _ in book}, reverse=True)
    if not budgets or not math.isinf(budgets[0]) or len(budgets) < 2:
        raise InputError(
            f"the runs have {len(budgets)} budgets; give at least one run without privacy and one with it, on the same "
            "seeds"
        )
    groups = list(dict.fromkeys(group for _, _, group in book))
    order = sorted(groups, key=lambda group: (group in kinds, group != ALL, group))
    prices = tuple(_price(book, group, epsilon) for group in order for epsilon in budgets)
    has_truth = any("true_profit_per_100_asked" in price.figures for price in prices)
    profit = "true_profit_per_100_asked" if has_truth else "profit_per_100_asked"
    return PriceOfPrivacy(
        prices=prices,
        break_even=tuple(
            _break_even([price for price in prices if price.group == group], group, against, profit)
            for group in order
            for against in AGAINST[:2]
        ),
        profit=profit,
        kinds=kinds,
        num_seeds=len(set.intersection(*(set(splits) for splits in book.values()))),
    )


def _price(book: _Book, group: str, epsilon: float) -> Price:
    mine = book.get((epsilon, FEDERATED, group), {})
    others = (
        book.get((epsilon, ALONE, group), {}),
        book.get((math.inf, ALONE, group), {}),
        book.get((math.inf, FEDERATED, group), {}),
    )
    names = sorted({name for figures in mine.values() for name in figures})
    means = {name: [figures[name] for figures in mine.values() if name in figures] for name in names}
    return Price(
        group=group,
        epsilon=epsilon,
        figures={name: float(np.mean(values)) for name, values in means.items()},
        differences={
            against: {name: gap for name in names if (gap := _paired(mine, other, name)) is not None}
            for against, other in zip(AGAINST, others, strict=True)
        },
    )


def _paired(
    mine: Mapping[Split, Mapping[str, float]], other: Mapping[Split, Mapping[str, float]], name: str
) -> Paired | None:
    is_share = name.startswith(GAP) or name in (EARLY, AHEAD)
    factor = 100.0 if is_share or name in _PER_100 else 10_000.0 if name == "approval_rate" else 1.0
    gaps = [
        factor * (mine[split][name] - other[split][name])
        for split in sorted(set(mine) & set(other))
        if name in mine[split] and name in other[split]
    ]
    mean = mean_over_splits(gaps)
    return None if mean is None else Paired(value=mean.value, half_width=half_width(mean), num_seeds=mean.num_splits)


def _break_even(prices: Sequence[Price], group: str, against: str, profit: str) -> BreakEven:
    gaps = {
        price.epsilon: price.differences[against][profit]
        for price in prices
        if math.isfinite(price.epsilon) and profit in price.differences[against]
    }
    if not gaps:
        raise InputError(f"no seed holds both budgets of {group} and {against}; run all budgets on the same seeds")
    verdict, epsilon = break_even_epsilon({budget: gap.value for budget, gap in gaps.items()})
    return BreakEven(
        group=group,
        against=against,
        verdict=verdict,
        epsilon=epsilon,
        clearly_pays=tuple(budget for budget, gap in gaps.items() if _clearly(gap.value, gap)),
        clearly_costs=tuple(budget for budget, gap in gaps.items() if _clearly(-gap.value, gap)),
    )


def _clearly(value: float, gap: Paired) -> bool:
    return gap.half_width is not None and value > gap.half_width


def epsilon_of_run(run: Rescored) -> float:
    """Return the target epsilon of a run, or what the worst-off lender spent where it has none."""
    target = run.prepared.experiment.privacy.target_epsilon
    spent = epsilon_of(run.record)
    return spent if target is None or math.isinf(spent) else float(target)


def _wrong_level(run: Rescored) -> list[str]:
    """Warn where PDs are read at a wrong level although each lender's own intercept was added."""
    validation = scores_of(run, run.networks()).validation_at_own_level
    level = level_of(*_joined(validation, sorted(validation)))
    return [f"{run.folder}, at each lender's own intercept: {level.warning}"] if level.warning else []


def _kinds(run: Rescored) -> dict[str, str]:
    if not isinstance(run.prepared.experiment.portfolio, MarketPortfolio):
        return {}
    from fedcredit.experiment.truth import lender_kinds

    return lender_kinds(run.prepared)


def _joined(scored: Mapping[str, Scored], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.concatenate([scored[name].pd for name in names]),
        np.concatenate([scored[name].default for name in names]),
    )
