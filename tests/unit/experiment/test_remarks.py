from __future__ import annotations

import pytest

from fedcredit.config import compose
from fedcredit.experiment.remarks import remarks

CASES = [
    (["privacy=none"], "epsilon is infinite"),
    (["privacy.target_epsilon=inf"], "epsilon is infinite"),
    (["strategy=fedprox"], "FedProx with one local step is FedAvg"),
    (["training.optimiser.momentum=.9"], "Local momentum starts from zero"),
    (["training=local_epochs"], "Many small local steps"),
    (["training=local_steps"], "5 local steps per round"),
    (["privacy.clipping_norm=1"], "below the row-norm cap 2.5"),
    (["network=relu64_32"], "A wide network"),
    (["strategy=median"], "keeps less signal than their mean"),
    (["strategy=trimmed_mean"], "weights by_size changes nothing"),
    (["strategy=flower_fedavg"], "stock Flower strategy"),
    (["strategy/cohort=fraction"], "no credit for amplification"),
    (["privacy.target_epsilon=50"], "above 10"),
    (["privacy.target_epsilon=null", "privacy.noise_multiplier=1"], "noise multiplier is fixed"),
    (["network.pos_weight=3"], "pos_weight 3"),
    (["network.focal_gamma=2"], "focal_gamma 2"),
    (["evaluation.own_intercept=false"], "own intercept"),
]


@pytest.mark.parametrize(("overrides", "said"), CASES)
def test_a_choice_that_is_not_what_it_seems_is_remarked_on(overrides: list[str], said: str) -> None:
    assert said in " ".join(remarks(compose(None, overrides)))


def test_fedprox_with_several_local_steps_is_left_alone() -> None:
    assert "FedProx" not in " ".join(remarks(compose(None, ["strategy=fedprox", "training=local_steps"])))


def test_without_privacy_nothing_is_said_of_noise() -> None:
    assert len(remarks(compose(None, ["privacy=none", "training=local_epochs", "strategy/aggregator=mean"]))) == 1
