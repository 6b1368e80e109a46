"""What is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedcredit.experiment.spec.part import Count, Part

Reference = Literal[
    "alone",
    "pooled",
    "federated_logistic",
    "one_shot",
    "pooled_network",
    "pooled_logistic",
    "pooled_trees",
    "joined_trees",
    "oracle",
]
NEEDS_TRUTH: tuple[Reference, ...] = ("joined_trees", "oracle")


class Evaluation(Part):
    """What is measured on held-out loans, how often, and against which references."""

    every: Count = 10
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    num_bins: Annotated[int, Field(ge=2, le=1000)] = 10
    own_intercept: bool = True
    references: tuple[Reference, ...] = (
        "alone",
        "pooled",
        "federated_logistic",
        "one_shot",
        "pooled_network",
        "pooled_logistic",
        "pooled_trees",
    )
