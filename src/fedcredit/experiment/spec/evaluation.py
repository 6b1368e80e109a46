"""What is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from fedcredit.experiment.spec.part import Count, Part, Positive

Reference = Literal[
    "alone", "pooled", "federated_logistic", "one_shot", "pooled_network", "pooled_logistic", "pooled_trees"
]


class ScoreHistogram(Part):
    """Noisy counts of held-out loans by score and outcome: AUC, KS and calibration at a price.

    More bins resolve the score better and gather more noise. Without ``noise_multiplier`` the noise is what
    the run's own promise asks for on those loans.
    """

    loans: Literal["validation", "test"] = "test"
    num_bins: Annotated[int, Field(ge=2, le=1000)] = 16
    noise_multiplier: Positive | None = None


class ChargedRecalibration(Part):
    """A line through the logits, fitted to noisy counts of all lenders' validation loans."""

    num_bins: Annotated[int, Field(ge=2, le=1000)] = 8
    noise_multiplier: Positive | None = None


class ChargedIntercept(Part):
    """The noise of ``own_intercept: charged``; None is a tenth of the promise's privacy losses (their variance)."""

    noise_multiplier: Positive | None = None


class Charged(Part):
    """Figures and corrections that leave a lender with noise, in the ledger, within the statement."""

    score_histogram: ScoreHistogram | None = None
    recalibration: ChargedRecalibration | None = None
    own_intercept: ChargedIntercept = ChargedIntercept()


def _inside(value: object) -> object:
    return True if value == "inside" else value


OwnIntercept = Annotated[bool | Literal["charged"], BeforeValidator(_inside)]


class Evaluation(Part):
    """What is measured on held-out loans, how often, and against which references.

    ``own_intercept`` is ``inside`` (or true: fitted and kept inside a lender, never released), ``charged``, or false.
    """

    every: Count = 10
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    num_bins: Annotated[int, Field(ge=2, le=1000)] = 10
    own_intercept: OwnIntercept = True
    charged: Charged | None = None
    references: tuple[Reference, ...] = (
        "alone",
        "pooled",
        "federated_logistic",
        "one_shot",
        "pooled_network",
        "pooled_logistic",
        "pooled_trees",
    )
