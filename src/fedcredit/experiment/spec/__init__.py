"""The full description of an experiment, as one frozen and strict model.

Everything a run means is here and nowhere else; the rooms of the package take these parts as
arguments. These modules import nothing else of the package, so that any room may name its own part.
What only says *how fast* or *where* (``runtime``, ``trainer``, ``results_dir``) is kept out of the
fingerprint.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedcredit.experiment.spec.encoding import Encoding
from fedcredit.experiment.spec.evaluation import Charged, Evaluation, Reference
from fedcredit.experiment.spec.part import Count, Fraction, Name, NonNegative, Part, Positive, Probability, Seed
from fedcredit.experiment.spec.portfolios import (
    BandsPartition,
    DirichletPartition,
    FileTable,
    IidPartition,
    MarketPortfolio,
    MarketView,
    NaturalPartition,
    Partition,
    Portfolio,
    PublicTable,
    QuantityPartition,
)
from fedcredit.experiment.spec.privacy import Privacy
from fedcredit.experiment.spec.running import InlineRuntime, RayRuntime, Runtime, Trainer
from fedcredit.experiment.spec.strategies import (
    AnyStrategy,
    FlowerStrategy,
    FractionCohort,
    FullCohort,
    Mean,
    Median,
    Strategy,
    TrimmedMean,
)
from fedcredit.experiment.spec.training import (
    Adam,
    FixedSteps,
    LocalEpochs,
    LocalOptimiser,
    Network,
    ServerOptimiser,
    Sgd,
    Training,
    Yogi,
)

__all__ = [
    "Adam",
    "AnyStrategy",
    "BandsPartition",
    "Charged",
    "Count",
    "DirichletPartition",
    "Encoding",
    "Evaluation",
    "Experiment",
    "FileTable",
    "FixedSteps",
    "FlowerStrategy",
    "Fraction",
    "FractionCohort",
    "FullCohort",
    "IidPartition",
    "InlineRuntime",
    "LocalEpochs",
    "LocalOptimiser",
    "MarketPortfolio",
    "MarketView",
    "Mean",
    "Median",
    "Name",
    "NaturalPartition",
    "Network",
    "NonNegative",
    "Part",
    "Partition",
    "Portfolio",
    "Positive",
    "Privacy",
    "Probability",
    "PublicTable",
    "QuantityPartition",
    "RayRuntime",
    "Reference",
    "Runtime",
    "Seed",
    "ServerOptimiser",
    "Sgd",
    "Strategy",
    "Trainer",
    "Training",
    "TrimmedMean",
    "Yogi",
]


class Experiment(Part):
    """An experiment: everything that a run means, and where it should run."""

    name: Name = "adhoc/run"
    mode: Literal["simulated"] = "simulated"
    seed: Seed = 1
    split_seed: Seed = 1
    portfolio: Portfolio
    partition: Partition
    encoding: Encoding | None = None
    network: Network = Network()
    training: Training = Training()
    privacy: Privacy
    strategy: AnyStrategy = Strategy()
    evaluation: Evaluation = Evaluation()
    runtime: Runtime = InlineRuntime()
    trainer: Trainer = Trainer()
    results_dir: Annotated[str, Field(min_length=1)] = "results"
