"""Federations that are trained to be attacked: the experiment's own recipe, without messages and without ledgers.

Every draw is named by the attack and its seed, so none is that of a run. All lenders take part in every round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.contract import draw_up
from fedcredit.experiment.charged_plan import training_releases
from fedcredit.experiment.direct import Observe, Participant, server_rule, train_directly
from fedcredit.experiment.prepare import Prepared, Progress, local_settings, trainer_name
from fedcredit.privacy.plan import plan_privacy
from fedcredit.training.trainers import trainer


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Encoded loans to train on: ``features`` ``[loans, features]`` and ``default`` ``[loans]``."""

    features: NDArray[np.float32]
    default: NDArray[np.float32]


def training_loans(prepared: Prepared) -> dict[str, Examples]:
    """Return every lender's training loans.

    Args:
        prepared: the prepared experiment.

    Returns:
        Loans by lender, sorted by name.
    """
    return {
        institution.name: Examples(features=institution.train.features, default=institution.train.default)
        for institution in prepared.institutions
    }


def with_counts(prepared: Prepared, counts: Mapping[str, int], *, progress: Progress | None = None) -> Prepared:
    """Draw up the contracts and the plan anew, as if lenders had other numbers of training loans.

    Args:
        prepared: the prepared experiment.
        counts: training loans of each lender, at least 1.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        The experiment with other contracts and the noise that its promise asks for there.

    Raises:
        InputError: if the promise cannot be had.
    """
    experiment = prepared.experiment
    contracts = draw_up(counts, local=experiment.training.local, weights=experiment.strategy.weights)
    plan = plan_privacy(
        experiment.privacy,
        contracts,
        num_rounds=experiment.training.num_rounds,
        beside=training_releases(experiment),
        progress=None if progress is None else lambda _, done, total: progress("noise", done, total),
    )
    return replace(prepared, contracts=contracts, plan=plan)


def train_game(
    prepared: Prepared, loans: Mapping[str, Examples], *, purpose: str, seed: int, observe: Observe | None = None
) -> NDArray[np.float32]:
    """Train one federation.

    Args:
        prepared: gives network, contracts, plan and rules.
        loans: what each lender trains on; the contract's number of loans stays what it is.
        purpose: names the streams, differently for each federation of an attack.
        seed: the attack's.
        observe: told of each round what the server sees, lenders in the order of ``loans``.

    Returns:
        The parameters that are released, ``[num_parameters]``.
    """
    experiment = prepared.experiment
    participants = [
        Participant(
            name=name,
            features=own.features,
            default=own.default,
            settings=local_settings(experiment, prepared.contracts[name], prepared.plan),
            weight=prepared.contracts[name].weight,
            event=None,
            ledgers=(),
        )
        for name, own in loans.items()
    ]
    return train_directly(
        prepared.network, prepared.initial, participants, release=purpose, fingerprint=prepared.fingerprint, seed=seed,
        strategy=server_rule(experiment.strategy), num_rounds=experiment.training.num_rounds,
        trainer=trainer(experiment.trainer.kind, device=experiment.trainer.device),
        computed_by=trainer_name(experiment.trainer, prepared.network), observe=observe,
    )  # fmt: skip
