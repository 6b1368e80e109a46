"""Accounting ahead of a sweep: every calibration and every price its arms will ask for, each made once.

What is made here goes into the user's accounting cache, where the arms find it. So no worker calibrates
inside a run, and no two of them do the same calibration. An arm that cannot be foreseen (its table cannot be
read, its promise cannot be kept) is left to say so itself.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from fedcredit.data.contract import ContractTable, draw_up
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment, FixedSteps, Privacy
from fedcredit.experiment.workers import call_all

if TYPE_CHECKING:
    from fedcredit.privacy.accounting.events import Event, Events
    from fedcredit.privacy.plan import PrivacyPlan

Given = TypeVar("Given")
T = TypeVar("T")
Progress = Callable[[str, int, int], None]
Sizes = Mapping[str, int]
Calibration: TypeAlias = "tuple[float, float, float, int, int, Events]"
_LOG = logging.getLogger(__name__)
_ANY_LENDERS = {"a": 1, "b": 1, "c": 1}
_POOLED = "pooled"


def account_ahead(experiments: Sequence[Experiment], *, num_workers: int, progress: Progress) -> None:
    """Make and keep the calibrations and prices of all arms.

    Args:
        experiments: the arms.
        num_workers: worker processes to use; 1 is this process itself.
        progress: told the stage, the steps done and the steps there are.
    """
    private = [one for one in experiments if one.privacy.is_private and not one.privacy.is_central]
    markets = {_market(experiment): experiment for experiment in private if not _has_common_rate(experiment)}
    found = dict(zip(markets, _each("sizes", lender_sizes, list(markets.values()), num_workers, progress), strict=True))
    sized: dict[tuple[object, ...], tuple[Experiment, Sizes]] = {}
    for experiment in private:
        sizes = _ANY_LENDERS if _has_common_rate(experiment) else found[_market(experiment)]
        if sizes is not None:
            sized.setdefault(_promise(experiment, sizes), (experiment, sizes))
    asked = dict.fromkeys(pair for experiment, sizes in sized.values() for pair in calibrations(experiment, sizes))
    _each("noise", _calibrated, list(asked), num_workers, progress)
    _each("epsilons", _priced, list(sized.values()), num_workers, progress)


def lender_sizes(experiment: Experiment) -> Sizes | None:
    """Count the training loans of each lender of an experiment.

    Args:
        experiment: the experiment; its portfolio, partition and split are read.

    Returns:
        Lender -> training loans, or None where the loans cannot be had.
    """
    from fedcredit.data.institution import build_institutions
    from fedcredit.data.tables import load_portfolio

    try:
        institutions = build_institutions(experiment, load_portfolio(experiment.portfolio))
    except InputError:
        return None
    return {institution.name: institution.train.num_sampled for institution in institutions}


def calibrations(experiment: Experiment, sizes: Sizes) -> list[Calibration]:
    """List the calibrations that a run of an experiment asks for.

    Args:
        experiment: the experiment.
        sizes: lender -> training loans.

    Returns:
        Distinct (target epsilon, delta, sampling probability, steps, rows of a unit, other releases within the target);
        none where the noise is given, or where the promise is one that a run refuses.
    """
    from fedcredit.experiment.charged_plan import training_releases

    privacy = experiment.privacy
    is_kept = privacy.target_delta * max(sizes.values()) < 1.0
    if privacy.target_epsilon is None or not privacy.is_private or not is_kept:
        return []
    try:
        beside = training_releases(experiment)
    except InputError:
        return []
    asked = {
        (promise.budgets.get(contract.institution, promise.target_epsilon or math.inf), privacy.target_delta,
         contract.sampling_probability, contract.local_steps * experiment.training.num_rounds,
         privacy.samples_in_unit, () if contract.institution == _POOLED else beside)
        for promise, table in _tables(experiment, sizes)
        for contract in table.contracts
    }  # fmt: skip
    return sorted(asked, key=lambda one: (one[:5], len(one[5])))


def _has_common_rate(experiment: Experiment) -> bool:
    """Whether lenders differ in nothing that is priced, so that their names and sizes need not be known."""
    return isinstance(experiment.training.local, FixedSteps) and not experiment.privacy.budgets


def _market(experiment: Experiment) -> str:
    parts = (experiment.portfolio, experiment.partition, experiment.split)
    return "\n".join([*(part.model_dump_json() for part in parts), str(experiment.split_seed)])


def _promise(experiment: Experiment, sizes: Sizes) -> tuple[object, ...]:
    """Tell what decides the calibrations and prices of a run."""
    training = experiment.training
    local = training.local.model_dump_json()
    references = frozenset(experiment.evaluation.references)
    charged = experiment.model_dump_json(include={"encoding": True, "evaluation": {"own_intercept", "charged"}})
    return (experiment.privacy, local, training.num_rounds, references, charged, tuple(sorted(sizes.items())))


def _tables(experiment: Experiment, sizes: Sizes) -> Iterator[tuple[Privacy, ContractTable]]:
    from fedcredit.privacy.budgets import strictest

    local = experiment.training.local
    yield experiment.privacy, draw_up(sizes, local=local, weights="uniform")
    if _POOLED in experiment.evaluation.references:
        pooled = draw_up({_POOLED: sum(sizes.values())}, local=local, weights="uniform")
        yield strictest(experiment.privacy, sizes), pooled


def _calibrated(asked: Calibration) -> None:
    from fedcredit.privacy.accounting.calibration import calibrate

    target, delta, rate, steps, rows, beside = asked
    with suppress(ArithmeticError, ValueError):
        calibrate(
            target_epsilon=target, delta=delta, sampling_probability=rate, num_steps=steps, max_rows=rows, beside=beside
        )


def _priced(promised: tuple[Experiment, Sizes]) -> None:
    """Make the statements of a run, as it will: of the federation, and with its private references too."""
    from fedcredit.experiment.charged_plan import training_releases
    from fedcredit.experiment.stopping import planned_stop
    from fedcredit.privacy.accounting.statement import state
    from fedcredit.privacy.plan import plan_privacy

    experiment, sizes = promised
    privacy, rounds = experiment.privacy, experiment.training.num_rounds
    try:
        beside = training_releases(experiment)
        plans = [
            plan_privacy(promise, table, num_rounds=rounds, beside=() if _POOLED in table.institutions else beside)
            for promise, table in _tables(experiment, sizes)
        ]
    except (InputError, ArithmeticError):
        return
    stop = planned_stop(experiment, plans[0])
    plans = [plan.through(max(1, stop.after_round if stop else rounds)) for plan in plans]
    own = {name: [event] for name, event in plans[0].events.items()}
    references = experiment.evaluation.references
    repeats = sum(reference in references for reference in ("alone", "federated_logistic"))
    pooled = {name: [plan.events[_POOLED]] for plan in plans[1:] for name in own}
    everything = {
        name: [event, *[event] * repeats, *pooled.get(name, ()), *_one_shot(experiment, plans[0], name)]
        for name, (event,) in own.items()
    }
    for events in (own, everything, pooled) if pooled else (own, everything):
        state(
            events, delta=privacy.target_delta, unit=privacy.privacy_unit, relation=privacy.neighboring_relation,
            mode=experiment.mode, covers="",
        )  # fmt: skip


def _one_shot(experiment: Experiment, plan: PrivacyPlan, lender: str) -> list[Event]:
    from fedcredit.privacy.accounting.calibration import calibrate
    from fedcredit.privacy.accounting.events import GaussianSteps
    from fedcredit.privacy.budgets import target_of

    if "one_shot" not in experiment.evaluation.references:
        return []
    target = target_of(experiment.privacy, lender)
    if plan.num_rounds < experiment.training.num_rounds:
        target = None
    noise = calibrate(
        target_epsilon=plan.epsilon(lender).value if target is None else target,
        delta=experiment.privacy.target_delta,
        sampling_probability=1.0,
        num_steps=1,
    )
    return [GaussianSteps(sampling_probability=1.0, noise_multiplier=noise, num_steps=1)]


def _each(
    stage: str, function: Callable[[Given], T], given: Sequence[Given], num_workers: int, progress: Progress
) -> list[T | None]:
    """Call a function for each value; where a worker process is lost, the rest is left to the arms."""
    results: list[T | None] = []
    try:
        for result in call_all(function, given, num_workers=num_workers) if given else ():
            results.append(result)
            progress(stage, len(results), len(given))
    except BrokenExecutor:
        _LOG.warning("a worker process was killed while %s were made ahead; arms make what is missing", stage)
    return results + [None] * (len(given) - len(results))
