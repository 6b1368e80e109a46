"""The arms of a study side by side, as a text table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fedcredit.errors import InputError
from fedcredit.experiment.arms import arm_labels
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.summary import auc_texts, interval_note, ratio_texts
from fedcredit.experiment.wording import (
    ABSENT,
    ONE_MODEL_A_LENDER,
    REFERENCE_NAMES,
    SHORT_REFERENCE_NAMES,
    WHY_NOT_POOLED,
    Table,
    delta_of,
    epsilon_of,
    epsilon_text,
    figure_text,
    readable,
)

_NEVER_PRIVATE = ("pooled_network", "pooled_logistic", "pooled_trees", "joined_network", "joined_trees", "oracle")


def study_table(records: Sequence[RunRecord]) -> Table:
    """Compare the arms of a study, the least private first.

    Args:
        records: finished runs, at least one.

    Returns:
        One row a run. References without privacy that are equal in all runs stand in the notes.

    Raises:
        InputError: if there is no run.
    """
    if not records:
        raise InputError("records holds no run; give at least one finished run")
    ordered = in_order(records)
    private, constant = _references_of(ordered)
    seeds = [f"{record.experiment.get('split_seed')} / {record.experiment.get('seed')}" for record in ordered]
    studies = {record.name.partition("/")[0] for record in ordered}
    varies = len(set(seeds)) > 1
    rows = [
        (
            readable(label.partition("/")[2] if len(studies) == 1 else label),
            *((seed,) if varies else ()),
            epsilon_text(epsilon_of(record)),
            *auc_texts(record.evaluation.overall),
            figure_text(record.evaluation.overall.within_auc, digits=3),
            *ratio_texts(record.evaluation.overall),
            *(text for name in private for text in _reference_texts(record, name)),
        )
        for record, seed, label in zip(ordered, seeds, arm_labels(ordered), strict=True)
    ]
    return Table(
        title=f"Arms of {', '.join(sorted(studies))}",
        headings=(
            "arm", *(("split / seed",) if varies else ()), _epsilon_heading(ordered), "AUC", "AUC interval",
            "AUC within lenders", "mean PD / bad rate", "ratio interval",
            *(heading for name in private for heading in _reference_headings(name)),
        ),
        num_labels=2 if varies else 1,
        rows=tuple(rows),
        notes=(interval_note(ordered[0]), *_reference_notes(private, constant)),
        droppable=("ratio interval", "AUC one-shot", "AUC logistic", "AUC interval"),
    )  # fmt: skip


def in_order(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Order runs from the least to the most private, then by name and fingerprint.

    Args:
        records: finished runs.

    Returns:
        The same runs, ordered.
    """
    return sorted(records, key=lambda record: (-epsilon_of(record), record.name, record.fingerprint))


def _epsilon_heading(records: Sequence[RunRecord]) -> str:
    deltas = sorted({delta for delta in map(delta_of, records) if delta is not None})
    return f"epsilon (delta {', '.join(f'{delta:g}' for delta in deltas)})" if deltas else "epsilon"


def _reference_notes(private: Sequence[str], constant: Mapping[str, str]) -> Iterator[str]:
    if private:
        meaning = "; ".join(f"{SHORT_REFERENCE_NAMES.get(name, name)}: {REFERENCE_NAMES.get(name, name)}"
                            for name in private)  # fmt: skip
        yield f"References, on the same held-out loans: {meaning}."
    if any(name in ONE_MODEL_A_LENDER for name in private):
        yield WHY_NOT_POOLED
    if constant:
        figures = "; ".join(f"{REFERENCE_NAMES[name]}: {text}" for name, text in constant.items())
        yield f"References that are the same for every arm, AUC: {figures}."


def _references_of(records: Sequence[RunRecord]) -> tuple[list[str], dict[str, str]]:
    """Part the references into columns, and those that are one figure for the whole study."""
    names = list(dict.fromkeys(name for record in records for name in record.references))
    constant = {}
    for name in (name for name in names if name in _NEVER_PRIVATE):
        figures = {_reference_texts(record, name)[0] for record in records}
        if len(figures) == 1:
            constant[name] = figures.pop()
    return [name for name in names if name not in constant], constant


def _reference_texts(record: RunRecord, name: str) -> tuple[str, ...]:
    reference = record.references.get(name)
    if reference is None:
        return (ABSENT,) * len(_reference_headings(name))
    overall = reference.evaluation.overall
    if name in ONE_MODEL_A_LENDER:
        return figure_text(reference.everywhere_auc, digits=3), figure_text(overall.within_auc, digits=3)
    return (figure_text(overall.auc, digits=3),)


def _reference_headings(name: str) -> tuple[str, ...]:
    short = SHORT_REFERENCE_NAMES.get(name, name)
    return (f"AUC {short}", f"within lenders, {short}") if name in ONE_MODEL_A_LENDER else (f"AUC {short}",)
