"""The trainers by name; each is imported when it is asked for."""

from __future__ import annotations

import functools
import logging
from typing import Literal, get_args

from fedcredit.errors import InputError
from fedcredit.model.network import DefaultNetwork
from fedcredit.training.contract import LocalRound, PredictLogit
from fedcredit.training.kept_code import is_kept

Kind = Literal["compiled", "vectorised", "reference"]
LOGGER = logging.getLogger("fedcredit.trainer")


def trainer(kind: Kind, *, device: Literal["cpu", "cuda"] = "cpu") -> LocalRound:
    """Return a trainer.

    Args:
        kind: ``"compiled"`` (the default), ``"vectorised"`` (plain torch, any layers) or ``"reference"`` (slow and
            obvious, on Opacus).
        device: where ``vectorised`` computes; the others compute on the CPU.

    Returns:
        Its local round; that of ``vectorised`` where numba cannot compile, which a line in the log says.

    Raises:
        InputError: if there is no such trainer, or no such device here for it.
    """
    if device != "cpu" and kind != "vectorised":
        raise InputError(f"trainer.device is {device!r} with trainer.kind={kind}; only vectorised runs on a GPU")
    if kind == "compiled" and why_not_compiled() is None:
        from fedcredit.training import compiled

        return compiled.local_round
    if kind in ("compiled", "vectorised"):
        from fedcredit.training import devices, vectorised

        if device == "cpu":
            return vectorised.local_round
        devices.find_device(device)
        return functools.partial(vectorised.local_round, device=device)
    if kind == "reference":
        from fedcredit.training import reference

        return reference.local_round
    raise InputError(f"trainer.kind is {kind!r}; choose one of {', '.join(get_args(Kind))}")


def predictor(kind: Kind) -> PredictLogit:
    """Return what scores loans beside a trainer.

    Args:
        kind: the trainer's name.

    Returns:
        A compiled forward pass for ``"compiled"``, torch's for the others.
    """
    if kind == "compiled" and why_not_compiled() is None:
        from fedcredit.training import compiled

        return compiled.predict_logit
    from fedcredit.model import torch_network

    return torch_network.predict_logit


def computed_by(kind: Kind, network: DefaultNetwork) -> str:
    """Say which trainer computes the local rounds of a network.

    Args:
        kind: the trainer that was asked for.
        network: the network it would train.

    Returns:
        Its name; or that of the one that stands in, with the reason.
    """
    reason = None
    if kind == "compiled":
        reason = "a network with LayerNorm is not compiled" if network.layer_norm else why_not_compiled()
    return kind if reason is None else f"vectorised, because {reason}"


def warm_up(kind: Kind) -> None:
    """Do once what every process would do at its first round, and leave the result on the disk for them.

    Args:
        kind: the trainer's name; compiling takes seconds, the others need nothing.
    """
    if kind == "compiled" and not is_kept():
        why_not_compiled()


@functools.cache
def why_not_compiled() -> str | None:
    """Load or compile the compiled trainer once, and say why it cannot be had.

    Returns:
        The reason, which is logged as well, or None where it is ready.
    """
    try:
        from fedcredit.training import compiled

        compiled.warm_up()
    except Exception as error:
        reason = (
            f"numba cannot compile here ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        )
        LOGGER.warning("trainer compiled: %s; vectorised computes the local rounds", reason)
        return reason
    return None
