"""Attacks in words, tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fedcredit.experiment.attacks.bad_rate import ALONE, REFERENCE, SHADOWS, BadRates, Estimates
from fedcredit.experiment.attacks.finding import Arm, Attack
from fedcredit.experiment.attacks.inversion import FLAG_TOLERANCE, NUMBER_TOLERANCE, Inversion
from fedcredit.experiment.attacks.membership import LIRA, SIGNIFICANCE, Membership, Success
from fedcredit.experiment.canvas import Picture, draw, legend_below
from fedcredit.experiment.palette import Theme
from fedcredit.experiment.wording import ABSENT, Table
from fedcredit.privacy.reading import FALSE_POSITIVE_RATES

_LEAST_RATE = 1e-3
_TICKS = (1e-3, 1e-2, 1e-1, 1.0)
_MARKERS = "osD^"
_NEVER_A_BOUND = "an attack that fails proves nothing: it is attack success, never a bound on epsilon"


def tell_membership(arms: Sequence[Arm[Membership]], *, name: str, seed: int) -> Attack:
    """Tell a membership attack.

    Args:
        arms: what was found, without privacy first.
        name: of the experiment.
        seed: of the attack.

    Returns:
        The attack in its common form.
    """
    last = arms[-1].found
    rows = []
    for arm in arms:
        rows += [_success_row(arm.label, attack) for attack in arm.found.attacks]
        allowed = (f"{100.0 * rate:.2f} %" for rate in arm.found.allowed_at)
        rows.append((arm.label, "the promise allows at most", f"{arm.found.allowed_auc:.4f}", *allowed))
    whose = "all lenders" if len(last.lenders) > 1 else f"lender {last.lenders[0]}"
    return Attack(
        kind="membership", name=name, seed=seed,
        adversary="anybody who has the network after the last round and looks for loans in it",
        knowledge=(
            "columns and outcomes of the loans looked for, the recipe, the first parameters, all public constants, "
            "and as many loans of the same kind as it takes to train shadow federations"
        ),
        method=(
            f"{LIRA} (Carlini et al. 2022, online) with {last.num_runs} shadow federations on random halves of "
            f"{last.num_loans:,} training loans of {whose}, each attacked with all but its complement; beside it "
            "one threshold on the confidence in the true outcome"
        ),
        meaning=(
            "share of used loans recognised at a share of false alarms, beside what the trade-off curve of the "
            f"promise allows anybody who sees every update; {_NEVER_A_BOUND}"
        ),
        table=Table(
            title="Loans recognised",
            headings=("federation", "attack", "AUC", *_at_rates()),
            num_labels=2, rows=tuple(rows),
            notes=(
                f"{100.0 * (1.0 - SIGNIFICANCE):g} % Clopper-Pearson intervals over federations, at the number of "
                "trials that their spread leaves. A coin has AUC 0.5 and recognises as many as it suspects.",
            ),
        ),
        figures={"arms": [_membership_json(arm) for arm in arms]},
        picture=_membership_picture(arms),
    )  # fmt: skip


def tell_bad_rate(arms: Sequence[Arm[BadRates]], *, name: str, seed: int) -> Attack:
    """Tell an attack on bad rates.

    Args:
        arms: what was found, without privacy first.
        name: of the experiment.
        seed: of the attack.

    Returns:
        The attack in its common form.
    """
    last = arms[-1].found
    rows = [
        (
            arm.label, estimates.method, f"{100.0 * estimates.mean_absolute_error:.2f}",
            ABSENT if estimates.correlation is None else f"{estimates.correlation:.3f}",
        )
        for arm in arms
        for estimates in arm.found.estimates
    ]  # fmt: skip
    reason = last.why_no_closed_form
    notes = (f"No closed form here: {reason}.",) if reason else ()
    return Attack(
        kind="bad_rate", name=name, seed=seed,
        adversary=(
            "an honest-but-curious server; for all but the first method with a lender that colludes "
            "and shows it its loans"
        ),
        knowledge="each lender's clipped, noised update of every round, the networks sent, all public constants",
        method=(
            f"{ALONE}: the PD of a typical loan minus the gradient of the output's bias, averaged over rounds. "
            f"{REFERENCE}: least squares between the mean gradients of bad and of good loans. "
            f"{SHADOWS}: ridge regression on the output layer's mean update of lenders of known bad rates, drawn "
            "from the colluder's loans"
        ),
        meaning=(
            "a promise to each loan hides a loan, not what a lender's loans have in common: its bad rate and its mix. "
            "A lender that must hide these needs updates that only a sum of many lenders leaves, or a promise to "
            "whole lenders"
        ),
        table=Table(
            title=f"Bad rates of {len(last.lenders)} lenders, read off their updates",
            headings=("federation", "method", "mean absolute error, points", "correlation with the truth"),
            num_labels=2, rows=tuple(rows),
            notes=(f"The largest lender, {last.colluder}, colludes and is not attacked.", *notes),
        ),
        figures={"arms": [{"federation": arm.label, "found": arm.found} for arm in arms]},
        picture=_bad_rate_picture(arms),
    )  # fmt: skip


def tell_inversion(arms: Sequence[Arm[Inversion]], *, name: str, seed: int) -> Attack:
    """Tell an inversion of updates.

    Args:
        arms: what was found, without privacy first.
        name: of the experiment.
        seed: of the attack.

    Returns:
        The attack in its common form.
    """
    last = arms[-1].found
    rows = tuple(
        (
            arm.label, f"{found.num_loans}", f"{100.0 * found.share:.1f} ({100.0 * found.standard_error:.1f})",
            f"{100.0 * found.whole_loans:.1f}", f"{100.0 * found.guessed:.1f}",
        )
        for arm in arms
        for found in arm.found.recovered
    )  # fmt: skip
    return Attack(
        kind="inversion", name=name, seed=seed,
        adversary="an honest-but-curious server that looks at one lender of very few loans",
        knowledge="that lender's clipped, noised update of every round, the networks sent, all public constants",
        method=(
            f"gradient of the first layer's weights over that of its biases, least squares over units and rounds, for "
            f"{last.num_lenders} lenders of each size; of several loans the guess of the unit that fits each best"
        ),
        meaning=(
            "share of a loan's columns that the update gives away; as many as the guess means that nothing was read. "
            "Better attacks than this one may exist; none passes what the promise allows"
        ),
        table=Table(
            title=f"Columns of a loan recovered, of {len(last.columns)}",
            headings=(
                "federation", "loans a lender", "% of columns (s.e.)", "% of loans whole", "% by guessing the median",
            ),
            num_labels=2, rows=rows,
            notes=(
                f"Recovered: a number within {100.0 * NUMBER_TOLERANCE:g} % of its public range, a flag nearer to "
                f"its value than to the other ({FLAG_TOLERANCE:g} of the step), on the encoded row.",
            ),
        ),
        figures={"arms": [{"federation": arm.label, "found": arm.found} for arm in arms]},
        picture=_inversion_picture(arms),
    )  # fmt: skip


def _at_rates() -> tuple[str, ...]:
    return tuple(f"at {100.0 * rate:g} % alarms" for rate in FALSE_POSITIVE_RATES)


def _success_row(label: str, attack: Success) -> tuple[str, ...]:
    points = (
        f"{100.0 * point.true_positive_rate:.2f} ({100.0 * point.interval.lower:.2f} to "
        f"{100.0 * point.interval.upper:.2f}) %"
        for point in attack.points
    )
    return (label, attack.method, f"{attack.auc:.4f}", *points)


def _membership_json(arm: Arm[Membership]) -> dict[str, object]:
    found = arm.found
    return {
        "federation": arm.label,
        "epsilon": found.epsilon,
        "delta": found.delta,
        "lenders": found.lenders,
        "num_loans": found.num_loans,
        "num_runs": found.num_runs,
        "train_gap": found.train_gap,
        "attacks": [{"method": item.method, "auc": item.auc, "points": item.points} for item in found.attacks],
        "allowed": {
            "false_positive_rates": FALSE_POSITIVE_RATES,
            "true_positive_rates": found.allowed_at,
            "auc": found.allowed_auc,
        },
    }


def _membership_picture(arms: Sequence[Arm[Membership]]) -> Picture:
    def paint(figure: Figure, colours: Theme) -> None:
        panels = figure.subplots(len(arms), 1, squeeze=False)[:, 0]
        for axes, arm in zip(panels, arms, strict=True):
            found = arm.found
            axes.plot(found.rates, found.allowed, color=colours.series[1], linewidth=1.6, label="allowed")
            for place, attack in enumerate(found.attacks):
                axes.plot(
                    found.rates, attack.curve, color=colours.series[(0, 2)[place]], linewidth=1.3,
                    linestyle=("-", (0, (1, 1)))[place], label=("LiRA", "threshold")[place],
                )  # fmt: skip
            for point in found.attacks[0].points:
                ends = [point.interval.lower, point.interval.upper]
                axes.plot([point.asked] * 2, ends, color=colours.series[0], linewidth=1.3)
                axes.plot([point.asked], [point.true_positive_rate], "o", color=colours.series[0], markersize=4.5)
            axes.plot(found.rates, found.rates, color=colours.quiet, linewidth=0.9, linestyle=(0, (4, 3)), label="coin")
            low = (_LEAST_RATE / 2.0, 1.2)
            axes.set(xscale="log", yscale="log", xlim=(_LEAST_RATE, 1.0), ylim=low, ylabel="loans recognised")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_ticks(_TICKS, labels=[f"{100.0 * tick:g} %" for tick in _TICKS])
            axes.minorticks_off()
            axes.set_title(f"{arm.label}: LiRA's AUC {found.attacks[0].auc:.3f}", fontsize=8.5, loc="left")
        panels[-1].set_xlabel("false alarms")
        figure.suptitle("Loans recognised in the network", x=0.01, horizontalalignment="left")
        legend_below(figure, panels[-1:])

    png, svg = draw(paint, height=1.0 + 2.7 * len(arms))
    return Picture(
        name="membership", title="Membership attack", png=png, svg=svg,
        description="True-positive rate by false-positive rate, both logarithmic: reached, and allowed by the promise.",
    )  # fmt: skip


def _bad_rate_picture(arms: Sequence[Arm[BadRates]]) -> Picture:
    def paint(figure: Figure, colours: Theme) -> None:
        axes = figure.subplots()
        top = max(float(arm.found.truth.max()) for arm in arms)
        for place, arm in enumerate(arms):
            best = _shown(arm.found)
            top = max(top, float(best.bad_rates.max()))
            axes.plot(
                100.0 * arm.found.truth, 100.0 * best.bad_rates, _MARKERS[place], color=colours.series[place],
                fillstyle="none", label=arm.label,
            )  # fmt: skip
        ends = [0.0, 105.0 * top]
        axes.plot(ends, ends, color=colours.quiet, linewidth=0.9, linestyle=(0, (4, 3)), label="the truth")
        axes.set(xlim=ends, ylim=ends, xlabel="true bad rate, %", ylabel="read off the updates, %")
        axes.set_title(_shown(arms[-1].found).method, fontsize=8.5, loc="left")
        figure.suptitle("Bad rates of lenders", x=0.01, horizontalalignment="left")
        legend_below(figure, [axes])

    png, svg = draw(paint, height=3.8)
    return Picture(
        name="bad_rate", title="Bad rates read off updates", png=png, svg=svg,
        description="Each lender's bad rate as an honest-but-curious server reads it, by the true one.",
    )  # fmt: skip


def _shown(found: BadRates) -> Estimates:
    """The method that uses the whole update, or that of shadow lenders where there is no closed form."""
    return next(item for item in found.estimates if item.method in (REFERENCE, SHADOWS))


def _inversion_picture(arms: Sequence[Arm[Inversion]]) -> Picture:
    def paint(figure: Figure, colours: Theme) -> None:
        axes = figure.subplots()
        sizes = [found.num_loans for found in arms[-1].found.recovered]
        places = np.arange(len(sizes))
        for place, arm in enumerate(arms):
            shares = [100.0 * found.share for found in arm.found.recovered]
            errors = [200.0 * found.standard_error for found in arm.found.recovered]
            axes.errorbar(
                places, shares, yerr=errors, fmt=f"-{_MARKERS[place]}", color=colours.series[place], linewidth=1.3,
                markersize=4.5, label=arm.label,
            )  # fmt: skip
        guessed = [100.0 * found.guessed for found in arms[-1].found.recovered]
        axes.plot(places, guessed, color=colours.quiet, linewidth=0.9, linestyle=(0, (4, 3)), label="median guessed")
        axes.set(ylim=(0.0, 105.0), xlabel="loans that the lender has", ylabel="columns recovered, %")
        axes.set_xticks(places, labels=[str(size) for size in sizes])
        figure.suptitle("Loans read off the updates of small lenders", x=0.01, horizontalalignment="left")
        legend_below(figure, [axes])

    png, svg = draw(paint, height=3.4)
    return Picture(
        name="inversion", title="Loans read off updates", png=png, svg=svg,
        description="Share of a loan's columns recovered from the updates of lenders of 1, 2, 4 and 8 loans.",
    )  # fmt: skip
