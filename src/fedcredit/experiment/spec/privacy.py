"""What is promised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedcredit.experiment.spec.part import ByLender, FrozenDict, Part, Positive, is_unset


def _is_local(trust: object) -> bool:
    """Keep the field out of the dump where it changes nothing, so that older fingerprints stay."""
    return trust == "local"


_LEAST_NORM = 1e-6


class Privacy(Part):
    """What is promised. Exactly one of ``target_epsilon`` and ``noise_multiplier`` is given.

    ``target_epsilon: .inf`` is the same path without clipping and without noise. ``budgets`` gives lenders a target
    of their own; those that it does not name get ``target_epsilon``. ``epsilon_cap`` ends the run before the round that
    would take a lender above it.

    With ``privacy_unit: institution`` the unit is everything that a lender holds: lenders send clipped updates without
    noise, and the server, which sees them, adds the noise (``trust: central``). ``clipping_norm`` is then the norm of a
    whole update. With ``trust: secure_sum`` lenders share the noise of the sum of their steps, which is right only
    where nobody sees less than the whole sum; simulated for comparison.

    With ``privacy_unit: borrower`` the unit is all training loans of a borrower at a lender, of which at most
    ``max_loans_per_borrower`` are kept:

    * ``borrower_sampling``: borrowers are sampled, with all their loans, each clipped to ``clipping_norm`` over
      ``max_loans_per_borrower``;
    * ``loan_sampling_capped``: loans are sampled one by one, each clipped to ``clipping_norm``, and priced as what
      ``max_loans_per_borrower`` of them tell together.
    """

    privacy_unit: Literal["loan", "borrower", "institution"] = "loan"
    neighboring_relation: Literal["zero_out"] = "zero_out"
    target_epsilon: Annotated[float, Field(gt=0.0)] | None = None
    noise_multiplier: Annotated[float, Field(ge=1e-3, allow_inf_nan=False)] | None = None
    target_delta: Annotated[float, Field(gt=0.0, lt=1.0)] = 1e-6
    clipping_norm: Annotated[float, Field(ge=_LEAST_NORM, allow_inf_nan=False)] = 2.5
    budgets: ByLender = Field(default_factory=FrozenDict, exclude_if=is_unset)
    epsilon_cap: Positive | None = Field(default=None, exclude_if=is_unset)
    trust: Literal["local", "secure_sum", "central"] = Field(default="local", exclude_if=_is_local)
    borrower_mechanism: Literal["borrower_sampling", "loan_sampling_capped"] | None = Field(
        default=None, exclude_if=is_unset
    )
    max_loans_per_borrower: Annotated[int, Field(ge=1, le=1000)] | None = Field(default=None, exclude_if=is_unset)

    @model_validator(mode="after")
    def _exactly_one_dial(self) -> Privacy:
        if (self.target_epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("give exactly one of target_epsilon and noise_multiplier; set the other to null")
        return self

    @model_validator(mode="after")
    def _budgets_beside_a_finite_target(self) -> Privacy:
        if self.budgets and self.target_epsilon is None:
            raise ValueError(
                "budgets are targets, and noise_multiplier gives every lender the same noise instead; set "
                "noise_multiplier to null and target_epsilon to what lenders without a budget of their own get"
            )
        if self.budgets and not self.is_private:
            raise ValueError(
                "budgets stand beside target_epsilon: .inf, and a lender without noise would void what the others "
                "promise; set target_epsilon to a number, or budgets to {}"
            )
        return self

    @model_validator(mode="after")
    def _a_cap_on_something_finite(self) -> Privacy:
        if self.epsilon_cap is not None and not self.is_private:
            raise ValueError(
                f"epsilon_cap is {self.epsilon_cap:g} and target_epsilon is .inf: without noise not even one round "
                "fits; set target_epsilon to a number, or epsilon_cap to null"
            )
        return self

    @model_validator(mode="after")
    def _trust_that_fits_the_unit(self) -> Privacy:
        if (self.privacy_unit == "institution") != (self.trust == "central"):
            raise ValueError(
                f"privacy_unit is {self.privacy_unit} and trust is {self.trust}: an institution is protected by noise "
                "that a trusted server adds, and nothing else is; set privacy=institution_level, or trust to local"
            )
        if self.budgets and self.trust != "local":
            raise ValueError(
                f"budgets are of single lenders, and with trust {self.trust} one noise protects all of them alike; set "
                "budgets to {}"
            )
        if self.trust == "secure_sum" and self.privacy_unit != "loan":
            raise ValueError(
                f"trust is secure_sum and privacy_unit is {self.privacy_unit}: rows of one sum are priced loan by "
                "loan; set privacy_unit to loan, or trust to local"
            )
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
    def is_central(self) -> bool:
        """Whether the server adds the noise, and sees what it protects."""
        return self.is_private and self.privacy_unit == "institution"

    @property
    def shares_noise(self) -> bool:
        """Whether lenders share the noise of their sum."""
        return self.is_private and self.trust == "secure_sum"

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
