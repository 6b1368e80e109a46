"""The network, and what a lender does in a round."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedcredit.experiment.spec.part import Count, NonNegative, Part, Positive, Probability


class Network(Part):
    """A tabular network with one logit out, and its loss; no hidden layer is logistic regression.

    ``pos_weight`` weighs the loans that defaulted. With ``focal_gamma`` above 0 a loan's loss counts
    (1 - p)^gamma, p being the chance the network gave to what happened (Lin et al., ICCV 2017).
    """

    hidden: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = (16,)
    activation: Literal["relu", "tanh", "gelu"] = "tanh"
    layer_norm: bool = False
    output_scale: NonNegative = 0.3
    prior_bad_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    pos_weight: Positive = 1.0
    focal_gamma: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0


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
