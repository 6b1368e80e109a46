"""The compiled arithmetic of a local round: every step of a lender in one call, for networks of any depth and width."""

from __future__ import annotations

import math

import numpy as np

from fedcredit.model.network import BLOCK_ROWS
from fedcredit.training.compiled.compilation import entry, exact, reassociated
from fedcredit.training.compiled.draws import gather, philox, sample
from fedcredit.training.compiled.draws import normals as normals_of
from fedcredit.training.compiled.layout import BIAS, BIAS_SUM, INPUT, INPUTS, OUTPUTS, SUM, WEIGHT, WIDTH
from fedcredit.training.compiled.passes import add_clipped, derive, factor, forward, pack

SGD, MOMENTUM, ADAM = 0, 1, 2
_F = np.float32


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
    layout, sizes, activation, incoming, features, default, starts, num_steps, probability, clipping_norm, deviation,
    divisor, proximal_weight, pos_weight, focal_gamma, kind, rule, sampling, noise, server_round,
):  # fmt: skip
    """Take all local steps of a lender.

    Args:
        layout: the network's table, `fedcredit.training.compiled.layout.Layout`.
        sizes: the layout's sizes.
        activation: ``RELU``, ``TANH`` or ``GELU``.
        incoming: parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.
        default: labels 0 or 1, ``[loans]``.
        starts: where each borrower's loans begin, and the end, ``[borrowers + 1]``; empty where loans are sampled.
        num_steps: steps to take.
        probability: of each loan, or borrower, to be in a step.
        clipping_norm: C, infinite for none.
        deviation: standard deviation of the noise on the clipped sum, 0 for none.
        divisor: what the noised sum is divided by.
        proximal_weight: weight of the pull to the incoming parameters, at least 0.
        pos_weight: weight of the loans that defaulted.
        focal_gamma: focusing of the focal loss; 0 is the cross-entropy.
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
    num_sampled = len(default) if len(starts) == 0 else len(starts) - 1
    likely = probability * num_sampled
    gaps = np.empty((4, 8 + int(0.5 * likely + 1.5 * math.sqrt(likely))), dtype=np.uint32)
    sampled, loans = np.empty(num_sampled, dtype=np.int64), np.empty(len(default), dtype=np.int64)
    squared = np.empty(BLOCK_ROWS)
    draws = 0
    for step in range(num_steps):
        batch = sample(sampling, server_round, step, probability, gaps, loans if len(starts) == 0 else sampled)
        if len(starts) > 0:
            batch = gather(sampled, batch, starts, loans)
        pack(layout, parameters, space)
        sums[:] = 0.0
        for start in range(0, batch, BLOCK_ROWS):
            rows = min(BLOCK_ROWS, batch - start)
            derive(
                layout, activation, space, zeros, features, default, loans, start, rows, pos_weight, focal_gamma,
                squared,
            )  # fmt: skip
            for row in range(rows):
                squared[row] = factor(squared[row], clipping_norm)
            add_clipped(layout, space, rows, squared, sums)
        draws += _noise(noise, server_round, step, deviation, words, normals, gradient)
        _gradient(layout, sums, divisor, gradient)
        if proximal_weight > 0.0:
            _pull(parameters, incoming, proximal_weight, gradient)
        _move(kind, rule, step, gradient, first, second, parameters)
    return parameters, draws


@entry
def gradient_block(layout, sizes, activation, parameters, features, default, pos_weight, focal_gamma, squared):
    """Find the gradients of one block, as a step does, and leave them in the space that is returned.

    Args:
        layout: the network's table.
        sizes: the layout's sizes.
        activation: ``RELU``, ``TANH`` or ``GELU``.
        parameters: ``[num_parameters]``.
        features: at most 64 encoded loans, ``[rows, features]``.
        default: their labels 0 or 1, ``[rows]``.
        pos_weight: weight of the loans that defaulted.
        focal_gamma: focusing of the focal loss; 0 is the cross-entropy.
        squared: set to each loan's squared gradient norm, ``[rows]``.

    Returns:
        The space, for `add_block`.
    """
    space, _ = _buffers(sizes)
    pack(layout, parameters, space)
    rows = len(default)
    zeros, loans = sizes[0] - sizes[2], np.arange(rows)
    derive(layout, activation, space, zeros, features, default, loans, 0, rows, pos_weight, focal_gamma, squared)
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
    add_clipped(layout, space, len(factors), factors, sums)


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
    pack(layout, parameters, space)
    line = layout[0]
    for start in range(0, len(features), BLOCK_ROWS):
        rows = min(BLOCK_ROWS, len(features) - start)
        for row in range(rows):
            at = line[INPUT] + row * line[WIDTH]
            space[at : at + line[INPUTS]] = features[start + row]
        forward(layout, activation, space, rows, logits[start : start + rows])
