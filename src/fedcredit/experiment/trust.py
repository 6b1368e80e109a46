"""Who is trusted with what, where that is not every lender with its own loans: what the statement must say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedcredit.data.contract import Contract
from fedcredit.experiment.spec import Experiment, FractionCohort, PoissonCohort, Strategy
from fedcredit.experiment.wording import PRIVATE_REFERENCES
from fedcredit.federation.central import expected_share
from fedcredit.privacy.accounting.accountants import Epsilon
from fedcredit.privacy.accounting.events import Event, merge
from fedcredit.privacy.plan import SERVER, PrivacyPlan
from fedcredit.privacy.secure_sum import under_collusion

MANY_INSTITUTIONS = 1000
_UNEQUAL = 1.05


def trust_of(experiment: Experiment) -> str:
    """Name the trust model of an experiment.

    Args:
        experiment: the experiment.

    Returns:
        ``"local"``, ``"secure_sum"`` or ``"central"``.
    """
    return experiment.privacy.trust


def collusion(experiment: Experiment, ledgers: Mapping[str, Sequence[Event]]) -> dict[int, Epsilon]:
    """Price what other lenders take away when they tell their part of the shared noise.

    Args:
        experiment: the experiment.
        ledgers: lender -> events of its ledger.

    Returns:
        For one, and for all other lenders: the bound for the worst-off loan; nothing where noise is not shared.
    """
    if not experiment.privacy.shares_noise:
        return {}
    delta, num_lenders = experiment.privacy.target_delta, len(ledgers)
    spent = {merge(events) for events in ledgers.values()}
    return {
        count: max(
            (under_collusion(events, num_lenders=num_lenders, num_colluders=count, delta=delta) for events in spent),
            key=lambda bound: bound.value,
        )
        for count in sorted({1, num_lenders - 1})
        if 1 <= count < num_lenders
    }


def trust_notes(
    experiment: Experiment, contracts: Sequence[Contract], plan: PrivacyPlan, *, num_parameters: int
) -> tuple[str, ...]:
    """Say what the figures of a trust model need to be read.

    Args:
        experiment: the experiment.
        contracts: the public constants of each lender.
        plan: the noise.
        num_parameters: how many numbers are released a round.

    Returns:
        Full sentences; none where every lender trusts itself alone.
    """
    if not experiment.privacy.is_central:
        return ()
    strategy = experiment.strategy
    assert isinstance(strategy, Strategy)
    chance = expected_share(strategy.cohort, tuple(contract.institution for contract in contracts))
    largest = max(contract.weight for contract in contracts)
    noise = plan.noise_multiplier[SERVER] * largest * math.sqrt(num_parameters) / chance
    notes = [_on_cohorts(experiment)]
    if len(contracts) < MANY_INSTITUTIONS:
        notes.append(
            f"warning: {len(contracts)} institutions, and hiding one of fewer than about {MANY_INSTITUTIONS:,} drowns "
            f"the others: a round's noise has a norm of about {noise:.1f} clipping norms, and the mean update of all "
            f"lenders at most 1{_with_equal_weights(noise, largest, len(contracts))}"
        )
    return tuple(notes)


def left_out_references(experiment: Experiment) -> tuple[str, ...]:
    """Name the references that a trust model cannot have at the same promise.

    Args:
        experiment: the experiment.

    Returns:
        References that were asked for and are not run.
    """
    if not experiment.privacy.is_central:
        return ()
    return tuple(name for name in experiment.evaluation.references if name in PRIVATE_REFERENCES)


def _with_equal_weights(noise: float, largest: float, count: int) -> str:
    """Say what equal weights would save, because the noise follows the largest weight."""
    if largest * count < _UNEQUAL:
        return ""
    return f"; with strategy.weights=uniform the noise would be {noise / (largest * count):.1f}"


def _on_cohorts(experiment: Experiment) -> str:
    strategy = experiment.strategy
    assert isinstance(strategy, Strategy)
    if isinstance(strategy.cohort, PoissonCohort):
        return (
            f"accounted as a subsampled Gaussian on institutions at rate {strategy.cohort.sampling_probability:g}: who "
            "is in a round is drawn in secret; the server knows it, the lenders in it do, and so does rounds.jsonl, "
            "which must stay with the server"
        )
    if isinstance(strategy.cohort, FractionCohort):
        return (
            f"accounted as a Gaussian without amplification: a cohort of a fixed {strategy.cohort.fraction:g} of the "
            "lenders is not Poisson, so every institution is taken to be in every round"
        )
    return "accounted as a Gaussian without amplification: every institution is in every round"
