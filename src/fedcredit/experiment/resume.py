"""Going on with an interrupted run: what its results folder still knows, checked before it is believed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from fedcredit.experiment.prepare import Prepared, trainer_name
from fedcredit.federation.checkpoint import CHECKPOINT_FILE, CheckpointError, Owner, read_checkpoint, set_aside
from fedcredit.federation.snapshot import Snapshot
from fedcredit.privacy.accounting.run_ledger import RunLedger

LOGGER = logging.getLogger("fedcredit.resume")


def owner_of(prepared: Prepared) -> Owner:
    """Say whose checkpoints a run keeps.

    Args:
        prepared: the prepared experiment.

    Returns:
        Its fingerprint, and what computes its local rounds.
    """
    computed_by = trainer_name(prepared.experiment.trainer, prepared.network)
    return Owner(fingerprint=prepared.fingerprint, computed_by=computed_by)


def last_snapshot(prepared: Prepared, folder: Path, ledgers: Mapping[str, RunLedger]) -> Snapshot | None:
    """Return where an interrupted run stands.

    A checkpoint that is damaged or of another run is moved aside and said so; the run then begins again at round 1,
    where equal draws give equal bits and the ledgers know every release.

    Args:
        prepared: the prepared experiment.
        folder: its results folder.
        ledgers: its open ledgers by lender.

    Returns:
        The snapshot; None where there is none to go on from.

    Raises:
        BrokenLedgerError: if a ledger lacks lines that the checkpoint knows of.
    """
    try:
        found = read_checkpoint(folder, owner_of(prepared))
        if found is not None and found.iterate.parameters.size != prepared.network.num_parameters:
            raise CheckpointError(
                f"{folder / CHECKPOINT_FILE} is of another network: it holds {found.iterate.parameters.size} weights, "
                f"this run has {prepared.network.num_parameters}"
            )
    except CheckpointError as error:
        kept = set_aside(folder)
        LOGGER.warning("%s; it is refused and kept as %s; the run begins again at round 1", error, kept.name)
        return None
    for name, ledger in ledgers.items():
        if found is not None and name in found.ledger_heads:
            ledger.check_holds(found.ledger_heads[name])
    return found


def forget(folder: Path) -> None:
    """Remove the checkpoint of a run that begins again at round 1, or that has finished.

    Args:
        folder: its results folder.
    """
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
