"""Wording of messages about names and counts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from fedcredit.errors import InputError

MOST_NAMES = 12


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``" (nearest: x)"`` for the allowed name closest to a misspelt one, or nothing.

    Args:
        name: what was written.
        names: what is allowed.

    Returns:
        The hint, to be put behind the name.
    """
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (nearest: {close[0]})" if close else ""


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
        shown = ", ".join(known[:MOST_NAMES]) + (", ..." if len(known) > MOST_NAMES else "")
        raise InputError(
            f"{key} names {', '.join(unknown)}, and no lender is called so; the {len(known)} lenders are: {shown}"
        )
