from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import synthetic_federation as synthetic

from fedcredit.errors import InputError
from fedcredit.experiment.spec import FixedSteps, FlowerStrategy, Median, Sgd, Strategy, Training
from fedcredit.federation.flower_strategy import OPTIONS, OrderedFlowerStrategy, stock_strategy
from fedcredit.federation.server import FederationResult

TWO_ROUNDS = Training(num_rounds=2, local=FixedSteps(num_steps=2))


def run(folder: Path, strategy: FlowerStrategy | Strategy, **options: object) -> FederationResult:
    options.setdefault("training", TWO_ROUNDS)
    return synthetic.run_here(synthetic.small_experiment(strategy=strategy, **options), folder)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_offered_strategy_repeats_to_the_bit_and_leaves_the_global_generator_alone(
    name: str, tmp_path: Path
) -> None:
    strategy = FlowerStrategy(strategy=name, quorum=0.5)
    rounds = 1 if name == "Bulyan" else 2  # stock Bulyan collects garbage for every reply
    training = Training(num_rounds=rounds, local=FixedSteps(num_steps=2))
    random.seed(4)
    before = random.getstate()
    first = run(tmp_path / "1", strategy, training=training)
    assert random.getstate() == before
    random.seed(5)
    second = run(tmp_path / "2", strategy, training=training)
    assert first.parameters.dtype == np.float32
    assert first.parameters.tobytes() == second.parameters.tobytes()
    assert not np.array_equal(first.parameters, synthetic.prepare(synthetic.small_experiment()).initial)


@pytest.mark.parametrize("weights", ["by_size", "uniform"])
def test_stock_fedavg_is_our_mean_with_server_sgd(tmp_path: Path, weights: str) -> None:
    stock = run(tmp_path / "1", FlowerStrategy(strategy="FedAvg", weights=weights))
    ours = run(tmp_path / "2", Strategy(server_optimiser=Sgd(), averaging_decay=0.0, weights=weights))
    assert np.abs(stock.parameters - ours.parameters).max() < 1e-6


def test_stock_fedavgm_is_our_mean_with_momentum(tmp_path: Path) -> None:
    options: dict[str, float | int] = {"server_learning_rate": 0.5, "server_momentum": 0.9}
    stock = run(tmp_path / "1", FlowerStrategy(strategy="FedAvgM", options=options))
    sgd = Sgd(learning_rate=0.5, momentum=0.9)
    ours = run(tmp_path / "2", Strategy(server_optimiser=sgd, averaging_decay=0.0))
    assert np.abs(stock.parameters - ours.parameters).max() < 1e-6


def test_stock_fedmedian_is_our_median(tmp_path: Path) -> None:
    stock = run(tmp_path / "1", FlowerStrategy(strategy="FedMedian"))
    ours = run(tmp_path / "2", Strategy(server_optimiser=Sgd(), aggregator=Median(), averaging_decay=0.0))
    assert np.abs(stock.parameters - ours.parameters).max() < 1e-6


def test_fedprox_is_told_the_local_weight_and_takes_no_other(tmp_path: Path) -> None:
    stock = stock_strategy(FlowerStrategy(strategy="FedProx"), proximal_weight=0.3)
    assert stock.proximal_mu == 0.3
    with pytest.raises(InputError, match=r"strategy.options.proximal_mu is not an option of FedProx; allowed: none"):
        stock_strategy(FlowerStrategy(strategy="FedProx", options={"proximal_mu": 0.3}), proximal_weight=0.3)
    training = TWO_ROUNDS.model_copy(update={"proximal_weight": 0.3})
    prox = run(tmp_path / "1", FlowerStrategy(strategy="FedProx"), training=training)
    average = run(tmp_path / "2", FlowerStrategy(strategy="FedAvg"), training=training)
    assert prox.parameters.tobytes() == average.parameters.tobytes()


@pytest.mark.parametrize("name", OPTIONS)
def test_an_unknown_option_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=f"strategy.options.fraction_train is not an option of {name}"):
        stock_strategy(FlowerStrategy(strategy=name, options={"fraction_train": 0.5}), proximal_weight=0.0)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_offered_option_is_one_of_the_stock_strategys(name: str) -> None:
    options: dict[str, float | int] = {key: 1 if key.startswith("num_") else 0.1 for key in OPTIONS[name]}
    built = stock_strategy(FlowerStrategy(strategy=name, options=options), proximal_weight=0.0)
    for key, value in options.items():
        assert getattr(built, key) == value


@pytest.mark.parametrize("value", [1.5, -1])
def test_a_count_must_be_a_whole_number(value: float) -> None:
    with pytest.raises(InputError, match=r"num_malicious_nodes is .* allowed is a whole number"):
        stock_strategy(FlowerStrategy(strategy="Krum", options={"num_malicious_nodes": value}), proximal_weight=0.0)


def test_a_strategy_that_makes_nothing_of_the_replies_ends_in_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Bulyan made nothing of 4 replies"):
        run(tmp_path, FlowerStrategy(strategy="Bulyan", options={"num_malicious_nodes": 1}))


def test_a_failing_lender_never_reaches_a_stock_strategy(tmp_path: Path) -> None:
    training = TWO_ROUNDS
    result = run(tmp_path, FlowerStrategy(strategy="FedAvg"), training=training, name="small/failing")
    assert list(result.rounds[1].quarantined) == [synthetic.FAILING]
    assert np.all(np.isfinite(result.parameters))


def test_the_rule_is_composition_not_inheritance() -> None:
    assert OrderedFlowerStrategy.__bases__ == (object,)
