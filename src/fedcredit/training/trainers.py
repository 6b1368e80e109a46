"""The trainers by name; each is imported when it is asked for."""

from __future__ import annotations

from functools import partial
from typing import Literal

from fedcredit.errors import InputError
from fedcredit.training.contract import LocalRound


def trainer(kind: Literal["vectorised", "reference"], *, device: Literal["cpu", "cuda"] = "cpu") -> LocalRound:
    """Return a trainer.

    Args:
        kind: ``"vectorised"`` (fast) or ``"reference"`` (slow and obvious, on Opacus).
        device: where ``vectorised`` computes; the others compute on the CPU.

    Returns:
        Its local round.

    Raises:
        InputError: if there is no such trainer, or no such device here for it.
    """
    if device != "cpu" and kind != "vectorised":
        raise InputError(f"trainer.device is {device!r} with trainer.kind={kind}; only vectorised runs on a GPU")
    if kind == "vectorised":
        from fedcredit.training import devices, vectorised

        if device == "cpu":
            return vectorised.local_round
        devices.find_device(device)
        return partial(vectorised.local_round, device=device)
    if kind == "reference":
        from fedcredit.training import reference

        return reference.local_round
    raise InputError(f"trainer.kind is {kind!r}; choose one of vectorised, reference")
