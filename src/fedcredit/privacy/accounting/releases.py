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
REFERENCE_OUTPUT_PERTURBATION = "reference.output_perturbation"
REFERENCE_DP_EBM = "reference.dp_ebm"
TEST_HISTOGRAM = "charged.score_histogram.test"
VALIDATION_HISTOGRAM = "charged.score_histogram.validation"
RECALIBRATION = "charged.recalibration"
OWN_INTERCEPT = "charged.own_intercept"
ENCODING_RANGES = "charged.encoding_ranges"

RELEASES: Mapping[str, str] = MappingProxyType(
    {
        FEDERATION: "every update that the lender sent to the server, or every noised mean in the server's own ledger",
        REFERENCE_ALONE: "a network that the lender trains alone, round by round",
        REFERENCE_POOLED: "a network trained on the loans of all lenders together, step by step",
        REFERENCE_FEDERATED_LOGISTIC: "every update of a federated logistic regression",
        REFERENCE_ONE_SHOT: "one noisy sum of squares and products",
        REFERENCE_OUTPUT_PERTURBATION: "the coefficients of a ridge regression on the loans of all lenders, with noise",
        REFERENCE_DP_EBM: "noisy histograms and boosting steps of DP-EBM on the loans of all lenders",
        TEST_HISTOGRAM: "noisy counts of the lender's test loans by score and outcome",
        VALIDATION_HISTOGRAM: "noisy counts of the lender's validation loans by score and outcome",
        RECALIBRATION: "noisy counts of the lender's validation loans, from which the level is corrected",
        OWN_INTERCEPT: "a noisy number of bads and noisy score counts, from which the lender's own level is corrected",
        ENCODING_RANGES: "noisy counts of the lender's training loans by each ranged feature, before round 1",
    }
)

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = (TRAIN, VALIDATION, TEST)
_READ: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        TEST_HISTOGRAM: (TEST,),
        VALIDATION_HISTOGRAM: (VALIDATION,),
        RECALIBRATION: (VALIDATION,),
        OWN_INTERCEPT: (TRAIN, VALIDATION),
        ENCODING_RANGES: (TRAIN,),
    }
)
STATED = (FEDERATION, *_READ)
AS_ROUNDS_GO_BY = (ENCODING_RANGES, FEDERATION)


def parts_of(name: str) -> tuple[str, ...]:
    """Say which loans of a lender a release reads.

    Args:
        name: a release's name.

    Returns:
        Some of `PARTS`.

    Raises:
        ValueError: if no release has that name.
    """
    return _READ.get(check_release(name), (TRAIN,))


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
