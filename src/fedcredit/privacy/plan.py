"""What is promised: the plan from which every lender's noise and every planned event comes.

One delta holds for every lender, and one target epsilon for those without a budget of their own; the noise differs
where target, rate or step count do. A training loop never sees a noise multiplier that is not in a plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fedcredit.data.contract import Contract, ContractTable
from fedcredit.data.wording import check_names
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Privacy
from fedcredit.privacy.accounting.accountants import Epsilon, epsilon
from fedcredit.privacy.accounting.calibration import Progress, calibrate
from fedcredit.privacy.accounting.events import Event, Events, GaussianSteps, for_rows
from fedcredit.privacy.budgets import target_of

Asked = tuple[float, int, float | None]
INSTITUTION = "institution"
SERVER = "server"


@dataclass(frozen=True, kw_only=True)
class PrivacyPlan:
    """A promise for every lender of a federation, over the whole run.

    Attributes:
        unit: the privacy unit, ``"loan"``, ``"borrower"`` or ``"institution"``.
        relation: the neighbouring relation, ``"zero_out"``.
        clipping_norm: C, the largest norm of one sample's gradient (of a loan, or of a borrower's loans together
            where borrowers are sampled); infinite without privacy.
        target_epsilon: the promise to lenders without a budget of their own; None where the noise was given
            instead, infinite without privacy.
        target_delta: the delta of the promise, the same for all lenders.
        noise_multiplier: lender -> sigma, the noise's standard deviation over ``clipping_norm``.
        events: lender -> everything it does in the whole run; where the server adds the noise, it stands here alone
            under the name `SERVER`.
        num_rounds: rounds of the run.
        budgets: lender -> target epsilon, of the lenders that have one of their own.
        sampled: what a step samples, ``"loans"`` or ``"borrowers"``.
    """

    unit: str
    relation: str
    clipping_norm: float
    target_epsilon: float | None
    target_delta: float
    noise_multiplier: Mapping[str, float]
    events: Mapping[str, Event]
    num_rounds: int
    sampled: str = "loans"
    budgets: Mapping[str, float] = field(default_factory=dict)

    @property
    def lenders_add_noise(self) -> bool:
        """Whether lenders clip gradients and draw noise themselves, so that each of them has a ledger."""
        return self.is_private and self.unit != INSTITUTION

    @property
    def is_private(self) -> bool:
        """Whether the run clips and draws noise at all."""
        return self.target_epsilon is None or not math.isinf(self.target_epsilon)

    def round_event(self, institution: str) -> Event:
        """Return what a lender does to its loans in one round.

        Args:
            institution: the lender's name.

        Returns:
            Its event; without privacy one without noise, which costs infinity.

        Raises:
            KeyError: if the plan has no such lender.
        """
        whole = self.events[institution]
        return replace(whole, num_steps=whole.num_steps // self.num_rounds)

    def only(self, institution: str) -> PrivacyPlan:
        """Return the plan of a lender that shares its noise with nobody.

        Args:
            institution: the lender's name.

        Returns:
            The plan with that lender alone.

        Raises:
            KeyError: if the plan has no such lender.
        """
        noise = {institution: self.noise_multiplier[institution]}
        return replace(self, noise_multiplier=noise, events={institution: self.events[institution]})

    def through(self, num_rounds: int) -> PrivacyPlan:
        """Return the plan of a run that stops early, with the same noise.

        Args:
            num_rounds: rounds that it does, at least 1.

        Returns:
            The plan of those rounds; this one if it has no more.
        """
        if num_rounds >= self.num_rounds:
            return self
        events = {name: self.round_event(name).times(num_rounds) for name in self.events}
        return replace(self, events=events, num_rounds=num_rounds)

    def epsilon(self, institution: str) -> Epsilon:
        """Price what is planned for a lender over the whole run; what was spent is its ledger's to say.

        Args:
            institution: the lender's name.

        Returns:
            The bound, at most the lender's target where there is one.

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
    """Turn a promise into noise: one calibration for each distinct (sampling rate, number of steps, target).

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
        InputError: if the run is private and ``target_delta`` is not below 1 / (loans of the largest lender), or a
            budget is for a lender that is not there.
    """
    check_names("privacy.budgets", privacy.budgets, contracts.institutions)
    if privacy.is_private and not allow_any_delta:
        check_delta_of(privacy.target_delta, contracts.contracts, in_one_sum=privacy.shares_noise)
    asked = {
        c.institution: (c.sampling_probability, c.local_steps * num_rounds, target_of(privacy, c.institution))
        for c in contracts.contracts
    }
    noise = _noise_by_promise(privacy, sorted(set(asked.values())), beside, progress)
    return PrivacyPlan(
        unit=privacy.privacy_unit,
        relation=privacy.neighboring_relation,
        clipping_norm=privacy.clipping_norm if privacy.is_private else math.inf,
        target_epsilon=privacy.target_epsilon,
        target_delta=privacy.target_delta,
        noise_multiplier={name: noise[one] for name, one in asked.items()},
        events={
            name: for_rows(
                GaussianSteps(sampling_probability=one[0], noise_multiplier=noise[one], num_steps=one[1]),
                privacy.samples_in_unit,
            )
            for name, one in asked.items()
        },
        num_rounds=num_rounds,
        budgets=dict(privacy.budgets),
        sampled=privacy.sampled,
    )


def _noise_by_promise(
    privacy: Privacy, distinct: Sequence[Asked], beside: Events, progress: Progress | None
) -> dict[Asked, float]:
    noise = {}
    for done, (rate, steps, target) in enumerate(distinct):
        if progress is not None:
            progress(f"noise for {steps} steps at sampling probability {rate:.4g}", done, len(distinct))
        noise[rate, steps, target] = _noise(privacy, rate, steps, target, beside)
    if progress is not None:
        progress("noise for every lender", len(distinct), len(distinct))
    return noise


def _noise(
    privacy: Privacy,
    sampling_probability: float,
    num_steps: int,
    target_epsilon: float | None,
    beside: Events = (),
) -> float:
    if target_epsilon is None:
        return privacy.noise_multiplier or 0.0
    try:
        return calibrate(
            target_epsilon=target_epsilon,
            delta=privacy.target_delta,
            sampling_probability=sampling_probability,
            num_steps=num_steps,
            max_rows=privacy.samples_in_unit,
            beside=beside if privacy.is_private else (),
        )
    except ValueError as error:
        raise InputError(f"privacy.target_epsilon: {error}") from None


def check_delta_of(delta: float, contracts: tuple[Contract, ...], *, in_one_sum: bool = False) -> None:
    """Refuse a delta that permits giving one loan of a lender away.

    Args:
        delta: the promise's delta.
        contracts: the public constants of each lender, at least one.
        in_one_sum: whether the loans of all lenders are in one sum, and no lender has a release of its own.

    Raises:
        InputError: if it is not below 1 / (loans of the largest lender, or of all together in one sum).
    """
    total = sum(contract.num_loans for contract in contracts)
    if in_one_sum and delta * total >= 1.0:
        raise InputError(
            f"privacy.target_delta is {delta:g}, but the lenders have {total} training loans in one sum: allowed is "
            f"below 1 / {total} = {1.0 / total:.2e}, because a larger delta permits giving one loan away. "
            f"Set privacy.target_delta={0.1 / total:.0e} or smaller"
        )
    largest = max(contracts, key=lambda contract: contract.num_loans)
    if delta * largest.num_loans >= 1.0:
        allowed = f"{0.1 / largest.num_loans:.0e}"
        raise InputError(
            f"privacy.target_delta is {delta:g}, but the largest lender, {largest.institution}, has "
            f"{largest.num_loans} training loans: allowed is below 1 / {largest.num_loans} = "
            f"{1.0 / largest.num_loans:.2e}, because a larger delta permits giving one loan away. "
            f"Set privacy.target_delta={allowed} or smaller"
        )


def plan_for_institutions(
    privacy: Privacy,
    institutions: Sequence[str],
    *,
    sampling_probability: float,
    num_rounds: int,
    allow_any_delta: bool = False,
) -> PrivacyPlan:
    """Turn a promise about whole institutions into the server's noise: one event a round.

    Args:
        privacy: the promise, with ``privacy_unit: institution``.
        institutions: the lenders.
        sampling_probability: the chance of each of them to be in a round, independently and in secret; 1 where that
            is not how they are chosen.
        num_rounds: rounds of the run, at least 1.
        allow_any_delta: for looking at a plan that no run may follow.

    Returns:
        The plan, with the server alone in it.

    Raises:
        InputError: if ``target_delta`` is not below 1 / (institutions), or a lender has the server's name.
    """
    if SERVER in institutions:
        raise InputError(f"a lender is called {SERVER!r}, which names the server's ledger here; rename the lender")
    if privacy.is_private and not allow_any_delta:
        check_delta_for_institutions(privacy.target_delta, len(institutions))
    noise = _noise(privacy, sampling_probability, num_rounds, privacy.target_epsilon)
    event = GaussianSteps(sampling_probability=sampling_probability, noise_multiplier=noise, num_steps=num_rounds)
    return PrivacyPlan(
        unit=privacy.privacy_unit,
        relation=privacy.neighboring_relation,
        clipping_norm=privacy.clipping_norm if privacy.is_private else math.inf,
        target_epsilon=privacy.target_epsilon,
        target_delta=privacy.target_delta,
        noise_multiplier={SERVER: noise},
        events={SERVER: event},
        num_rounds=num_rounds,
    )


def check_delta_for_institutions(delta: float, num_institutions: int) -> None:
    """Refuse a delta that permits giving one institution away.

    Args:
        delta: the promise's delta.
        num_institutions: how many there are, at least 1.

    Raises:
        InputError: if it is not below 1 / (institutions).
    """
    if delta * num_institutions >= 1.0:
        raise InputError(
            f"privacy.target_delta is {delta:g}, but there are {num_institutions} institutions: allowed is below "
            f"1 / {num_institutions} = {1.0 / num_institutions:.2e}, because a larger delta permits giving one away"
        )
