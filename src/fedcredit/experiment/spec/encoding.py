"""How the encoding of loans may depend on them, at a price."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedcredit.experiment.spec.part import Part, Positive


class Encoding(Part):
    """Ranges of linear and log1p features from charged quantiles of training loans, within the schema's bounds.

    Every lender releases noisy counts on a public grid before round 1; the federation reads the quantiles off their
    sum. No ``features`` are all of them. Without ``noise_multiplier`` it takes a tenth of the promise's privacy
    losses (their variance).
    """

    ranges: Literal["charged_quantiles"] = "charged_quantiles"
    features: tuple[str, ...] = ()
    lowest_quantile: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.02
    highest_quantile: Annotated[float, Field(gt=0.0, le=1.0)] = 0.98
    num_bins: Annotated[int, Field(ge=2, le=1000)] = 32
    noise_multiplier: Positive | None = None

    @model_validator(mode="after")
    def _rising(self) -> Encoding:
        if self.lowest_quantile >= self.highest_quantile:
            raise ValueError("lowest_quantile must be below highest_quantile; for example 0.02 and 0.98")
        return self
