"""Wording of messages about names and counts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
