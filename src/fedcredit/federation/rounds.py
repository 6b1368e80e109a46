"""What is remembered of a round: who was asked, who was left out and why, how far it moved, how well it scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedcredit.credit.calibration import log_loss
from fedcredit.credit.discrimination import auc
from fedcredit.federation.protocol import EvaluateReply


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well the averaged iterate scores some validation loans; ``None`` where it cannot be said."""

    num_loans: int
    auc: float | None
    log_loss: float | None
    mean_pd: float | None
    bad_rate: float | None


@dataclass(frozen=True, kw_only=True)
class RoundEvaluation:
    """The fit overall and by lender; ``missing`` names lenders without a good reply, and why."""

    overall: Fit
    institutions: Mapping[str, Fit]
    missing: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """One round.

    ``update_norm`` is the norm of the iterate's movement. ``evaluation`` is given on evaluated rounds
    only. ``epsilon_spent`` is left to the caller, who holds the plan.
    """

    server_round: int
    cohort: tuple[str, ...]
    quarantined: Mapping[str, str]
    update_norm: float
    train_seconds: float
    evaluation: RoundEvaluation | None = None
    epsilon_spent: float | None = None


def evaluate_replies(replies: Mapping[str, EvaluateReply], *, missing: Mapping[str, str]) -> RoundEvaluation:
    """Score the validation loans of all lenders together, and lender by lender.

    Args:
        replies: predicted and true defaults by institution, sorted by name.
        missing: institutions without a good reply, and why.

    Returns:
        The evaluation.
    """
    together = EvaluateReply(
        server_round=0,
        pd=np.concatenate([np.empty(0), *(reply.pd for reply in replies.values())]),
        default=np.concatenate([np.empty(0, dtype=np.int8), *(reply.default for reply in replies.values())]),
    )
    return RoundEvaluation(
        overall=_fit(together),
        institutions={name: _fit(reply) for name, reply in replies.items()},
        missing=missing,
    )


def _fit(reply: EvaluateReply) -> Fit:
    if len(reply.pd) == 0:
        return Fit(num_loans=0, auc=None, log_loss=None, mean_pd=None, bad_rate=None)
    return Fit(
        num_loans=len(reply.pd),
        auc=auc(reply.pd, reply.default),
        log_loss=log_loss(reply.pd, reply.default),
        mean_pd=float(np.mean(reply.pd)),
        bad_rate=float(np.mean(reply.default)),
    )
