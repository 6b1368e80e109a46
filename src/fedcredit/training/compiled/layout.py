"""Where the compiled kernel keeps what: a network of any depth and width as a table of integers.

One row a linear layer, one column for each name below. Columns are padded with zeros to a multiple of 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fedcredit.model.network import BLOCK_ROWS, DefaultNetwork

LANES = 16
(
    INPUTS,  # columns of the input
    OUTPUTS,  # columns of the output
    WIDTH,  # columns of the input, padded
    WEIGHT,  # weights in the flat parameters, [outputs, inputs]
    BIAS,  # biases in the flat parameters
    FORWARD,  # weights in panels of 16 outputs, [panels, inputs, 16]
    BACKWARD,  # weights in panels of 16 inputs, [panels, outputs, 16]
    SHIFT,  # biases, padded
    INPUT,  # the block's inputs, [64, width]
    SLOPE,  # slopes of the activation after this layer, as wide as its output
    GRADIENT,  # derivatives with respect to this layer's output, as wide as its output; one column for the last
    SUM,  # sums of clipped weight gradients, [outputs, width]; from here on double precision
    BIAS_SUM,  # sums of clipped bias gradients, [outputs]
) = range(13)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A network as the kernel takes it.

    Attributes:
        table: one row a layer, one column a name, ``[layers, 13]``.
        sizes: numbers of single and of double precision to work in, and how many of the first stay zero at the end.
    """

    table: NDArray[np.int64]
    sizes: NDArray[np.int64]


@lru_cache(maxsize=64)
def layout_of(network: DefaultNetwork) -> Layout:
    """Lay out a network without LayerNorm.

    Args:
        network: its shape.

    Returns:
        The layout, read-only.
    """
    table = np.zeros((len(network.layers), 13), dtype=np.int64)
    widths = [_padded(layer.num_inputs) for layer in network.layers]
    single, double = 0, 0
    for place, layer in enumerate(network.layers):
        width, after = widths[place], 1 if layer.is_output else widths[place + 1]
        kept = (
            layer.num_inputs * after,
            layer.num_outputs * width,
            after,
            *(BLOCK_ROWS * n for n in (width, after, after)),
        )
        starts = list(accumulate((_padded(count) for count in kept), initial=single))
        sums = list(accumulate((layer.num_outputs * width, _padded(layer.num_outputs)), initial=double))
        table[place] = (
            layer.num_inputs, layer.num_outputs, width, layer.weight.start, layer.bias.start, *starts[:-1], *sums[:-1],
        )  # fmt: skip
        single, double = starts[-1], sums[-1]
    zeros = max(widths)
    sizes = np.array([single + zeros, double, zeros], dtype=np.int64)
    for array in (table, sizes):
        array.flags.writeable = False
    return Layout(table=table, sizes=sizes)


def _padded(count: int) -> int:
    return -(-count // LANES) * LANES
