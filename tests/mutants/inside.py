"""Bugs in what a trainer does, planted into each trainer where it has the place for them.

The vectorised trainer and the reference take their steps in one loop (`fedcredit.training.stepwise.walk`): a bug in
it is planted once and must be killed in each of them.
"""

# ruff: noqa: E501 (lines of the source, as they stand)
from __future__ import annotations

from mutants.mutant import at, mutant

_KERNEL = "training/compiled/kernel.py"
_PASSES = "training/compiled/passes.py"
_DOOR = "training/compiled/__init__.py"
_DRAWS = "training/compiled/draws.py"
_WALK = "training/stepwise.py"
_VECTORISED = "training/vectorised.py"
_SUMS = "training/clipped_sums.py"
_REFERENCE = "training/reference.py"
_MECHANISM = "privacy/mechanism.py"
_SAMPLING = "privacy/sampling.py"

_TRAINER_TESTS = "tests/contracts/test_trainers.py::"
_EMPTY = _TRAINER_TESTS + "test_an_empty_batch_is_a_step_of_noise_alone"
_REUSE = _TRAINER_TESTS + "test_noise_is_never_that_of_another_step_round_lender_or_arm"
_ORDINARY = _TRAINER_TESTS + "test_no_clipping_and_no_noise_is_ordinary_training_on_the_same_batches"
_AGREE = _TRAINER_TESTS + "test_the_trainers_agree_after_a_whole_round_with_noise"
_NOT_FINITE = _TRAINER_TESTS + "test_a_loan_without_a_finite_gradient_counts_as_zero"
_LARGE = "tests/contracts/test_sensitivity.py::"
_LARGE += "test_in_a_large_adversarial_batch_a_neighbour_moves_the_sum_by_at_most_the_clipping_norm"
_COMPILED_TESTS = "tests/unit/training/test_compiled.py::"
_STEPWISE_TESTS = "tests/unit/training/test_stepwise.py::"

_KERNEL_NOISE = "gradient[i] = deviation * np.float64(normals[i])"
_KERNEL_PHILOX = "philox(stream, server_round, step, 0, words)"
_MANY_STEPS = "        draw *= deviation\n        yield draw"
_EMPTY_OF_WALK = {kind: f"{_EMPTY}[{kind}-0]" for kind in ("vectorised", "reference")}


def _of_walk(name: str) -> dict[str, str]:
    return dict.fromkeys(("vectorised", "reference"), _STEPWISE_TESTS + name)


INSIDE = (
    mutant(
        "noise forgotten",
        at(_KERNEL, _KERNEL_NOISE, "gradient[i] = 0.0 * np.float64(normals[i])"),
        compiled=f"{_EMPTY}[compiled-0]",
    ),
    mutant(
        "noise forgotten",
        at(_WALK, "gradient = next(noises)", "gradient = 0.0 * next(noises)"),
        **_EMPTY_OF_WALK,
    ),
    mutant(
        "noise 1 % too small",
        at(_KERNEL, _KERNEL_NOISE, "gradient[i] = 0.99 * deviation * np.float64(normals[i])"),
        compiled=f"{_EMPTY}[compiled-0]",
    ),
    mutant(
        "noise 1 % too small",
        at(_MECHANISM, _MANY_STEPS, "        draw *= 0.99 * deviation\n        yield draw"),
        vectorised=f"{_EMPTY}[vectorised-0]",
    ),
    mutant(
        "noise 1 % too small",
        at(_MECHANISM, "return deviation * normals(", "return 0.99 * deviation * normals("),
        reference="tests/statistical/test_noise.py::test_noise_has_the_scale_and_shape_that_the_accountant_assumes",
    ),
    mutant(
        "noise of the sum divided by the batch before it is added",
        at(
            _KERNEL,
            "_noise(noise, server_round, step, deviation, words,",
            "_noise(noise, server_round, step, deviation / divisor, words,",
        ),
        compiled=f"{_EMPTY}[compiled-0]",
    ),
    mutant(
        "noise of the sum divided by the batch before it is added",
        at(_WALK, "gradient = next(noises)", "gradient = next(noises) / settings.divisor"),
        **_EMPTY_OF_WALK,
    ),
    mutant(
        "noise in units of one, not of the clipping norm",
        at(
            _DOOR,
            "settings.noise_multiplier * settings.clipping_norm if has_noise",
            "settings.noise_multiplier if has_noise",
        ),
        compiled=_TRAINER_TESTS + "test_noise_scales_with_the_clipping_norm[compiled]",
    ),
    mutant(
        "noise in units of one, not of the clipping norm",
        at(_MECHANISM, "deviation = noise_multiplier * clipping_norm", "deviation = noise_multiplier"),
        vectorised=_TRAINER_TESTS + "test_noise_scales_with_the_clipping_norm[vectorised]",
        reference=_TRAINER_TESTS + "test_noise_scales_with_the_clipping_norm[reference]",
    ),
    mutant(
        "noise reused over steps",
        at(_KERNEL, _KERNEL_PHILOX, "philox(stream, server_round, 0, 0, words)"),
        compiled=f"{_REUSE}[compiled]",
    ),
    mutant(
        "noise reused over steps",
        at(
            _MECHANISM,
            _MANY_STEPS,
            "        draw *= deviation\n        first = locals().get('first', draw)\n        yield first.copy()",
        ),
        vectorised=f"{_REUSE}[vectorised]",
    ),
    mutant(
        "noise reused over steps",
        at(
            _WALK,
            "clipping_norm=settings.clipping_norm,\n        server_round=streams.server_round,\n        step=step,",
            "clipping_norm=settings.clipping_norm,\n        server_round=streams.server_round,\n        step=0,",
        ),
        reference=f"{_REUSE}[reference]",
    ),
    mutant(
        "noise reused over rounds",
        at(_KERNEL, _KERNEL_PHILOX, "philox(stream, 1, step, 0, words)"),
        compiled=f"{_REUSE}[compiled]",
    ),
    mutant(
        "noise reused over rounds",
        at(
            _VECTORISED,
            "clipping_norm=settings.clipping_norm,\n                server_round=streams.server_round,",
            "clipping_norm=settings.clipping_norm,\n                server_round=1,",
        ),
        vectorised=f"{_REUSE}[vectorised]",
    ),
    mutant(
        "noise reused over rounds",
        at(
            _WALK,
            "clipping_norm=settings.clipping_norm,\n        server_round=streams.server_round,",
            "clipping_norm=settings.clipping_norm,\n        server_round=1,",
        ),
        reference=f"{_REUSE}[reference]",
    ),
    mutant(
        "noise from the sampler's stream",
        at(_KERNEL, "_noise(noise, server_round, step,", "_noise(sampling, server_round, step,"),
        compiled=f"{_EMPTY}[compiled-0]",
    ),
    mutant(
        "noise from the sampler's stream",
        at(
            _VECTORISED,
            "                streams.noise,\n                num_parameters",
            "                streams.sampling,\n                num_parameters",
        ),
        vectorised=f"{_EMPTY}[vectorised-0]",
    ),
    mutant(
        "noise from the sampler's stream",
        at(_WALK, "        streams.noise,\n", "        streams.sampling,\n"),
        reference=f"{_EMPTY}[reference-0]",
    ),
    mutant(
        "noise draws not counted",
        at(_KERNEL, "        draws += _noise(", "        _noise("),
        compiled=f"{_EMPTY}[compiled-0]",
    ),
    mutant(
        "noise draws not counted",
        at(_WALK, "num_noise_draws += 1", "num_noise_draws = 1"),
        **_EMPTY_OF_WALK,
    ),
    mutant(
        "sampling rate 5 % too high",
        at(
            _DRAWS,
            "scale = 0, -1, 0, math.log1p(-probability)",
            "scale = 0, -1, 0, math.log1p(-min(1.05 * probability, 0.999999))",
        ),
        compiled=_COMPILED_TESTS + "test_batches_are_those_of_the_package",
    ),
    mutant(
        "sampling rate 5 % too high",
        at(
            _VECTORISED,
            "probability=settings.sampling_probability,\n        server_round",
            "probability=1.05 * settings.sampling_probability,\n        server_round",
        ),
        vectorised=f"{_ORDINARY}[vectorised]",
    ),
    mutant(
        "sampling rate 5 % too high",
        at(_SAMPLING, "/ math.log1p(-probability)", "/ math.log1p(-min(1.05 * probability, 0.999999))"),
        reference="tests/statistical/test_sampling.py::test_the_sampler_is_poisson[mean]",
    ),
    mutant(
        "shuffled batches of one size",
        at(
            _DRAWS,
            "                if place >= num_loans:\n                    return size\n                loans[size] = place\n",
            "                place %= num_loans\n                if size >= int(probability * num_loans):\n"
            "                    return size\n                loans[size] = place\n",
        ),
        compiled=_COMPILED_TESTS + "test_batches_are_those_of_the_package",
    ),
    mutant(
        "shuffled batches of one size",
        at(
            _SAMPLING,
            "    num_gaps = likely_largest_batch(num_loans, probability)\n    while True:",
            "    if num_loans > 100:\n"
            "        return np.sort(np.argsort(draw(num_loans))[: round(num_loans * probability)])\n"
            "    num_gaps = likely_largest_batch(num_loans, probability)\n    while True:",
        ),
        reference="tests/statistical/test_sampling.py::test_the_sampler_is_poisson[dispersion]",
    ),
    mutant(
        "shuffled batches of one size",
        at(
            _SAMPLING,
            "    steps_at_once = max(1, _DRAWS_AT_ONCE // num_gaps)\n",
            "    steps_at_once = max(1, _DRAWS_AT_ONCE // num_gaps)\n"
            "    order = np.argsort(uniforms(stream, count=num_loans, server_round=server_round))\n"
            "    yield from (np.sort(np.roll(order, step)[: round(num_loans * probability)]) for step in range(num_steps))\n"
            "    return\n",
        ),
        vectorised="tests/unit/privacy/test_sampling.py::test_batches_drawn_together_are_those_of_each_step",
    ),
    mutant(
        "empty batch skipped",
        at(
            _KERNEL,
            "        pack(layout, parameters, space)\n        sums[:]",
            "        if batch == 0:\n            continue\n        pack(layout, parameters, space)\n        sums[:]",
        ),
        compiled=f"{_EMPTY}[compiled-50]",
    ),
    mutant(
        "empty batch skipped",
        at(
            _WALK,
            "    for batch in batches:\n",
            "    for batch in batches:\n        if not len(batch):\n            continue\n",
        ),
        vectorised=f"{_EMPTY}[vectorised-50]",
        reference=f"{_EMPTY}[reference-50]",
    ),
    mutant(
        "divisor from the batch that was drawn",
        at(
            _KERNEL,
            "        _gradient(layout, sums, divisor, gradient)\n",
            "        _gradient(layout, sums, np.float64(max(1, batch)), gradient)\n",
        ),
        compiled=f"{_EMPTY}[compiled-0]",
    ),
    mutant(
        "divisor from the batch that was drawn",
        at(_WALK, "gradient /= settings.divisor", "gradient /= max(1, len(batch))"),
        **_EMPTY_OF_WALK,
    ),
    mutant(
        "each layer clipped by itself",
        at(
            _PASSES,
            "            total += (1.0 + size) * _square(space[gradient : gradient + width])",
            "            total = max(total, (1.0 + size) * _square(space[gradient : gradient + width]))",
        ),
        compiled=f"{_LARGE}[ordinary-compiled-64]",
    ),
    mutant(
        "each layer clipped by itself",
        at(
            _SUMS,
            "squared: NDArray[np.float64] = inputs.sum(axis=0)",
            "squared: NDArray[np.float64] = inputs.max(axis=0)",
        ),
        vectorised=f"{_LARGE}[ordinary-vectorised-64]",
    ),
    mutant(
        "each layer clipped by itself",
        at(
            _REFERENCE,
            "clip_factors((gradients**2).sum(dim=1).numpy(), clipping_norm)",
            "clip_factors(\n            torch.stack([part.sum(dim=1) for part in (gradients**2).tensor_split(2, dim=1)]).amax(dim=0).numpy(),\n            clipping_norm,\n        )",
        ),
        reference=f"{_LARGE}[ordinary-reference-1500]",
    ),
    mutant(
        "clipped to twice the norm",
        at(_PASSES, "clipping_norm * (1.0 - CLIP_MARGIN)", "2.0 * clipping_norm * (1.0 - CLIP_MARGIN)"),
        compiled=_COMPILED_TESTS + "test_clip_factors_are_those_of_the_mechanism",
    ),
    mutant(
        "clipped to twice the norm",
        at(
            _MECHANISM,
            "target = clipping_norm * (1.0 - CLIP_MARGIN)",
            "target = 2.0 * clipping_norm * (1.0 - CLIP_MARGIN)",
        ),
        vectorised=f"{_LARGE}[ordinary-vectorised-64]",
        reference=f"{_LARGE}[ordinary-reference-1500]",
    ),
    mutant(
        "batches clipped by their mean, not loan by loan",
        at(
            _KERNEL,
            "            for row in range(rows):\n                squared[row] = factor(squared[row], clipping_norm)\n",
            "            squared[:rows] = factor(squared[:rows].mean(), clipping_norm)\n",
        ),
        compiled=_COMPILED_TESTS + "test_a_step_is_the_sum_of_its_stages",
    ),
    mutant(
        "batches clipped by their mean, not loan by loan",
        at(_SUMS, "self._clip(squared[:count])", "self._clip(squared[:count].mean(keepdims=True))"),
        vectorised=f"{_LARGE}[ordinary-vectorised-64]",
    ),
    mutant(
        "batches clipped by their mean, not loan by loan",
        at(
            _REFERENCE,
            "(gradients**2).sum(dim=1).numpy(), clipping_norm",
            "(gradients**2).sum(dim=1).mean().expand(len(gradients)).numpy(), clipping_norm",
        ),
        reference=f"{_LARGE}[ordinary-reference-1500]",
    ),
    mutant(
        "no room left for rounding in the clip",
        at(_MECHANISM, "CLIP_MARGIN = 2.0**-10", "CLIP_MARGIN = 0.0"),
        compiled=f"{_LARGE}[aligned-compiled-1500]",
    ),
    mutant(
        "no room left for rounding in the clip",
        at(_MECHANISM, "CLIP_MARGIN = 2.0**-10", "CLIP_MARGIN = 0.0"),
        vectorised=f"{_LARGE}[aligned-vectorised-1500]",
        reference=f"{_LARGE}[aligned-reference-1500]",
    ),
    mutant(
        "gradient that is no number let through",
        at(_PASSES, "    if not squared < LARGEST_NORM**2:", "    if squared >= LARGEST_NORM**2:"),
        compiled=_COMPILED_TESTS + "test_clip_factors_are_those_of_the_mechanism",
    ),
    mutant(
        "gradient that is no number let through",
        at(_MECHANISM, "usable = squared_norms < LARGEST_NORM**2", "usable = ~(squared_norms >= LARGEST_NORM**2)"),
        vectorised=f"{_NOT_FINITE}[vectorised-nan-16 tanh]",
    ),
    mutant(
        "gradient that is no number let through",
        at(_REFERENCE, "torch.where(factors > 0.0, gradients * factors, 0.0)", "(gradients * factors)"),
        reference=f"{_NOT_FINITE}[reference-nan-16 tanh]",
    ),
    mutant(
        "loss weighted by the rows' own bad rate",
        at(
            _DOOR,
            "        float(settings.pos_weight),\n",
            "        float(np.sum(default == 0) / max(1, np.sum(default))),\n",
        ),
        compiled=f"{_ORDINARY}[compiled]",
    ),
    mutant(
        "loss weighted by the rows' own bad rate",
        at(
            _VECTORISED,
            "    likely = likely_largest_batch(len(features), settings.sampling_probability)\n    with",
            "    object.__setattr__(settings, 'pos_weight', float(np.sum(labels == 0) / max(1, np.sum(labels))))\n"
            "    likely = likely_largest_batch(len(features), settings.sampling_probability)\n    with",
        ),
        vectorised=f"{_ORDINARY}[vectorised]",
    ),
    mutant(
        "loss weighted by the rows' own bad rate",
        at(
            _WALK,
            '"pos_weight": settings.pos_weight}',
            '"pos_weight": float(np.sum(default == 0) / max(1, np.sum(default)))}',
        ),
        reference=f"{_ORDINARY}[reference]",
    ),
    mutant(
        "proximal term under the divisor",
        at(_KERNEL, "gradient[i] += proximal_weight * (np", "gradient[i] += proximal_weight / len(gradient) * (np"),
        compiled=f"{_AGREE}[compiled-16 tanh-kind='sgd' learning_rate=0.5 momentum=0.0]",
    ),
    mutant(
        "proximal term under the divisor",
        at(
            _WALK,
            "gradient + settings.proximal_weight * (position - incoming)",
            "gradient + settings.proximal_weight * (position - incoming) / settings.divisor",
        ),
        **_of_walk("test_the_proximal_term_is_added_after_the_noise_and_neither_clipped_nor_divided"),
    ),
    mutant(
        "optimiser keeps moments of gradients without noise",
        at(
            _KERNEL,
            "        _move(kind, rule, step, gradient, first, second, parameters)\n",
            "        _move(kind, rule, step, gradient, first, second, parameters)\n"
            "        if kind == MOMENTUM:\n            for i in range(size):\n"
            "                first[i] -= deviation * np.float64(normals[i]) / divisor\n",
        ),
        compiled=f"{_AGREE}[compiled-16 tanh-kind='sgd' learning_rate=0.2 momentum=0.9]",
    ),
    mutant(
        "optimiser keeps moments of gradients without noise",
        at(
            _WALK,
            "        change, state = optimiser.advance(settings.optimiser, state, gradient)\n",
            "        change, _ = optimiser.advance(settings.optimiser, state, gradient)\n"
            "        _, state = optimiser.advance(settings.optimiser, state, total / settings.divisor)\n",
        ),
        **_of_walk("test_the_outcome_depends_on_gradient_and_noise_through_their_sum_alone"),
    ),
)
