"""The full description of an experiment, as one frozen and strict model.

Everything a run means is here and nowhere else; the rooms of the package take these parts as
arguments. This module imports nothing of the package, so that any room may name its own part.
What only says *how fast* or *where* (``runtime``, ``trainer``, ``results_dir``) is kept out of the
fingerprint.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.=,-]*$", max_length=200)]


class Part(BaseModel):
    """A part of an experiment: frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", ser_json_inf_nan="constants", protected_namespaces=()
    )


class PublicTable(Part):
    """A public credit table that the project knows by name."""

    kind: Literal["table"] = "table"
    table: Literal["taiwan", "german", "lending_club", "sba"]


class FileTable(Part):
    """A table of the user's own, described by a schema file of her own."""

    kind: Literal["csv", "parquet"]
    path: Annotated[str, Field(min_length=1)]
    schema_file: Annotated[str, Field(min_length=1)]


MarketView = Literal["behaviour", "application"]


class MarketPortfolio(Part):
    """The simulated market: lenders of three kinds with shared borrowers, over 36 months.

    ``view: behaviour`` has one row per account and snapshot month, ``view: application`` one row per
    account at its opening. ``shock_month`` is the first bad month of the named shock.
    """

    kind: Literal["market"] = "market"
    num_borrowers: Annotated[int, Field(ge=500, le=2_000_000)] = 60_000
    market_seed: Seed = 1
    view: MarketView = "behaviour"
    snapshot_months: Annotated[tuple[Annotated[int, Field(ge=6, le=23)], ...], Field(min_length=1)] = (17,)
    shock: Literal["none", "mild", "pandemic"] = "none"
    shock_month: Annotated[int, Field(ge=1, le=35)] = 18
    forbearance: bool = False
    num_banks: Annotated[int, Field(ge=0, le=100)] = 3
    num_bnpl: Annotated[int, Field(ge=0, le=100)] = 4
    num_consumer_finance: Annotated[int, Field(ge=0, le=100)] = 3

    @model_validator(mode="after")
    def _at_least_two_lenders(self) -> MarketPortfolio:
        if self.num_banks + self.num_bnpl + self.num_consumer_finance < 2:
            raise ValueError("the market needs at least two lenders; raise num_banks, num_bnpl or num_consumer_finance")
        if len(set(self.snapshot_months)) < len(self.snapshot_months):
            raise ValueError("a month stands twice in snapshot_months; write each once")
        return self


Portfolio = Annotated[PublicTable | FileTable | MarketPortfolio, Field(discriminator="kind")]


class NaturalPartition(Part):
    """One lender per value of a key column; lenders below ``min_loans`` are left out."""

    kind: Literal["natural"] = "natural"
    column: Annotated[str, Field(min_length=1)]
    min_loans: Count = 60
    max_institutions: Count | None = None


class IidPartition(Part):
    """Lenders of equal size, loans dealt at random."""

    kind: Literal["iid"] = "iid"
    num_institutions: Count = 10


class DirichletPartition(Part):
    """Label skew: each lender's default rate differs by a Dirichlet draw; sizes are log-normal.

    ``size_sigma`` is the standard deviation of the logarithm of the sizes (0: equal sizes).
    """

    kind: Literal["dirichlet"] = "dirichlet"
    num_institutions: Count = 10
    concentration: Positive = 1.0
    size_sigma: NonNegative = 0.8
    min_loans: Count = 60


class QuantityPartition(Part):
    """Quantity skew alone: log-normal sizes, the same mix of loans everywhere."""

    kind: Literal["quantity"] = "quantity"
    num_institutions: Count = 10
    size_sigma: NonNegative = 0.8
    min_loans: Count = 60


class BandsPartition(Part):
    """Lenders that each serve one band (quantile range) of a numeric column."""

    kind: Literal["bands"] = "bands"
    column: Annotated[str, Field(min_length=1)]
    num_institutions: Count = 4


Partition = Annotated[
    NaturalPartition | IidPartition | DirichletPartition | QuantityPartition | BandsPartition,
    Field(discriminator="kind"),
]


class Network(Part):
    """A tabular network with one logit out; no hidden layer is logistic regression."""

    hidden: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = (16,)
    activation: Literal["relu", "tanh", "gelu"] = "tanh"
    layer_norm: bool = False
    output_scale: NonNegative = 0.3
    prior_bad_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    pos_weight: Positive = 1.0


class FixedSteps(Part):
    """Every lender takes the same number of local steps a round, at one common sampling rate."""

    kind: Literal["steps"] = "steps"
    num_steps: Count = 1
    sampling_probability: Probability = 0.25


class LocalEpochs(Part):
    """Every lender passes ``num_epochs`` times over its own loans in small expected batches.

    With n loans the rate is min(1, expected_batch / n) and a round has
    ceil(num_epochs / rate) steps.
    """

    kind: Literal["epochs"] = "epochs"
    num_epochs: Count = 1
    expected_batch: Count = 64


class Sgd(Part):
    """Stochastic gradient descent, with heavy-ball momentum that starts from zero each round."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: Positive = 1.0
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class Adam(Part):
    """Adam (Kingma and Ba 2015) with bias correction."""

    kind: Literal["adam"] = "adam"
    learning_rate: Positive = 0.02
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    stabiliser: Positive = 1e-8


class Yogi(Part):
    """Yogi (Zaheer et al. 2018): Adam with an additive second moment."""

    kind: Literal["yogi"] = "yogi"
    learning_rate: Positive = 0.02
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    stabiliser: Positive = 1e-8


LocalOptimiser = Annotated[Sgd | Adam, Field(discriminator="kind")]
ServerOptimiser = Annotated[Sgd | Adam | Yogi, Field(discriminator="kind")]


class Training(Part):
    """What a lender does in a round and how many rounds there are."""

    num_rounds: Count = 100
    local: Annotated[FixedSteps | LocalEpochs, Field(discriminator="kind")] = FixedSteps()
    optimiser: LocalOptimiser = Sgd()
    proximal_weight: NonNegative = 0.0


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


class FullCohort(Part):
    """Every lender takes part in every round."""

    kind: Literal["all"] = "all"


class FractionCohort(Part):
    """A fresh random fraction of the lenders each round; no amplification is claimed for it."""

    kind: Literal["fraction"] = "fraction"
    fraction: Probability = 0.5


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


class Strategy(Part):
    """Cohort, aggregator and server optimiser, as data."""

    kind: Literal["fedcredit"] = "fedcredit"
    cohort: Annotated[FullCohort | FractionCohort, Field(discriminator="kind")] = FullCohort()
    aggregator: Annotated[Mean | Median | TrimmedMean, Field(discriminator="kind")] = Mean()
    weights: Literal["by_size", "uniform"] = "by_size"
    server_optimiser: ServerOptimiser = Adam()
    averaging_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    quorum: Probability = 0.6
    deadline_seconds: Positive = 600.0


class FlowerStrategy(Part):
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
    options: dict[str, float | int] = {}
    weights: Literal["by_size", "uniform"] = "by_size"
    quorum: Probability = 0.6
    deadline_seconds: Positive = 600.0


AnyStrategy = Annotated[Strategy | FlowerStrategy, Field(discriminator="kind")]

Reference = Literal[
    "alone", "pooled", "federated_logistic", "one_shot", "pooled_network", "pooled_logistic", "pooled_trees"
]


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


class InlineRuntime(Part):
    """Lenders are called in turn, in this process."""

    kind: Literal["inline"] = "inline"


class RayRuntime(Part):
    """Flower's simulation runtime on Ray, in a process of its own.

    ``isolate`` puts that process into a network namespace with a loopback interface only, because
    Ray listens on every interface.
    """

    kind: Literal["ray"] = "ray"
    num_workers: Annotated[int, Field(ge=1, le=1024)] = 2
    isolate: bool = True


Runtime = Annotated[InlineRuntime | RayRuntime, Field(discriminator="kind")]


class Trainer(Part):
    """Who computes a local round."""

    kind: Literal["compiled", "vectorised", "reference"] = "compiled"
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _a_trainer_for_the_device(self) -> Trainer:
        if self.device != "cpu" and self.kind != "vectorised":
            raise ValueError(
                f"trainer.device is {self.device!r}, and trainer.kind={self.kind} runs on the CPU alone; "
                "set trainer.kind=vectorised or trainer.device=cpu"
            )
        return self


class Experiment(Part):
    """An experiment: everything that a run means, and where it should run."""

    name: Name = "adhoc/run"
    mode: Literal["simulated"] = "simulated"
    seed: Seed = 1
    split_seed: Seed = 1
    portfolio: Portfolio
    partition: Partition
    network: Network = Network()
    training: Training = Training()
    privacy: Privacy
    strategy: AnyStrategy = Strategy()
    evaluation: Evaluation = Evaluation()
    runtime: Runtime = InlineRuntime()
    trainer: Trainer = Trainer()
    results_dir: Annotated[str, Field(min_length=1)] = "results"
