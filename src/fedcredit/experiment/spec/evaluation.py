"""What is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from fedcredit.experiment.spec.part import Count, Part, Positive

Reference = Literal[
    "alone",
    "pooled",
    "federated_logistic",
    "one_shot",
    "output_perturbation",
    "dp_ebm",
    "pooled_network",
    "pooled_logistic",
    "pooled_trees",
    "joined_network",
    "joined_trees",
    "oracle",
]
NEEDS_TRUTH: tuple[Reference, ...] = ("joined_network", "joined_trees", "oracle")


Section = Literal["profit", "segments", "fairness", "drift", "reasons"]
SECTIONS: tuple[Section, ...] = ("profit", "segments", "fairness", "drift", "reasons")
_Share = Annotated[float, Field(ge=0.0, le=1.0)]


class LossAndReturn(Part):
    """What lenders lose on a default and earn on a good loan, as fractions of the amount lent.

    Of a defaulted loan the share lost is 0 with probability ``no_loss_probability``, 1 with probability
    ``total_loss_probability``, and else uniform between. The defaults are for unsecured consumer credit.
    """

    no_loss_probability: _Share = 0.12
    total_loss_probability: _Share = 0.45
    return_rate: Annotated[float, Field(gt=0.0, le=100.0)] = 0.2644

    @model_validator(mode="after")
    def _check_shares(self) -> LossAndReturn:
        if self.no_loss_probability + self.total_loss_probability > 1.0:
            raise ValueError(
                f"no_loss_probability {self.no_loss_probability} and total_loss_probability "
                f"{self.total_loss_probability} are more than 1 together"
            )
        return self


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
    ``sections`` are the parts of the credit review that the final network gets; left out, all of them where
    there are references, and none where there are not, so that arms of a sweep stay cheap. ``profit`` is its
    money, and ``approval_rate`` the share of held-out loans that is approved where a cut-off is needed.
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
    sections: tuple[Section, ...] | None = None
    profit: LossAndReturn = LossAndReturn()
    approval_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.8

    @property
    def sections_to_review(self) -> tuple[Section, ...]:
        """The parts of the credit review that are made."""
        if self.sections is not None:
            return self.sections
        return SECTIONS if self.references else ()
