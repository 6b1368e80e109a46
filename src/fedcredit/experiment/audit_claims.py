"""What is claimed of the lenders of an experiment that need not have run, or of a finished run by its record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from fedcredit.data.contract import Contract, ContractTable
from fedcredit.data.institution import count_train_loans
from fedcredit.data.tables import load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment.charged_plan import training_releases
from fedcredit.experiment.ledger_files import ledger_files, read_ledgers
from fedcredit.experiment.prepare import local_settings
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.validate import experiment_from_data
from fedcredit.privacy.accounting.events import Events
from fedcredit.privacy.accounting.releases import FEDERATION
from fedcredit.privacy.plan import PrivacyPlan, plan_privacy
from fedcredit.privacy.terms import agree
from fedcredit.training.contract import LocalSettings

Progress = Callable[[str, int, int], None]
PLANNED, CHARGED = "planned for the whole run", "charged in the run's ledger"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is claimed of some lenders, and the public constants that they release under.

    Attributes:
        lenders: whose claim it is.
        events: what the accountant prices.
        settings: constants of a local round.
        num_steps: steps of the whole run that are audited.
        delta: the claim's delta.
        basis: where ``events`` come from, in words.
        loans_in_sample: loans of a borrower that are sampled together, 1 where loans are sampled.
        samples_in_unit: loans of a borrower that are sampled one by one, 1 where the unit is a loan.
    """

    lenders: tuple[str, ...]
    events: Events
    settings: LocalSettings
    num_steps: int
    delta: float
    basis: str
    loans_in_sample: int = 1
    samples_in_unit: int = 1

    @property
    def loans_in_unit(self) -> int:
        """How many rows a canary has."""
        return self.loans_in_sample * self.samples_in_unit


def planned_claims(experiment: Experiment, *, progress: Progress | None = None) -> tuple[Claim, ...]:
    """Gather the claims of an experiment that need not have run.

    Args:
        experiment: the experiment; its table is opened to count training loans.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        One claim for each distinct rate, noise and number of steps.

    Raises:
        InputError: if the experiment is not private, or the table cannot be had.
    """
    _check_private(experiment)
    counts = count_train_loans(experiment, load_portfolio(experiment.portfolio, progress=progress))
    terms = agree(experiment, counts, beside=training_releases(experiment))
    planned = {name: (event,) for name, event in terms.plan.events.items()}
    num_steps = {name: event.num_steps for name, event in terms.plan.events.items()}
    return _claims(experiment, terms.contracts.contracts, terms.plan, planned, num_steps, basis=PLANNED)


def charged_claims(record: RunRecord, folder: Path) -> tuple[Claim, ...]:
    """Gather the claims of a finished run: what its ledgers were charged, and the noise and rounds of its record.

    Nothing is planned again. A lender that the record knows of no update of is left out.

    Args:
        record: the run.
        folder: its results folder.

    Returns:
        One claim for each distinct rate, noise, number of steps and charge.

    Raises:
        InputError: if the run is not private, or a ledger is missing or does not verify.
    """
    experiment = experiment_from_data(record.experiment)
    _check_private(experiment)
    charged = {ledger.institution: ledger.events(FEDERATION) for ledger in read_ledgers(ledger_files(folder))}
    rounds = accepted_rounds(record)
    taking_part = [contract for contract in record.contracts if rounds[contract.institution]]
    num_steps = {c.institution: c.local_steps * rounds[c.institution] for c in taking_part}
    return _claims(experiment, taking_part, _as_drawn(experiment, record), charged, num_steps, basis=CHARGED)


def accepted_rounds(record: RunRecord) -> Counter[str]:
    """Count the rounds of a run from which the server took a lender's update.

    Args:
        record: the run.

    Returns:
        Lender -> rounds.
    """
    return Counter(
        str(name)
        for told in record.rounds
        for name in cast("list[str]", told["cohort"])
        if name not in cast("dict[str, str]", told["quarantined"])
    )


def disagreements(record: RunRecord, folder: Path) -> tuple[str, ...]:
    """Compare the noise that a finished run says it drew with the noise that its ledgers were charged for.

    Args:
        record: the run.
        folder: its results folder.

    Returns:
        One sentence for each lender where they differ.

    Raises:
        InputError: if a ledger is missing or does not verify.
    """
    found = []
    for ledger in read_ledgers(ledger_files(folder)):
        drawn = record.noise_multiplier.get(ledger.institution)
        charged = sorted({event.noise_multiplier for event in ledger.events(FEDERATION)})
        if charged != [drawn]:
            found.append(
                f"{ledger.institution}: the record says noise multiplier {drawn}, its ledger was charged for "
                f"{', '.join(map(str, charged)) or 'nothing'}"
            )
    return tuple(found)


def _as_drawn(experiment: Experiment, record: RunRecord) -> PrivacyPlan:
    """Return a plan with the noise that a finished run says it drew; it prices nothing."""
    given = experiment.privacy.model_copy(update={"target_epsilon": None, "noise_multiplier": 1.0, "budgets": {}})
    contracts = ContractTable(contracts=record.contracts)
    plan = plan_privacy(given, contracts, num_rounds=experiment.training.num_rounds)
    return replace(plan, noise_multiplier=record.noise_multiplier)


def _claims(
    experiment: Experiment,
    contracts: Sequence[Contract],
    plan: PrivacyPlan,
    events: Mapping[str, Events],
    num_steps: Mapping[str, int],
    *,
    basis: str,
) -> tuple[Claim, ...]:
    """Group lenders of equal rate, noise, steps and charge."""
    groups: dict[tuple[object, ...], Claim] = {}
    for contract in contracts:
        name = contract.institution
        group = (contract.sampling_probability, plan.noise_multiplier[name], num_steps[name], events[name])
        known = groups.get(group)
        groups[group] = Claim(
            lenders=(*(known.lenders if known else ()), name),
            events=events[name],
            settings=known.settings if known else local_settings(experiment, contract, plan),
            num_steps=num_steps[name],
            delta=plan.target_delta,
            basis=basis,
            loans_in_sample=experiment.privacy.loans_in_sample,
            samples_in_unit=experiment.privacy.samples_in_unit,
        )
    return tuple(groups.values())


def _check_private(experiment: Experiment) -> None:
    privacy = experiment.privacy
    if experiment.mode != "simulated":
        raise InputError(
            f"{experiment.name} has mode {experiment.mode}, and an audit goes through the seeded rounds of a trainer; "
            "audit the same experiment with mode=simulated"
        )
    if not privacy.is_private or privacy.noise_multiplier == 0.0:
        raise InputError(
            f"{experiment.name} claims no finite epsilon, so there is nothing to audit; "
            "set privacy.target_epsilon to a number"
        )
    if privacy.trust != "local":
        raise InputError(
            f"{experiment.name} has privacy.trust {privacy.trust}: an audit attacks what one lender sends, and the "
            "noise that is claimed there is not its own; name an experiment of trust local"
        )
