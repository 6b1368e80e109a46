"""What a run may say of its privacy, made from its ledgers alone: the epsilon statement, and what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedcredit.experiment.charged_plan import charged_noise
from fedcredit.experiment.charged_wording import charged_words, lines_by_part, not_covered
from fedcredit.experiment.deployed import DEPLOYED, dataset_lines
from fedcredit.experiment.overlap import known_holdings, known_overlap
from fedcredit.experiment.prepare import Prepared
from fedcredit.experiment.spec import FlowerStrategy
from fedcredit.experiment.trust import collusion, trust_notes, trust_of
from fedcredit.experiment.wording import epsilon_text
from fedcredit.federation.server import RoundRecord
from fedcredit.privacy.accounting.parts import dearest_of_all, state_parts
from fedcredit.privacy.accounting.releases import FEDERATION, PARTS, TRAIN
from fedcredit.privacy.accounting.run_ledger import RunAccount, RunLedger
from fedcredit.privacy.accounting.statement import EpsilonStatement
from fedcredit.privacy.budgets import budget_line
from fedcredit.privacy.plan import SERVER

Ledgers = Mapping[str, RunLedger]
_NOTHING_ELSE = (
    "nothing else about private loans leaves a lender; runs of other modes, and of a lender of another name, are in no "
    "total here"
)


def promised(prepared: Prepared, ledgers: Ledgers) -> EpsilonStatement:
    """State the epsilon of a run from its ledgers.

    Args:
        prepared: the prepared experiment.
        ledgers: lender -> its ledger; at least one.

    Returns:
        The statement of everything that the run released but its references.
    """
    experiment, privacy = prepared.experiment, prepared.experiment.privacy
    read: tuple[str, ...] = PARTS if charged_noise(experiment) else (TRAIN,)
    if privacy.is_central or experiment.mode == DEPLOYED:
        read = ()
    loans, lenders = prepared.portfolio, prepared.institutions
    return state_parts(
        {name: ledger.events for name, ledger in ledgers.items()},
        delta=privacy.target_delta,
        unit=privacy.privacy_unit,
        relation=privacy.neighboring_relation,
        mode=experiment.mode,
        covers=_covers(prepared),
        known={part: known_overlap(loans, lenders, part=part) for part in read},
        holdings={part: known_holdings(loans, lenders, part=part) for part in read},
        trust=trust_of(experiment),
        notes=trust_notes(
            experiment, prepared.contracts.contracts, prepared.plan, num_parameters=prepared.network.num_parameters
        ),
        collusion=collusion(experiment, {name: ledger.events(FEDERATION) for name, ledger in ledgers.items()}),
        max_loans=privacy.max_loans_per_borrower,
    )


def check_that_updates_were_charged(prepared: Prepared, rounds: Sequence[RoundRecord], ledgers: Ledgers) -> None:
    """Refuse to state an epsilon where a server accepted an update that no ledger knows.

    Args:
        prepared: the prepared experiment.
        rounds: what was done.
        ledgers: lender -> its ledger.

    Raises:
        RuntimeError: if a ledger has fewer steps than the accepted updates of its owner took.
    """
    for name, ledger in ledgers.items():
        accepted = sum(_is_released(name, told) for told in rounds)
        needed = accepted * prepared.plan.round_event(name).num_steps
        charged = sum(event.num_steps for event in ledger.events(FEDERATION))
        if charged < needed:
            raise RuntimeError(f"the ledger of {name} has {charged} steps; its accepted updates took {needed}")


def beyond_the_run(prepared: Prepared, ledgers: Ledgers, statement: EpsilonStatement) -> list[str]:
    """Say what the headline leaves out: the run's own private references, and other runs.

    Args:
        prepared: the prepared experiment.
        ledgers: lender -> its ledger; at least one.
        statement: the run's.

    Returns:
        Lines of text.
    """
    delta, privacy = statement.target_delta, prepared.experiment.privacy
    accounts = {name: ledger for name, ledger in ledgers.items() if isinstance(ledger, RunAccount)}
    if accounts:
        return [*dataset_lines(accounts, delta=delta), _NOTHING_ELSE]
    own = {name: ledger.events for name, ledger in ledgers.items()}
    everything = dearest_of_all(own, delta=delta, everything=True).value
    budgets = budget_line(privacy.budgets, privacy.target_epsilon)
    rest = [
        *([budgets] if budgets else []),
        *lines_by_part(own, delta, has_keys=prepared.portfolio.schema.borrower is not None),
        not_covered(prepared.experiment),
        _scope(prepared),
    ]
    if everything <= statement.worst.value:
        return rest
    return [
        f"with the private references of this run released too: epsilon {epsilon_text(everything)} "
        f"for a borrower {'' if statement.unit == 'borrower' else 'with one loan '}at one lender",
        *rest,
    ]


def _is_released(name: str, told: RoundRecord) -> bool:
    """Whether something that a ledger's owner made from private loans was released in a round."""
    return name == SERVER or (name in told.cohort and name not in told.quarantined)


def _covers(prepared: Prepared) -> str:
    if prepared.experiment.privacy.shares_noise:
        return f"the sum of all updates in each of {prepared.num_rounds} rounds, and the network made from them"
    if prepared.experiment.privacy.is_central:
        return (
            f"the noised mean update of each of {prepared.num_rounds} rounds, and the network made from them; not what "
            "lenders sent to the server"
        )
    rounds = f"every update a lender sent over {prepared.num_rounds} rounds, and the network made from them"
    rounds = "; ".join([rounds, *charged_words(prepared.experiment)])
    if isinstance(prepared.experiment.strategy, FlowerStrategy):
        return f"{rounds}; noise drawn by lenders only, nothing that the stock Flower strategy does"
    return rounds


def _scope(prepared: Prepared) -> str:
    if prepared.portfolio.schema.public:
        return (
            "the loan table is public, so runs on it are studied one by one; on private loans the epsilons of all "
            "runs on the same loans add up"
        )
    return "private loans: this is the cost of this run alone; the epsilons of all runs on the same loans add up"
