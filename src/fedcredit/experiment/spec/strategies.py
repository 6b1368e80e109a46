"""What the server does."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedcredit.experiment.spec.part import ByLender, FrozenDict, Part, Positive, Probability, is_unset
from fedcredit.experiment.spec.training import Adam, ServerOptimiser

Weights = Literal["by_size", "uniform", "by_contract", "inverse_noise_variance"]


class Weighted(Part):
    """How much each lender's update counts, from public quantities alone.

    ``by_size`` is n_k / n, ``by_contract`` takes ``contract_weights`` (every lender once, in any unit), and
    ``inverse_noise_variance`` is what makes the noise of the weighted mean smallest.
    """

    weights: Weights = "by_size"
    contract_weights: ByLender = Field(default_factory=FrozenDict, exclude_if=is_unset)

    @model_validator(mode="after")
    def _weights_and_their_contract(self) -> Self:
        if self.weights == "by_contract" and not self.contract_weights:
            raise ValueError("weights is by_contract, and contract_weights names no lender; give every lender a weight")
        if self.weights != "by_contract" and self.contract_weights:
            raise ValueError(
                f"contract_weights is given and weights is {self.weights}, which does not use it; set "
                "weights=by_contract, or contract_weights to {}"
            )
        return self


class FullCohort(Part):
    """Every lender takes part in every round."""

    kind: Literal["all"] = "all"


class FractionCohort(Part):
    """A fresh random fraction of the lenders each round; no amplification is claimed for it."""

    kind: Literal["fraction"] = "fraction"
    fraction: Probability = 0.5


class PoissonCohort(Part):
    """Every lender with the same chance, independently, drawn in secret; what amplification of institutions needs."""

    kind: Literal["poisson"] = "poisson"
    sampling_probability: Probability = 0.5


Cohort = FullCohort | FractionCohort | PoissonCohort


class Mean(Part):
    """Weighted mean of the updates; weights come from the contract table."""

    kind: Literal["mean"] = "mean"


class Median(Part):
    """Coordinate-wise median of the updates (Yin et al. 2018); weights are not used."""

    kind: Literal["median"] = "median"


class TrimmedMean(Part):
    """Coordinate-wise mean after dropping ``trim_fraction`` of the lenders at either end."""

    kind: Literal["trimmed_mean"] = "trimmed_mean"
    trim_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.2


class Strategy(Weighted):
    """Cohort, aggregator and server optimiser, as data."""

    kind: Literal["fedcredit"] = "fedcredit"
    cohort: Annotated[Cohort, Field(discriminator="kind")] = FullCohort()
    aggregator: Annotated[Mean | Median | TrimmedMean, Field(discriminator="kind")] = Mean()
    server_optimiser: ServerOptimiser = Adam()
    averaging_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    quorum: Probability = 0.6
    deadline_seconds: Positive = 600.0


class FlowerStrategy(Weighted):
    """A stock strategy of ``flwr.serverapp.strategy``, for comparison; replies are ordered.

    Only the noise that lenders draw is in our ledger then, and the record says so.
    """

    kind: Literal["flower"] = "flower"
    strategy: Literal[
        "FedAvg",
        "FedAvgM",
        "FedAdam",
        "FedYogi",
        "FedAdagrad",
        "FedProx",
        "FedMedian",
        "FedTrimmedAvg",
        "Krum",
        "MultiKrum",
        "Bulyan",
    ]
    options: Annotated[dict[str, float | int], Field(default_factory=dict)]
    quorum: Probability = 0.6
    deadline_seconds: Positive = 600.0


AnyStrategy = Annotated[Strategy | FlowerStrategy, Field(discriminator="kind")]
