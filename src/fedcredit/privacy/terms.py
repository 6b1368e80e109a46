"""What lenders and server agree on before round 1: contracts and noise, and weights that may depend on both.

Only public quantities enter: the numbers of training loans, the config, and the noise multipliers made from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.data.contract import Contract, ContractTable, draw_up
from fedcredit.experiment.spec import Experiment, PoissonCohort, Sgd, Strategy
from fedcredit.privacy.accounting.calibration import Progress
from fedcredit.privacy.accounting.events import Events
from fedcredit.privacy.plan import INSTITUTION, PrivacyPlan, plan_for_institutions, plan_privacy


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The contract table, with the weights of the aggregation, and the plan of the noise."""

    contracts: ContractTable
    plan: PrivacyPlan


def agree(
    experiment: Experiment,
    num_loans: Mapping[str, int],
    *,
    progress: Progress | None = None,
    allow_any_delta: bool = False,
    beside: Events = (),
) -> Terms:
    """Draw up the contracts, calibrate the noise, and weigh the lenders.

    Args:
        experiment: the experiment.
        num_loans: training loans of each lender, at least 1.
        progress: as for `plan_privacy`.
        allow_any_delta: for looking at a plan that no run may follow.
        beside: other releases of the training loans, within the same target.

    Returns:
        The terms.

    Raises:
        InputError: if the promise cannot be had, or a budget or weight is for a lender that is not there.
    """
    local, strategy = experiment.training.local, experiment.strategy
    by_noise = strategy.weights == "inverse_noise_variance"
    given = strategy.contract_weights if strategy.weights == "by_contract" else strategy.weights
    contracts = draw_up(num_loans, local=local, weights="by_size" if by_noise else given)
    if experiment.privacy.privacy_unit == INSTITUTION:
        plan = plan_for_institutions(
            experiment.privacy, contracts.institutions, sampling_probability=institution_rate(experiment),
            num_rounds=experiment.training.num_rounds, allow_any_delta=allow_any_delta,
        )  # fmt: skip
        return Terms(contracts=contracts, plan=plan)
    plan = plan_privacy(
        experiment.privacy, contracts, num_rounds=experiment.training.num_rounds, progress=progress,
        allow_any_delta=allow_any_delta, beside=beside,
    )  # fmt: skip
    if by_noise:
        variances = {c.institution: noise_variance(c, plan, experiment) for c in contracts.contracts}
        contracts = draw_up(num_loans, local=local, weights={name: 1.0 / v for name, v in variances.items()})
    return Terms(contracts=contracts, plan=plan)


def institution_rate(experiment: Experiment) -> float:
    """Return the rate at which institutions are sampled, as it may be accounted.

    Args:
        experiment: the experiment.

    Returns:
        The chance of a Poisson cohort; 1 for all lenders, and for a cohort of fixed size, which amplifies nothing here.
    """
    strategy = experiment.strategy
    if isinstance(strategy, Strategy) and isinstance(strategy.cohort, PoissonCohort):
        return strategy.cohort.sampling_probability
    return 1.0


def noise_variance(contract: Contract, plan: PrivacyPlan, experiment: Experiment) -> float:
    """Return the variance of the noise in each number of a lender's update.

    A step adds noise of deviation r sigma C / divisor (r the local learning rate), which every later step shrinks by
    1 - r p (p the proximal weight). How noise turns later gradients is left out. Independent updates with weights that
    sum to one have the least noise in their mean when the weights are inversely proportional to this.

    Args:
        contract: the lender's public constants.
        plan: its noise.
        experiment: names the local optimiser, which is plain SGD.

    Returns:
        The variance, above 0.
    """
    optimiser = experiment.training.optimiser
    assert isinstance(optimiser, Sgd)
    kept = (1.0 - optimiser.learning_rate * experiment.training.proximal_weight) ** 2
    gain = math.fsum(kept**step for step in range(contract.local_steps))
    deviation = optimiser.learning_rate * plan.noise_multiplier[contract.institution] * plan.clipping_norm
    return gain * (deviation / contract.divisor) ** 2
