"""The full description of an experiment, as one frozen and strict model.

Everything a run means is here and nowhere else; the rooms of the package take these parts as
arguments. These modules import nothing else of the package, so that any room may name its own part.
What only says *how fast* or *where* (``runtime``, ``trainer``, ``results_dir``) is kept out of the
fingerprint.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedcredit.experiment.spec.evaluation import NEEDS_TRUTH, Evaluation, Reference
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
from fedcredit.experiment.spec.splits import HashedSplit, Months, OutOfTimeSplit, Split
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
    "Count",
    "DirichletPartition",
    "Evaluation",
    "Experiment",
    "FileTable",
    "FixedSteps",
    "FlowerStrategy",
    "Fraction",
    "FractionCohort",
    "FullCohort",
    "HashedSplit",
    "IidPartition",
    "InlineRuntime",
    "LocalEpochs",
    "LocalOptimiser",
    "MarketPortfolio",
    "MarketView",
    "Mean",
    "Median",
    "Months",
    "Name",
    "NaturalPartition",
    "Network",
    "NonNegative",
    "OutOfTimeSplit",
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
    "Split",
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
    split: Split = HashedSplit()
    network: Network = Network()
    training: Training = Training()
    privacy: Privacy
    strategy: AnyStrategy = Strategy()
    evaluation: Evaluation = Evaluation()
    runtime: Runtime = InlineRuntime()
    trainer: Trainer = Trainer()
    results_dir: Annotated[str, Field(min_length=1)] = "results"

    @model_validator(mode="after")
    def _no_truth_but_of_a_market(self) -> Experiment:
        asked = [name for name in self.evaluation.references if name in NEEDS_TRUTH]
        if asked and not isinstance(self.portfolio, MarketPortfolio):
            raise ValueError(
                f"evaluation.references asks for {' and '.join(asked)}, and only the simulated market knows what is "
                "true of a loan or what its borrower owes elsewhere; leave it out, or take portfolio=market"
            )
        return self
