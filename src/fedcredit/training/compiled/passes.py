"""A block of loans through the network and back: predictions, gradients by loan, their norms, and clipped sums.

Every array is flat and addressed by the integers of a layout, so depth and width are data. Products are single
precision within a block of at most 64 loans; norms, and sums over blocks, are double
(`fedcredit.privacy.mechanism` has the proof). Comparisons are written so that what is no number stays none.
"""

from __future__ import annotations

import math

import numpy as np

from fedcredit.privacy.mechanism import CLIP_MARGIN, LARGEST_NORM
from fedcredit.training.compiled.activations import activate
from fedcredit.training.compiled.compilation import exact, reassociated
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

_F = np.float32
_ZERO = _F(0.0)
_LARGEST_INPUT = 2.0**80


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
def pack(layout, parameters, space):
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
def forward(layout, activation, space, rows, logits):
    """Run the block's rows through the network; keep inputs and slopes in the space, and set the logits."""
    last = len(layout) - 1
    for place in range(last):
        line, after = layout[place], layout[place + 1]
        multiply(
            space, line[INPUT], line[WIDTH], line[FORWARD], line[SHIFT], after[INPUT], after[WIDTH], rows, line[INPUTS]
        )
        activate(activation, space, after[INPUT], line[SLOPE], rows, after[WIDTH])
    _logits(space, layout[last], rows, logits)


@exact
def _focal_residuals(logits, default, loans, first, rows, pos_weight, focal_gamma, space, at):
    """Set the derivative of -(1 - p)^gamma log p, p being the probability of what happened, by the logit."""
    for row in range(rows):
        against = -1.0 if default[loans[first + row]] > 0.5 else 1.0
        weight = pos_weight if against < 0.0 else 1.0
        margin = against * np.float64(logits[row])
        surprise, chance = 1.0 / (1.0 + math.exp(-margin)), 1.0 / (1.0 + math.exp(margin))
        log_chance = -margin - math.log1p(math.exp(-margin)) if margin > 0.0 else -math.log1p(math.exp(margin))
        slope = surprise - focal_gamma * chance * log_chance
        space[at + row] = _F(against * weight * surprise**focal_gamma * slope)


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
    """Set each loan's squared gradient norm: over linear layers, (1 + |input|^2) |gradient|^2 (Goodfellow 2015).

    A loan with an input beyond 2^40 counts as one without a finite norm: its clipped gradient could underflow.
    """
    last = len(layout) - 1
    for row in range(rows):
        total = 0.0
        for place in range(last + 1):
            line = layout[place]
            inputs = line[INPUT] + row * line[WIDTH]
            width = layout[place + 1][WIDTH] if place < last else 1
            gradient = line[GRADIENT] + row * width
            size = _square(space[inputs : inputs + line[WIDTH]])
            if not size <= _LARGEST_INPUT:
                total = np.inf
            total += (1.0 + size) * _square(space[gradient : gradient + width])
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
def add_clipped(layout, space, rows, factors, sums):
    """Scale the block's gradients by the clip factors of its loans, and add them to the padded sums."""
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
def derive(layout, activation, space, zeros, features, default, loans, first, rows, pos_weight, focal_gamma, squared):
    """Gather a block of at most 64 loans and find their gradients and squared norms."""
    line = layout[0]
    for row in range(rows):
        at, loan = line[INPUT] + row * line[WIDTH], loans[first + row]
        space[at : at + line[INPUTS]] = features[loan]
    logits = np.empty(rows, dtype=np.float32)
    forward(layout, activation, space, rows, logits)
    at = layout[-1][GRADIENT]
    if focal_gamma > 0.0:
        _focal_residuals(logits, default, loans, first, rows, pos_weight, focal_gamma, space, at)
    else:
        _residuals(logits, default, loans, first, rows, pos_weight, space, at)
    _backward(layout, space, zeros, rows)
    _squared_norms(layout, space, rows, squared)
