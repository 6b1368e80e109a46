"""Where a cap on epsilon ends a run: before round 1, from public constants alone.

Rates, noise and cohorts are all fixed by the experiment, so the last round that fits is known in advance, and no
private quantity decides it. Each lender's ledger checks the same cap again before every release, by what it holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fedcredit.errors import InputError
from fedcredit.experiment.charged_plan import charged_event, charged_noise, training_releases
from fedcredit.experiment.spec import Experiment, FlowerStrategy, FractionCohort
from fedcredit.experiment.wording import epsilon_text
from fedcredit.federation.cohort import cohort
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.releases import PARTS, TRAIN, parts_of
from fedcredit.privacy.cap import SpendingCap
from fedcredit.privacy.plan import PrivacyPlan


@dataclass(frozen=True, kw_only=True)
class Stop:
    """The last round that fits under a cap (0: none does), and why the next one does not."""

    after_round: int
    reason: str


def spending_cap(experiment: Experiment) -> SpendingCap | None:
    """Return the cap of an experiment.

    Args:
        experiment: the experiment.

    Returns:
        The cap, with room for the charged releases that read training loans, or None where there is none.

    Raises:
        InputError: if the noise of the charged releases cannot be had.
    """
    privacy = experiment.privacy
    if privacy.epsilon_cap is None:
        return None
    return SpendingCap(epsilon=privacy.epsilon_cap, delta=privacy.target_delta, beside=training_releases(experiment))


def planned_stop(experiment: Experiment, plan: PrivacyPlan) -> Stop | None:
    """Find the round before which a run must stop.

    Args:
        experiment: the experiment.
        plan: its plan over all rounds.

    Returns:
        The stop; None where all rounds fit, or there is no cap.

    Raises:
        InputError: if charged releases of held-out loans alone would pass the cap.
    """
    cap = spending_cap(experiment)
    if cap is None:
        return None
    _check_held_out(experiment, cap)
    most = {name: most_rounds(cap, plan, name) for name in plan.events}
    done: Counter[str] = Counter()
    for server_round in range(1, plan.num_rounds + 1):
        asked = _asked(experiment, plan, server_round)
        over = [name for name in asked if done[name] + 1 > most[name]]
        if over:
            return _stop(cap, plan, server_round, {name: done[name] + 1 for name in over})
        done.update(asked)
    return None


def most_rounds(cap: SpendingCap | None, plan: PrivacyPlan, institution: str) -> int:
    """Count the rounds of a lender that fit under a cap.

    Args:
        cap: the cap; None for no cap.
        plan: what a round costs.
        institution: the lender's name.

    Returns:
        The number, at most that of the plan.
    """
    if cap is None or cap.permits([plan.events[institution]]):
        return plan.num_rounds
    one = plan.round_event(institution)
    return cap.most_steps(one) // one.num_steps


def _check_held_out(experiment: Experiment, cap: SpendingCap) -> None:
    noise = charged_noise(experiment)
    for part in PARTS:
        names = [name for name in noise if part in parts_of(name) and part != TRAIN]
        price = epsilon([charged_event(noise[name]) for name in names], delta=cap.delta).value if names else 0.0
        if price > cap.epsilon:
            raise InputError(
                f"privacy.epsilon_cap is {cap.epsilon:g}, and the charged releases of {part} loans alone "
                f"({', '.join(names)}) cost epsilon {epsilon_text(price)}; raise the cap or their noise_multiplier"
            )


def _asked(experiment: Experiment, plan: PrivacyPlan, server_round: int) -> tuple[str, ...]:
    strategy = experiment.strategy
    if experiment.privacy.is_central or isinstance(strategy, FlowerStrategy):
        return tuple(plan.events)
    if not isinstance(strategy.cohort, FractionCohort):
        return tuple(plan.events)
    return cohort(strategy.cohort, tuple(plan.events), seed=experiment.seed, server_round=server_round)


def _stop(cap: SpendingCap, plan: PrivacyPlan, server_round: int, rounds: dict[str, int]) -> Stop:
    prices = {
        name: epsilon([plan.round_event(name).times(count), *cap.beside], delta=cap.delta).value
        for name, count in rounds.items()
    }
    worst = max(sorted(prices), key=prices.__getitem__)
    return Stop(
        after_round=server_round - 1,
        reason=(
            f"stopped by privacy.epsilon_cap {cap.epsilon:g} after {server_round - 1} of {plan.num_rounds} planned "
            f"rounds: round {server_round} would take {worst} to epsilon {epsilon_text(prices[worst])}; rounds that "
            "never ran are not charged"
        ),
    )
