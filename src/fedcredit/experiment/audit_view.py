"""An audit as it is printed, as JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.text import Text

from fedcredit.experiment.audit import Audit, AuditedClaim
from fedcredit.experiment.canvas import Picture, draw, label_of, legend_below
from fedcredit.experiment.palette import Theme
from fedcredit.experiment.record import to_jsonable
from fedcredit.experiment.wording import epsilon_text, readable
from fedcredit.privacy.auditing.verdict import CONSISTENT, CONTRADICTED, POWERLESS, Findings

FORMAT = "fedcredit/audit/1"
ADVERSARY = (
    "white box: plants the rows it looks for, chooses the parameters of every round, sees the release of every local "
    "step, and knows sampling probability, noise multiplier, clipping norm and divisor"
)
METHOD = (
    "Dirac gradient canaries of one logistic regression through the trainer's own local round, one step a round; "
    "scored by the log-likelihood ratio of the claimed steps; half of the canaries choose the number of guesses, the "
    "other half give the bounds"
)
NOT_COVERED = (
    "hidden layers, several local steps in one round, the encoding of loans, and anything that is released beside the "
    "updates; errors of a few per cent in noise or rate are below what an audit can see"
)
_MEANING = {
    CONTRADICTED: "the claim is refuted",
    CONSISTENT: "the claim is not refuted, and could have been; that does not prove it",
    POWERLESS: "this audit could not have refuted the claim; more canaries raise the ceiling",
}
_MOST_LENDERS = 5
_MOST_PANELS = 4
_LEAST_RATE = 1e-3
_TICKS = (1e-3, 1e-2, 1e-1, 1.0)


def print_audit(audit: Audit, console: Console) -> None:
    """Print an audit.

    Args:
        audit: the audit.
        console: where to print.
    """
    console.print(Text.assemble((readable(audit.name), "bold"), f"  audited, trainer {audit.trainer}"))
    for line in (
        f"adversary: {ADVERSARY}",
        f"method: {METHOD}",
        f"unit: {audit.unit}; relation: {audit.relation}; seed {audit.seed}; confidence {audit.confidence:g} for all "
        "verdicts together",
        f"not covered: {NOT_COVERED}",
    ):
        console.print(Text(line))
    for disagreement in audit.disagreements:
        console.print(Text.assemble((CONTRADICTED, "bold red"), f"  {readable(disagreement)}"))
    for item in audit.audited:
        console.print()
        for line in claim_lines(item):
            console.print(Text(line))
        verdict = item.findings.verdict
        style = "bold red" if verdict == CONTRADICTED else "bold"
        console.print(Text.assemble((verdict, style), f"  {_MEANING[verdict]}"))


def claim_lines(item: AuditedClaim) -> Iterator[str]:
    """Say what was found about one claim, without its verdict.

    Args:
        item: the audited claim.

    Yields:
        Lines of text.
    """
    claim, found = item.claim, item.findings
    steps = ", ".join(
        f"{event.num_steps:,} steps at rate {event.sampling_probability:.4g} with noise multiplier "
        f"{event.noise_multiplier:.4f}"
        for event in claim.events
    )
    yield readable(f"lender{'s' * (len(claim.lenders) > 1)}: {_some(claim.lenders)}")
    yield (
        f"claim: epsilon {epsilon_text(found.claimed_epsilon)} at delta {found.delta:g}, {claim.basis} ({steps}); "
        f"audited: {claim.num_steps:,} steps, noise drawn {item.num_noise_draws:,} times"
    )
    yield (
        f"canaries: {found.num_canaries:,}, of which {found.num_included:,} were trained on; "
        f"{found.num_tested:,} tested, {found.guesses:,} guessed, {found.correct:,} of them right"
    )
    claimed = epsilon_text(found.claimed_epsilon)
    if found.verdict == CONTRADICTED:
        yield f"interval: none; epsilon is at least {_down(found.deciding.epsilon)} (audited), not {claimed} (claimed)"
    else:
        yield f"interval: epsilon from {_down(found.deciding.epsilon)} (audited) to {claimed} (claimed)"
    for bound in found.bounds:
        yield (
            f"  {bound.method}: at least {_down(bound.epsilon)}; could not have refuted above {_down(bound.ceiling)}"
            f" ({100.0 * found.confidence:.4g} % confidence)"
        )
    for point in found.points:
        yield (
            f"  at {100.0 * point.false_positive_rate:.2f} % false positives it found "
            f"{100.0 * point.true_positive_rate:.1f} % of the canaries ({100.0 * point.interval.lower:.1f} to "
            f"{100.0 * point.interval.upper:.1f} %); the claim allows {100.0 * point.allowed:.1f} %"
        )


def audit_json(audit: Audit) -> str:
    """Write an audit as JSON.

    Args:
        audit: the audit.

    Returns:
        Strict JSON, without the points of the pictures.
    """
    content = {
        "format": FORMAT,
        "name": audit.name,
        "trainer": audit.trainer,
        "unit": audit.unit,
        "relation": audit.relation,
        "seed": audit.seed,
        "confidence": audit.confidence,
        "disagreements": list(audit.disagreements),
        "adversary": ADVERSARY,
        "method": METHOD,
        "not_covered": NOT_COVERED,
        "is_contradicted": audit.is_contradicted,
        "claims": [_claim_json(item) for item in audit.audited],
    }
    return json.dumps(to_jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_audit(audit: Audit, folder: Path) -> Path:
    """Write ``audit.json`` and ``audit.png`` into a folder, each whole and then renamed.

    Args:
        audit: the audit.
        folder: where to; made if it is not there.

    Returns:
        The path of the picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("audit.json", audit_json(audit).encode()), ("audit.png", audit_picture(audit).png)):
        unfinished = folder / f".{name}.unfinished"
        unfinished.write_bytes(content)
        unfinished.replace(folder / name)
    return folder / "audit.png"


def audit_picture(audit: Audit) -> Picture:
    """Draw what the adversary reached against what the claims allow, one panel a claim, the first four.

    Args:
        audit: the audit.

    Returns:
        The picture.
    """
    shown = audit.audited[:_MOST_PANELS]

    def paint(figure: Figure, colours: Theme) -> None:
        panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
        for axes, item in zip(panels, shown, strict=True):
            _draw_claim(axes, item, colours)
        panels[-1].set_xlabel("false-positive rate")
        figure.suptitle("Canaries found, and what the claim allows", x=0.01, horizontalalignment="left")
        legend_below(figure, panels[-1:])

    png, svg = draw(paint, height=0.8 + 2.9 * len(shown))
    description = "True-positive rate by false-positive rate: reached on canaries, and allowed by the claimed epsilon."
    return Picture(name="audit", title="Audit", description=description, png=png, svg=svg)


def _draw_claim(axes: Axes, item: AuditedClaim, colours: Theme) -> None:
    found = item.findings
    rates = np.geomspace(_LEAST_RATE, 1.0, 300)
    allowed = np.interp(rates, item.curve.false_positive_rates, item.curve.true_positive_rates)
    axes.plot(rates, allowed, color=colours.series[1], linewidth=1.6, label="allowed by the claim")
    reached = np.array([point for point in found.roc if point[0] >= _LEAST_RATE])
    axes.step(*reached.T, where="post", color=colours.series[0], linewidth=1.1, alpha=0.8, label="reached")
    label = f"with {100.0 * found.confidence:.4g} % interval"
    for place, point in enumerate(point for point in found.points if point.false_positive_rate >= _LEAST_RATE):
        axes.plot(
            [point.false_positive_rate] * 2, [point.interval.lower, point.interval.upper],
            color=colours.series[0], linewidth=1.3,
        )  # fmt: skip
        axes.plot(
            [point.false_positive_rate], [point.true_positive_rate], "o", color=colours.series[0], markersize=4.5,
            label=label if place == 0 else None,
        )  # fmt: skip
    axes.plot(rates, rates, color=colours.quiet, linewidth=0.9, linestyle=(0, (4, 3)), label="a coin")
    axes.set(xscale="log", xlim=(_LEAST_RATE, 1.0), ylim=(0.0, 1.02), ylabel="true-positive rate")
    axes.set_xticks(_TICKS, labels=[f"{100.0 * tick:g} %" for tick in _TICKS])
    names = item.claim.lenders
    whose = label_of(names[0], otherwise="a lender") if len(names) == 1 else f"{len(names)} lenders"
    axes.set_title(
        f"{whose}: claim {epsilon_text(found.claimed_epsilon)}, "
        f"audited {_down(found.deciding.epsilon)}: {found.verdict}",
        fontsize=8.5, loc="left",
    )  # fmt: skip


def _claim_json(item: AuditedClaim) -> dict[str, object]:
    claim, found = item.claim, item.findings
    fields = {name: getattr(found, name) for name in Findings.__dataclass_fields__ if name != "roc"}
    return {
        "lenders": claim.lenders,
        "basis": claim.basis,
        "events": claim.events,
        "num_steps": claim.num_steps,
        "num_noise_draws": item.num_noise_draws,
        "epsilon_audited": found.deciding.epsilon,
        "ceiling": found.deciding.ceiling,
        **fields,
    }


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_LENDERS
    return ", ".join(names[:_MOST_LENDERS]) + (f" and {rest} more with the same plan" if rest > 0 else "")


def _down(epsilon: float) -> str:
    """Write a lower bound with two decimals, rounded down."""
    return f"{np.floor(epsilon * 100.0) / 100.0:.2f}"
