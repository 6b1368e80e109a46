"""Opening the ledgers of a simulated run, in its results folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from fedcredit.experiment.spec import Experiment
from fedcredit.privacy.accounting.ledger import LEDGER_FOLDER, PrivacyLedger, ledger_path

SYNC_VARIABLE = "FEDCREDIT_LEDGER_SYNC"


def open_run_ledgers(
    experiment: Experiment,
    names: Iterable[str],
    *,
    fingerprint: str,
    folder: Path,
    heads: Mapping[str, str] | None = None,
) -> dict[str, PrivacyLedger]:
    """Open one ledger for each name, or begin it.

    A simulated run syncs its ledgers in groups, before it keeps a result; with ``FEDCREDIT_LEDGER_SYNC=line``
    every intent is on the disk before its first private gradient.

    Args:
        experiment: the experiment; its unit, relation and mode are written in the headers.
        names: lenders, or the server where it adds the noise.
        fingerprint: the experiment's fingerprint.
        folder: the results folder.
        heads: by name, a digest that its ledger must hold.

    Returns:
        Ledgers by name; the caller closes them.

    Raises:
        InputError: if a ledger does not verify, is of another run, or does not hold its head.
    """
    return {
        name: PrivacyLedger.open(
            ledger_path(folder / LEDGER_FOLDER, name),
            institution=name,
            fingerprint=fingerprint,
            mode=experiment.mode,
            unit=experiment.privacy.privacy_unit,
            relation=experiment.privacy.neighboring_relation,
            head=(heads or {}).get(name),
            sync_every_line=os.environ.get(SYNC_VARIABLE) == "line",
        )
        for name in names
    }
