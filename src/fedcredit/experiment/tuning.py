"""Choosing among settings at the price of a few runs: random stopping, and a charged metric to choose by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcredit.data.institution import count_train_loans
from fedcredit.data.tables import load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment.charged_plan import planned_releases, training_releases
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import Charged, Experiment
from fedcredit.privacy.accounting.events import Events
from fedcredit.privacy.accounting.parts import events_by_part
from fedcredit.privacy.accounting.releases import PARTS
from fedcredit.privacy.accounting.selection import Repetitions, of_all, of_the_best, worst_run
from fedcredit.privacy.terms import agree
from fedcredit.seeds import public_stream, uniforms

METRICS = ("charged.auc", "charged.ks")
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Price:
    """Upper bounds at one delta for a borrower at so many lenders: one run, the best, the mean number added up."""

    num_lenders: int
    one: float
    best: float
    all_runs: float


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The best of a random number of runs, None where the law drew none or noise hid every metric."""

    num_runs: int
    record: RunRecord | None
    folder: Path | None
    value: float | None
    prices: tuple[Price, ...]
    delta: float


def check_tuning(arms: Sequence[Experiment], metric: str) -> None:
    """Refuse a choice whose price would be wrong.

    Args:
        arms: the settings.
        metric: what the best is chosen by.

    Raises:
        InputError: for a metric that no ledger is charged for, arms without it or of different deltas, arms that
            are not private, or a metric that reads training loans.
    """
    if metric not in METRICS:
        raise InputError(
            f"--select-by is {metric!r}: choosing by a figure read in the clear from private loans is a release that "
            f"no ledger knows, and no price holds for it. Allowed: {', '.join(METRICS)}, from "
            "evaluation.charged.score_histogram.loans=validation"
        )
    if not all(arm.privacy.is_private for arm in arms):
        raise InputError(
            "an arm has privacy.target_epsilon=inf; the best of such runs has no price, use fedcredit run -m"
        )
    if len({arm.privacy.target_delta for arm in arms}) > 1:
        raise InputError("the arms have different privacy.target_delta; set one for all of them")
    asked = [(arm.evaluation.charged or Charged()).score_histogram for arm in arms]
    if not all(histogram is not None and histogram.loans == "validation" for histogram in asked):
        raise InputError(
            f"--select-by {metric} needs the charged score histogram of validation loans in every arm; set "
            "evaluation.charged.score_histogram.loans=validation"
        )
    if any(arm.evaluation.references for arm in arms):
        raise InputError("references of an arm would be released with it and are not in the price; set "
                         "evaluation.references=[]")  # fmt: skip


def tune(arms: Sequence[Experiment], *, metric: str, repetitions: Repetitions, tell: Tell) -> Tuned:
    """Run a random number of randomly drawn settings, each with a seed of its own, and keep the best.

    The number is drawn from the seed of the first setting: as all noise of a simulation it is secret from those alone
    who do not have the seed.

    Args:
        arms: the settings.
        metric: one of `METRICS`.
        repetitions: the law of the number of runs.
        tell: told a line after each run.

    Returns:
        The best run and its price.

    Raises:
        InputError: as `check_tuning`.
    """
    check_tuning(arms, metric)
    number = public_stream(seed=arms[0].seed, purpose="tuning.number")
    num_runs = repetitions.draw(float(uniforms(number, count=1)[0]))
    stream = public_stream(seed=arms[0].seed, purpose="tuning")
    best: tuple[float, RunRecord, Path] | None = None
    for place, drawn in enumerate(uniforms(stream, count=num_runs).tolist()):
        arm = arms[int(drawn * len(arms))]
        experiment = arm.model_copy(update={"seed": arm.seed + place})
        record = run(experiment, progress=False, report=False)
        value = _metric(record, metric)
        tell(f"run {place + 1}: {record.fingerprint[:16]}  {metric} {'hidden' if value is None else f'{value:.4f}'}")
        if value is not None and (best is None or value > best[0]):
            best = (value, record, run_folder(experiment, record.fingerprint).path)
    prices = _prices(arms, repetitions)
    delta = arms[0].privacy.target_delta
    if best is None:
        return Tuned(num_runs=num_runs, record=None, folder=None, value=None, prices=prices, delta=delta)
    value, record, folder = best
    return Tuned(num_runs=num_runs, record=record, folder=folder, value=value, prices=prices, delta=delta)


def tuned_lines(tuned: Tuned, repetitions: Repetitions, metric: str) -> list[str]:
    """Say what the choice gave and what it cost.

    Args:
        tuned: the choice.
        repetitions: its law.
        metric: what it was made by.

    Returns:
        Lines of text.
    """
    found = (
        "no run has a metric: nothing is released"
        if tuned.record is None
        else f"best: {metric} {tuned.value:.4f}, {tuned.folder}"
    )
    where = {1: "one lender", 2: "each of two lenders", 3: "each of three lenders"}
    return [
        found,
        *(
            f"epsilon {price.best:.3f} for a borrower with one loan at {where[price.num_lenders]} (a single run "
            f"{price.one:.3f}; {math.ceil(repetitions.mean)} runs added up {price.all_runs:.3f})"
            for price in tuned.prices
        ),
        f"upper bounds at delta {tuned.delta:g} by Renyi divergence; unit: loan; relation: zero_out; mode: simulated",
        f"covers: the best run and its {metric}, of a {repetitions.law} number of runs (mean {repetitions.mean:g}) "
        "with settings drawn at random (Papernot and Steinke 2022)",
        "not covered: the other runs, their number, and figures read in the clear; if any is shown, all runs add up",
    ]


def _metric(record: RunRecord, metric: str) -> float | None:
    figures = None if record.charged is None else record.charged.figures
    figure = None if figures is None else (figures.overall.auc if metric == "charged.auc" else figures.overall.ks)
    return None if figure is None else figure.value


def _prices(arms: Sequence[Experiment], repetitions: Repetitions) -> tuple[Price, ...]:
    settings = [lenders for arm in arms for lenders in _planned(arm)]
    delta = arms[0].privacy.target_delta
    prices = []
    for count in (1, 2, 3):
        run_curve = worst_run(settings, num_lenders=count)
        best = of_the_best(run_curve, repetitions).epsilon(delta)
        everything = of_all(run_curve, math.ceil(repetitions.mean)).epsilon(delta)
        prices.append(Price(num_lenders=count, one=run_curve.epsilon(delta), best=best, all_runs=everything))
    return tuple(prices)


def _planned(arm: Experiment) -> list[list[Events]]:
    """For each part of the loans, what a run does at each lender; without borrower keys the parts are mixed.

    No loan is encoded for it: that may cost privacy, and the runs charge it.
    """
    portfolio = load_portfolio(arm.portfolio)
    plan = agree(arm, count_train_loans(arm, portfolio), beside=training_releases(arm)).plan
    lenders = [events_by_part(events_of) for events_of in planned_releases(arm, plan).values()]
    by_part = [[own.get(part, ()) for own in lenders] for part in PARTS]
    if portfolio.schema.borrower is not None:
        return by_part
    return [[events for own in by_part for events in own]]
