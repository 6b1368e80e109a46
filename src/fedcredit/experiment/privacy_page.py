"""The privacy statement of a run on one page, in the order of NIST SP 800-226 (2025).

Unit, relation, parameters, trust model, what is released, who sees what, and what is not covered. Everything
in it comes from the record.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.summary import noise_table, reading_table
from fedcredit.experiment.wording import PRIVATE_REFERENCES, Table, as_mapping, as_number, epsilon_text, statement_of
from fedcredit.privacy.accounting.statement import EpsilonStatement
from fedcredit.privacy.budgets import budget_line

PRIVACY_FILE = "privacy.md"
_MOST_LENDERS = 12
_UPDATES = {
    "local": (("a lender's clipped, noised update of a round", "its own", "yes", "no", "no"),),
    "secure_sum": (
        ("a lender's clipped update of a round, with its share of the noise", "its own", "no: assumed", "no", "no"),
        ("the noised sum of a round", "through the network", "yes", "through the network", "no"),
    ),
    "central": (
        ("a lender's clipped update of a round, without noise", "its own", "yes", "no", "no"),
        ("the noised mean of a round", "through the network", "yes", "through the network", "no"),
    ),
}
_SEES = (
    ("a loan's columns and outcome", "its own", "no", "no", "no"),
    ("the shared network of a round", "yes", "yes", "yes", "no"),
    ("the network after the last round", "yes", "yes", "yes", "if it is published"),
    ("number of loans, rate, steps, weight and noise of a lender", "yes", "yes", "yes", "yes: public"),
    ("which lenders answered in a round, and when", "its own", "yes", "no", "no"),
    ("digest of a lender's ledger", "its own", "yes", "no", "no"),
    ("a lender's bad rate and mix of loans", "its own", "can be estimated", "can be estimated", "can be estimated"),
)
_NOT_COVERED = (
    "several {unit}s of one borrower at one lender: their losses add up, and no line above adds them",
    "a lender's bad rate and mix: what is hidden is one {unit}, not what a lender's {unit}s have in common. "
    "`fedcredit attack bad_rate` measures how well an honest-but-curious server reads the bad rate off the updates",
    "figures on validation and test {unit}s, each lender's own intercept and the counts behind borrower keys: this "
    "simulation reads them in the clear, and in a deployment they would not leave a lender",
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
        ("Trust model", _trust(record, statement)),
        ("What is released", _released(record, statement)),
        ("Who sees what", _who_sees_what(statement)),
        ("What is not covered", _bullets([line.format(unit=statement.unit) for line in _NOT_COVERED])),
    )
    told = "\n\n".join(f"## {number}. {title}\n\n{text}" for number, (title, text) in enumerate(sections, start=1))
    return (
        f"# Privacy statement: {record.name}\n\nIn the order of NIST SP 800-226. Run {record.fingerprint[:16]}, "
        f"mode {record.mode}.\n\n**{statement.reading[1].sentence(unit=statement.unit)}**\n\n{told}\n"
    )


def _unit(statement: EpsilonStatement) -> str:
    if statement.unit == "institution":
        return (
            "One institution: everything that one lender holds. Each of its loans and borrowers is hidden with it from "
            "those who see what the server releases, a borrower at several lenders only as far as group privacy of "
            "several institutions goes, which is not stated."
        )
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
        f"{statement.unit}s{'' if statement.unit == 'institution' else ' of each lender'} is public. For "
        f"Poisson-sampled Gaussian steps the figures are those of adding or removing one {statement.unit}. Replacing "
        "it by another costs more and is not stated."
    )


def _parameters(record: RunRecord, statement: EpsilonStatement) -> str:
    accountants = sorted({bound.accountant for bound in (statement.worst, *statement.overlap.values())})
    lenders = noise_table(record)
    left_out = len(lenders.rows) - _MOST_LENDERS
    more = f"\n\n{left_out} more lenders are in `institutions.parquet`." if left_out > 0 else ""
    budgets = budget_line(*_promised(record))
    told = "" if budgets is None else f"Targets differ: {budgets}. "
    return (
        f"{told}Delta {statement.target_delta:g} for every figure; upper bounds by {' and '.join(accountants)}. "
        f"All noise is Gaussian, {_clipped(statement)}.\n\n"
        f"{_markdown(reading_table(statement))}\n\n{_markdown(lenders, most=_MOST_LENDERS)}{more}"
    )


def _clipped(statement: EpsilonStatement) -> str:
    if statement.unit == "institution":
        return "added by the server to the mean of updates that are clipped to one norm as a whole"
    return f"on gradients of one {statement.unit} clipped to one norm, in batches drawn by Poisson sampling"


def _promised(record: RunRecord) -> tuple[dict[str, float], float | None]:
    privacy = as_mapping(record.experiment["privacy"])
    budgets = {name: as_number(value) for name, value in as_mapping(privacy.get("budgets", {})).items()}
    return budgets, as_number(privacy["target_epsilon"]) if budgets else None


def _trust(record: RunRecord, statement: EpsilonStatement) -> str:
    if statement.trust == "secure_sum":
        lost = "; ".join(
            f"{epsilon_text(bound.value)} if {count} of the other lenders tell{'s' if count == 1 else ''}"
            for count, bound in sorted(statement.collusion.items())
        )
        return (
            "Secure sum, simulated for comparison: each lender adds its share of the noise, and the figures hold "
            "against everybody who sees only the sum of all lenders. The protocol that would hide single updates is "
            "assumed and not built, and one lender's own noise is too little for a promise. A lender that tells what "
            f"noise it drew takes it out of the sum: for one loan, epsilon {lost}. A round without all lenders is "
            f"refused. {_mode(record)}"
        )
    if statement.trust == "central":
        return (
            "Central trust: lenders send clipped updates without noise, the server sees them and adds the noise. The "
            "figures hold against everybody who sees what the server releases, and not against the server, which must "
            "be trusted with what updates tell about single loans. "
            f"{_mode(record)}\n\n"
            f"{_bullets(statement.notes)}"
        )
    return (
        "Local trust: every lender trusts itself alone. It clips and adds noise before anything leaves it, so the "
        "figures hold against the server, the other lenders and everybody outside, also all together. No figure relies "
        "on the server seeing only sums. The server is trusted to train well, not to keep secrets. "
        f"{_mode(record)}"
    )


def _mode(record: RunRecord) -> str:
    return f"Mode {record.mode}: noise comes from a seed, so the figures hold against those who do not have it."


def _released(record: RunRecord, statement: EpsilonStatement) -> str:
    lines = [statement.covers]
    private = [name for name in record.references if name in PRIVATE_REFERENCES]
    if private:
        lines.append(
            f"not in the figures above: the private references of this run ({', '.join(private)}); the ledgers hold "
            "what they cost, for the case that they are published too"
        )
    return _bullets([*lines, "what each release cost: `fedcredit ledger show` on this folder"])


def _who_sees_what(statement: EpsilonStatement) -> str:
    return _markdown(
        Table(
            title="",
            headings=("what", "the lender", "the server", "other lenders", "outsiders"),
            num_labels=1,
            rows=(_SEES[0], *_UPDATES[statement.trust], *_SEES[1:]),
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
