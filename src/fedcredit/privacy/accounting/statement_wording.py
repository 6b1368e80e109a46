"""An epsilon statement in words: its figures, what they hold against, and what an attacker makes of them."""

from __future__ import annotations

import math

from fedcredit.privacy.accounting.statement import EpsilonStatement, Overlap
from fedcredit.privacy.reading import a, percent

_RELATIONS = {
    ("loan", "zero_out"): "a loan is replaced by nothing, the number of loans is public",
    ("borrower", "zero_out"): "a borrower's loans are replaced by nothing, the numbers of borrowers and of loans are "
    "public",
    ("institution", "zero_out"): "an institution is replaced by nothing, the number of institutions is public",
}
_TRUST = {
    "central": "the server sees every lender's clipped update before it adds the noise; the figures hold against those "
    "who see what it releases, and not against the server",
    "secure_sum": "lenders share the noise of their sum; the figures hold against those who see whole sums alone. The "
    "secure sum is assumed and not built: in this simulation the server's program sees single updates, which carry "
    "less noise",
}
_MODES = {
    "simulated": "seeded noise: it holds against an adversary without the seed; ledgers are on the disk before records",
    "deployed": "noise from the operating system, which nobody can draw again; every release is on the disk before its "
    "first gradient; all lenders in one process on one machine",
}
_ACCOUNTANTS = {"pld": "privacy-loss distribution", "rdp": "Renyi divergence", "closed_form": "exact Gaussian"}
_WORDS = {1: "one", 2: "two", 3: "three"}


def statement_lines(statement: EpsilonStatement) -> list[str]:
    """Tell a statement: the epsilons, then what they mean.

    Args:
        statement: the statement.

    Returns:
        Lines of text.
    """
    bounds = [(1, statement.worst), *sorted(statement.overlap.items())]
    lowest = min(bound.value for bound in statement.per_lender.values())
    told = [f"epsilon {_number(b.value)} for {borrower_of(statement.unit, count)}" for count, b in bounds]
    if _number(lowest) != _number(statement.worst.value):
        told[0] += f" (lenders from {_number(lowest)} to {_number(statement.worst.value)})"
    stated = [bound for _, bound in bounds] + [found.epsilon for found in statement.worst_off.values()]
    accountants = sorted({_ACCOUNTANTS[bound.accountant] for bound in stated})
    return [
        *told,
        *worst_off_lines(statement),
        f"upper bounds at delta {statement.target_delta:g} by {' and '.join(accountants)}{_grids(statement)}",
        f"unit: {statement.unit} ({_scope(statement)}); relation: {statement.relation} ({_relation(statement)})",
        *([f"trust: {statement.trust} ({_TRUST[statement.trust]})"] if statement.trust in _TRUST else []),
        *_collusion_lines(statement),
        *statement.notes,
        f"mode: {statement.mode} ({_MODES.get(statement.mode, 'see the record')})",
        *_reading_lines(statement),
        *_overlap_lines(statement),
        f"covers: {statement.covers}",
    ]


def worst_off_lines(statement: EpsilonStatement) -> list[str]:
    """Tell of the borrowers there are, where they lose more or less than those of the lines before.

    Args:
        statement: the statement.

    Returns:
        Lines of text.
    """
    bounds = {1: statement.worst, **statement.overlap}
    return [
        f"epsilon {_number(found.epsilon.value)} for the worst-off borrower of this table at {at_lenders(count)} "
        f"({found.text()})"
        for count, found in sorted(statement.worst_off.items())
        if count not in bounds or _number(found.epsilon.value) != _number(bounds[count].value)
    ]


def overlap_text(known: Overlap, unit: str) -> str:
    """Tell what borrower keys say of training loans; only those that are kept count.

    Args:
        known: what they say.
        unit: the privacy unit.

    Returns:
        A line of a statement.
    """
    unit = "loan" if unit == "borrower" else unit
    lenders = f"more than {_WORDS.get(known.num_lenders, known.num_lenders)} lender{'s' * (known.num_lenders > 1)}"
    loans = f"more than {known.num_loans} {unit}{'s' * (known.num_loans > 1)}"
    return f"no borrower has training {unit}s at {lenders}, or {loans} at one lender"


def borrower_of(unit: str, count: int) -> str:
    """Say whom an epsilon is for.

    Args:
        unit: the privacy unit.
        count: at how many lenders, at least 1.

    Returns:
        For example ``"a borrower with one loan at one lender"``.
    """
    if unit == "institution":
        return "one institution, whoever its borrowers are"
    if unit == "borrower":
        return f"a borrower at {at_lenders(count)}"
    return f"a borrower with one {unit} at {at_lenders(count)}"


def target_of(unit: str, count: int) -> str:
    """Say what an attacker looks for.

    Args:
        unit: the privacy unit.
        count: at how many lenders, at least 1.

    Returns:
        For example ``"a loan at one lender"``.
    """
    return a(unit) if unit == "institution" else f"{a(unit)} at {at_lenders(count)}"


def at_lenders(count: int) -> str:
    """Say where a borrower has loans.

    Args:
        count: at how many lenders, at least 1.

    Returns:
        For example ``"each of two lenders"``.
    """
    return "one lender" if count == 1 else f"each of {_WORDS.get(count, str(count))} lenders"


def _collusion_lines(statement: EpsilonStatement) -> list[str]:
    if not statement.collusion:
        return []
    told = "; ".join(
        f"epsilon {_number(bound.value)} if {_WORDS.get(count, count)} other "
        f"{'lenders tell' if count > 1 else 'lender tells'}"
        for count, bound in sorted(statement.collusion.items())
    )
    return [
        f"for a borrower with one loan, collusion: {told} what noise they drew (of {statement.num_lenders} lenders); a "
        "round in which a lender is missing is refused, so its noise is never missing from a sum",
        "a borrower at several lenders has as many rows in one sum; the lines for two and three lenders are upper "
        "bounds that give each row its own share of the noise",
    ]


def _scope(statement: EpsilonStatement) -> str:
    if statement.unit == "institution":
        return "all that one lender holds, and so every loan and borrower of it too"
    if statement.unit == "borrower":
        return f"all training loans of a borrower at one lender, at most {statement.max_loans} of which are kept"
    return f"several {statement.unit}s of a borrower at one lender cost more"


def _relation(statement: EpsilonStatement) -> str:
    return _RELATIONS.get((statement.unit, statement.relation), "see the record")


def _overlap_lines(statement: EpsilonStatement) -> list[str]:
    if statement.known_overlap is None:
        return []
    return [
        f"borrower keys, read in the clear by this simulation: {overlap_text(statement.known_overlap, statement.unit)}"
    ]


def _reading_lines(statement: EpsilonStatement) -> list[str]:
    """Say what an attacker makes of it; the worst lender's reading is that of the worst by each figure."""
    rates = " / ".join(f"{100 * rate:g}" for rate in statement.reading[1].false_positive_rates)
    hits = "; ".join(
        f"{' / '.join(percent(rate) for rate in found.true_positive_rates)} % "
        f"(advantage {percent(found.advantage)} %) for {target_of(statement.unit, count)}"
        for count, found in sorted(statement.reading.items())
    )
    return [
        f"at {rates} % false alarms an attacker recognises at most {hits}",
        statement.reading[1].sentence(unit=statement.unit),
    ]


def _grids(statement: EpsilonStatement) -> str:
    actual = (found.epsilon for found in statement.worst_off.values())
    grids = sorted({b.grid for b in (statement.worst, *statement.overlap.values(), *actual) if b.grid is not None})
    return f" (grid {' and '.join(f'{grid:.2g}' for grid in grids)})" if grids else ""


def _number(value: float) -> str:
    return "infinite (no privacy)" if math.isinf(value) else f"{_rounded_up(value):.3f}"


def _rounded_up(value: float) -> float:
    return math.ceil(value * 1000.0 - 1e-9) / 1000.0
