"""What is promised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedcredit.experiment.spec.part import Part

_LEAST_NORM = 1e-6


def _is_unset(value: object) -> bool:
    """Keep a field out of the dump, so that experiments from before it keep their fingerprints."""
    return value is None


class Privacy(Part):
    """What is promised. Exactly one of ``target_epsilon`` and ``noise_multiplier`` is given.

    ``target_epsilon: .inf`` is the same path without clipping and without noise. With ``privacy_unit: borrower``
    the unit is all training loans of a borrower at a lender, of which at most ``max_loans_per_borrower`` are kept:

    * ``borrower_sampling``: borrowers are sampled, with all their loans, each clipped to ``clipping_norm`` over
      ``max_loans_per_borrower``;
    * ``loan_sampling_capped``: loans are sampled one by one, each clipped to ``clipping_norm``, and priced as what
      ``max_loans_per_borrower`` of them tell together.
    """

    privacy_unit: Literal["loan", "borrower"] = "loan"
    neighboring_relation: Literal["zero_out"] = "zero_out"
    target_epsilon: Annotated[float, Field(gt=0.0)] | None = None
    noise_multiplier: Annotated[float, Field(ge=1e-3, allow_inf_nan=False)] | None = None
    target_delta: Annotated[float, Field(gt=0.0, lt=1.0)] = 1e-6
    clipping_norm: Annotated[float, Field(ge=_LEAST_NORM, allow_inf_nan=False)] = 2.5
    borrower_mechanism: Literal["borrower_sampling", "loan_sampling_capped"] | None = Field(
        default=None, exclude_if=_is_unset
    )
    max_loans_per_borrower: Annotated[int, Field(ge=1, le=1000)] | None = Field(default=None, exclude_if=_is_unset)

    @model_validator(mode="after")
    def _exactly_one_dial(self) -> Privacy:
        if (self.target_epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("give exactly one of target_epsilon and noise_multiplier; set the other to null")
        return self

    @model_validator(mode="after")
    def _borrowers_are_bounded(self) -> Privacy:
        bounds = {
            "borrower_mechanism": self.borrower_mechanism, "max_loans_per_borrower": self.max_loans_per_borrower,
        }  # fmt: skip
        if self.privacy_unit == "borrower" and None in bounds.values():
            missing = " and ".join(name for name, value in bounds.items() if value is None)
            raise ValueError(f"privacy_unit borrower needs {missing}; privacy=borrower_level sets both")
        if self.privacy_unit != "borrower" and any(value is not None for value in bounds.values()):
            given = " and ".join(name for name, value in bounds.items() if value is not None)
            raise ValueError(f"{given} is for privacy_unit borrower; set privacy_unit=borrower, or it to null")
        if self.clipping_norm / self.loans_in_sample < _LEAST_NORM:
            raise ValueError(
                f"clipping_norm {self.clipping_norm:g} over {self.loans_in_sample} loans is below {_LEAST_NORM:g}; "
                "raise clipping_norm or lower max_loans_per_borrower"
            )
        return self

    @property
    def sampled(self) -> Literal["loans", "borrowers"]:
        """What a step samples, and what a contract counts."""
        return "borrowers" if self.borrower_mechanism == "borrower_sampling" else "loans"

    @property
    def loans_in_sample(self) -> int:
        """How many loans come into a step together at most, so that together they stay within the clipping norm."""
        return (self.max_loans_per_borrower or 1) if self.sampled == "borrowers" else 1

    @property
    def samples_in_unit(self) -> int:
        """How many rows of one unit are sampled at most, each on its own, so that a price is of as many."""
        return (self.max_loans_per_borrower or 1) // self.loans_in_sample

    @property
    def is_private(self) -> bool:
        """Whether this arm clips and draws noise at all."""
        return self.target_epsilon is None or self.target_epsilon != float("inf")
