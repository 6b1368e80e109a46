"""The privacy statement of a run on one page, in the order of NIST SP 800-226 (2025).

Unit, relation, parameters, trust model, what is released, who sees what, and what is not covered. Everything
in it comes from the record.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.summary import noise_table, reading_table
from fedcredit.experiment.wording import PRIVATE_REFERENCES, Table, statement_of
from fedcredit.privacy.accounting.releases import OWN_INTERCEPT
from fedcredit.privacy.accounting.statement import EpsilonStatement

PRIVACY_FILE = "privacy.md"
_MOST_LENDERS = 12
_SEES = (
    ("a loan's columns and outcome", "its own", "no", "no", "no"),
    ("a lender's clipped, noised update of a round", "its own", "yes", "no", "no"),
    ("the shared network of a round", "yes", "yes", "yes", "no"),
    ("the network after the last round", "yes", "yes", "yes", "if it is published"),
    ("number of loans, rate, steps, weight and noise of a lender", "yes", "yes", "yes", "yes: public"),
    ("which lenders answered in a round, and when", "its own", "yes", "no", "no"),
    ("digest of a lender's ledger", "its own", "yes", "no", "no"),
    ("a lender's bad rate and mix of loans", "its own", "can be estimated", "can be estimated", "can be estimated"),
)
_NOT_COVERED = (
    "several {unit}s of one borrower at one lender: their losses add up, and no line above adds them",
    "a lender's bad rate and mix: what is hidden is one {unit}, not what a lender's {unit}s have in common",
    "{figures}",
    "other runs on the same {unit}s, also those from which columns, settings or seeds were chosen: every run adds up",
    "somebody who has the seed: noise of a simulated run can be drawn again with it",
    "floating-point noise: sums are arranged so that rounding stays within the clipping norm; how noise itself is "
    "rounded is not analysed",
    "theft, subpoena or a lender that shows its {unit}s itself",
)


def privacy_page(record: RunRecord) -> str:
    """Write the privacy statement of a run.

    Args:
        record: the run.

    Returns:
        Markdown, about a page.

    Raises:
        InputError: if the record's epsilon statement is not of this version.
    """
    statement = statement_of(record)
    if statement is None:
        return (
            f"# Privacy statement: {record.name}\n\nThis run promises no privacy: nothing was clipped and no noise was "
            "drawn, so epsilon is infinite. It is for public loans alone.\n"
        )
    sections = (
        ("Unit of privacy", _unit(statement)),
        ("Neighbouring relation", _relation(statement)),
        ("Parameters", _parameters(record, statement)),
        ("Trust model", _trust(record)),
        ("What is released", _released(record, statement)),
        ("Who sees what", _who_sees_what()),
        ("What is not covered", _not_covered(record, statement.unit)),
    )
    told = "\n\n".join(f"## {number}. {title}\n\n{text}" for number, (title, text) in enumerate(sections, start=1))
    return (
        f"# Privacy statement: {record.name}\n\nIn the order of NIST SP 800-226. Run {record.fingerprint[:16]}, "
        f"mode {record.mode}.\n\n**{statement.reading[1].sentence(unit=statement.unit)}**\n\n{told}\n"
    )


def _not_covered(record: RunRecord, unit: str) -> str:
    """List it; figures that were charged are among what is released."""
    charged = () if record.charged is None else record.charged.noise_multiplier
    others = " other than the charged ones" if any(name != OWN_INTERCEPT for name in charged) else ""
    own = "" if OWN_INTERCEPT in charged else ", each lender's own intercept"
    figures = (
        f"figures on validation and test {unit}s{others}{own} and the counts behind borrower keys: this simulation "
        "reads them in the clear, and in a deployment they would not leave a lender"
    )
    return _bullets([line.format(unit=unit, figures=figures) for line in _NOT_COVERED])


def _unit(statement: EpsilonStatement) -> str:
    known = statement.known_overlap
    keys = (
        "No borrower key is known, so it is not known how many loans a borrower has, or at how many lenders."
        if known is None
        else f"By its keys, read in the clear, {known.text(statement.unit)}."
    )
    return (
        f"One {statement.unit}: one row of a lender's table. A borrower is protected as far as one {statement.unit} at "
        f"each of one, two or three lenders (the lines under Parameters). {keys}"
    )


def _relation(statement: EpsilonStatement) -> str:
    return (
        f"`{statement.relation}`: a {statement.unit} is replaced by one that contributes nothing; the number of "
        f"{statement.unit}s of each lender is public. For Poisson-sampled Gaussian steps the figures are those of "
        f"adding or removing one {statement.unit}. Replacing it by another costs more and is not stated."
    )


def _parameters(record: RunRecord, statement: EpsilonStatement) -> str:
    accountants = sorted({bound.accountant for bound in (statement.worst, *statement.overlap.values())})
    lenders = noise_table(record)
    left_out = len(lenders.rows) - _MOST_LENDERS
    more = f"\n\n{left_out} more lenders are in `institutions.parquet`." if left_out > 0 else ""
    return (
        f"Delta {statement.target_delta:g} for every figure; upper bounds by {' and '.join(accountants)}. All noise is "
        f"Gaussian, on gradients of one {statement.unit} clipped to one norm, in batches drawn by Poisson sampling.\n\n"
        f"{_markdown(reading_table(statement))}\n\n{_markdown(lenders, most=_MOST_LENDERS)}{more}"
    )


def _trust(record: RunRecord) -> str:
    return (
        "Local trust: every lender trusts itself alone. It clips and adds noise before anything leaves it, so the "
        "figures hold against the server, the other lenders and everybody outside, also all together. No figure relies "
        "on the server seeing only sums. The server is trusted to train well, not to keep secrets. "
        f"Mode {record.mode}: noise comes from a seed, so the figures hold against those who do not have it."
    )


def _released(record: RunRecord, statement: EpsilonStatement) -> str:
    lines = [statement.covers, *(line for line in record.statement_lines if line.startswith("by the part of"))]
    private = [name for name in record.references if name in PRIVATE_REFERENCES]
    if private:
        lines.append(
            f"not in the figures above: the private references of this run ({', '.join(private)}); the ledgers hold "
            "what they cost, for the case that they are published too"
        )
    return _bullets([*lines, "what each release cost: `fedcredit ledger show` on this folder"])


def _who_sees_what() -> str:
    return _markdown(
        Table(
            title="",
            headings=("what", "the lender", "the server", "other lenders", "outsiders"),
            num_labels=1,
            rows=_SEES,
            notes=("In a simulation all parties are one program; the table says who would see what if they were not.",),
        )
    )


def _markdown(table: Table, *, most: int | None = None) -> str:
    lines = [_row(table.headings), _row(["---"] * len(table.headings)), *(_row(row) for row in table.rows[:most])]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
