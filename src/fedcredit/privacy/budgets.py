"""Who is promised what: one target epsilon for a federation, and budgets of their own for some of its lenders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fedcredit.experiment.spec import Privacy


def target_of(privacy: Privacy, institution: str) -> float | None:
    """Return what a lender is promised.

    Args:
        privacy: the promise.
        institution: the lender's name.

    Returns:
        Its budget, or the federation's target; None where the noise was given instead.
    """
    return privacy.budgets.get(institution, privacy.target_epsilon)


def strictest(privacy: Privacy, institutions: Iterable[str]) -> Privacy:
    """Return the promise that keeps everybody's, for what trains on the loans of all lenders together.

    Args:
        privacy: the promise.
        institutions: the lenders that there are, at least one.

    Returns:
        The same promise without budgets, at the smallest target that a lender has.
    """
    if privacy.target_epsilon is None or not privacy.budgets:
        return privacy
    smallest = min(privacy.budgets.get(name, privacy.target_epsilon) for name in institutions)
    return privacy.model_copy(update={"target_epsilon": smallest, "budgets": type(privacy.budgets)()})


def budget_line(budgets: Mapping[str, float], target_epsilon: float | None) -> str | None:
    """Say who has a budget of her own.

    Args:
        budgets: lender -> target epsilon.
        target_epsilon: what the other lenders get.

    Returns:
        One line; None without budgets.
    """
    if not budgets:
        return None
    own = ", ".join(f"{name} {target:g}" for name, target in sorted(budgets.items()))
    return f"budgets: epsilon {own}; every other lender {target_epsilon:g}"
