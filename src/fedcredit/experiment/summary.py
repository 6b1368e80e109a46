"""What a reader is told about one run, as text tables that a terminal and a page show alike."""

from __future__ import annotations

from fedcredit.credit.discrimination import AucDifference
from fedcredit.credit.evaluation import Evaluation
from fedcredit.experiment.record import ReferenceRecord, RunRecord
from fedcredit.experiment.wording import (
    ABSENT,
    ONE_MODEL_A_LENDER,
    REFERENCE_NAMES,
    SHORT_REFERENCE_NAMES,
    WHY_NOT_POOLED,
    Table,
    as_mapping,
    as_number,
    delta_of,
    epsilon_of,
    epsilon_text,
    figure_text,
    interval_text,
    level_text,
    readable,
    sampled_by,
    with_interval,
)
from fedcredit.privacy.accounting.statement import EpsilonStatement
from fedcredit.privacy.accounting.statement_wording import at_lenders, target_of
from fedcredit.privacy.reading import percent


def headline(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """Return the few figures that a reader looks for first.

    Args:
        record: the run.

    Returns:
        Pairs of label and text.
    """
    overall = record.evaluation.overall
    delta = delta_of(record)
    spent = "none: no privacy" if delta is None else f"{epsilon_text(epsilon_of(record))} (delta {delta:g})"
    return (
        ("epsilon, worst-off lender", spent),
        ("AUC" + level_text(overall.auc_interval), with_interval(overall.auc, overall.auc_interval)),
        ("AUC within lenders", figure_text(overall.within_auc, digits=3)),
        (
            "mean PD / bad rate" + level_text(overall.mean_pd_over_bad_rate_interval),
            with_interval(overall.mean_pd_over_bad_rate, overall.mean_pd_over_bad_rate_interval, digits=2),
        ),
        (
            "held-out loans",
            f"{overall.num_loans:,} ({overall.num_defaults:,} defaults)"
            if record.mode == "simulated"
            else "not looked at: no figure on private loans leaves a lender",
        ),
        ("lenders", f"{len(record.contracts):,}"),
    )


def metric_table(record: RunRecord) -> Table:
    """Return every metric over all held-out loans.

    Args:
        record: the run.

    Returns:
        One row a metric; a second column with each lender's own intercept, where the run has it.
    """
    overall = record.evaluation.overall
    columns = [overall] if record.own_intercept is None else [overall, record.own_intercept.overall]
    labels = {
        "auc": "AUC", "within_auc": "AUC within lenders", "gini": "Gini", "ks": "KS", "ks_cut_off": "KS cut-off (PD)",
        "pr_auc": "PR-AUC", "brier": "Brier score", "log_loss": "log loss (nats)", "ece": "ECE",
        "bad_rate": "bad rate", "mean_pd": "mean PD", "mean_pd_over_bad_rate": "mean PD / bad rate",
        "calibration_slope": "calibration slope", "calibration_intercept": "calibration intercept (logit)",
    }  # fmt: skip
    rows = [(text, *(figure_text(getattr(column, name)) for column in columns)) for name, text in labels.items()]
    return Table(
        title="All held-out loans",
        headings=("metric", "shared model", "own intercepts")[: 1 + len(columns)],
        num_labels=1,
        rows=tuple(rows),
        notes=(
            "AUC over all loans also rewards ranking between lenders; AUC within lenders is the loan-weighted mean "
            "of their own. Slope 1 and intercept 0 are right; ECE over bins of equal count.",
        ),
    )


def lender_table(record: RunRecord) -> Table:
    """Return one row a lender: its size, the shared model on its loans, and what it would have alone.

    Args:
        record: the run.

    Returns:
        The table, lenders in the order of the contracts.
    """
    beside = [name for name in ("alone", "pooled") if name in record.references]
    others = [record.references[name].evaluation.institutions for name in beside]
    own = None if record.own_intercept is None else record.own_intercept.institutions
    sampled = f"train {sampled_by(record)}"
    rows = []
    for number, contract in enumerate(record.contracts, start=1):
        name = contract.institution
        found = record.evaluation.institutions.get(name)
        rows.append(
            (
                str(number),
                readable(name),
                f"{contract.num_loans:,}",
                *_size_texts(found),
                *auc_texts(found),
                *(auc_texts(other.get(name))[0] for other in others),
                *ratio_texts(found),
                *(() if own is None else ratio_texts(own.get(name))[:1]),
            )
        )
    return Table(
        title="Lenders",
        headings=(
            "no.", "lender", sampled, "held-out loans", "defaults", "bad rate", "AUC federated", "AUC interval",
            *(f"AUC {SHORT_REFERENCE_NAMES[name]}" for name in beside), "mean PD / bad rate", "ratio interval",
            *(() if own is None else ("ratio, own intercept",)),
        ),
        num_labels=2,
        rows=tuple(rows),
        notes=(interval_note(record), f"{ABSENT}: a metric that needs a default, or both outcomes, in held-out loans."),
        droppable=("ratio interval", "held-out loans", "bad rate", "AUC interval", sampled),
    )  # fmt: skip


def noise_table(record: RunRecord) -> Table:
    """Return the public constants of each lender's training and what it spent.

    Args:
        record: the run.

    Returns:
        The table, lenders in the order of the contracts.
    """
    spent = as_mapping(record.statement.get("per_lender")) if record.statement is not None else {}
    rows = []
    for number, contract in enumerate(record.contracts, start=1):
        name = contract.institution
        epsilon = as_mapping(spent[name]) if name in spent else None
        rows.append(
            (
                str(number),
                readable(name),
                f"{contract.sampling_probability:.4g}",
                f"{contract.local_steps:,}",
                f"{contract.weight:.4f}",
                figure_text(record.noise_multiplier.get(name)),
                ABSENT if epsilon is None else epsilon_text(as_number(epsilon["value"])),
            )
        )
    delta = delta_of(record)
    return Table(
        title="Contracts and noise",
        headings=(
            "no.", "lender", "sampling probability", "steps a round", "weight", "noise multiplier",
            "epsilon" if delta is None else f"epsilon (delta {delta:g})",
        ),
        num_labels=2,
        rows=tuple(rows),
    )  # fmt: skip


def _reading_heading(unit: str) -> str:
    return {"institution": "for", "borrower": "borrower at"}.get(unit, f"borrower with one {unit} at")


def reading_table(statement: EpsilonStatement) -> Table:
    """Return each epsilon of the run beside what the best attacker makes of it.

    Args:
        statement: the run's statement.

    Returns:
        One row for a borrower at one lender, and one for each number of lenders that is told.
    """
    bounds = {1: statement.worst, **statement.overlap}
    rates = statement.reading[1].false_positive_rates
    return Table(
        title="What an attacker makes of it",
        headings=(
            _reading_heading(statement.unit),
            f"epsilon (delta {statement.target_delta:g})",
            *(f"recognised at {100 * rate:g} % false alarms" for rate in rates), "advantage", "best guess right",
        ),
        num_labels=1,
        rows=tuple(
            (
                target_of(statement.unit, count) if statement.unit == "institution" else at_lenders(count),
                epsilon_text(bounds[count].value),
                *(f"{percent(rate)} %" for rate in found.true_positive_rates),
                f"{percent(found.advantage)} %",
                f"{percent((1.0 + found.advantage) / 2.0)} %",
            )
            for count, found in sorted(statement.reading.items())
        ),
        notes=(
            "Upper bounds for an attacker who sees everything released and knows everything else. Advantage: "
            "recognised minus falsely suspected, at best. Best guess: at even odds, where a coin is right 50 %.",
        ),
    )  # fmt: skip


def reference_table(record: RunRecord) -> Table:
    """Return the run beside its references on the same held-out loans.

    Args:
        record: the run.

    Returns:
        The run's row first.
    """
    own = ("this run", epsilon_text(epsilon_of(record)), *_model_texts(record.evaluation.overall), *[ABSENT] * 4)
    rows = [
        (
            REFERENCE_NAMES.get(name, readable(name)),
            epsilon_text(reference.epsilon),
            *(_own_model_texts if name in ONE_MODEL_A_LENDER else _reference_texts)(reference),
            *_gap_texts(reference.within_auc_gap),
        )
        for name, reference in record.references.items()
    ]
    delta = delta_of(record)
    return Table(
        title="References",
        headings=(
            "model", "epsilon" if delta is None else f"epsilon (delta {delta:g})", "AUC", "AUC interval",
            "AUC within lenders", "mean PD / bad rate", "ratio interval", "log loss",
            "AUC gap", "AUC gap interval", "within gap", "within gap interval",
        ),
        num_labels=1,
        rows=(own, *rows),
        notes=(
            "Gap: AUC of this run minus that of the model, paired over the same held-out loans (DeLong).",
            *((WHY_NOT_POOLED,) if any(name in ONE_MODEL_A_LENDER for name in record.references) else ()),
            interval_note(record),
        ),
        droppable=("ratio interval", "log loss", "AUC interval", "AUC gap interval", "mean PD / bad rate",
                   "within gap interval"),
    )  # fmt: skip


def interval_note(record: RunRecord) -> str:
    """Say what the intervals in a run's tables are.

    Args:
        record: the run.

    Returns:
        One sentence.
    """
    interval = record.evaluation.overall.auc_interval
    level = "" if interval is None else f"{100 * interval.confidence:g} % "
    return f"Intervals: {level}confidence, held-out loans as the sample (AUC: DeLong; ratio: delta method)."


def auc_texts(found: Evaluation | None) -> tuple[str, str]:
    """Write an AUC and its interval.

    Args:
        found: an evaluation, or ``None`` where there is none.

    Returns:
        Two texts, dashes where they do not exist.
    """
    if found is None:
        return ABSENT, ABSENT
    return figure_text(found.auc, digits=3), interval_text(found.auc_interval)


def ratio_texts(found: Evaluation | None) -> tuple[str, str]:
    """Write mean PD over bad rate and its interval.

    Args:
        found: an evaluation, or ``None`` where there is none.

    Returns:
        Two texts, dashes where they do not exist.
    """
    if found is None:
        return ABSENT, ABSENT
    interval = interval_text(found.mean_pd_over_bad_rate_interval, digits=2)
    return figure_text(found.mean_pd_over_bad_rate, digits=2), interval


def _size_texts(found: Evaluation | None) -> tuple[str, str, str]:
    if found is None:
        return ABSENT, ABSENT, ABSENT
    return f"{found.num_loans:,}", f"{found.num_defaults:,}", figure_text(found.bad_rate, digits=3)


def _model_texts(found: Evaluation) -> tuple[str, ...]:
    within = figure_text(found.within_auc, digits=3)
    return *auc_texts(found), within, *ratio_texts(found), figure_text(found.log_loss)


def _reference_texts(reference: ReferenceRecord) -> tuple[str, ...]:
    return *_model_texts(reference.evaluation.overall), *_gap_texts(reference.auc_gap)


def _own_model_texts(reference: ReferenceRecord) -> tuple[str, ...]:
    """Leave out what would count knowing a loan's lender as skill: the AUC of all scores together."""
    everywhere = figure_text(reference.everywhere_auc, digits=3)
    return everywhere, ABSENT, *_model_texts(reference.evaluation.overall)[2:], ABSENT, ABSENT


def _gap_texts(gap: AucDifference | None) -> tuple[str, str]:
    return (ABSENT, ABSENT) if gap is None else (f"{gap.value:+.4f}", interval_text(gap.interval, digits=4, sign="+"))
