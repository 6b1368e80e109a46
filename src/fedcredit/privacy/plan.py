"""What is promised: the plan from which every lender's noise and every planned event comes.

The same target epsilon and delta hold for every lender; the noise differs where rate or step count
do. A training loop never sees a noise multiplier that is not in a plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedcredit.data.contract import Contract, ContractTable
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Privacy
from fedcredit.privacy.accounting.accountants import Epsilon, epsilon
from fedcredit.privacy.accounting.calibration import Progress, calibrate
from fedcredit.privacy.accounting.events import Events, GaussianSteps


@dataclass(frozen=True, kw_only=True)
class PrivacyPlan:
    """A promise for every lender of a federation, over the whole run.

    Attributes:
        unit: the privacy unit, ``"loan"``.
        relation: the neighbouring relation, ``"zero_out"``.
        clipping_norm: C, the largest norm of one loan's gradient; infinite without privacy.
        target_epsilon: the promise; None where the noise was given instead, infinite without privacy.
        target_delta: the delta of the promise, the same for all lenders.
        noise_multiplier: lender -> sigma, the noise's standard deviation over ``clipping_norm``.
        events: lender -> everything it does in the whole run.
        num_rounds: rounds of the run.
    """

    unit: str
    relation: str
    clipping_norm: float
    target_epsilon: float | None
    target_delta: float
    noise_multiplier: Mapping[str, float]
    events: Mapping[str, GaussianSteps]
    num_rounds: int

    @property
    def is_private(self) -> bool:
        """Whether the run clips and draws noise at all."""
        return self.target_epsilon is None or not math.isinf(self.target_epsilon)

    def round_event(self, institution: str) -> GaussianSteps:
        """Return what a lender does to its loans in one round.

        Args:
            institution: the lender's name.

        Returns:
            Its event; without privacy one without noise, which costs infinity.

        Raises:
            KeyError: if the plan has no such lender.
        """
        whole = self.events[institution]
        return GaussianSteps(
            sampling_probability=whole.sampling_probability,
            noise_multiplier=whole.noise_multiplier,
            num_steps=whole.num_steps // self.num_rounds,
        )

    def epsilon(self, institution: str) -> Epsilon:
        """Price what is planned for a lender over the whole run; what was spent is its ledger's to say.

        Args:
            institution: the lender's name.

        Returns:
            The bound, at most ``target_epsilon`` where there is one.

        Raises:
            KeyError: if the plan has no such lender.
        """
        return epsilon([self.events[institution]], delta=self.target_delta)


def plan_privacy(
    privacy: Privacy,
    contracts: ContractTable,
    *,
    num_rounds: int,
    progress: Progress | None = None,
    allow_any_delta: bool = False,
    beside: Events = (),
) -> PrivacyPlan:
    """Turn a promise into noise: one calibration for each distinct (sampling rate, number of steps).

    Every lender is taken to join every round, which is an upper bound where a cohort is a fraction.

    Args:
        privacy: the promise.
        contracts: the public constants of each lender; also a single pooled one.
        num_rounds: rounds of the run, at least 1.
        progress: called with (what is calibrated, how many are done, how many there are).
        allow_any_delta: for looking at a plan that no run may follow.
        beside: other releases of the training loans, within the same target.

    Returns:
        The plan.

    Raises:
        InputError: if the run is private and ``target_delta`` is not below 1 / (loans of the largest lender).
    """
    if privacy.is_private and not allow_any_delta:
        check_delta_of(privacy.target_delta, contracts.contracts)
    rates = {c.institution: (c.sampling_probability, c.local_steps * num_rounds) for c in contracts.contracts}
    noise = _noise_by_rate(privacy, sorted(set(rates.values())), beside, progress)
    return PrivacyPlan(
        unit=privacy.privacy_unit,
        relation=privacy.neighboring_relation,
        clipping_norm=privacy.clipping_norm if privacy.is_private else math.inf,
        target_epsilon=privacy.target_epsilon,
        target_delta=privacy.target_delta,
        noise_multiplier={name: noise[pair] for name, pair in rates.items()},
        events={
            name: GaussianSteps(sampling_probability=pair[0], noise_multiplier=noise[pair], num_steps=pair[1])
            for name, pair in rates.items()
        },
        num_rounds=num_rounds,
    )


def _noise_by_rate(
    privacy: Privacy, distinct: Sequence[tuple[float, int]], beside: Events, progress: Progress | None
) -> dict[tuple[float, int], float]:
    noise = {}
    for done, (rate, steps) in enumerate(distinct):
        if progress is not None:
            progress(f"noise for {steps} steps at sampling probability {rate:.4g}", done, len(distinct))
        noise[rate, steps] = _noise(privacy, rate, steps, beside)
    if progress is not None:
        progress("noise for every lender", len(distinct), len(distinct))
    return noise


def _noise(privacy: Privacy, sampling_probability: float, num_steps: int, beside: Events) -> float:
    if privacy.target_epsilon is None:
        return privacy.noise_multiplier or 0.0
    try:
        return calibrate(
            target_epsilon=privacy.target_epsilon,
            delta=privacy.target_delta,
            sampling_probability=sampling_probability,
            num_steps=num_steps,
            beside=beside if privacy.is_private else (),
        )
    except ValueError as error:
        raise InputError(f"privacy.target_epsilon: {error}") from None


def check_delta_of(delta: float, contracts: tuple[Contract, ...]) -> None:
    """Refuse a delta that permits giving one loan of a lender away.

    Args:
        delta: the promise's delta.
        contracts: the public constants of each lender, at least one.

    Raises:
        InputError: if it is not below 1 / (loans of the largest lender).
    """
    largest = max(contracts, key=lambda contract: contract.num_loans)
    if delta * largest.num_loans >= 1.0:
        allowed = f"{0.1 / largest.num_loans:.0e}"
        raise InputError(
            f"privacy.target_delta is {delta:g}, but the largest lender, {largest.institution}, has "
            f"{largest.num_loans} training loans: allowed is below 1 / {largest.num_loans} = "
            f"{1.0 / largest.num_loans:.2e}, because a larger delta permits giving one loan away. "
            f"Set privacy.target_delta={allowed} or smaller"
        )
