"""What is said about the charged releases of a run: in its epsilon statement, its tables and its page."""

from __future__ import annotations

from collections.abc import Mapping

from fedcredit.credit.histogram import HistogramFigures, NoisyFigure
from fedcredit.experiment.charged_plan import charged_noise
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.spec import Charged, Experiment
from fedcredit.experiment.wording import ABSENT, Table, epsilon_text, figure_text, readable, with_interval
from fedcredit.privacy.accounting.parts import EventsOf, events_by_part
from fedcredit.privacy.accounting.releases import (
    ENCODING_RANGES,
    OWN_INTERCEPT,
    PARTS,
    RECALIBRATION,
    TEST_HISTOGRAM,
    VALIDATION_HISTOGRAM,
)
from fedcredit.privacy.accounting.statement import worst_epsilon


def charged_words(experiment: Experiment) -> tuple[str, ...]:
    """Say what the charged releases are, for an epsilon statement.

    Args:
        experiment: the experiment.

    Returns:
        One text a release, without epsilons.
    """
    charged = experiment.evaluation.charged or Charged()
    histogram = charged.score_histogram
    what = {
        ENCODING_RANGES: "noisy counts of each lender's training loans by ranged feature, and the ranges from them",
        OWN_INTERCEPT: "a noisy level (bads and scores) of each lender's training and validation loans",
        RECALIBRATION: "a noisy score histogram of each lender's validation loans and the line fitted to it",
        TEST_HISTOGRAM: "a noisy score histogram of each lender's test loans",
        VALIDATION_HISTOGRAM: "a noisy score histogram of each lender's validation loans",
    }
    bins = {
        RECALIBRATION: charged.recalibration.num_bins if charged.recalibration else 0,
        TEST_HISTOGRAM: histogram.num_bins if histogram else 0,
    }
    bins[VALIDATION_HISTOGRAM] = bins[TEST_HISTOGRAM]
    return tuple(
        f"{what[name]} (noise multiplier {multiplier:.4g}{f', {bins[name]} bins' if bins.get(name) else ''})"
        for name, multiplier in charged_noise(experiment).items()
    )


def lines_by_part(ledgers: Mapping[str, EventsOf], delta: float, *, has_keys: bool) -> list[str]:
    """Say how what is released of held-out loans and of training loans composes.

    Args:
        ledgers: lender -> what its ledger holds under a release's name.
        delta: that of the statement.
        has_keys: whether the table has borrower keys, by which loans are dealt into parts.

    Returns:
        One line, or none where only training loans are read.
    """
    parts = {name: events_by_part(events_of) for name, events_of in ledgers.items()}
    present = [part for part in PARTS if any(part in own for own in parts.values())]
    if len(present) == 1:
        return []
    prices = {
        part: worst_epsilon({name: own.get(part, ()) for name, own in parts.items()}, delta=delta).value
        for part in present
    }
    told = ", ".join(f"{epsilon_text(price)} for {part} loans" for part, price in prices.items())
    keys = (
        "loans are dealt into them by their borrower's keyed hash, so a borrower is in one of them at every lender and "
        "pays for the dearest, not for the sum"
        if has_keys
        else "no borrower key is known, so the lines for several lenders are of the dearest choice of parts"
    )
    return [f"by the part of the loans at one lender: epsilon {told}; {keys}"]


def not_covered(experiment: Experiment) -> str:
    """Say which figures of a run no epsilon covers.

    Args:
        experiment: the experiment.

    Returns:
        A line of its statement.
    """
    charged = experiment.evaluation.charged
    has_figures = charged is not None and (charged.score_histogram or charged.recalibration)
    figures = "figures on validation and test loans" + (" other than the charged ones" if has_figures else "")
    own = "" if experiment.evaluation.own_intercept == "charged" else " own intercepts,"
    return f"not covered: {figures},{own} and bad rates, which this simulation reads in the clear"


def charged_tables(record: RunRecord) -> tuple[Table, ...]:
    """Return the figures that left the lenders with noise, beside those read in the clear.

    Args:
        record: the run.

    Returns:
        A table of the score histogram and one of the corrections, where the run has them.
    """
    return (*_histogram_table(record), *_correction_table(record))


def _histogram_table(record: RunRecord) -> tuple[Table, ...]:
    figures = None if record.charged is None else record.charged.figures
    if figures is None:
        return ()
    named = [("all lenders", figures.overall), *((readable(n), own) for n, own in figures.institutions.items())]
    return (
        Table(
            title=f"Charged figures: noisy score histogram of {figures.loans} loans",
            headings=("lender", "loans", "defaults", "AUC", "KS", "mean PD / bad rate", "ECE", "ECE of noise alone"),
            num_labels=1,
            rows=tuple((name, *_cells(own)) for name, own in named),
            notes=(
                "Made from noisy counts alone; intervals hold the noise and the sampling of loans. KS is the largest "
                f"of noisy distances, so it is too high where noise is large. {ABSENT}: noise hides goods or bads.",
            ),
            droppable=("ECE of noise alone", "ECE", "KS"),
        ),
    )


def _cells(figures: HistogramFigures) -> tuple[str, ...]:
    def told(figure: NoisyFigure | None) -> str:
        return ABSENT if figure is None else with_interval(figure.value, figure.interval)

    return (
        f"{figures.num_loans:,.0f}", f"{figures.num_defaults:,.0f}", told(figures.auc), told(figures.ks),
        told(figures.mean_pd_over_bad_rate),
        figure_text(figures.ece, digits=3), figure_text(figures.ece_floor, digits=3),
    )  # fmt: skip


def _correction_table(record: RunRecord) -> tuple[Table, ...]:
    charged = record.charged
    if charged is None or RECALIBRATION not in charged.noise_multiplier:
        return ()
    line, after = charged.line, charged.recalibrated
    before = record.evaluation.overall
    note = "Noise hides the line; nothing was corrected." if line is None else (
        f"logit = {line.intercept:+.3f} + {line.slope:.3f} logit(PD), from noisy counts of validation loans; what it "
        "does to test loans is read in the clear."
    )  # fmt: skip
    columns = [before] if after is None else [before, after.overall]
    rows = {"mean PD / bad rate": "mean_pd_over_bad_rate", "log loss (nats)": "log_loss", "ECE": "ece"}
    return (
        Table(
            title="Charged recalibration",
            headings=("test loans", "shared model", "recalibrated")[: 1 + len(columns)],
            num_labels=1,
            rows=tuple((text, *(figure_text(getattr(c, name)) for c in columns)) for text, name in rows.items()),
            notes=(note,),
        ),
    )
