"""What a run would promise and cost, before anybody pays for it: no loan is encoded, and nothing is charged.

Only public constants enter: the experiment, the schema and the number of training loans of each lender, which
the zero-out relation declares public. The numbers are given, or counted from the table with the run's own
partition and split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedcredit.data.contract import Contract
from fedcredit.data.institution import TRAIN_SHARE, VALIDATION_SHARE, count_train_loans
from fedcredit.data.portfolio import Portfolio
from fedcredit.data.schema import Schema, read_schema
from fedcredit.data.schema_checks import encoded_names
from fedcredit.data.tables import load_portfolio, public_schema
from fedcredit.errors import InputError
from fedcredit.experiment.charged_plan import planned_releases, training_releases
from fedcredit.experiment.charged_wording import charged_words, lines_by_part
from fedcredit.experiment.prepare import Prepared, initial_network
from fedcredit.experiment.remarks import remarks
from fedcredit.experiment.spec import Experiment, MarketPortfolio, PublicTable
from fedcredit.experiment.stopping import planned_stop
from fedcredit.experiment.trial import seconds_a_round
from fedcredit.experiment.trust import collusion, trust_notes, trust_of
from fedcredit.experiment.wording import PRIVATE_REFERENCES, epsilon_text
from fedcredit.federation.traffic import Traffic, traffic
from fedcredit.model.network import network_from_spec
from fedcredit.privacy.accounting.accountants import Epsilon, epsilon
from fedcredit.privacy.accounting.events import Events
from fedcredit.privacy.accounting.parts import state_parts
from fedcredit.privacy.accounting.statement import EpsilonStatement
from fedcredit.privacy.plan import PrivacyPlan, check_delta_for_institutions, check_delta_of
from fedcredit.privacy.terms import agree

Progress = Callable[[str, int, int], None]
_CURVE_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
_SMALL_BATCH = 64.0
_WEAK_DELTA = 0.1
_SAME_EPSILON = 1.01
_MOST_NAMES = 5
_GIVEN = "numbers of training loans as given; no table was opened"
_COUNTED = (
    "numbers of training loans counted from the table, dealt out and split as the run would; they are public under the "
    "zero-out relation. No loan was encoded, no gradient computed, nothing charged"
)


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A run that has not happened.

    Attributes:
        name: the experiment's name.
        counts: where the numbers of loans come from, in words.
        contracts: the public constants of each lender.
        plan: its noise and what is planned to be spent.
        num_parameters: how many numbers a lender sends a round.
        statement: the planned epsilons with their reading; ``None`` without privacy.
        by_part: how releases of training loans and of held-out loans compose, in words.
        curve: after how many rounds the worst-off lender has spent how much of its training loans, with the charged
            releases that read them.
        traffic: messages and bytes over the whole run.
        train_seconds: an estimate for the inline runtime on this machine, without references and report.
        refusal: why a run would be refused; ``None`` if it would not.
        warnings: what to think about first.
    """

    name: str
    counts: str
    contracts: tuple[Contract, ...]
    plan: PrivacyPlan
    num_parameters: int
    statement: EpsilonStatement | None
    by_part: tuple[str, ...]
    curve: tuple[tuple[int, Epsilon], ...]
    traffic: Traffic
    train_seconds: float
    refusal: str | None
    warnings: tuple[str, ...]


def look_ahead(
    experiment: Experiment, *, num_loans: Mapping[str, int] | None = None, progress: Progress | None = None
) -> Outlook:
    """Say what a run would promise and cost.

    Args:
        experiment: the experiment.
        num_loans: training loans of each lender; without them they are counted from the table.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        The outlook.

    Raises:
        InputError: if a number of loans is not at least 1, or the table cannot be had or dealt out.
    """
    schema = _schema(experiment)
    counted = _checked(num_loans) if num_loans else _counted(experiment, progress)
    prepared = _without_loans(experiment, schema, counted, progress)
    if progress is not None:
        progress("trial rounds", 0, 1)
    seconds = seconds_a_round(prepared) * prepared.num_rounds
    if progress is not None:
        progress("trial rounds", 1, 1)
    plan = prepared.plan.through(max(1, prepared.num_rounds))
    return Outlook(
        name=experiment.name,
        counts=_GIVEN if num_loans else _COUNTED,
        contracts=prepared.contracts.contracts,
        plan=plan,
        num_parameters=prepared.network.num_parameters,
        statement=_planned(experiment, prepared, plan) if plan.is_private else None,
        by_part=_by_part(experiment, prepared, plan),
        curve=_curve(plan, beside=training_releases(experiment)) if plan.is_private else (),
        traffic=traffic(
            _of_rounds(experiment, plan.num_rounds),
            num_parameters=prepared.network.num_parameters,
            validation_loans={name: round(count * VALIDATION_SHARE / TRAIN_SHARE) for name, count in counted.items()},
        ),
        train_seconds=seconds,
        refusal=_refusal(experiment, prepared),
        warnings=(*_warnings(experiment, prepared), *remarks(experiment, row_norm_cap=schema.row_norm_cap)),
    )


def parse_counts(texts: Sequence[str]) -> dict[str, int]:
    """Read numbers of training loans as they are typed.

    Args:
        texts: ``name=count`` each.

    Returns:
        Counts by lender.

    Raises:
        InputError: if one is not of that form, or a lender is named twice.
    """
    counts: dict[str, int] = {}
    for text in texts:
        name, _, count = text.rpartition("=")
        if not name or not count.isdecimal() or name in counts:
            raise InputError(f"num-loans has {text!r}; allowed is name=count once for each lender, such as north=3000")
        counts[name] = int(count)
    return counts


def _schema(experiment: Experiment) -> Schema:
    portfolio = experiment.portfolio
    if isinstance(portfolio, PublicTable):
        return public_schema(portfolio.table)
    if isinstance(portfolio, MarketPortfolio):
        from fedcredit.data.market.portfolio import market_schema

        return market_schema(portfolio.view, portfolio.label)
    return read_schema(portfolio.schema_file)


def _checked(num_loans: Mapping[str, int]) -> dict[str, int]:
    wrong = [f"{name}={count}" for name, count in num_loans.items() if count < 1]
    if wrong:
        raise InputError(f"num-loans has {', '.join(wrong)}; allowed is a whole number from 1 for each lender")
    return dict(num_loans)


def _counted(experiment: Experiment, progress: Progress | None) -> dict[str, int]:
    return count_train_loans(experiment, load_portfolio(experiment.portfolio, progress=progress))


def _without_loans(
    experiment: Experiment, schema: Schema, num_loans: Mapping[str, int], progress: Progress | None
) -> Prepared:
    sources = {item.name: item for item in (*schema.columns, *schema.derived)}
    num_features = sum(len(encoded_names(feature, sources[feature.of])) for feature in schema.features)
    network = network_from_spec(experiment.network, num_features)
    terms = agree(
        experiment,
        num_loans,
        beside=training_releases(experiment),
        progress=None if progress is None else lambda _, done, total: progress("noise", done, total),
        allow_any_delta=True,
    )
    nothing = Portfolio(
        schema=schema, columns={}, default=np.empty(0, dtype=np.int8), borrower=np.empty(0, dtype=np.int64)
    )
    return Prepared(
        experiment=experiment, fingerprint="", data_checksum="", portfolio=nothing, institutions=(),
        contracts=terms.contracts, plan=terms.plan, network=network, initial=initial_network(experiment, network),
        stop=planned_stop(experiment, terms.plan),
    )  # fmt: skip


def _planned(experiment: Experiment, prepared: Prepared, plan: PrivacyPlan) -> EpsilonStatement:
    told = "; ".join(
        [f"every update over {plan.num_rounds} rounds, and the network made from them", *charged_words(experiment)]
    )
    return state_parts(
        planned_releases(experiment, plan),
        delta=plan.target_delta,
        unit=plan.unit,
        relation=plan.relation,
        max_loans=experiment.privacy.max_loans_per_borrower,
        mode=experiment.mode,
        covers=f"what is planned: {told}; what was spent is the ledgers' to say",
        known={},
        is_one_part=prepared.portfolio.schema.borrower is not None,
        trust=trust_of(experiment),
        notes=trust_notes(
            experiment, prepared.contracts.contracts, plan, num_parameters=prepared.network.num_parameters
        ),
        collusion=collusion(experiment, {name: [event] for name, event in plan.events.items()}),
    )


def _by_part(experiment: Experiment, prepared: Prepared, plan: PrivacyPlan) -> tuple[str, ...]:
    if not plan.is_private:
        return ()
    has_keys = prepared.portfolio.schema.borrower is not None
    return tuple(lines_by_part(planned_releases(experiment, plan), plan.target_delta, has_keys=has_keys))


def _curve(plan: PrivacyPlan, *, beside: Events) -> tuple[tuple[int, Epsilon], ...]:
    """Price the lender that is worst off at the end, after a few numbers of rounds."""
    worst = max(plan.events, key=lambda name: plan.epsilon(name).value)
    event = plan.round_event(worst)
    rounds = sorted({max(1, round(share * plan.num_rounds)) for share in _CURVE_SHARES})
    return tuple((count, epsilon([event.times(count), *beside], delta=plan.target_delta)) for count in rounds)


def _of_rounds(experiment: Experiment, num_rounds: int) -> Experiment:
    training = experiment.training.model_copy(update={"num_rounds": num_rounds})
    return experiment.model_copy(update={"training": training})


def _refusal(experiment: Experiment, prepared: Prepared) -> str | None:
    if not experiment.privacy.is_private:
        return None
    try:
        if experiment.privacy.is_central:
            check_delta_for_institutions(experiment.privacy.target_delta, len(prepared.contracts.contracts))
        else:
            check_delta_of(
                experiment.privacy.target_delta, prepared.contracts.contracts,
                in_one_sum=experiment.privacy.shares_noise,
            )  # fmt: skip
    except InputError as error:
        return str(error)
    return prepared.stop.reason if prepared.stop is not None and prepared.stop.after_round == 0 else None


def _warnings(experiment: Experiment, prepared: Prepared) -> Iterator[str]:
    if not prepared.plan.is_private:
        return
    contracts = prepared.contracts.contracts
    if prepared.stop is not None:
        yield f"This run will be {prepared.stop.reason}."
    if not prepared.plan.lenders_add_noise:
        return
    yield from _on_delta(prepared.plan.target_delta, contracts)
    yield from _on_batches(prepared.plan, contracts)
    yield from _on_one_noise(experiment, prepared.plan)
    private = [name for name in experiment.evaluation.references if name in PRIVATE_REFERENCES]
    if private:
        yield (
            f"{len(private)} private references ({', '.join(private)}) train on the same loans and are "
            "charged too; publishing them as well adds up. evaluation.references=[] leaves them out."
        )


def _on_delta(delta: float, contracts: Sequence[Contract]) -> Iterator[str]:
    large = [contract for contract in contracts if delta * contract.num_loans >= _WEAK_DELTA]
    if large:
        most = max(large, key=lambda contract: contract.num_loans)
        yield (
            f"target_delta {delta:g} is {_WEAK_DELTA:g} / (training loans) or more at {_some(large)}; at "
            f"{most.institution}, with {most.num_loans:,} loans, {delta * most.num_loans:.2g} loans may be given away. "
            f"privacy.target_delta={0.1 * _WEAK_DELTA / most.num_loans:.0e} keeps well below."
        )


def _on_batches(plan: PrivacyPlan, contracts: Sequence[Contract]) -> Iterator[str]:
    small = [contract for contract in contracts if contract.divisor < _SMALL_BATCH]
    if small:
        least = min(small, key=lambda contract: contract.divisor)
        noise = plan.noise_multiplier[least.institution] / least.divisor
        yield (
            f"Batches of fewer than {_SMALL_BATCH:g} loans under privacy at {_some(small)}: at {least.institution} a "
            f"mean batch has {least.divisor:.1f} loans, and each number of its mean gradient gets noise of {noise:.2g} "
            "clipping norms. A higher sampling probability and fewer steps cost less."
        )


def _on_one_noise(experiment: Experiment, plan: PrivacyPlan) -> Iterator[str]:
    if experiment.privacy.noise_multiplier is None:
        return
    spent = {name: plan.epsilon(name).value for name in plan.events}
    best, worst = min(spent, key=spent.__getitem__), max(spent, key=spent.__getitem__)
    if spent[worst] > _SAME_EPSILON * spent[best]:
        yield (
            f"One noise multiplier for unequal rates or steps: epsilon is {epsilon_text(spent[best])} at {best} and "
            f"{epsilon_text(spent[worst])} at {worst}. privacy.target_epsilon gives every lender the noise it needs."
        )


def _some(contracts: Sequence[Contract]) -> str:
    names = ", ".join(contract.institution for contract in contracts[:_MOST_NAMES])
    count = f"{len(contracts)} lender{'s' * (len(contracts) > 1)}"
    return f"{count} ({names}{', ...' if len(contracts) > _MOST_NAMES else ''})"
