"""What a passport says against its own run: where its figures end, and what nobody has looked at."""

from __future__ import annotations

from fedcredit.experiment.kept_model import KeptModel
from fedcredit.experiment.privacy_page import not_covered
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.spec import HashedSplit, MarketPortfolio
from fedcredit.experiment.wording import figure_text, readable, statement_of


def limits(model: KeptModel) -> list[str]:
    """List the limits of a run: of its evaluation, of its level, of its promise.

    Args:
        model: the run's model.

    Returns:
        One text each, those of the evaluation first.
    """
    record = model.record
    statement = statement_of(record)
    lines = [
        "loans that were refused have no outcome: nothing here says how the network does on them",
        *_time(model),
        *_level(record),
        *_groups(record),
        f"cells outside the public ranges of {model.schema.name} are clipped or counted as other, in training and when "
        "new loans are scored",
    ]
    if isinstance(model.experiment.portfolio, MarketPortfolio):
        lines.append("the loans are simulated: what is found carries over as far as the market resembles a real one")
    lines += [remark.rstrip(".") for remark in record.remarks]
    if statement is not None:
        lines += [f"not covered by epsilon: {line}" for line in not_covered(record, statement)]
    return [*lines, "this page is written from the run's own files; nobody has validated them independently"]


def _time(model: KeptModel) -> list[str]:
    if isinstance(model.experiment.split, HashedSplit):
        return [
            "held-out loans are other borrowers of the same lenders and months as training loans: later months, other "
            "lenders and other products were not looked at"
        ]
    named = ", ".join(
        f"{name} {window.months[0]} to {window.months[1]}, AUC {figure_text(window.evaluation.overall.auc)}"
        for name, window in model.record.windows.items()
    )
    return [f"tested on later months ({named}); other lenders and other products were not looked at"]


def _level(record: RunRecord) -> list[str]:
    """Say how far one level for all is off at single lenders."""
    ratios = {
        readable(name): found.mean_pd_over_bad_rate
        for name, found in record.evaluation.institutions.items()
        if found.mean_pd_over_bad_rate is not None
    }
    if not ratios:
        return []
    low, high = min(ratios, key=lambda name: ratios[name]), max(ratios, key=lambda name: ratios[name])
    return [
        f"one level for all lenders: mean PD is {ratios[low]:.2f} times the bad rate at {low} and {ratios[high]:.2f} "
        f"times at {high}; a single lender needs its own intercept before its probabilities are multiplied with money"
    ]


def _groups(record: RunRecord) -> list[str]:
    fairness = None if record.review is None else record.review.fairness
    if not fairness:
        return ["no groups of people were compared: nothing here says whether the network treats them alike"]
    return [f"groups of people were compared by {', '.join(sorted(fairness))} alone, at one cut-off (report.html)"]
