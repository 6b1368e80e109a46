"""The shared network: a stack of linear layers with one logit out, and its one flat vector of parameters.

No layer looks at another loan (no batch statistics), so a loan's gradient depends on that loan alone.
Flat order, layer by layer: weight ``[outputs, inputs]`` row by row, bias ``[outputs]``, and where there
is a LayerNorm (Ba, Kiros and Hinton 2016) its weight and bias. A hidden layer is linear, then LayerNorm,
then the activation; the last layer is linear with one output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.experiment import spec
from fedcredit.seeds import Stream, normals

BLOCK_ROWS = 64
ACTIVATIONS = ("relu", "tanh", "gelu")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Where one linear layer, and its LayerNorm if it has one, lie in the flat vector."""

    name: str
    num_inputs: int
    num_outputs: int
    weight: slice
    bias: slice
    norm_weight: slice | None = None
    norm_bias: slice | None = None

    @property
    def is_output(self) -> bool:
        """Whether this is the last layer, whose one output is the logit."""
        return self.name == "output"

    @property
    def tensors(self) -> tuple[tuple[str, slice, tuple[int, ...]], ...]:
        """Name in the state dict, place in the flat vector and shape of each tensor, in flat order."""
        square, line = (self.num_outputs, self.num_inputs), (self.num_outputs,)
        found: list[tuple[str, slice, tuple[int, ...]]] = [
            (f"{self.name}.weight", self.weight, square),
            (f"{self.name}.bias", self.bias, line),
        ]
        if self.norm_weight is not None and self.norm_bias is not None:
            found.append((f"{self.name}_norm.weight", self.norm_weight, line))
            found.append((f"{self.name}_norm.bias", self.norm_bias, line))
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class DefaultNetwork:
    """The shape of a default-prediction network; without hidden layers it is logistic regression.

    Attributes:
        num_features: encoded features of a loan, at least 1.
        hidden: widths of the hidden layers.
        activation: ``"relu"``, ``"tanh"`` or ``"gelu"`` (exact, by the error function).
        layer_norm: whether a LayerNorm stands before each activation.
        output_scale: factor on the output layer's initial weights, at least 0.
        prior_bad_rate: public guess of the default rate, in (0, 1); sets the initial output bias.
    """

    num_features: int
    hidden: tuple[int, ...] = (16,)
    activation: str = "tanh"
    layer_norm: bool = False
    output_scale: float = 0.3
    prior_bad_rate: float = 0.1

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: if a field is outside its range.
        """
        if self.num_features < 1 or any(width < 1 for width in self.hidden):
            raise InputError(
                f"network: num_features is {self.num_features} and hidden is {list(self.hidden)}; "
                "every width must be at least 1"
            )
        if self.activation not in ACTIVATIONS:
            raise InputError(f"network.activation is {self.activation!r}; choose one of {', '.join(ACTIVATIONS)}")
        if not 0.0 < self.prior_bad_rate < 1.0:
            raise InputError(f"network.prior_bad_rate is {self.prior_bad_rate}; give a rate above 0 and below 1")
        if not (math.isfinite(self.output_scale) and self.output_scale >= 0.0):
            raise InputError(f"network.output_scale is {self.output_scale}; give a finite number of at least 0")

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in flat order; the last one is the output."""
        widths = (self.num_features, *self.hidden, 1)
        layers: list[Layer] = []
        start = 0
        for position, (num_inputs, num_outputs) in enumerate(pairwise(widths)):
            is_output = position == len(self.hidden)
            sizes = [num_inputs * num_outputs, num_outputs]
            sizes += [num_outputs, num_outputs] if self.layer_norm and not is_output else []
            stops = np.cumsum([start, *sizes]).tolist()
            places = [slice(first, last) for first, last in pairwise(stops)]
            name = "output" if is_output else f"hidden_{position}"
            fields = dict(zip(("weight", "bias", "norm_weight", "norm_bias"), places, strict=False))
            layers.append(Layer(name=name, num_inputs=num_inputs, num_outputs=num_outputs, **fields))
            start = stops[-1]
        return tuple(layers)

    @property
    def num_parameters(self) -> int:
        """How many numbers the flat vector holds."""
        return int(self.layers[-1].bias.stop)


def network_from_spec(network: spec.Network, num_features: int) -> DefaultNetwork:
    """Give the network of an experiment its number of features.

    Args:
        network: the experiment's network.
        num_features: encoded features of a loan, at least 1.

    Returns:
        The network's shape.

    Raises:
        InputError: if a width is below 1.
    """
    return DefaultNetwork(
        num_features=num_features,
        hidden=network.hidden,
        activation=network.activation,
        layer_norm=network.layer_norm,
        output_scale=network.output_scale,
        prior_bad_rate=network.prior_bad_rate,
    )


def initial_parameters(network: DefaultNetwork, stream: Stream) -> NDArray[np.float32]:
    """Draw the parameters that training starts from.

    Weights are normal with standard deviation 1 / sqrt(inputs) (LeCun et al. 1998), the output layer's
    times ``output_scale``; biases are zero but the output's, which is the logit of the public prior.
    Logistic regression starts from zero weights.

    Args:
        network: the network's shape.
        stream: a stream that all arms share, named ``"initialisation"``.

    Returns:
        Flat parameters, ``[num_parameters]``.
    """
    flat = np.zeros(network.num_parameters)
    for position, layer in enumerate(network.layers):
        if network.hidden:
            count = layer.num_inputs * layer.num_outputs
            scale = network.output_scale if layer.is_output else 1.0
            flat[layer.weight] = normals(stream, count=count, step=position) * (scale / math.sqrt(layer.num_inputs))
        if layer.norm_weight is not None:
            flat[layer.norm_weight] = 1.0
    prior = network.prior_bad_rate
    flat[network.layers[-1].bias] = math.log(prior / (1.0 - prior))
    return flat.astype(np.float32)


def to_arrays(network: DefaultNetwork, parameters: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Cut the flat vector into named arrays (copies), in flat order.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.

    Returns:
        Arrays by name, such as ``hidden_0.weight``.

    Raises:
        InputError: if the vector has another length.
    """
    check_parameters(network, parameters)
    return {
        name: parameters[place].astype(np.float32).reshape(shape)
        for layer in network.layers
        for name, place, shape in layer.tensors
    }


def from_arrays(network: DefaultNetwork, arrays: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join named arrays to the flat vector: the inverse of `to_arrays`.

    Args:
        network: the network's shape.
        arrays: arrays by name.

    Returns:
        Flat parameters, ``[num_parameters]``.

    Raises:
        InputError: if a name is missing or too many, or an array has another shape.
    """
    wanted = {name: (place, shape) for layer in network.layers for name, place, shape in layer.tensors}
    found = {name: array.shape for name, array in arrays.items()}
    if found != {name: shape for name, (_, shape) in wanted.items()}:
        raise InputError(
            f"arrays are {found}; this network has { ({name: shape for name, (_, shape) in wanted.items()}) }"
        )
    parameters = np.empty(network.num_parameters, dtype=np.float32)
    for name, (place, _) in wanted.items():
        parameters[place] = arrays[name].ravel()
    return parameters


def to_pd(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn log-odds of default into probabilities.

    Args:
        logits: ``[loans]``.

    Returns:
        Probabilities of default, ``[loans]``.
    """
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def check_parameters(network: DefaultNetwork, parameters: NDArray[np.float32]) -> None:
    """Refuse a flat vector that is not this network's.

    Args:
        network: the network's shape.
        parameters: flat parameters.

    Raises:
        InputError: if the vector has another length.
    """
    if parameters.shape != (network.num_parameters,):
        raise InputError(f"parameters have shape {list(parameters.shape)}; this network has [{network.num_parameters}]")


def check_features(network: DefaultNetwork, features: NDArray[np.float32]) -> None:
    """Refuse encoded loans that do not fit the network.

    Args:
        network: the network's shape.
        features: encoded loans.

    Raises:
        InputError: if they are not ``[loans, num_features]``.
    """
    if features.ndim != 2 or features.shape[1] != network.num_features:
        raise InputError(
            f"features have shape {list(features.shape)}; this network takes [loans, {network.num_features}]"
        )
