"""Whether the ledgers behind a passport's privacy statement hold."""

from __future__ import annotations

from fedcredit.errors import InputError
from fedcredit.experiment.kept_model import KeptModel
from fedcredit.experiment.ledger_files import files_of_a_record, verify_ledgers


def verified_ledgers(model: KeptModel) -> str:
    """Verify the ledgers of a run, line by line and against its record.

    Args:
        model: the run's model.

    Returns:
        One sentence; empty where the run promises nothing.

    Raises:
        InputError: if a ledger is missing, does not verify, or says something else than the record.
    """
    if model.record.statement is None:
        return ""
    verdicts = verify_ledgers(files_of_a_record(model.folder, model.record))
    bad = [verdict for verdict in verdicts if not verdict.is_sound]
    if bad:
        raise InputError(
            f"{len(bad)} of {len(verdicts)} ledgers do not verify, so no passport is made of the promise: {bad[0].text}"
        )
    return f"All {len(verdicts)} ledgers verify, line by line and against the record (fedcredit ledger verify)."
