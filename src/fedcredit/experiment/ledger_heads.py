"""What the ledgers of a run must hold, as kept outside of them: the digest of each one's last line.

A hash chain does not show lines that were cut off at its end. So four rounds of a run keep every
ledger's head in ``rounds.jsonl``, and the record of a finished run keeps the last one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fedcredit.privacy.accounting.run_ledger import RunLedger

ROUNDS_FILE = "rounds.jsonl"
_KEY = "ledger_heads"


def current_heads(ledgers: Mapping[str, RunLedger]) -> dict[str, str]:
    """Return the heads of open ledgers, all lines up to them on the disk.

    Args:
        ledgers: open ledgers by lender.

    Returns:
        Digests by lender.
    """
    return {name: ledger.settled_head() for name, ledger in ledgers.items()}


def with_heads(told: Mapping[str, object], ledgers: Mapping[str, RunLedger]) -> dict[str, object]:
    """Add the heads to a line of ``rounds.jsonl``, where there are ledgers.

    Args:
        told: the round as plain data.
        ledgers: open ledgers by lender.

    Returns:
        The line's content.
    """
    return {**told, _KEY: current_heads(ledgers)} if ledgers else dict(told)


def kept_heads(folder: Path) -> dict[str, str]:
    """Return the heads that an unfinished run told last.

    Args:
        folder: a results folder.

    Returns:
        Digests by lender; none if no round told them. A torn last line is passed over.
    """
    path = folder / ROUNDS_FILE
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in reversed(text.splitlines()):
        try:
            heads = json.loads(line)[_KEY]
        except (ValueError, KeyError, TypeError):
            continue
        return {str(name): str(head) for name, head in heads.items()}
    return {}
