"""The compiled arithmetic of a local round: every step of a lender in one call, for networks of any depth and width.

Every array is flat and addressed by the integers of a layout, so depth and width are data and nothing is compiled
anew for another network. Products are single precision within a block of at most 64 loans; norms, and sums over
blocks, are double (`fedcredit.privacy.mechanism` has the proof). Comparisons are written so that what is no
number stays none.
"""

from __future__ import annotations

import math

import numpy as np

from fedcredit.model.network import BLOCK_ROWS
from fedcredit.privacy.mechanism import CLIP_MARGIN, LARGEST_NORM
from fedcredit.training.compiled.activations import activate
from fedcredit.training.compiled.compilation import entry, exact, reassociated
from fedcredit.training.compiled.draws import GAP_BLOCKS, philox, sample
from fedcredit.training.compiled.draws import normals as normals_of
from fedcredit.training.compiled.layout import (
    BACKWARD,
    BIAS,
    BIAS_SUM,
    FORWARD,
    GRADIENT,
    INPUT,
    INPUTS,
    LANES,
    OUTPUTS,
    SHIFT,
    SLOPE,
    SUM,
    WEIGHT,
    WIDTH,
)  # fmt: skip
from fedcredit.training.compiled.tile import add_outer, multiply

SGD, MOMENTUM, ADAM = 0, 1, 2
_F = np.float32
_ZERO = _F(0.0)


@reassociated
def _copy_panel(weights, at, row_step, lane_step, rows, lanes, panel):
    """Copy ``[rows, lanes]`` of the weights, by any strides, into a panel ``[rows, 16]``."""
    for row in range(rows):
        first = at + row * row_step
        if lanes == LANES:
            for lane in range(LANES):
                panel[row * LANES + lane] = weights[first + lane * lane_step]
        else:
            for lane in range(lanes):
                panel[row * LANES + lane] = weights[first + lane * lane_step]


@exact
def _pack(layout, parameters, space):
    """Lay the weights out for the products: panels of 16 outputs forward, of 16 inputs backward."""
    last = len(layout) - 1
    for place in range(last + 1):
        line = layout[place]
        inputs, outputs = line[INPUTS], line[OUTPUTS]
        weights = parameters[line[WEIGHT] : line[WEIGHT] + inputs * outputs]
        space[line[SHIFT] : line[SHIFT] + outputs] = parameters[line[BIAS] : line[BIAS] + outputs]
        for column in range(0, inputs if place > 0 or place == last else 0, LANES):
            panel = space[line[BACKWARD] + column * outputs : line[BACKWARD] + (column + LANES) * outputs]
            _copy_panel(weights, column, inputs, 1, outputs, min(LANES, inputs - column), panel)
        for column in range(0, outputs if place < last else 0, LANES):
            panel = space[line[FORWARD] + column * inputs : line[FORWARD] + (column + LANES) * inputs]
            _copy_panel(weights, column * inputs, 1, inputs, inputs, min(LANES, outputs - column), panel)


@reassociated
def _logits(space, line, rows, logits):
    width = line[WIDTH]
    weights = space[line[BACKWARD] : line[BACKWARD] + width]
    for row in range(rows):
        inputs = space[line[INPUT] + row * width : line[INPUT] + (row + 1) * width]
        total = _ZERO
        for i in range(width):
            total += inputs[i] * weights[i]
        logits[row] = total + space[line[SHIFT]]


@exact
def _forward(layout, activation, space, rows, logits):
    last = len(layout) - 1
    for place in range(last):
        line, after = layout[place], layout[place + 1]
        multiply(
            space, line[INPUT], line[WIDTH], line[FORWARD], line[SHIFT], after[INPUT], after[WIDTH], rows, line[INPUTS]
        )
        activate(activation, space, after[INPUT], line[SLOPE], rows, after[WIDTH])
    _logits(space, layout[last], rows, logits)


@exact
def _residuals(logits, default, loans, first, rows, pos_weight, space, at):
    """Set the derivative of each loan's weighted cross-entropy with respect to its logit."""
    for row in range(rows):
        label = np.float64(default[loans[first + row]])
        probability = 1.0 / (1.0 + math.exp(-np.float64(logits[row])))
        positive = pos_weight * label
        space[at + row] = _F(probability * (positive + (1.0 - label)) - positive)


@reassociated
def _times_slopes(space, at, slope, count):
    values, slopes = space[at : at + count], space[slope : slope + count]
    for i in range(count):
        values[i] *= slopes[i]


@reassociated
def _spread_residuals(space, line, target, slope, rows):
    """Carry the residuals back through the output layer and the slopes of the layer below it."""
    width = line[WIDTH]
    weights = space[line[BACKWARD] : line[BACKWARD] + width]
    for row in range(rows):
        residual = space[line[GRADIENT] + row]
        values = space[target + row * width : target + (row + 1) * width]
        slopes = space[slope + row * width : slope + (row + 1) * width]
        for i in range(width):
            values[i] = residual * weights[i] * slopes[i]


@exact
def _backward(layout, space, zeros, rows):
    last = len(layout) - 1
    if last > 0:
        below = layout[last - 1]
        _spread_residuals(space, layout[last], below[GRADIENT], below[SLOPE], rows)
    for place in range(last - 1, 0, -1):
        line, below = layout[place], layout[place - 1]
        width = line[WIDTH]
        multiply(
            space, line[GRADIENT], layout[place + 1][WIDTH], line[BACKWARD], zeros, below[GRADIENT], width, rows,
            line[OUTPUTS],
        )  # fmt: skip
        _times_slopes(space, below[GRADIENT], below[SLOPE], rows * width)


@reassociated
def _square(values):
    total = 0.0
    for i in range(len(values)):
        value = np.float64(values[i])
        total += value * value
    return total


@exact
def _squared_norms(layout, space, rows, squared):
    """Set each loan's squared gradient norm: over linear layers, (1 + |input|^2) |gradient|^2 (Goodfellow 2015)."""
    last = len(layout) - 1
    for row in range(rows):
        total = 0.0
        for place in range(last + 1):
            line = layout[place]
            inputs = line[INPUT] + row * line[WIDTH]
            width = layout[place + 1][WIDTH] if place < last else 1
            gradient = line[GRADIENT] + row * width
            total += (1.0 + _square(space[inputs : inputs + line[WIDTH]])) * _square(space[gradient : gradient + width])
        squared[row] = total


@exact
def factor(squared, clipping_norm):
    """Do for one loan what `fedcredit.privacy.mechanism.clip_factors` does."""
    if not squared < LARGEST_NORM**2:
        return 0.0
    norm, target = math.sqrt(squared), clipping_norm * (1.0 - CLIP_MARGIN)
    return target / norm if norm > target else 1.0


@reassociated
def _scale(layout, space, row, factor):
    """Scale a loan's gradients; a loan that counts as zero loses its inputs too, for 0 * inf is no number."""
    last = len(layout) - 1
    single = _F(factor)
    for place in range(last + 1):
        line = layout[place]
        width = layout[place + 1][WIDTH] if place < last else 1
        gradient = space[line[GRADIENT] + row * width : line[GRADIENT] + (row + 1) * width]
        if factor > 0.0:
            for i in range(width):
                gradient[i] *= single
        else:
            gradient[:] = _ZERO
            space[line[INPUT] + row * line[WIDTH] : line[INPUT] + (row + 1) * line[WIDTH]] = _ZERO


@reassociated
def _add_rows(values, rows, sums):
    """Add ``values``, ``[rows, columns]``, row by row to the double-precision ``sums``, ``[columns]``."""
    columns = len(sums)
    for row in range(rows):
        line = values[row * columns : (row + 1) * columns]
        for i in range(columns):
            sums[i] += np.float64(line[i])


@exact
def _add_block(layout, space, rows, factors, sums):
    last = len(layout) - 1
    for row in range(rows):
        if factors[row] != 1.0:
            _scale(layout, space, row, factors[row])
    for place in range(last + 1):
        line = layout[place]
        width = layout[place + 1][WIDTH] if place < last else 1
        add_outer(space, line[GRADIENT], width, line[INPUT], line[WIDTH], sums, line[SUM], line[OUTPUTS], rows)
        _add_rows(
            space[line[GRADIENT] : line[GRADIENT] + rows * width], rows, sums[line[BIAS_SUM] : line[BIAS_SUM] + width]
        )


@exact
def _block(layout, activation, space, zeros, features, default, loans, first, rows, pos_weight, squared):
    """Gather a block of at most 64 loans and find their gradients and squared norms."""
    line = layout[0]
    for row in range(rows):
        at, loan = line[INPUT] + row * line[WIDTH], loans[first + row]
        for i in range(line[INPUTS]):
            space[at + i] = features[loan, i]
    logits = np.empty(rows, dtype=np.float32)
    _forward(layout, activation, space, rows, logits)
    _residuals(logits, default, loans, first, rows, pos_weight, space, layout[-1][GRADIENT])
    _backward(layout, space, zeros, rows)
    _squared_norms(layout, space, rows, squared)


@reassociated
def _gradient(layout, sums, divisor, gradient):
    """Take the sums out of their padding, add them to the noise, and divide by the constant divisor."""
    for place in range(len(layout)):
        line = layout[place]
        inputs, outputs = line[INPUTS], line[OUTPUTS]
        for output in range(outputs):
            row = gradient[line[WEIGHT] + output * inputs : line[WEIGHT] + (output + 1) * inputs]
            found = sums[line[SUM] + output * line[WIDTH] : line[SUM] + output * line[WIDTH] + inputs]
            for i in range(inputs):
                row[i] = (row[i] + found[i]) / divisor
        row, found = gradient[line[BIAS] : line[BIAS] + outputs], sums[line[BIAS_SUM] : line[BIAS_SUM] + outputs]
        for i in range(outputs):
            row[i] = (row[i] + found[i]) / divisor


@reassociated
def _pull(parameters, incoming, proximal_weight, gradient):
    for i in range(len(gradient)):
        gradient[i] += proximal_weight * (np.float64(parameters[i]) - np.float64(incoming[i]))


@exact
def _noise(stream, server_round, step, deviation, words, normals, gradient):
    """Set the gradient to the noise of this step, or to zero where there is none; return how often it was drawn."""
    if deviation == 0.0:
        gradient[:] = 0.0
        return 0
    philox(stream, server_round, step, 0, words)
    normals_of(words, normals)
    for i in range(len(gradient)):
        gradient[i] = deviation * np.float64(normals[i])
    return 1


@exact
def _move(kind, rule, step, gradient, first, second, parameters):
    """Take one optimiser step, as `fedcredit.training.optimiser.advance` does; ``rule`` holds its constants."""
    rate, beta1, beta2, stabiliser = rule[0], rule[1], rule[2], rule[3]
    if kind == SGD:
        for i in range(len(parameters)):
            parameters[i] = _F(np.float64(parameters[i]) - rate * gradient[i])
    elif kind == MOMENTUM:
        for i in range(len(parameters)):
            first[i] = beta1 * first[i] + gradient[i]
            parameters[i] = _F(np.float64(parameters[i]) - rate * first[i])
    else:
        bias1, bias2 = 1.0 - beta1 ** (step + 1), 1.0 - beta2 ** (step + 1)
        for i in range(len(parameters)):
            first[i] = beta1 * first[i] + (1.0 - beta1) * gradient[i]
            second[i] = beta2 * second[i] + (1.0 - beta2) * gradient[i] * gradient[i]
            change = rate * (first[i] / bias1) / (math.sqrt(second[i] / bias2) + stabiliser)
            parameters[i] = _F(np.float64(parameters[i]) - change)


@exact
def _buffers(sizes):
    """Make the working arrays: single-precision space (zeros, and zeros at its end), and double-precision sums."""
    return np.zeros(sizes[0], dtype=np.float32), np.zeros(sizes[1])


@entry
def local_steps(
    layout, sizes, activation, incoming, features, default, num_steps, probability, clipping_norm, deviation, divisor,
    proximal_weight, pos_weight, kind, rule, sampling, noise, server_round,
):  # fmt: skip
    """Take all local steps of a lender.

    Args:
        layout: the network's table, `fedcredit.training.compiled.layout.Layout`.
        sizes: the layout's sizes.
        activation: ``RELU``, ``TANH`` or ``GELU``.
        incoming: parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.
        default: labels 0 or 1, ``[loans]``.
        num_steps: steps to take.
        probability: of each loan to be in a step.
        clipping_norm: C, infinite for none.
        deviation: standard deviation of the noise on the clipped sum, 0 for none.
        divisor: what the noised sum is divided by.
        proximal_weight: weight of the pull to the incoming parameters, at least 0.
        pos_weight: weight of the loans that defaulted.
        kind: ``SGD``, ``MOMENTUM`` or ``ADAM``.
        rule: learning rate, momentum or beta1, beta2, stabiliser.
        sampling: three words of the stream that batches come from.
        noise: three words of the stream that noise comes from.
        server_round: the round.

    Returns:
        The parameters, and how often noise was drawn.
    """
    parameters, size = incoming.copy(), len(incoming)
    space, sums = _buffers(sizes)
    zeros = sizes[0] - sizes[2]
    gradient, first, second = np.empty(size), np.zeros(size), np.zeros(size)
    blocks = (size + 3) // 4
    words, normals = np.empty((4, blocks), dtype=np.uint32), np.empty(4 * blocks, dtype=np.float32)
    gaps = np.empty((4, GAP_BLOCKS), dtype=np.uint32)
    loans = np.empty(len(default), dtype=np.int64)
    squared = np.empty(BLOCK_ROWS)
    draws = 0
    for step in range(num_steps):
        batch = sample(sampling, server_round, step, probability, gaps, loans)
        _pack(layout, parameters, space)
        sums[:] = 0.0
        for start in range(0, batch, BLOCK_ROWS):
            rows = min(BLOCK_ROWS, batch - start)
            _block(layout, activation, space, zeros, features, default, loans, start, rows, pos_weight, squared)
            for row in range(rows):
                squared[row] = factor(squared[row], clipping_norm)
            _add_block(layout, space, rows, squared, sums)
        draws += _noise(noise, server_round, step, deviation, words, normals, gradient)
        _gradient(layout, sums, divisor, gradient)
        if proximal_weight > 0.0:
            _pull(parameters, incoming, proximal_weight, gradient)
        _move(kind, rule, step, gradient, first, second, parameters)
    return parameters, draws


@entry
def gradient_block(layout, sizes, activation, parameters, features, default, pos_weight, squared):
    """Find the gradients of one block, as a step does, and leave them in the space that is returned.

    Args:
        layout: the network's table.
        sizes: the layout's sizes.
        activation: ``RELU``, ``TANH`` or ``GELU``.
        parameters: ``[num_parameters]``.
        features: at most 64 encoded loans, ``[rows, features]``.
        default: their labels 0 or 1, ``[rows]``.
        pos_weight: weight of the loans that defaulted.
        squared: set to each loan's squared gradient norm, ``[rows]``.

    Returns:
        The space, for `add_block`.
    """
    space, _ = _buffers(sizes)
    _pack(layout, parameters, space)
    rows = len(default)
    zeros, loans = sizes[0] - sizes[2], np.arange(rows)
    _block(layout, activation, space, zeros, features, default, loans, 0, rows, pos_weight, squared)
    return space


@entry
def add_block(layout, space, factors, sums):
    """Scale the gradients that `gradient_block` left, and add them to the padded sums, as a step does.

    Args:
        layout: the network's table.
        space: what `gradient_block` returned; changed.
        factors: each loan's clip factor, ``[rows]``.
        sums: padded sums; changed.
    """
    _add_block(layout, space, len(factors), factors, sums)


@entry
def unpadded(layout, sums, total):
    """Take sums out of their padding.

    Args:
        layout: the network's table.
        sums: padded sums.
        total: zeros; set to the sums in flat order, ``[num_parameters]``.
    """
    _gradient(layout, sums, 1.0, total)


@entry
def predicted_logits(layout, sizes, activation, parameters, features, logits):
    """Predict log-odds of default.

    Args:
        layout: the network's table.
        sizes: the layout's sizes.
        activation: ``RELU``, ``TANH`` or ``GELU``.
        parameters: ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.
        logits: set to the log-odds, ``[loans]``.
    """
    space, _ = _buffers(sizes)
    _pack(layout, parameters, space)
    line = layout[0]
    for start in range(0, len(features), BLOCK_ROWS):
        rows = min(BLOCK_ROWS, len(features) - start)
        for row in range(rows):
            for i in range(line[INPUTS]):
                space[line[INPUT] + row * line[WIDTH] + i] = features[start + row, i]
        _forward(layout, activation, space, rows, logits[start : start + rows])
