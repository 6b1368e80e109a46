"""The names of releases: what a ledger may be charged for and asked about.

Law of this module: as with events, a name never changes and is never removed. A name that is not here is
refused wherever it is used, so that a misspelt one cannot be priced as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FEDERATION = "federation"
REFERENCE_ALONE = "reference.alone"
REFERENCE_POOLED = "reference.pooled"
REFERENCE_FEDERATED_LOGISTIC = "reference.federated_logistic"
REFERENCE_ONE_SHOT = "reference.one_shot"

RELEASES: Mapping[str, str] = MappingProxyType(
    {
        FEDERATION: "every update that the lender sent to the server, or every noised mean in the server's own ledger",
        REFERENCE_ALONE: "a network that the lender trains alone, round by round",
        REFERENCE_POOLED: "a network trained on the loans of all lenders together, step by step",
        REFERENCE_FEDERATED_LOGISTIC: "every update of a federated logistic regression",
        REFERENCE_ONE_SHOT: "one noisy sum of squares and products",
    }
)


def check_release(name: str) -> str:
    """Refuse a name that no release has.

    Args:
        name: a release's name.

    Returns:
        The name.

    Raises:
        ValueError: if it is not in the table.
    """
    if name not in RELEASES:
        raise ValueError(f"release {name!r} is not in the table of releases; it has {', '.join(RELEASES)}")
    return name


def reference_release(reference: str) -> str:
    """Return the name under which a private reference is charged.

    Args:
        reference: a reference of an experiment's evaluation.

    Returns:
        Its release's name.

    Raises:
        ValueError: if that reference has no release.
    """
    return check_release(f"reference.{reference}")
