"""The ONNX model says what the network says, to 1e-6, in the real runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from fedcredit.config import compose
from fedcredit.data.encoding import feature_names
from fedcredit.data.tables import public_schema
from fedcredit.errors import InputError
from fedcredit.experiment import onnx_export
from fedcredit.experiment.kept_model import KeptModel
from fedcredit.experiment.onnx_export import metadata, onnx_bytes
from fedcredit.experiment.record import RunRecord
from fedcredit.model.network import ACTIVATIONS, DefaultNetwork

MakeRecord = Callable[..., RunRecord]
SCHEMA = public_schema("german")
NUM_FEATURES = len(feature_names(SCHEMA))


def model_of(record: RunRecord, *, hidden: tuple[int, ...], activation: str, layer_norm: bool = False) -> KeptModel:
    network = DefaultNetwork(
        num_features=NUM_FEATURES, hidden=hidden, activation=activation, layer_norm=layer_norm, output_scale=1.0
    )
    rng = np.random.default_rng(len(hidden))
    parameters = np.zeros(network.num_parameters, dtype=np.float32)
    for layer in network.layers:
        scale = 1.0 / np.sqrt(layer.num_inputs)
        parameters[layer.weight] = rng.normal(0.0, 2.0 * scale, layer.num_inputs * layer.num_outputs)
        parameters[layer.bias] = rng.normal(0.0, 0.3, layer.num_outputs)
        if layer.norm_weight is not None and layer.norm_bias is not None:
            parameters[layer.norm_weight] = rng.normal(1.0, 0.2, layer.num_outputs)
            parameters[layer.norm_bias] = rng.normal(0.0, 0.2, layer.num_outputs)
    return KeptModel(
        folder=Path("nowhere"),
        record=record,
        experiment=compose("taiwan/loan_level", ["trainer=vectorised"]),
        schema=SCHEMA,
        network=network,
        parameters=parameters,
    )


def by_onnxruntime(content: bytes, features: NDArray[np.float32]) -> NDArray[np.float64]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (pd,) = session.run(["pd"], {"features": features})
    return np.asarray(pd)


@pytest.mark.parametrize("hidden", [(), (16,), (64, 32), (8, 8, 8)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_onnxruntime_finds_our_probabilities(
    hidden: tuple[int, ...], activation: str, layer_norm: bool, made_up: MakeRecord
) -> None:
    model = model_of(made_up(), hidden=hidden, activation=activation, layer_norm=layer_norm)
    content = onnx_bytes(model)
    rng = np.random.default_rng(7)
    for num_loans in (1, 65, 400):
        features = rng.normal(0.0, 1.0, (num_loans, NUM_FEATURES)).astype(np.float32)
        ours, theirs = model.pd(features), by_onnxruntime(content, features)
        assert theirs.shape == (num_loans,)
        assert np.abs(theirs - ours).max() <= 1e-6
        assert num_loans == 1 or np.ptp(ours) > 0.1


def test_a_wrong_activation_is_further_off_than_the_tolerance(made_up: MakeRecord) -> None:
    features = np.random.default_rng(3).normal(0.0, 1.0, (200, NUM_FEATURES)).astype(np.float32)
    gelu = model_of(made_up(), hidden=(16,), activation="gelu")
    content = onnx_bytes(gelu)
    approximate = onnx.load_from_string(content)
    for node in approximate.graph.node:
        if node.op_type == "Gelu":
            node.attribute.append(onnx.helper.make_attribute("approximate", "tanh"))
    assert np.abs(by_onnxruntime(approximate.SerializeToString(), features) - gelu.pd(features)).max() > 1e-6


def test_the_file_carries_schema_checksum_features_and_the_promise(made_up: MakeRecord) -> None:
    for epsilon in (1.0, None):
        model = model_of(made_up(epsilon=epsilon), hidden=(16,), activation="tanh")
        loaded = onnx.load_from_string(onnx_bytes(model))
        told = {entry.key: entry.value for entry in loaded.metadata_props}
        assert told == metadata(model)
        assert told["schema_sha256"] == model.schema_checksum
        assert told["features"].split("\n") == list(feature_names(SCHEMA))
        assert told["fingerprint"] == model.record.fingerprint
        assert [one.version for one in loaded.opset_import] == [onnx_export.OPSET]
        if epsilon is None:
            assert told["privacy"] == "no privacy: epsilon is infinite"
        else:
            assert told["privacy"] == model.record.statement_lines[0]
            assert told["privacy_statement"].split("\n") == list(model.record.statement_lines)
        session = onnxruntime.InferenceSession(loaded.SerializeToString(), providers=["CPUExecutionProvider"])
        assert session.get_modelmeta().custom_metadata_map == told


def test_without_onnx_the_extra_is_named(made_up: MakeRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'fedcredit\[onnx\]'"):
        onnx_bytes(model_of(made_up(), hidden=(), activation="tanh"))
