"""What tells the arms of a study apart: the keys of their configs, and what each one's epsilon means."""

from __future__ import annotations

from collections.abc import Sequence

from fedcredit.experiment.compare import compare
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import arms_by_split
from fedcredit.experiment.study import in_order
from fedcredit.experiment.wording import ABSENT, Table, epsilon_of, epsilon_text, readable, statement_of
from fedcredit.privacy.accounting.statement import OVERLAPS, EpsilonStatement
from fedcredit.privacy.accounting.statement_wording import at_lenders
from fedcredit.privacy.reading import percent

_MAX_ARMS = 40


def difference_table(records: Sequence[RunRecord]) -> Table | None:
    """Return the keys of the configs that are not the same in all arms.

    Args:
        records: finished runs, at least one.

    Returns:
        One row a key and one column an arm; ``None`` if no key differs.
    """
    found = compare(in_order(records), metrics=())
    arms = [arm.label for arm in found.arms][:_MAX_ARMS]
    if not found.differing:
        return None
    left = len(found.arms) - len(arms)
    return Table(
        title="What differs between the configs",
        headings=("key", *(readable(label.partition("/")[2]) for label in arms)),
        num_labels=1,
        rows=tuple((key, *(readable(values[label]) for label in arms)) for key, values in found.differing.items()),
        notes=(
            "Computed from the configs; seeds, names and what decides no number are left out.",
            *((f"{left} more arms are left out.",) if left else ()),
        ),
    )


def privacy_table(records: Sequence[RunRecord]) -> Table | None:
    """Return what the epsilon of one run of each private arm means.

    Args:
        records: finished runs, at least one.

    Returns:
        One row an arm, of its dearest run; ``None`` where no run is private.
    """
    rows, deltas = [], set()
    for label, runs in arms_by_split(in_order(records)).items():
        statement = statement_of(max(runs.values(), key=epsilon_of))
        if statement is not None:
            rows.append((readable(label.partition("/")[2]), *_texts(statement)))
            deltas.add(statement.target_delta)
    if not rows:
        return None
    at = f", delta {', '.join(f'{delta:g}' for delta in sorted(deltas))}"
    return Table(
        title="Epsilon of one run, by arm",
        headings=(
            "arm", "unit", "relation", f"epsilon at one lender{at}", *(f"at {at_lenders(count)}" for count in OVERLAPS),
            "recognised at 1 % false alarms, one lender", *(f"{at_lenders(count)}" for count in OVERLAPS),
            "advantage, one lender", "by",
        ),
        num_labels=1,
        rows=tuple(rows),
        notes=(
            "Upper bounds for a borrower with one record at each of so many lenders, of the federation of one run. "
            "Recognised: the share of used records that the best attacker finds, at most, while it wrongly suspects 1 "
            "in 100 unused ones.",
        ),
    )  # fmt: skip


def _texts(statement: EpsilonStatement) -> tuple[str, ...]:
    counts = (1, *OVERLAPS)
    bounds = {1: statement.worst, **statement.overlap}
    place = statement.reading[1].false_positive_rates.index(0.01)
    return (
        statement.unit,
        statement.relation,
        *(epsilon_text(bounds[count].value) if count in bounds else ABSENT for count in counts),
        *(
            f"{percent(statement.reading[count].true_positive_rates[place])} %"
            if count in statement.reading
            else ABSENT
            for count in counts
        ),
        f"{percent(statement.reading[1].advantage)} %",
        statement.worst.accountant,
    )
