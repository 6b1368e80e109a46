"""A released network as an ONNX model: encoded features in, probability of default out.

The only door to ``onnx``, which is an extra (``pip install 'fedcredit[onnx]'``). Operators are those of opset 20, whose
``Gelu`` is exact, as ours is; the last sigmoid is taken in float64.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from fedcredit.data.encoding import feature_names
from fedcredit.errors import InputError
from fedcredit.experiment.kept_model import KeptModel
from fedcredit.model.network import to_arrays

OPSET = 20
IR_VERSION = 9
INPUT, OUTPUT = "features", "pd"
_OPERATOR = {"relu": "Relu", "tanh": "Tanh", "gelu": "Gelu"}
_NORM_EPSILON = 1e-5
_NO_PRIVACY = "no privacy: epsilon is infinite"


def onnx_bytes(model: KeptModel) -> bytes:
    """Return a run's network as the content of an ONNX file.

    Args:
        model: the run's model.

    Returns:
        A checked model with input ``features``, float32 ``[loans, features]``, encoded by the run's schema, and output
        ``pd``, float64 ``[loans]``. Its metadata names the run, the schema's checksum, the features in their order and
        the run's epsilon line.

    Raises:
        InputError: if onnx is not installed.
    """
    if find_spec("onnx") is None:
        raise InputError("onnx is not installed; run pip install 'fedcredit[onnx]'")
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    network = model.network
    tensors = {name: np.ascontiguousarray(array) for name, array in to_arrays(network, model.parameters).items()}
    graph = helper.make_graph(
        _nodes(model),
        "fedcredit",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["loans", network.num_features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, ["loans"])],
        [
            *(numpy_helper.from_array(array, name) for name, array in tensors.items()),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "column"),
        ],
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fedcredit",
        doc_string="Probability of default from features that the run's schema.yaml encodes.",
    )
    helper.set_model_props(made, metadata(model))
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())


def metadata(model: KeptModel) -> dict[str, str]:
    """Say what a model file must not lose: where it is from, how loans are encoded for it, and its promise.

    Args:
        model: the run's model.

    Returns:
        Key and text.
    """
    lines = [line for line in model.record.statement_lines if line.startswith("epsilon ")]
    return {
        "run": model.record.name,
        "fingerprint": model.record.fingerprint,
        "schema": model.schema.name,
        "schema_sha256": model.schema_checksum,
        "features": "\n".join(feature_names(model.schema)),
        "row_norm_cap": repr(model.schema.row_norm_cap),
        "privacy": lines[0] if lines else _NO_PRIVACY,
        "privacy_statement": "\n".join(model.record.statement_lines) or _NO_PRIVACY,
    }


def _nodes(model: KeptModel) -> list[Any]:
    from onnx import TensorProto, helper

    nodes, above = [], INPUT
    for layer in model.network.layers:
        linear = f"{layer.name}.linear"
        names = [above, f"{layer.name}.weight", f"{layer.name}.bias"]
        nodes.append(helper.make_node("Gemm", names, [linear], transB=1))
        above = linear
        if layer.norm_weight is not None:
            own = [above, f"{layer.name}_norm.weight", f"{layer.name}_norm.bias"]
            above = f"{layer.name}.norm"
            nodes.append(helper.make_node("LayerNormalization", own, [above], axis=-1, epsilon=_NORM_EPSILON))
        if not layer.is_output:
            nodes.append(helper.make_node(_OPERATOR[model.network.activation], [above], [f"{layer.name}.active"]))
            above = f"{layer.name}.active"
    return [
        *nodes,
        helper.make_node("Cast", [above], ["log_odds"], to=TensorProto.DOUBLE),
        helper.make_node("Sigmoid", ["log_odds"], ["pd_column"]),
        helper.make_node("Squeeze", ["pd_column", "column"], [OUTPUT]),
    ]
