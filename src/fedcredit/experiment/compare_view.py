"""A comparison of arms as a terminal table, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io

from fedcredit.experiment.compare import Comparison, Difference, Mean
from fedcredit.experiment.wording import ABSENT, Table, readable


def comparison_table(comparison: Comparison) -> Table:
    """Lay a comparison out for a terminal.

    Args:
        comparison: the comparison.

    Returns:
        One row an arm.
    """
    names = [metric.rpartition(".")[2].replace("_", " ") for metric in comparison.metrics]
    labels = [arm.by for arm in comparison.arms]
    is_by = bool(comparison.by) and len(set(labels)) == len(labels)
    headings = [comparison.by if is_by else "arm", "splits"]
    for name in names:
        headings += [name, *((f"{name}, difference",) if comparison.reference is not None else ())]
    rows = []
    for arm in comparison.arms:
        first = next((mean for mean in arm.figures.values() if mean is not None), None)
        row = [arm.by if is_by else readable(arm.label), str(first.num_splits if first else 0)]
        for metric in comparison.metrics:
            row.append(_mean_text(arm.figures[metric]))
            if comparison.reference is not None:
                row.append(_difference_text(arm.differences.get(metric)))
        rows.append(tuple(row))
    return Table(
        title="Arms compared",
        headings=tuple(headings),
        num_labels=1,
        rows=tuple(rows),
        notes=_notes(comparison),
    )


def comparison_csv(comparison: Comparison) -> str:
    """Return a comparison as CSV, one line for each arm and metric.

    Args:
        comparison: the comparison.

    Returns:
        CSV with a heading.
    """
    rows = comparison.rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def comparison_latex(comparison: Comparison) -> str:
    """Return a comparison as a LaTeX table of the ``booktabs`` kind.

    Args:
        comparison: the comparison.

    Returns:
        A ``tabular`` environment.
    """
    table = comparison_table(comparison)
    lines = [
        rf"\begin{{tabular}}{{{'l' * table.num_labels}{'r' * (len(table.headings) - table.num_labels)}}}",
        r"\toprule",
        " & ".join(_latex(heading) for heading in table.headings) + r" \\",
        r"\midrule",
        *(" & ".join(_latex(cell) for cell in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(f"% {note}" for note in table.notes),
    ]
    return "\n".join(lines) + "\n"


def _mean_text(mean: Mean | None) -> str:
    if mean is None:
        return ABSENT
    return f"{mean.value:.4f}" if mean.low is None else f"{mean.value:.4f} [{mean.low:.4f}, {mean.high:.4f}]"


def _difference_text(difference: Difference | None) -> str:
    if difference is None:
        return ABSENT
    mean, p_value = difference.mean, difference.adjusted_p_value
    interval = "" if mean.low is None else f" [{mean.low:+.4f}, {mean.high:+.4f}]"
    return f"{mean.value:+.4f}{interval}" + ("" if p_value is None else f" p {p_value:.2g}")


def _notes(comparison: Comparison) -> tuple[str, ...]:
    notes = [f"Means over splits with t intervals of {100 * comparison.confidence:g} %."]
    if comparison.reference is not None:
        count = len(comparison.arms) - 1
        notes.append(
            f"Differences are against {readable(comparison.reference)}, paired split by split; p-values of {count} "
            "comparisons a metric, adjusted by Holm's method. Splits of one table share loans, so intervals are a "
            "little too narrow."
        )
    if len(comparison.arms) > 1:
        keys = ", ".join(comparison.differing) or "nothing"
        notes.append(f"What differs between the arms: {keys}.")
    return tuple(notes)


def _latex(text: str) -> str:
    escaped = "".join(rf"\{sign}" if sign in "&%$#_{}" else sign for sign in text)
    return escaped.replace(ABSENT, "--").replace("~", r"\textasciitilde{}").replace("^", r"\textasciicircum{}")
