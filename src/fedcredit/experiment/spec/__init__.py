"""The full description of an experiment, as one frozen and strict model.

Everything a run means is here and nowhere else; the rooms of the package take these parts as
arguments. These modules import nothing else of the package, so that any room may name its own part.
What only says *how fast* or *where* (``runtime``, ``trainer``, ``results_dir``) is kept out of the
fingerprint.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedcredit.experiment.spec.encoding import Encoding
from fedcredit.experiment.spec.evaluation import (
    NEEDS_TRUTH,
    Charged,
    Evaluation,
    LossAndReturn,
    Reference,
    Section,
)
from fedcredit.experiment.spec.part import Count, Fraction, Name, NonNegative, Part, Positive, Probability, Seed
from fedcredit.experiment.spec.portfolios import (
    BandsPartition,
    DirichletPartition,
    FileTable,
    IidPartition,
    MarketLabel,
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
    Cohort,
    FlowerStrategy,
    FractionCohort,
    FullCohort,
    Mean,
    Median,
    PoissonCohort,
    Strategy,
    TrimmedMean,
)
from fedcredit.experiment.spec.tracking import MlflowTracking, NoTracking, TensorboardTracking, Tracking
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
    "Cohort",
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
    "HashedSplit",
    "IidPartition",
    "InlineRuntime",
    "LocalEpochs",
    "LocalOptimiser",
    "LossAndReturn",
    "MarketLabel",
    "MarketPortfolio",
    "MarketView",
    "Mean",
    "Median",
    "MlflowTracking",
    "Months",
    "Name",
    "NaturalPartition",
    "Network",
    "NoTracking",
    "NonNegative",
    "OutOfTimeSplit",
    "Part",
    "Partition",
    "PoissonCohort",
    "Portfolio",
    "Positive",
    "Privacy",
    "Probability",
    "PublicTable",
    "QuantityPartition",
    "RayRuntime",
    "Reference",
    "Runtime",
    "Section",
    "Seed",
    "ServerOptimiser",
    "Sgd",
    "Split",
    "Strategy",
    "TensorboardTracking",
    "Tracking",
    "Trainer",
    "Training",
    "TrimmedMean",
    "Yogi",
]


class Experiment(Part):
    """An experiment: everything that a run means, and where it should run.

    In ``mode: deployed`` the seeds name public draws alone (initial weights, cohorts, split): sampling and noise
    come from the operating system, and are charged to ledgers in ``ledger_dir`` that all runs on the same loans share
    (``<results_dir>/ledgers`` unless it is given).
    """

    name: Name = "adhoc/run"
    mode: Literal["simulated", "deployed"] = "simulated"
    seed: Seed = 1
    split_seed: Seed = 1
    portfolio: Portfolio
    partition: Partition
    split: Split = HashedSplit()
    encoding: Encoding | None = None
    network: Network = Network()
    training: Training = Training()
    privacy: Privacy
    strategy: AnyStrategy = Strategy()
    evaluation: Evaluation = Evaluation()
    runtime: Runtime = InlineRuntime()
    trainer: Trainer = Trainer()
    tracking: Tracking = NoTracking()
    results_dir: Annotated[str, Field(min_length=1)] = "results"
    ledger_dir: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _no_truth_but_of_a_market(self) -> Experiment:
        asked = [name for name in self.evaluation.references if name in NEEDS_TRUTH]
        if asked and not isinstance(self.portfolio, MarketPortfolio):
            raise ValueError(
                f"evaluation.references asks for {' and '.join(asked)}, and only the simulated market knows what is "
                "true of a loan or what its borrower owes elsewhere; leave it out, or take portfolio=market"
            )
        if "oracle" in asked and isinstance(self.portfolio, MarketPortfolio) and self.portfolio.label != "default_12m":
            raise ValueError(
                f"evaluation.references asks for oracle, the true PD of 12 months, and portfolio.label is "
                f"{self.portfolio.label}; leave oracle out"
            )
        return self

    @model_validator(mode="after")
    def _what_is_charged_has_a_price(self) -> Experiment:
        if (asked := _charged(self)) and (wrong := _has_no_price(self, asked)):
            raise ValueError(f"{' and '.join(asked)}: {wrong}")
        return self

    @model_validator(mode="after")
    def _weights_by_noise_need_noise(self) -> Experiment:
        if self.strategy.weights != "inverse_noise_variance":
            return self
        optimiser = self.training.optimiser
        if not self.privacy.is_private:
            raise ValueError(
                "strategy.weights is inverse_noise_variance, and without privacy there is no noise; "
                "set strategy.weights to by_size, uniform or by_contract"
            )
        if not isinstance(optimiser, Sgd) or optimiser.momentum > 0.0:
            raise ValueError(
                "strategy.weights is inverse_noise_variance, which knows the noise of plain local SGD "
                "alone; set training/optimiser=sgd, or strategy.weights to by_size"
            )
        return self

    @model_validator(mode="after")
    def _the_server_adds_noise_to_a_mean_of_its_own(self) -> Experiment:
        strategy, is_by_institution = self.strategy, self.privacy.privacy_unit == "institution"
        if (
            isinstance(strategy, Strategy)
            and isinstance(strategy.cohort, PoissonCohort)
            and not self.privacy.is_central
        ):
            raise ValueError(
                "strategy.cohort is poisson, which samples institutions in secret for a server that adds noise, and "
                "amplifies nothing otherwise; set strategy/cohort=fraction or all, or privacy=institution_level"
            )
        if not is_by_institution:
            return self
        if isinstance(strategy, FlowerStrategy):
            raise ValueError(
                f"strategy.strategy is {strategy.strategy}, a stock Flower strategy, and privacy_unit is institution: "
                "the server's noise is added by our own strategy alone; set strategy=server_adam or fedavg"
            )
        if not isinstance(strategy.aggregator, Mean):
            raise ValueError(
                f"strategy.aggregator is {strategy.aggregator.kind} and privacy_unit is institution: one institution "
                "moves only a mean by a bounded amount; set strategy/aggregator=mean"
            )
        if strategy.weights == "inverse_noise_variance":
            raise ValueError(
                "strategy.weights is inverse_noise_variance and privacy_unit is institution: lenders add no noise; set "
                "strategy.weights to uniform, by_size or by_contract"
            )
        return self

    @model_validator(mode="after")
    def _a_secure_sum_is_one_sum(self) -> Experiment:
        if self.privacy.trust == "secure_sum" and (wrong := _not_a_sum(self)):
            raise ValueError(f"privacy.trust is secure_sum, which releases one sum of one step a round: {wrong}")
        return self

    @model_validator(mode="after")
    def _what_deployed_can_do(self) -> Experiment:
        if self.mode != "deployed":
            return self
        if not self.privacy.is_private:
            raise ValueError("mode deployed releases nothing without noise; give a finite privacy.target_epsilon")
        if self.runtime.kind != "inline":
            raise ValueError(
                f"mode deployed runs inline alone, and runtime.kind is {self.runtime.kind}; set runtime=inline"
            )
        if self.trainer.device != "cpu":
            raise ValueError(f"mode deployed draws on the CPU alone, and trainer.device is {self.trainer.device}")
        if self.privacy.privacy_unit != "loan" or self.privacy.trust != "local":
            raise ValueError(
                f"mode deployed is built for loans under local trust, and privacy_unit is {self.privacy.privacy_unit} "
                f"with trust {self.privacy.trust}; set privacy=loan_level, or mode=simulated"
            )
        if self.privacy.epsilon_cap is not None:
            raise ValueError(
                "privacy.epsilon_cap is not built for mode deployed, where the runs on a dataset add up; set it to null"
            )
        if self.partition.kind != "natural":
            raise ValueError(
                f"mode deployed charges each lender for its own loans, and partition.kind={self.partition.kind} deals "
                "loans out anew for each setting; set partition=natural with the column that names the lender"
            )
        return self


def _charged(experiment: Experiment) -> list[str]:
    """List what a run is asked to release beside its training."""
    evaluation = experiment.evaluation
    charged = evaluation.charged or Charged()
    asked = {
        "encoding.ranges": experiment.encoding is not None,
        "evaluation.own_intercept: charged": evaluation.own_intercept == "charged",
        "evaluation.charged.recalibration": charged.recalibration is not None,
        "evaluation.charged.score_histogram": charged.score_histogram is not None,
    }
    return [name for name, is_asked in asked.items() if is_asked]


def _has_no_price(experiment: Experiment, asked: list[str]) -> str | None:
    """Say what keeps charged releases from being priced as counts in which a loan is one row of one lender."""
    privacy, split = experiment.privacy, experiment.split
    if privacy.privacy_unit != "loan":
        return (
            f"a charged release hides one loan, and privacy.privacy_unit is {privacy.privacy_unit}, which may hold "
            "several of the loans that are counted; set privacy=loan_level, or leave the charged release out"
        )
    if privacy.trust != "local":
        return (
            f"lenders add the whole noise of a charged release themselves, and privacy.trust is {privacy.trust}; set "
            "privacy.trust=local, or leave the charged release out"
        )
    if experiment.mode != "simulated":
        return (
            f"the noise of a charged release comes from the seed, and mode is {experiment.mode}; set mode=simulated, "
            "or leave the charged release out"
        )
    is_shared = isinstance(split, OutOfTimeSplit) and split.borrowers == "shared"
    if is_shared and asked != ["encoding.ranges"]:
        return (
            "split.borrowers is shared, so a borrower may have loans in training and in later windows, and releases "
            "of both would add up; set split.borrowers=apart, or leave the charged release out"
        )
    return None


def _not_a_sum(experiment: Experiment) -> str | None:
    """Say what keeps a round from being one sum of clipped gradients with the noise of all lenders."""
    strategy, training = experiment.strategy, experiment.training
    if not isinstance(training.local, FixedSteps) or training.local.num_steps != 1:
        return "training.local has several steps, or rates that differ between lenders; set training=one_step"
    if not isinstance(training.optimiser, Sgd):
        return f"training.optimiser is {training.optimiser.kind}, not linear in the sum; set training/optimiser=sgd"
    if isinstance(strategy, FlowerStrategy):
        return f"strategy.strategy is {strategy.strategy}, a stock Flower strategy; set strategy=server_adam or fedavg"
    if not isinstance(strategy.aggregator, Mean):
        return f"strategy.aggregator is {strategy.aggregator.kind}; set strategy/aggregator=mean"
    if strategy.weights != "by_size":
        return f"strategy.weights is {strategy.weights}, so loans weigh unequally; set strategy.weights=by_size"
    if not isinstance(strategy.cohort, FullCohort):
        return f"strategy.cohort is {strategy.cohort.kind}, and noise is shared by all lenders; set strategy/cohort=all"
    if strategy.quorum < 1.0:
        return (
            f"strategy.quorum is {strategy.quorum:g}, and a lender that is missing takes its noise with it; set "
            "strategy.quorum=1, so that such a round is refused"
        )
    return None
