"""How right the level of a lender's PDs can be: beside what the true PD itself reaches on as many defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fedcredit.errors import InputError
from fedcredit.experiment.market_records import OWN_INTERCEPT, OWN_ORACLE, RUN
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import arms_by_split
from fedcredit.experiment.study import in_order
from fedcredit.experiment.wording import ABSENT, Table, epsilon_of, epsilon_text, readable

LOW, HIGH = 0.9, 1.1
Ratio = Callable[[RunRecord, str], float | None]


def level_over_runs(records: Sequence[RunRecord]) -> Table:
    """Hold each lender's level against its mean true PD and against its bad rate, arm by arm.

    Args:
        records: finished runs on simulated markets, with own intercepts, at least one.

    Returns:
        One row an arm and lender, then how many lenders of all runs are within .9 and 1.1.

    Raises:
        InputError: if there is no run, or one is not of a simulated market or has no own intercepts.
    """
    if not records or any(record.truth is None or OWN_ORACLE not in record.truth.models for record in records):
        raise InputError(
            "by is level, which needs runs on the simulated market alone, with evaluation.own_intercept; run "
            "older ones again"
        )
    rows = [row for arm, runs in arms_by_split(in_order(records)).items() for row in _rows(arm, list(runs.values()))]
    return Table(
        title="Levels by lender: mean (lowest to highest) over markets",
        headings=("lender", "arm", "epsilon", "training defaults", *(heading for heading, _ in _RATIOS)),
        num_labels=2,
        rows=tuple(rows),
        notes=(
            "Mean PD over the mean true PD of held-out loans, without the luck of who defaulted among them, and over "
            "their bad rate, with it. Shared: one level for all lenders. Own: each lender's own intercept. True PD, "
            "own: who knew the true PD but for its level and fitted that to the outcomes of the same training and "
            f"validation loans. Within: lenders of all markets with a ratio of {LOW:g} to {HIGH:g}; one without a "
            "default among its held-out loans is outside.",
        ),
        droppable=("epsilon", "own / bad rate", "true PD / bad rate"),
    )


def _rows(arm: str, runs: Sequence[RunRecord]) -> Iterator[tuple[str, ...]]:
    epsilon = epsilon_text(max(epsilon_of(run) for run in runs))
    lenders = sorted({name for run in runs for name in run.evaluation.institutions})
    for name in lenders:
        defaults = [run.training_defaults[name] for run in runs if name in run.training_defaults]
        yield (
            readable(name),
            readable(arm),
            epsilon,
            f"{np.mean(defaults):.0f}" if defaults else ABSENT,
            *(
                _spread([ratio(run, name) for run in runs if name in run.evaluation.institutions])
                for _, ratio in _RATIOS
            ),
        )
    counts = [[ratio(run, name) for run in runs for name in run.evaluation.institutions] for _, ratio in _RATIOS]
    yield "within", readable(arm), epsilon, ABSENT, *(f"{_num_within(found)} of {len(found)}" for found in counts)


def _spread(values: Sequence[float | None]) -> str:
    found = [value for value in values if value is not None]
    return f"{np.mean(found):.2f} ({min(found):.2f} to {max(found):.2f})" if found else ABSENT


def _num_within(values: Sequence[float | None]) -> int:
    return sum(value is not None and LOW <= value <= HIGH for value in values)


def _to_truth(model: str) -> Ratio:
    def ratio(run: RunRecord, name: str) -> float | None:
        assert run.truth is not None
        return run.truth.models[model][name].mean_pd_over_true

    return ratio


def _own_to_bad_rate(run: RunRecord, name: str) -> float | None:
    return None if run.own_intercept is None else run.own_intercept.institutions[name].mean_pd_over_bad_rate


def _true_to_bad_rate(run: RunRecord, name: str) -> float | None:
    """Divide the run's mean PD over its bad rate by its mean PD over the mean true PD."""
    to_bad_rate, to_truth = run.evaluation.institutions[name].mean_pd_over_bad_rate, _to_truth(RUN)(run, name)
    return None if to_bad_rate is None or not to_truth else to_bad_rate / to_truth


_RATIOS: Sequence[tuple[str, Ratio]] = (
    ("shared / true", _to_truth(RUN)),
    ("own / true", _to_truth(OWN_INTERCEPT)),
    ("true PD, own / true", _to_truth(OWN_ORACLE)),
    ("own / bad rate", _own_to_bad_rate),
    ("true PD / bad rate", _true_to_bad_rate),
)
