"""Ledgers line by line, as comma-separated values or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence

from fedcredit.privacy.accounting.events import Event, rows_of
from fedcredit.privacy.accounting.ledger import LedgerContent

EXPORT_FORMAT = "fedcredit/ledger-export/1"


def export_csv(ledgers: Sequence[LedgerContent]) -> str:
    """Write ledgers as comma-separated values, one line of a ledger a row.

    Args:
        ledgers: verified contents.

    Returns:
        The text, with a header.
    """
    rows = [{"institution": ledger.institution, **row} for ledger in ledgers for row in _rows(ledger)]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["institution"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def export_json(ledgers: Sequence[LedgerContent]) -> str:
    """Write ledgers as JSON.

    Args:
        ledgers: verified contents.

    Returns:
        The text: a format, and each ledger with its header, entries, merged events and head.
    """
    content = {
        "format": EXPORT_FORMAT,
        "ledgers": [
            {
                "institution": ledger.institution,
                "unit": ledger.unit,
                "relation": ledger.relation,
                "mode": ledger.mode,
                "fingerprint": ledger.fingerprint,
                "dataset": ledger.dataset,
                "head": ledger.head,
                "spent": [_event(event) for event in ledger.events()],
                "entries": list(_rows(ledger)),
            }
            for ledger in ledgers
        ],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _rows(ledger: LedgerContent) -> Iterator[dict[str, object]]:
    for line, entry in enumerate(ledger.entries, start=2):
        yield {
            "fingerprint": entry.fingerprint or ledger.fingerprint,
            "line": line,
            "kind": entry.kind,
            "release": entry.release.name,
            "server_round": entry.release.server_round,
            **_event(entry.release.event),
            "release_digest": entry.release.digest,
            "num_noise_draws": entry.num_noise_draws,
        }


def _event(event: Event) -> dict[str, float | int]:
    return {
        "sampling_probability": event.sampling_probability,
        "noise_multiplier": event.noise_multiplier,
        "num_steps": event.num_steps,
        "max_rows": rows_of(event),
    }
