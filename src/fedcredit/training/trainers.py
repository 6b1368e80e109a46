"""The trainers by name; each is imported when it is asked for."""

from __future__ import annotations

from typing import Literal

from fedcredit.errors import InputError
from fedcredit.training.contract import LocalRound


def trainer(kind: Literal["vectorised", "reference"]) -> LocalRound:
    """Return a trainer.

    Args:
        kind: ``"vectorised"`` (fast) or ``"reference"`` (slow and obvious, on Opacus).

    Returns:
        Its local round.

    Raises:
        InputError: if there is no such trainer.
    """
    if kind == "vectorised":
        from fedcredit.training import vectorised

        return vectorised.local_round
    if kind == "reference":
        from fedcredit.training import reference

        return reference.local_round
    raise InputError(f"trainer.kind is {kind!r}; choose one of vectorised, reference")
