from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.credit.reasons import adverse_reasons, attribute
from fedcredit.credit.scorecard import Scorecard
from fedcredit.errors import InputError
from fedcredit.model.input_gradients import log_odds_and_gradients
from fedcredit.model.network import DefaultNetwork

Vector = NDArray[np.float64]


def _network(activation: str, *, layer_norm: bool = False, hidden: tuple[int, ...] = (16, 8)) -> DefaultNetwork:
    return DefaultNetwork(num_features=6, hidden=hidden, activation=activation, layer_norm=layer_norm)


def _parameters(network: DefaultNetwork) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0.0, 0.7, network.num_parameters).astype(np.float32)


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_attributions_add_up_to_the_log_odds(activation: str, layer_norm: bool) -> None:
    network = _network(activation, layer_norm=layer_norm)
    parameters = _parameters(network)
    features = np.random.default_rng(2).normal(size=(50, 6))
    found = attribute(
        features,
        gradients=lambda rows: log_odds_and_gradients(network, parameters, rows),
        background=np.zeros(6),
        columns=["a", "b", "b", "c", "a", "d"],
    )
    assert found.columns == ("a", "b", "c", "d")
    ends = log_odds_and_gradients(network, parameters, features)[0]
    start = log_odds_and_gradients(network, parameters, np.zeros((1, 6)))[0]
    assert np.abs(found.values.sum(axis=1) - (ends - start)).max() <= 1e-6
    assert found.largest_gap <= 1e-6


def test_attributions_of_a_wide_network_of_kinks_add_up() -> None:
    network = DefaultNetwork(num_features=28, hidden=(64, 32), activation="relu")
    parameters = _parameters(network)
    features = np.random.default_rng(4).normal(size=(40, 28))
    found = attribute(
        features,
        gradients=lambda rows: log_odds_and_gradients(network, parameters, rows),
        background=np.zeros(28),
        columns=[f"column {place}" for place in range(28)],
    )
    slow = np.zeros(28)
    places = (np.arange(200_000) + 0.5) / 200_000
    for part in np.array_split(places, 20):
        slow += log_odds_and_gradients(network, parameters, part[:, None] * features[:1])[1].sum(axis=0) / 200_000
    assert found.values[0] == pytest.approx(slow * features[0], abs=2e-3)
    assert found.largest_gap <= 1e-6


@pytest.mark.parametrize(("activation", "error"), [("tanh", 1e-6), ("relu", 2e-3)])
def test_attributions_are_the_mean_gradient_on_the_way_step_by_step(activation: str, error: float) -> None:
    network = _network(activation)
    parameters = _parameters(network)
    loan, background = np.random.default_rng(3).normal(size=(2, 6))
    slow = np.zeros(6)
    for step in range(4000):
        row = background + (step + 0.5) / 4000 * (loan - background)
        slow += log_odds_and_gradients(network, parameters, row[None])[1][0] / 4000
    found = attribute(
        loan[None],
        gradients=lambda rows: log_odds_and_gradients(network, parameters, rows),
        background=background,
        columns=list("abcdef"),
    )
    assert found.values[0] == pytest.approx(slow * (loan - background), abs=error)


def test_of_a_linear_score_the_attribution_is_weight_times_distance() -> None:
    weight = np.array([1.0, -2.0, 0.5])
    found = attribute(
        np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 4.0]]),
        gradients=lambda rows: (rows @ weight + 3.0, np.broadcast_to(weight, rows.shape)),
        background=np.array([0.0, 1.0, 0.0]),
        columns=["x", "y", "z"],
    )
    assert found.values == pytest.approx(np.array([[1.0, 0.0, 0.5], [0.0, -2.0, 2.0]]))
    assert found.background_log_odds == 1.0
    reasons = adverse_reasons(found, num_reasons=2)
    assert [[reason.column for reason in own] for own in reasons] == [["x", "z"], ["z"]]
    assert reasons[1][0].points == pytest.approx(2.0 * Scorecard().factor)


def test_a_column_at_its_background_has_no_say() -> None:
    network = _network("tanh")
    parameters = _parameters(network)
    loan = np.array([[0.0, 1.0, 0.0, -1.0, 0.5, 0.0]])
    found = attribute(
        loan,
        gradients=lambda rows: log_odds_and_gradients(network, parameters, rows),
        background=np.zeros(6),
        columns=list("abcdef"),
    )
    assert found.values[0, [0, 2, 5]].tolist() == [0.0, 0.0, 0.0]


def test_gradients_that_are_wrong_are_found_out() -> None:
    with pytest.raises(InputError, match="attributions miss the log-odds"):
        attribute(
            np.ones((1, 1)),
            gradients=lambda rows: (rows[:, 0] ** 2, np.ones_like(rows)),
            background=np.array([-2.0]),
            columns=["x"],
        )


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="one column a feature"):
        attribute(np.ones((1, 2)), gradients=lambda rows: (rows[:, 0], rows), background=np.ones(2), columns=["x"])
