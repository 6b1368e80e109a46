"""Who is promised what: one target epsilon for a federation, and budgets of their own for some of its lenders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fedcredit.data.wording import nearest
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Privacy

_MOST_NAMES = 12


def target_of(privacy: Privacy, institution: str) -> float | None:
    """Return what a lender is promised.

    Args:
        privacy: the promise.
        institution: the lender's name.

    Returns:
        Its budget, or the federation's target; None where the noise was given instead.
    """
    return privacy.budgets.get(institution, privacy.target_epsilon)


def check_names(key: str, named: Iterable[str], institutions: Iterable[str]) -> None:
    """Refuse a mapping by lender that names a lender which is not there.

    Args:
        key: the mapping's key path, for the message.
        named: the names in it.
        institutions: the lenders that there are.

    Raises:
        InputError: listing every unknown name with the nearest lender.
    """
    known = sorted(institutions)
    unknown = [f"{name!r}{nearest(name, known)}" for name in sorted(named) if name not in known]
    if unknown:
        shown = ", ".join(known[:_MOST_NAMES]) + (", ..." if len(known) > _MOST_NAMES else "")
        raise InputError(
            f"{key} names {', '.join(unknown)}, and no lender is called so; the {len(known)} lenders are: {shown}"
        )


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
