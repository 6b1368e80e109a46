"""The trainer in plain torch: any stack of layers, on a CPU or a GPU, all blocks of a batch at once.

`fedcredit.training.derivatives` finds each loan's derivatives, `fedcredit.training.clipped_sums` clips and adds
up; here the steps are taken, in the host's memory or on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedcredit.model.blocks import full_precision, single_threaded
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.mechanism import clip_factors, noise_deviation, noise_of_steps
from fedcredit.privacy.sampling import likely_largest_batch, loans_of, poisson_batches
from fedcredit.training import optimiser
from fedcredit.training.clipped_sums import Clip, ClippedSums, LayOut
from fedcredit.training.contract import LocalOutcome, LocalSettings, RoundStreams, check_round
from fedcredit.training.derivatives import Desk, Loss
from fedcredit.training.devices import find_device, normals_on_device
from fedcredit.training.host_sums import host_sums
from fedcredit.training.stepwise import walk

_SumOfBatch = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]], NDArray[np.float64]]


def local_round(
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    *,
    settings: LocalSettings,
    streams: RoundStreams,
    device: str = "cpu",
) -> LocalOutcome:
    """Run a round as `fedcredit.training.contract.LocalRound` says.

    Args:
        network: the network's shape.
        parameters: incoming flat parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.
        default: labels 0 or 1, ``[loans]``.
        settings: public constants.
        streams: where sampling and noise come from.
        device: ``"cpu"`` or ``"cuda"``.

    Returns:
        The outcome.

    Raises:
        InputError: if shapes do not fit each other, noise is asked for without a clipping norm, or there is no
            such device.
    """
    check_round(network, parameters, features, default, settings, streams.borrower_starts)
    place = find_device(device)
    take = _on_host if place.type == "cpu" else partial(on_device, device=place)
    with single_threaded(), full_precision(), torch.no_grad():
        return take(network, parameters, features, default, settings, streams)


def _on_host(
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    settings: LocalSettings,
    streams: RoundStreams,
) -> LocalOutcome:
    """Take the steps in the host's memory, which numpy and torch share."""
    table, labels = (np.asarray(values, dtype=np.float32) for values in (features, default))
    likely = likely_largest_batch(len(features), settings.sampling_probability)
    with _sums_on_host(network, parameters, likely, settings.clipping_norm, _loss(settings)) as (current, sum_of):

        def gradient_sum(_: NDArray[Any], batch: NDArray[Any]) -> NDArray[Any]:
            return sum_of(table, labels, batch)

        num_noise_draws = walk(
            gradient_sum,
            current,
            current.astype(np.float64),
            optimiser.start(network.num_parameters),
            settings=settings,
            batches=_batches(len(features), settings, streams),
            noises=noise_of_steps(
                streams.noise,
                num_parameters=network.num_parameters,
                noise_multiplier=settings.noise_multiplier,
                clipping_norm=settings.clipping_norm,
                server_round=streams.server_round,
                num_steps=settings.num_steps,
            ),
        )
        return LocalOutcome(parameters=current.copy(), num_noise_draws=num_noise_draws)


@contextmanager
def _sums_on_host(
    network: DefaultNetwork, parameters: NDArray[np.float32], num_rows: int, clipping_norm: float, loss: Loss
) -> Iterator[tuple[NDArray[np.float32], _SumOfBatch]]:
    """Give the current parameters, to be changed in place, and what sums up a batch at them."""
    clip = _clip(clipping_norm)
    if not network.layer_norm:
        with host_sums(network) as sums:
            sums.parameters[...] = parameters
            yield sums.parameters, partial(sums.of_rows, clip=clip, loss=loss)
        return
    current = parameters.astype(np.float32)
    by_torch = ClippedSums(network, torch.from_numpy(current), clip=clip, loss=loss, num_rows=num_rows)

    def sum_of(table: NDArray[np.float32], labels: NDArray[np.float32], batch: NDArray[np.int64]) -> NDArray[Any]:
        return by_torch.of_rows(len(batch), _from_host(table, labels, batch)).numpy()

    yield current, sum_of


def on_device(
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    settings: LocalSettings,
    streams: RoundStreams,
    *,
    device: torch.device,
) -> LocalOutcome:
    """Take the steps of a round on a device: loans go there once, parameters come back once.

    Args:
        network: the network's shape.
        parameters: incoming flat parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.
        default: labels 0 or 1, ``[loans]``.
        settings: public constants.
        streams: where sampling and noise come from.
        device: where the steps are taken; the batches are drawn on the host.

    Returns:
        The outcome.
    """
    current = torch.tensor(parameters, dtype=torch.float32, device=device)
    table, labels = (torch.tensor(values, dtype=torch.float32, device=device) for values in (features, default))
    sums = ClippedSums(
        network,
        current,
        clip=_clip(settings.clipping_norm),
        loss=_loss(settings),
        num_rows=likely_largest_batch(len(features), settings.sampling_probability),
    )
    incoming = current.to(torch.float64, copy=True)

    def gradient_sum(_: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return sums.of_rows(len(batch), _from_device(table, labels, batch))

    def noises() -> Iterator[torch.Tensor]:
        deviation = noise_deviation(noise_multiplier=settings.noise_multiplier, clipping_norm=settings.clipping_norm)
        draws = normals_on_device(
            streams.noise,
            count=network.num_parameters,
            server_round=streams.server_round,
            num_steps=settings.num_steps,
            device=device,
        )
        yield from (deviation * draw for draw in draws)

    num_noise_draws = walk(
        gradient_sum,
        current,
        incoming,
        optimiser.OptimiserState(first=torch.zeros_like(incoming), second=torch.zeros_like(incoming), num_steps=0),
        settings=settings,
        batches=(torch.tensor(batch, device=device) for batch in _batches(len(features), settings, streams)),
        noises=noises(),
    )
    return LocalOutcome(parameters=current.cpu().numpy(), num_noise_draws=num_noise_draws)


def _batches(num_loans: int, settings: LocalSettings, streams: RoundStreams) -> Iterator[NDArray[Any]]:
    starts = streams.borrower_starts
    batches = poisson_batches(
        streams.sampling,
        num_loans=num_loans if starts is None else len(starts) - 1,
        probability=settings.sampling_probability,
        server_round=streams.server_round,
        num_steps=settings.num_steps,
    )
    return batches if starts is None else (loans_of(batch, starts) for batch in batches)


def _loss(settings: LocalSettings) -> Loss:
    return Loss(pos_weight=settings.pos_weight, focal_gamma=settings.focal_gamma)


def _clip(clipping_norm: float) -> Clip:
    return lambda squared_norms: clip_factors(squared_norms, clipping_norm)


def clipped_gradient_sum(
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    *,
    clipping_norm: float,
    pos_weight: float,
    focal_gamma: float = 0.0,
) -> NDArray[np.float64]:
    """Sum clipped gradients as `fedcredit.training.stepwise.ClippedGradientSum` says.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.
        features: the batch's encoded loans, ``[batch, features]``; possibly none.
        default: the batch's labels 0 or 1, ``[batch]``.
        clipping_norm: bound on the norm of each loan's whole gradient; infinite for none.
        pos_weight: public weight of the loans that defaulted.
        focal_gamma: public focusing of the focal loss; 0 is the cross-entropy.

    Returns:
        The sum, ``[num_parameters]``.
    """
    loss = Loss(pos_weight=pos_weight, focal_gamma=focal_gamma)
    table, labels = (np.asarray(values, dtype=np.float32) for values in (features, default))
    with (
        single_threaded(),
        full_precision(),
        torch.no_grad(),
        _sums_on_host(network, parameters, len(default), clipping_norm, loss) as (_, sum_of),
    ):
        return sum_of(table, labels, np.arange(len(default))) + 0.0


def _from_host(features: NDArray[np.float32], default: NDArray[np.float32], batch: NDArray[np.int64]) -> LayOut:
    """Lay loans out from a table in the host's memory; the last block ends in zero rows."""

    def lay_out(desk: Desk, rows: slice) -> None:
        places = batch[rows]
        count = len(places)
        table, labels = desk.host
        np.take(features, places, axis=0, out=table[:count], mode="clip")
        np.take(default, places, out=labels[:count], mode="clip")
        table[count:] = 0.0

    return lay_out


def _from_device(features: torch.Tensor, default: torch.Tensor, batch: torch.Tensor) -> LayOut:
    """Lay loans out from a table on the device; the last block ends in zero rows."""

    def lay_out(desk: Desk, rows: slice) -> None:
        places = batch[rows]
        count = len(places)
        table = desk.rows.view(-1, features.shape[1])
        torch.index_select(features, 0, places, out=table[:count])
        torch.index_select(default, 0, places, out=desk.labels.view(-1)[:count])
        table[count:] = 0.0

    return lay_out
