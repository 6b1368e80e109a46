"""Who sees what, per trust model: one table for each, so that a model is added by adding its rows.

A row names a thing and says, in the order of `READERS`, what each reader learns of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from fedcredit.experiment.wording import Table
from fedcredit.privacy.accounting.releases import (
    ENCODING_RANGES,
    OWN_INTERCEPT,
    RECALIBRATION,
    TEST_HISTOGRAM,
    VALIDATION_HISTOGRAM,
)

LOCAL = "local"
_IN_THE_CLEAR = "figures on validation and test loans, own intercepts"
READERS = ("the lender", "the server", "other lenders", "recipients of the network")
_RESEARCHER = {"simulated": "the simulation's researcher", "deployed": "who runs the process"}
Row = tuple[str, ...]

_UPDATES: Mapping[str, tuple[Row, ...]] = {
    LOCAL: (("a lender's clipped, noised update of a round", "its own", "yes", "no", "no"),),
    "secure_sum": (
        ("a lender's clipped update of a round, with its share of the noise", "its own", "no: assumed", "no", "no"),
        ("the noised sum of a round", "through the network", "yes", "through the network", "no"),
    ),
    "central": (
        ("a lender's clipped update of a round, without noise", "its own", "yes", "no", "no"),
        ("the noised mean of a round", "through the network", "yes", "through the network", "no"),
    ),
}
_LOANS: tuple[Row, ...] = (
    ("a loan's columns and outcome", "its own", "no", "no", "no"),
    ("a lender's gradient before clipping and noise", "its own", "no", "no", "no"),
)
_ROUNDS: tuple[Row, ...] = (
    ("the shared network of a round", "yes", "yes", "yes", "no"),
    ("the network after the last round", "yes", "yes", "yes", "yes"),
    ("number of loans, rate, steps, weight and noise of a lender", "yes", "yes", "yes", "yes: public"),
    ("which lenders answered in a round, and when", "its own", "yes", "no", "no"),
    ("digest of a lender's ledger", "its own", "yes", "no", "no"),
    ("a lender's bad rate and mix of loans", "its own", "can be estimated", "can be estimated", "can be estimated"),
)
TRUST_MODELS: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {trust: (*_LOANS, *rows, *_ROUNDS) for trust, rows in _UPDATES.items()}
)
_COUNTS, _PUBLIC = ("its own", "yes", "no", "no"), ("yes", "yes", "yes", "yes")
CHARGED: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        ENCODING_RANGES: (
            ("a lender's noisy counts of training loans by feature, before round 1", *_COUNTS),
            ("the ranges of the encoding, from the sum of these counts", *_PUBLIC),
        ),
        OWN_INTERCEPT: (("a lender's noisy level, and its own intercept from it", *_COUNTS),),
        RECALIBRATION: (
            ("a lender's noisy score histogram of validation loans, for the recalibration", *_COUNTS),
            ("the line of the recalibration, from the sum of these counts", *_PUBLIC),
        ),
        TEST_HISTOGRAM: (
            ("a lender's noisy score histogram of test loans", *_COUNTS),
            ("AUC, KS and calibration from these counts, of all lenders and of each", *_PUBLIC),
        ),
        VALIDATION_HISTOGRAM: (
            ("a lender's noisy score histogram of validation loans", *_COUNTS),
            ("AUC, KS and calibration from these counts, of all lenders and of each", *_PUBLIC),
        ),
    }
)
_IN_PROCESS: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        "simulated": (
            (_IN_THE_CLEAR, "its own", "no", "no", "no"),
            ("the seed, from which noise can be drawn again", "no", "no", "no", "no"),
        ),
        "deployed": (
            ("figures on validation and test loans", "not computed", "no", "no", "no"),
            ("the key of a release's noise", "its own, until it is sent", "no", "no", "no"),
        ),
    }
)
_MAY_BE_SHOWN = (
    "Noisy counts are charged, so the figures above hold even where they are shown to everybody; the table says who is "
    "sent them."
)
_LAST_COLUMN = {
    "simulated": (
        "In a simulation all parties are one program, and its researcher sees everything; the other columns say who "
        "would see what if they were not."
    ),
    "deployed": (
        "Here all parties are one program on one machine, so whoever runs it could read all of its memory and the "
        "tables it opens; the results folder holds none of that. Separate machines for separate lenders are not built."
    ),
}


def who_sees_what(*, trust_model: str, mode: str, charged: Collection[str] = ()) -> Table:
    """Return who sees what.

    Args:
        trust_model: a key of `TRUST_MODELS`.
        mode: ``"simulated"`` or ``"deployed"``.
        charged: the charged releases of the run, keys of `CHARGED`.

    Returns:
        The table; the last column is whoever runs the program.
    """
    released = tuple(row for name, rows in CHARGED.items() if name in charged for row in rows)
    inside = tuple((_in_the_clear(charged), *row[1:]) if row[0] == _IN_THE_CLEAR else row for row in _IN_PROCESS[mode])
    researcher = "yes" if mode == "simulated" else "in memory"
    seen = tuple(
        (*row, "yes" if row[-1].startswith("yes") else researcher)
        for row in (*TRUST_MODELS[trust_model], *released, *inside)
    )
    return Table(
        title="",
        headings=("what", *READERS, _RESEARCHER[mode]),
        num_labels=1,
        rows=tuple((*row[:-1], "no") if row[1] == "not computed" else row for row in seen),
        notes=(*((_MAY_BE_SHOWN,) if released else ()), _LAST_COLUMN[mode]),
    )


def _in_the_clear(charged: Collection[str]) -> str:
    """Name what is read in the clear beside the charged releases."""
    has_figures = any(name not in (OWN_INTERCEPT, ENCODING_RANGES) for name in charged)
    figures = f"{'other ' if has_figures else ''}figures on validation and test loans"
    return figures if OWN_INTERCEPT in charged else f"{figures}, own intercepts"
