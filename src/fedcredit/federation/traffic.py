"""How many messages a federation sends, and how large they are: from public constants, by writing one of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedcredit.experiment.spec import Cohort, Experiment, FullCohort, PoissonCohort, Strategy
from fedcredit.federation.cohort import cohort
from fedcredit.federation.flower_private import wire_bytes
from fedcredit.federation.protocol import (
    EvaluateReply,
    ModelRequest,
    RosterReply,
    RosterRequest,
    TrainReply,
    write_evaluate_reply,
    write_model_request,
    write_roster_reply,
    write_roster_request,
    write_train_reply,
)

_DIGEST = "0" * 64


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What travels over a whole run, where every lender answers.

    Attributes:
        num_messages: requests and replies.
        bytes_to_lenders: contents of all requests.
        bytes_to_server: contents of all replies.
        bytes_of_evaluation: the part of both that exists in simulation only.
    """

    num_messages: int
    bytes_to_lenders: int
    bytes_to_server: int
    bytes_of_evaluation: int


def traffic(experiment: Experiment, *, num_parameters: int, validation_loans: Mapping[str, int]) -> Traffic:
    """Count a run's messages and bytes.

    Args:
        experiment: the experiment.
        num_parameters: how many parameters the network has.
        validation_loans: how many loans each lender scores when it is asked to.

    Returns:
        The counts; contents only, without Flower's envelope and the transport's own bytes.
    """
    institutions = tuple(sorted(validation_loans))
    rounds = range(1, experiment.training.num_rounds + 1)
    strategy = experiment.strategy
    chosen = strategy.cohort if isinstance(strategy, Strategy) else FullCohort()
    asked = _num_asked(chosen, institutions, experiment.seed, rounds)
    evaluated = sum(number % experiment.evaluation.every == 0 or number == rounds[-1] for number in rounds)
    parameters = np.ones(num_parameters, dtype=np.float32)
    request = wire_bytes(
        write_model_request(ModelRequest(fingerprint=_DIGEST, server_round=rounds[-1], parameters=parameters))
    )
    reply = wire_bytes(
        write_train_reply(TrainReply(server_round=rounds[-1], parameters=parameters, ledger_digest=_DIGEST))
    )
    scores = evaluated * sum(_evaluation_bytes(count, rounds[-1]) for count in validation_loans.values())
    roster_request = wire_bytes(write_roster_request(RosterRequest(fingerprint=_DIGEST)))
    roster_replies = sum(
        wire_bytes(write_roster_reply(RosterReply(institution=name, contract_digest=_DIGEST))) for name in institutions
    )
    evaluations = evaluated * len(institutions)
    return Traffic(
        num_messages=2 * (len(institutions) + asked + evaluations),
        bytes_to_lenders=len(institutions) * roster_request + (asked + evaluations) * request,
        bytes_to_server=roster_replies + asked * reply + scores,
        bytes_of_evaluation=evaluations * request + scores,
    )


def _num_asked(chosen: Cohort, institutions: tuple[str, ...], seed: int, rounds: range) -> int:
    """Count requests to train; of secret Poisson cohorts only the mean is public."""
    if isinstance(chosen, PoissonCohort):
        return round(chosen.sampling_probability * len(institutions) * len(rounds))
    return sum(len(cohort(chosen, institutions, seed=seed, server_round=number)) for number in rounds)


def _evaluation_bytes(num_loans: int, server_round: int) -> int:
    reply = EvaluateReply(
        server_round=server_round, pd=np.full(num_loans, 0.5), default=np.zeros(num_loans, dtype=np.int8)
    )
    return wire_bytes(write_evaluate_reply(reply))
