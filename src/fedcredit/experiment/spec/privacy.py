"""What is promised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedcredit.experiment.spec.part import Part


class Privacy(Part):
    """What is promised. Exactly one of ``target_epsilon`` and ``noise_multiplier`` is given.

    ``target_epsilon: .inf`` is the same path without clipping and without noise.
    """

    privacy_unit: Literal["loan"] = "loan"
    neighboring_relation: Literal["zero_out"] = "zero_out"
    target_epsilon: Annotated[float, Field(gt=0.0)] | None = None
    noise_multiplier: Annotated[float, Field(ge=1e-3, allow_inf_nan=False)] | None = None
    target_delta: Annotated[float, Field(gt=0.0, lt=1.0)] = 1e-6
    clipping_norm: Annotated[float, Field(ge=1e-6, allow_inf_nan=False)] = 2.5

    @model_validator(mode="after")
    def _exactly_one_dial(self) -> Privacy:
        if (self.target_epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("give exactly one of target_epsilon and noise_multiplier; set the other to null")
        return self

    @property
    def is_private(self) -> bool:
        """Whether this arm clips and draws noise at all."""
        return self.target_epsilon is None or self.target_epsilon != float("inf")
