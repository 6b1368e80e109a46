"""The shared network in torch: state dicts, an ordinary module, and predictions block by block."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedcredit.errors import InputError
from fedcredit.model.blocks import ACTIVATIONS, single_threaded, to_blocks, trace_blocks
from fedcredit.model.network import DefaultNetwork, check_features, check_parameters, to_arrays, to_pd

_CHUNK_ROWS = 1024


def to_state_dict(network: DefaultNetwork, parameters: NDArray[np.float32]) -> dict[str, torch.Tensor]:
    """Cut the flat vector into named tensors (copies), in flat order.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.

    Returns:
        Tensors by name, such as ``hidden_0.weight``.

    Raises:
        InputError: if the vector has another length.
    """
    return {name: torch.from_numpy(array) for name, array in to_arrays(network, parameters).items()}


def from_state_dict(network: DefaultNetwork, state: Mapping[str, torch.Tensor]) -> NDArray[np.float32]:
    """Join named tensors into the flat vector; the inverse of `to_state_dict`.

    Args:
        network: the network's shape.
        state: tensors by name; exactly the network's names and shapes.

    Returns:
        Flat parameters, ``[num_parameters]``.

    Raises:
        InputError: if a name is missing or unknown, or a shape differs.
    """
    expected = {name: (place, shape) for layer in network.layers for name, place, shape in layer.tensors}
    if set(state) != set(expected):
        raise InputError(f"weights: tensors are {sorted(state)}; this network has {sorted(expected)}")
    flat = np.empty(network.num_parameters, dtype=np.float32)
    for name, (place, shape) in expected.items():
        if tuple(state[name].shape) != shape:
            raise InputError(f"weights: {name} has shape {list(state[name].shape)}; this network has {list(shape)}")
        flat[place] = state[name].detach().reshape(-1).to(torch.float32).cpu().numpy()
    return flat


def to_module(
    network: DefaultNetwork, parameters: NDArray[np.float32], *, linear: type[nn.Linear] = nn.Linear
) -> nn.Module:
    """Build an ordinary torch module that maps features ``[loans, features]`` to logits ``[loans]``.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.
        linear: the class of the linear layers.

    Returns:
        A module that holds copies of the parameters, under the names of `to_state_dict`.

    Raises:
        InputError: if the vector has another length.
    """
    state = to_state_dict(network, parameters)
    stack: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in network.layers:
        stack[layer.name] = linear(layer.num_inputs, layer.num_outputs, device="meta")
        if layer.norm_weight is not None:
            stack[f"{layer.name}_norm"] = nn.LayerNorm(layer.num_outputs, device="meta")
        if not layer.is_output:
            stack[f"{layer.name}_{network.activation}"] = ACTIVATIONS[network.activation][1]()
    stack["logit"] = nn.Flatten(start_dim=0)
    module = nn.Sequential(stack)
    module.load_state_dict(state, assign=True)
    return module.requires_grad_()


def predict_pd(
    network: DefaultNetwork, parameters: NDArray[np.float32], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Predict probabilities of default; a loan's has the same bits in any company.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.

    Returns:
        Probabilities of default, ``[loans]``.

    Raises:
        InputError: if a shape does not fit the network.
    """
    return to_pd(predict_logit(network, parameters, features))


def predict_logit(
    network: DefaultNetwork, parameters: NDArray[np.float32], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Predict log-odds of default; a loan's has the same bits in any company.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.

    Returns:
        Log-odds of default, ``[loans]``.

    Raises:
        InputError: if a shape does not fit the network.
    """
    check_parameters(network, parameters)
    check_features(network, features)
    flat = torch.tensor(parameters, dtype=torch.float32)
    logits = np.empty(len(features))
    with single_threaded(), torch.no_grad():
        for first in range(0, len(features), _CHUNK_ROWS):
            rows = features[first : first + _CHUNK_ROWS]
            trace = trace_blocks(network.layers, network.activation, flat, to_blocks(rows))
            logits[first : first + len(rows)] = trace.products[-1].reshape(-1)[: len(rows)].numpy()
    return logits
