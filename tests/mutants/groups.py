"""The planted bugs by what they break, as the README tells of them."""

from __future__ import annotations

from collections.abc import Collection

from mutants.mutant import Mutant

GROUPS: dict[str, tuple[str, ...]] = {
    "noise": (
        "noise forgotten", "noise 1 % too small", "noise of the sum divided by the batch before it is added",
        "noise in units of one, not of the clipping norm", "noise draws not counted",
        "optimiser keeps moments of gradients without noise",
    ),
    "noise reused": (
        "noise reused over steps", "noise reused over rounds", "noise from the sampler's stream",
        "noise drawn from the sampler's stream", "noise shared by the lenders", "noise shared by the arms of a sweep",
    ),
    "sampling and weights": (
        "sampling rate 5 % too high", "shuffled batches of one size", "empty batch skipped",
        "divisor from the batch that was drawn", "loss weighted by the rows' own bad rate",
        "proximal term under the divisor",
    ),
    "clipping": (
        "each layer clipped by itself", "batches clipped by their mean, not loan by loan", "clipped to twice the norm",
        "no room left for rounding in the clip", "gradient that is no number let through",
    ),
    "units": (
        "loans of a borrower clipped to the whole norm each", "several loans of a borrower priced as one",
        "one loan of a borrower beyond the cap",
    ),
    "budgets and trust": (
        "every lender gets the federation's target", "cap looks at what was spent and not at what is asked for",
        "server's noise forgets the largest weight", "server's mean renormalised by who answers",
        "lenders of a secure sum share the deviation and not the variance",
    ),
    "ledger": (
        "ledger begun anew each round", "commit without intent let through", "intent written after the gradient",
        "loans read for ranges before they are charged", "noise draws beyond the intent not charged",
        "crash forgiven: only committed releases charged", "another release of the same round free",
        "restart of a deployed run free",
    ),
    "statement": (
        "epsilon of one round stated for the run", "borrower at two lenders priced as the worse of them",
        "delta spent once at each lender", "epsilon rounded down in print", "calibration settles above the target",
        "plan of one round priced for the run", "charged releases left out of a plan",
        "delta of one loan or more allowed",
    ),
    "what enters, what leaves": (
        "encoder centred on the rows", "missing cells filled with the rows' median", "reply leaves with a field more",
        "reply not checked on its way out", "text of an exception sent to the server",
    ),
}  # fmt: skip


def readme_table(mutants: Collection[Mutant]) -> list[str]:
    """Write the README's table: what is broken, in how many places, and by which bugs.

    Args:
        mutants: all planted bugs.

    Returns:
        Lines of Markdown: the counts, then the table.
    """
    places = {bug: sum(len(found.killers) for found in mutants if found.bug == bug) for bug in bugs_of(mutants)}
    return [
        f"{len(places)} bugs in {sum(places.values())} places:",
        "| broken | bugs | places | planted |",
        "|---|---|---|---|",
        *(
            f"| {group} | {len(bugs)} | {sum(places[bug] for bug in bugs)} | {'; '.join(bugs)} |"
            for group, bugs in GROUPS.items()
        ),
    ]


def bugs_of(mutants: Collection[Mutant]) -> list[str]:
    """List the bugs of mutants, each once.

    Args:
        mutants: planted bugs.

    Returns:
        Their words, in order.
    """
    return list(dict.fromkeys(found.bug for found in mutants))
