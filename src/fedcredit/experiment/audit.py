"""An audit of what an experiment's trainer releases, step by step, against the epsilon it claims.

The trainer's own local round runs, not a copy of it: its sampling, clipping, noise and divisor, on a table of
canaries (`fedcredit.privacy.auditing.canaries`), each a loan, or a borrower with as many loans as are kept. A round
has one local step of plain gradient descent from zero parameters, so that each released sum can be read off the
parameters that come back. Lenders whose rate, steps and noise are equal are audited once. No loan is read beyond
counting, and no ledger is charged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.experiment.audit_claims import Claim, Progress
from fedcredit.experiment.spec import Experiment, Sgd
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.auditing.canaries import Canaries, log_likelihood_ratios, plant
from fedcredit.privacy.auditing.tradeoff import ClaimFamily, TradeOff
from fedcredit.privacy.auditing.verdict import CONTRADICTED, Findings, judge
from fedcredit.seeds import Stream, private_stream
from fedcredit.training.contract import LocalRound, RoundStreams
from fedcredit.training.trainers import Kind, trainer, why_not_compiled

LEAST_CANARIES, MOST_CANARIES = 20, 20_000
_FINGERPRINT = "fedcredit/audit/1"
_SAYS_EVERY = 20


@dataclass(frozen=True, kw_only=True)
class AuditedClaim:
    """A claim and what was found; ``num_noise_draws`` is what the trainer says it drew, ``curve`` what is allowed."""

    claim: Claim
    num_noise_draws: int
    findings: Findings
    curve: TradeOff


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All that one audit found.

    ``confidence`` is that of all verdicts together; each claim is judged at its share of the error rate.
    ``disagreements`` are between a finished run's record and its ledgers, where no chance plays a part.
    """

    name: str
    trainer: str
    unit: str
    relation: str
    seed: int
    confidence: float
    audited: tuple[AuditedClaim, ...]
    disagreements: tuple[str, ...] = ()

    @property
    def is_contradicted(self) -> bool:
        """Whether any claim is, or a ledger says something else than the record of what was drawn."""
        return bool(self.disagreements) or any(item.findings.verdict == CONTRADICTED for item in self.audited)


def audit(
    claims: Sequence[Claim],
    *,
    experiment: Experiment,
    num_canaries: int,
    confidence: float,
    seed: int,
    local_round: LocalRound | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audit claims with the experiment's trainer.

    Args:
        claims: what is claimed, at least one.
        experiment: names the trainer.
        num_canaries: m, from 20 to 20,000.
        confidence: that no true claim among them is contradicted, above 0 and below 1.
        seed: of coins, sampling, noise and split, at least 0; an audit shares no stream with a run.
        local_round: the trainer to audit; the experiment's by default.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        What was found.

    Raises:
        InputError: if a number is outside its range.
    """
    _check_numbers(num_canaries, confidence, seed)
    kind = experiment.trainer.kind
    found = local_round or trainer(kind, device=experiment.trainer.device)
    audited = []
    for number, claim in enumerate(claims, start=1):
        family = ClaimFamily(events=claim.events, delta=claim.delta)
        streams = {name: _stream(claim, seed, name) for name in ("coins", "sampling", "noise", "split")}
        canaries = plant(
            num_canaries=num_canaries, clipping_norm=claim.settings.clipping_norm, coins=streams["coins"],
            num_rows=claim.loans_in_unit,
        )  # fmt: skip
        scores, num_draws = canary_scores(
            found, claim, canaries, sampling=streams["sampling"], noise=streams["noise"],
            progress=None if progress is None else _stage(progress, number, len(claims)),
        )  # fmt: skip
        each = 1.0 - (1.0 - confidence) / len(claims)
        findings = judge(scores, canaries.is_included, family=family, confidence=each, split=streams["split"])
        audited.append(AuditedClaim(claim=claim, num_noise_draws=num_draws, findings=findings, curve=family.curve(0)))
    return Audit(
        name=experiment.name, trainer=_trainer_name(kind), unit=experiment.privacy.privacy_unit,
        relation=experiment.privacy.neighboring_relation, seed=seed, confidence=confidence, audited=tuple(audited),
    )  # fmt: skip


def canary_scores(
    local_round: LocalRound,
    claim: Claim,
    canaries: Canaries,
    *,
    sampling: Stream,
    noise: Stream,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float64], int]:
    """Let a trainer take all steps of a run on the canaries, and score each canary by what it released.

    Args:
        local_round: the trainer.
        claim: the constants and the number of steps; scores are those of the claimed rate and noise.
        canaries: the table.
        sampling: the stream of the Poisson samples.
        noise: the stream of the noise.
        progress: told the steps done and the steps there are.

    Returns:
        Scores, ``[canaries]``, and how often the trainer says it drew noise.
    """
    num_canaries = len(canaries.is_included)
    network = DefaultNetwork(num_features=num_canaries, hidden=())
    start = np.zeros(network.num_parameters, dtype=np.float32)
    settings = replace(claim.settings, num_steps=1, optimiser=Sgd(learning_rate=1.0), proximal_weight=0.0)
    together = claim.loans_in_sample
    unit = -settings.divisor / (settings.clipping_norm * together)
    starts = np.arange(0, len(canaries.default) + 1, together) if together > 1 else None
    scores, num_draws = np.zeros(num_canaries), 0
    for server_round in range(1, claim.num_steps + 1):
        outcome = local_round(
            network, start, canaries.features, canaries.default, settings=settings,
            streams=RoundStreams(
                sampling=sampling, noise=noise, server_round=server_round, borrower_starts=starts
            ),
        )  # fmt: skip
        num_draws += outcome.num_noise_draws
        scores += log_likelihood_ratios(
            unit * outcome.parameters[:num_canaries].astype(np.float64),
            sampling_probability=settings.sampling_probability,
            noise_multiplier=settings.noise_multiplier / together, max_rows=claim.samples_in_unit,
        )  # fmt: skip
        if progress is not None and (server_round % _SAYS_EVERY == 0 or server_round == claim.num_steps):
            progress(server_round, claim.num_steps)
    return scores, num_draws


def _check_numbers(num_canaries: int, confidence: float, seed: int) -> None:
    if not LEAST_CANARIES <= num_canaries <= MOST_CANARIES:
        raise InputError(f"canaries is {num_canaries}; allowed is {LEAST_CANARIES} to {MOST_CANARIES:,}")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence is {confidence:g}; allowed is above 0 and below 1, usually 0.95")
    if seed < 0:
        raise InputError(f"seed is {seed}; allowed is a whole number from 0")


def _stream(claim: Claim, seed: int, purpose: str) -> Stream:
    return private_stream(fingerprint=_FINGERPRINT, seed=seed, institution=claim.lenders[0], purpose=f"audit.{purpose}")


def _stage(progress: Progress, number: int, total: int) -> Callable[[int, int], None]:
    label = "audited steps" if total == 1 else f"audited steps, {number} of {total}"
    return lambda done, steps: progress(label, done, steps)


def _trainer_name(kind: Kind) -> str:
    reason = why_not_compiled() if kind == "compiled" else None
    return kind if reason is None else f"vectorised, because {reason}"
