from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import expit

from fedcredit.errors import InputError
from fedcredit.experiment import spec
from fedcredit.model.network import DefaultNetwork, initial_parameters, network_from_spec
from fedcredit.model.torch_network import from_state_dict, predict_logit, predict_pd, to_module, to_state_dict
from fedcredit.seeds import normals, public_stream

STREAM = public_stream(seed=1, purpose="initialisation")
NETWORKS = [
    DefaultNetwork(num_features=28, hidden=()),
    DefaultNetwork(num_features=28, hidden=(16,), activation="tanh"),
    DefaultNetwork(num_features=28, hidden=(64, 64), activation="relu"),
    DefaultNetwork(num_features=5, hidden=(7, 11, 3), activation="gelu"),
    DefaultNetwork(num_features=28, hidden=(24, 8), activation="tanh", layer_norm=True),
]


def some_parameters(network: DefaultNetwork) -> np.ndarray:
    return normals(public_stream(seed=2, purpose="test"), count=network.num_parameters).astype(np.float32)


def some_features(num_loans: int, num_features: int) -> np.ndarray:
    draws = normals(public_stream(seed=3, purpose="test"), count=num_loans * num_features)
    return draws.reshape(num_loans, num_features).astype(np.float32)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_layers_tile_the_flat_vector(network: DefaultNetwork) -> None:
    places = [place for layer in network.layers for _, place, _ in layer.tensors]
    assert places[0].start == 0
    assert all(before.stop == after.start for before, after in pairwise(places))
    assert places[-1].stop == network.num_parameters
    assert network.num_parameters == sum(p.numel() for p in to_module(network, some_parameters(network)).parameters())


def test_the_flat_order_is_weight_bias_norm_weight_norm_bias() -> None:
    network = DefaultNetwork(num_features=3, hidden=(2,), layer_norm=True)
    flat = np.arange(network.num_parameters, dtype=np.float32)
    state = to_state_dict(network, flat)
    assert {name: tensor.tolist() for name, tensor in state.items()} == {
        "hidden_0.weight": [[0, 1, 2], [3, 4, 5]],
        "hidden_0.bias": [6, 7],
        "hidden_0_norm.weight": [8, 9],
        "hidden_0_norm.bias": [10, 11],
        "output.weight": [[12, 13]],
        "output.bias": [14],
    }
    assert list(state) == list(to_module(network, flat).state_dict())


@pytest.mark.parametrize("network", NETWORKS)
def test_a_state_dict_goes_to_the_flat_vector_and_back(network: DefaultNetwork) -> None:
    parameters = some_parameters(network)
    assert np.array_equal(from_state_dict(network, to_state_dict(network, parameters)), parameters)
    assert np.array_equal(from_state_dict(network, to_module(network, parameters).state_dict()), parameters)


def test_a_state_dict_is_a_copy() -> None:
    network = NETWORKS[1]
    parameters = some_parameters(network)
    before = parameters.copy()
    to_state_dict(network, parameters)["output.bias"] += 1.0
    next(to_module(network, parameters).parameters()).data.zero_()
    assert np.array_equal(parameters, before)


@pytest.mark.parametrize("network", NETWORKS)
def test_predictions_are_those_of_the_ordinary_torch_module(network: DefaultNetwork) -> None:
    parameters = initial_parameters(network, STREAM)
    features = some_features(300, network.num_features)
    with torch.no_grad():
        expected = to_module(network, parameters)(torch.tensor(features)).numpy()
    assert expected.shape == (300,)
    assert np.abs(predict_logit(network, parameters, features) - expected).max() < 1e-5
    assert np.abs(predict_pd(network, parameters, features) - expit(expected)).max() < 1e-5


def test_a_prediction_has_the_same_bits_in_any_company() -> None:
    for network in NETWORKS:
        parameters, features = some_parameters(network), some_features(700, network.num_features)
        together = predict_logit(network, parameters, features)
        generator = np.random.default_rng(0)
        for num_loans in (1, 2, 63, 64, 65, 300):
            rows = generator.permutation(700)[:num_loans]
            assert np.array_equal(predict_logit(network, parameters, features[rows]), together[rows])


def test_no_loans_give_no_predictions() -> None:
    network = NETWORKS[1]
    assert predict_pd(network, some_parameters(network), np.empty((0, 28), dtype=np.float32)).shape == (0,)


def test_a_huge_logit_gives_a_certain_prediction_without_a_warning() -> None:
    network = DefaultNetwork(num_features=1, hidden=())
    parameters = np.array([1.0, 0.0], dtype=np.float32)
    features = np.array([[-1e30], [0.0], [1e30]], dtype=np.float32)
    assert predict_pd(network, parameters, features).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.statistical
@pytest.mark.parametrize("layer_norm", [False, True])
def test_initial_weights_are_normal_by_fan_in_and_the_output_is_scaled(layer_norm: bool) -> None:
    network = DefaultNetwork(
        num_features=100, hidden=(400, 900), layer_norm=layer_norm, output_scale=0.3, prior_bad_rate=0.2
    )
    state = to_state_dict(network, initial_parameters(network, STREAM))
    for name, inputs, scale in (("hidden_0", 100, 1.0), ("hidden_1", 400, 1.0), ("output", 900, 0.3)):
        weight = state[f"{name}.weight"].numpy().astype(np.float64)
        # a standard deviation from n normals has relative error 1 / sqrt(2 n): 5 of them is 6e-7
        assert weight.std() == pytest.approx(scale / np.sqrt(inputs), rel=5.0 / np.sqrt(2.0 * weight.size))
    assert state["output.bias"].item() == pytest.approx(np.log(0.2 / 0.8), rel=1e-6)
    for position in (0, 1):
        assert not state[f"hidden_{position}.bias"].any()
        if layer_norm:
            assert (state[f"hidden_{position}_norm.weight"] == 1.0).all()
            assert not state[f"hidden_{position}_norm.bias"].any()


def test_initial_layers_share_no_draw() -> None:
    network = DefaultNetwork(num_features=16, hidden=(16, 16))
    state = to_state_dict(network, initial_parameters(network, STREAM))
    assert not np.isin(state["hidden_0.weight"].numpy(), state["hidden_1.weight"].numpy()).any()


def test_a_logistic_regression_starts_from_zero_and_the_prior() -> None:
    network = DefaultNetwork(num_features=4, hidden=(), prior_bad_rate=0.1)
    assert initial_parameters(network, STREAM).tolist() == pytest.approx([0.0] * 4 + [np.log(1.0 / 9.0)])
    features = some_features(10, 4)
    assert predict_pd(network, initial_parameters(network, STREAM), features) == pytest.approx(0.1)


def test_zero_output_scale_predicts_the_prior_for_everyone() -> None:
    network = DefaultNetwork(num_features=4, hidden=(8,), output_scale=0.0, prior_bad_rate=0.3)
    assert predict_pd(network, initial_parameters(network, STREAM), some_features(10, 4)) == pytest.approx(0.3)


def test_initialisation_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    network = NETWORKS[4]
    to_module(network, initial_parameters(network, STREAM))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_from_the_experiment_has_its_fields() -> None:
    described = spec.Network(hidden=(8, 4), activation="gelu", layer_norm=True, output_scale=0.5, prior_bad_rate=0.2)
    assert network_from_spec(described, 12) == DefaultNetwork(
        num_features=12, hidden=(8, 4), activation="gelu", layer_norm=True, output_scale=0.5, prior_bad_rate=0.2
    )


@pytest.mark.parametrize("before", [1, 2])
def test_predicting_leaves_the_number_of_threads_alone(before: int) -> None:
    network = NETWORKS[1]
    found = torch.get_num_threads()
    torch.set_num_threads(before)
    try:
        predict_pd(network, some_parameters(network), some_features(10, 28))
        assert torch.get_num_threads() == before
        with pytest.raises(InputError):
            predict_pd(network, some_parameters(network), some_features(10, 27))
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(found)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"num_features": 0}, "num_features is 0"),
        ({"num_features": 3, "hidden": (4, 0)}, r"hidden is \[4, 0\]"),
        ({"num_features": 3, "activation": "swish"}, "choose one of relu, tanh, gelu"),
        ({"num_features": 3, "prior_bad_rate": 0.0}, "prior_bad_rate is 0.0"),
        ({"num_features": 3, "prior_bad_rate": 1.0}, "prior_bad_rate is 1.0"),
        ({"num_features": 3, "output_scale": -1.0}, "output_scale is -1.0"),
        ({"num_features": 3, "output_scale": float("nan")}, "output_scale is nan"),
    ],
)
def test_a_shape_outside_its_range_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        DefaultNetwork(**fields)  # type: ignore[arg-type]


def test_weights_that_do_not_fit_are_refused_with_both_shapes() -> None:
    network = NETWORKS[1]
    with pytest.raises(InputError, match=r"parameters have shape \[3\]; this network has \[481\]"):
        to_state_dict(network, np.zeros(3, dtype=np.float32))
    state = to_state_dict(network, some_parameters(network))
    with pytest.raises(InputError, match=r"output.bias has shape \[2\]; this network has \[1\]"):
        from_state_dict(network, {**state, "output.bias": torch.zeros(2)})
    with pytest.raises(InputError, match="tensors are"):
        from_state_dict(network, {**state, "stranger": torch.zeros(2)})
    del state["output.bias"]
    with pytest.raises(InputError, match="tensors are"):
        from_state_dict(network, state)
