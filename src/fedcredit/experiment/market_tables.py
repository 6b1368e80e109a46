"""What a record says beyond its evaluation, as tables of finished text."""

from __future__ import annotations

import math

from fedcredit.experiment.market_records import (
    ALL,
    OWN_INTERCEPT,
    OWN_ORACLE,
    RUN,
    ShockRecord,
    Stability,
    TruthFigures,
)
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.rings import ring_table
from fedcredit.experiment.summary import auc_texts, interval_note, ratio_texts
from fedcredit.experiment.vertical import VERTICAL, vertical_gain
from fedcredit.experiment.wording import ABSENT, REFERENCE_NAMES, Table, figure_text, readable


def beyond_tables(record: RunRecord) -> list[Table]:
    """Return the tables of a run that not every run has.

    Args:
        record: the run.

    Returns:
        Against the truth, levels by lender, windows, the shock and fraud rings, as far as the record has them.
    """
    tables = []
    if record.truth is not None:
        tables += [truth_table(record), level_table(record)]
    if record.windows:
        tables.append(window_table(record))
    if record.shock is not None:
        tables.append(shock_table(record))
    if record.rings is not None:
        tables.append(ring_table(record))
    return tables


def truth_table(record: RunRecord) -> Table:
    """Return every model of a run against the truth of its market.

    Args:
        record: a run on a simulated market.

    Returns:
        One row a model, the true PD last.
    """
    assert record.truth is not None
    rows = tuple((_name(model), *_truth_texts(groups[ALL])) for model, groups in record.truth.models.items())
    return Table(
        title="Against the true PD",
        headings=(
            "model", "AUC within lenders", "share of AUC found", "KS within lenders", "log loss above the truth's",
            "share of log loss found", "mean PD / true", "slope on log-odds",
        ),
        num_labels=1,
        rows=rows,
        notes=(
            "Expected over outcomes drawn from each held-out loan's true PD, so without the luck of who defaulted; "
            "read by this evaluation alone, never in training. AUC and KS: means of the lenders' own, by loans. "
            "Shares: 0 is a lender's mean, 1 the true PD itself. Slope below 1: predictions too extreme.",
            *_vertical_note(record),
        ),
        droppable=("KS within lenders", "slope on log-odds", "log loss above the truth's"),
    )  # fmt: skip


def level_table(record: RunRecord) -> Table:
    """Return each lender's level and ranking against the truth, with and without its own intercept.

    Args:
        record: a run on a simulated market.

    Returns:
        One row a lender.
    """
    truth = record.truth
    assert truth is not None
    own = [truth.models[model] for model in (OWN_INTERCEPT, OWN_ORACLE) if model in truth.models]
    rows = tuple(
        (
            readable(name),
            kind,
            figure_text(truth.models[RUN][name].auc, digits=3),
            *(figure_text(truth.models[model][name].auc, digits=3) for model in ("alone",) if model in truth.models),
            figure_text(truth.models["oracle"][name].auc, digits=3),
            figure_text(truth.models[RUN][name].mean_pd_over_true, digits=2),
            *(figure_text(groups[name].mean_pd_over_true, digits=2) for groups in own),
        )
        for name, kind in truth.kinds.items()
    )
    return Table(
        title="Lenders against the true PD",
        headings=(
            "lender", "kind", "AUC federated", *(("AUC alone",) if "alone" in truth.models else ()), "AUC true PD",
            "mean PD / true", *("own intercept", "true PD, own intercept")[: len(own)],
        ),
        num_labels=2,
        rows=rows,
        notes=() if not own else (
            "True PD, own intercept: what who knew the true PD but for its level would make of the same outcomes.",
        ),
    )  # fmt: skip


def window_table(record: RunRecord) -> Table:
    """Return what a network reached in each test window, and how far scores and columns moved.

    Args:
        record: a run split out of time.

    Returns:
        One row a window.
    """
    rows = tuple(
        (
            readable(name),
            " to ".join(dict.fromkeys(window.months)),
            f"{window.evaluation.overall.num_loans:,}",
            figure_text(window.evaluation.overall.bad_rate, digits=4),
            *auc_texts(window.evaluation.overall),
            ABSENT if window.of_others is None else figure_text(window.of_others.overall.auc, digits=3),
            f"{100 * window.known_share:.0f} %",
            *ratio_texts(window.evaluation.overall),
            _stability_text(window.score),
            ", ".join(f"{readable(column)} {_stability_text(found)}" for column, found in window.columns.items()),
        )
        for name, window in record.windows.items()
    )
    return Table(
        title="Out of time",
        headings=(
            "window", "months", "loans", "bad rate", "AUC", "AUC interval", "AUC, unknown borrowers",
            "known borrowers", "mean PD / bad rate", "ratio interval", "PSI of the score", "columns that moved most",
        ),
        num_labels=2,
        rows=rows,
        notes=(
            "Known borrowers have a training loan at some lender. PSI against training time; in brackets what chance "
            "alone exceeds once in twenty.",
            interval_note(record),
        ),
        droppable=("columns that moved most", "ratio interval", "AUC interval", "loans"),
    )  # fmt: skip


def shock_table(record: RunRecord) -> Table:
    """Return how many times more defaults a shock makes, by kind of lender.

    Args:
        record: a run on a market with a shock.

    Returns:
        One row a kind.
    """
    shock = record.shock
    assert shock is not None
    rows = []
    for kind, count in shock.with_shock.items():
        calm = shock.without[kind]
        spread = math.sqrt(1.0 / calm + 1.0 / count) if calm and count else math.inf
        ratio = count / calm if calm else math.nan
        interval = ABSENT if not math.isfinite(spread) else (
            f"[{ratio * math.exp(-1.96 * spread):.2f}, {ratio * math.exp(1.96 * spread):.2f}]"
        )  # fmt: skip
        times = ABSENT if math.isnan(ratio) else f"{ratio:.2f}"
        rows.append((kind, f"{calm:,.0f}", f"{count:,.0f}", times, interval, *_true_times(shock, kind)))
    return Table(
        title=f"The shock: {shock.shock}, from month {shock.shock_month}",
        headings=(
            "kind", "defaults without", "defaults with", "times", "interval",
            *(("true PD, times",) if shock.true_pd_with else ()),
        ),
        num_labels=1,
        rows=tuple(rows),
        notes=(
            f"Accounts that reach 90 days past due {shock.first_after} to {shock.last_after} months after the shock "
            "began, in this market and in the same market without it. Interval: 95 %, as of independent Poisson "
            "counts, which is wide, since both markets share their draws.",
            *(
                (f"True PD: the mean over the 12 months after month {shock.true_pd_month}, without the luck of who "
                 "defaulted.",) if shock.true_pd_with else ()
            ),
        ),
    )  # fmt: skip


def _true_times(shock: ShockRecord, kind: str) -> tuple[str, ...]:
    """Write how many times higher the mean true PD is with the shock, where it is known of any kind."""
    if not shock.true_pd_with:
        return ()
    struck, calm = shock.true_pd_with.get(kind), shock.true_pd_without.get(kind)
    return (f"{struck / calm:.2f}" if struck and calm else ABSENT,)


def _truth_texts(found: TruthFigures) -> tuple[str, ...]:
    return (
        figure_text(found.auc, digits=3),
        figure_text(found.auc_share, digits=3),
        figure_text(found.ks, digits=3),
        figure_text(found.regret, digits=4),
        figure_text(found.log_loss_share, digits=3),
        figure_text(found.mean_pd_over_true, digits=2),
        figure_text(found.slope, digits=2),
    )


def _vertical_note(record: RunRecord) -> tuple[str, ...]:
    """Answer the vertical question where a pooled model was fitted without and with them."""
    added = [(model, gain) for model in VERTICAL if (gain := vertical_gain(record, model, ALL)) is not None]
    if not added:
        return ()
    told = " and ".join(f"{gain:+.4f} of AUC to a pooled {model}" for model, gain in added)
    return (f"What the borrowers' balances at other lenders would add: {told}.",)


def _name(model: str) -> str:
    own = {OWN_INTERCEPT: "this run, own intercepts", OWN_ORACLE: "the true PD, own intercepts"}
    return REFERENCE_NAMES.get(model, own.get(model, model))


def _stability_text(found: Stability) -> str:
    return f"{found.psi:.3f} ({found.by_chance:.3f})"
