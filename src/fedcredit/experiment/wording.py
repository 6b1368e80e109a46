"""How figures, names and intervals of a run are written, in a terminal and on a page alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from fedcredit.credit.discrimination import Interval
from fedcredit.errors import InputError
from fedcredit.experiment.record import RunRecord
from fedcredit.privacy.accounting.statement import EpsilonStatement

ABSENT = "–"  # noqa: RUF001
REFERENCE_NAMES = {
    "alone": "each lender alone",
    "pooled": "all loans pooled, same network and privacy",
    "federated_logistic": "federated logistic regression, same privacy",
    "one_shot": "one-shot noisy normal equations, same privacy",
    "output_perturbation": "all loans pooled, logistic regression with noise on its coefficients, same privacy",
    "dp_ebm": "all loans pooled, DP-EBM, same privacy (its sensitivities by its own claim)",
    "pooled_network": "all loans pooled, network, no privacy",
    "pooled_logistic": "all loans pooled, logistic regression, no privacy",
    "pooled_trees": "all loans pooled, boosted trees, no privacy",
    "joined_network": "the same network, with the borrower's balances at other lenders",
    "joined_trees": "the same trees, with the borrower's balances at other lenders",
    "oracle": "the true PD of the simulation",
}
PRIVATE_REFERENCES = ("alone", "pooled", "federated_logistic", "one_shot", "output_perturbation", "dp_ebm")
ONE_MODEL_A_LENDER = ("alone",)
WHY_NOT_POOLED = (
    "Each lender alone, AUC: what each lender's model reaches on the held-out loans of all lenders, averaged by "
    "training loans. Scoring every loan by its own lender's model would count knowing the lender as skill."
)
SHORT_REFERENCE_NAMES = {
    "alone": "alone",
    "pooled": "pooled",
    "federated_logistic": "logistic",
    "one_shot": "one-shot",
    "output_perturbation": "output perturbation",
    "dp_ebm": "DP-EBM",
    "pooled_network": "pooled network",
    "pooled_logistic": "pooled logistic regression",
    "pooled_trees": "pooled boosted trees",
    "joined_network": "network, lenders joined",
    "joined_trees": "trees, lenders joined",
    "oracle": "true PD",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of finished text: a title, one heading a column, rows, and what to know to read it.

    ``num_labels`` counts the columns on the left that name a row; the others hold figures.
    ``droppable`` names columns that a narrow terminal may leave out, the first of them first.
    """

    title: str
    headings: tuple[str, ...]
    num_labels: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    droppable: tuple[str, ...] = ()


def epsilon_of(record: RunRecord) -> float:
    """Return the epsilon spent by the worst-off lender, infinite without privacy.

    Args:
        record: the run.

    Returns:
        An upper bound, at the statement's delta.
    """
    worst = _worst(record)
    return math.inf if worst is None else as_number(worst["value"])


def statement_of(record: RunRecord) -> EpsilonStatement | None:
    """Return the epsilon statement of a run.

    Args:
        record: the run.

    Returns:
        The statement, or ``None`` without privacy.

    Raises:
        InputError: if it is not of this version.
    """
    if record.statement is None:
        return None
    try:
        return EpsilonStatement.from_json(record.statement)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError("the record's epsilon statement is not of this version; run the experiment again") from error


def sampled_by(record: RunRecord) -> str:
    """Say what a step of the run sampled, which is what its contracts count.

    Args:
        record: the run.

    Returns:
        ``"loans"`` or ``"borrowers"``.
    """
    mechanism = as_mapping(record.experiment["privacy"]).get("borrower_mechanism")
    return "borrowers" if mechanism == "borrower_sampling" else "loans"


def delta_of(record: RunRecord) -> float | None:
    """Return the delta at which the run's epsilon holds.

    Args:
        record: the run.

    Returns:
        The delta, or ``None`` without privacy.
    """
    worst = _worst(record)
    return None if worst is None else as_number(worst["target_delta"])


def epsilon_text(epsilon: float) -> str:
    """Write an epsilon with three decimals, rounded up because it is an upper bound.

    Args:
        epsilon: an epsilon, above 0.

    Returns:
        The figure, or ``"inf"``.
    """
    return "inf" if math.isinf(epsilon) else f"{math.ceil(round(epsilon * 1000, 6)) / 1000:.3f}"


def figure_text(value: float | None, *, digits: int = 4) -> str:
    """Write a figure, or a dash for a metric that does not exist.

    Args:
        value: the figure.
        digits: decimals.

    Returns:
        The text.
    """
    return ABSENT if value is None else f"{value:.{digits}f}"


def interval_text(interval: Interval | None, *, digits: int = 3, sign: str = "") -> str:
    """Write an interval, or a dash where there is none.

    Args:
        interval: the interval.
        digits: decimals.
        sign: ``"+"`` to show the sign of either end.

    Returns:
        For example ``"[0.765, 0.781]"``.
    """
    if interval is None:
        return ABSENT
    return f"[{interval.lower:{sign}.{digits}f}, {interval.upper:{sign}.{digits}f}]"


def with_interval(value: float | None, interval: Interval | None, *, digits: int = 3) -> str:
    """Write a figure with its confidence interval behind it, where it has one.

    Args:
        value: the figure.
        interval: its interval.
        digits: decimals.

    Returns:
        For example ``"0.773 [0.765, 0.781]"``.
    """
    if value is None or interval is None:
        return figure_text(value, digits=digits)
    return f"{value:.{digits}f} {interval_text(interval, digits=digits)}"


def readable(name: str) -> str:
    """Return a lender's name with what cannot be printed replaced.

    Args:
        name: any text.

    Returns:
        Printable text.
    """
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


def nearest_pooled(records: Sequence[RunRecord]) -> str:
    """Name the pooled reference that is nearest to runs: the one of the same privacy if they have it.

    Args:
        records: runs.

    Returns:
        The name of a reference; ``"pooled"`` if there is none.
    """
    names = ("pooled", "pooled_network", "pooled_trees", "pooled_logistic")
    return next((name for name in names if any(name in record.references for record in records)), names[0])


def level_text(interval: Interval | None) -> str:
    """Write the level of an interval as a suffix of a label.

    Args:
        interval: an interval, or ``None``.

    Returns:
        For example ``" [95 %]"``, or nothing.
    """
    return "" if interval is None else f" [{100 * interval.confidence:g} %]"


def as_mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    """Return an object of a record's epsilon statement.

    Args:
        value: a part of the statement.

    Returns:
        The same part.

    Raises:
        InputError: if it is no object.
    """
    if not isinstance(value, Mapping):
        raise InputError("the record's epsilon statement is not of this version; run the experiment again")
    return value


def as_number(value: JsonValue) -> float:
    """Return a number of a record's epsilon statement.

    Args:
        value: a part of the statement.

    Returns:
        The number.

    Raises:
        InputError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError("the record's epsilon statement is not of this version; run the experiment again")
    return float(value)


def _worst(record: RunRecord) -> Mapping[str, JsonValue] | None:
    return None if record.statement is None else as_mapping(record.statement["worst"])
