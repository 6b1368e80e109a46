"""The privacy statement of a run on one page, in the order of NIST SP 800-226 (2025).

Unit, relation, parameters, trust model, what is released, who sees what, and what is not covered. Everything
in it comes from the record.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.summary import noise_table, reading_table
from fedcredit.experiment.who_sees import who_sees_what
from fedcredit.experiment.wording import (
    PRIVATE_REFERENCES,
    Table,
    as_mapping,
    as_number,
    epsilon_text,
    sampled_by,
    statement_of,
)
from fedcredit.privacy.accounting.releases import ENCODING_RANGES, OWN_INTERCEPT
from fedcredit.privacy.accounting.statement import EpsilonStatement
from fedcredit.privacy.accounting.statement_wording import overlap_text, worst_off_lines
from fedcredit.privacy.budgets import budget_line

PRIVACY_FILE = "privacy.md"
_MOST_LENDERS = 12
_NOT_COVERED = (
    "a lender's bad rate and mix: what is hidden is one {unit}, not what a lender's {unit}s have in common. "
    "`fedcredit attack bad_rate` measures how well an honest-but-curious server reads the bad rate off the updates",
    "other runs on the same {unit}s, also those from which columns, settings or seeds were chosen: every run adds up",
    "theft, subpoena or a lender that shows its {unit}s itself",
)
_NOT_COVERED_IN = {
    "simulated": (
        "figures on validation and test {unit}s{others}{own} and the counts behind borrower keys: this simulation "
        "reads them in the clear, and in a deployment they would not leave a lender",
        "somebody who has the seed: noise of a simulated run can be drawn again with it",
        "the same experiment by a second trainer or machine: its releases carry the same noise and differ by rounding "
        "that no noise hides, so one of them may be shown, not both",
        "floating-point noise: sums are arranged so that rounding stays within the clipping norm; how noise itself is "
        "rounded is not analysed",
    ),
    "deployed": (
        "other versions of a table and lenders of another name: one {unit} more or less begins another ledger, and "
        "what those hold of the same {unit}s is told beside the total only where they lie in the same folder",
        "floating-point noise: sums and noise are rounded to a public grid inside the clip margin and each normal is "
        "the sum of four, which is a mitigation and not a proof",
        "time: how long a lender takes to answer depends on its batches",
    ),
}
_NO_FIGURES = (OWN_INTERCEPT, ENCODING_RANGES)
_NOISE_OF = {
    "simulated": "noise comes from a seed, so the figures hold against those who do not have it.",
    "deployed": (
        "sampling and noise come from a key of the operating system that is used once and never kept, so nobody can "
        "draw them again; seeds name public draws alone. All lenders run in one process on one machine: this is not "
        "yet a deployment of separate machines."
    ),
}


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
        ("Who sees what", markdown_table(_who_sees(record, statement))),
        ("What is not covered", bullets(not_covered(record, statement))),
    )
    told = "\n\n".join(f"## {number}. {title}\n\n{text}" for number, (title, text) in enumerate(sections, start=1))
    return (
        f"# Privacy statement: {record.name}\n\nIn the order of NIST SP 800-226. Run {record.fingerprint[:16]}, "
        f"mode {record.mode}.\n\n**{statement.reading[1].sentence(unit=statement.unit)}**\n\n{told}\n"
    )


def _who_sees(record: RunRecord, statement: EpsilonStatement) -> Table:
    charged = () if record.charged is None else tuple(record.charged.noise_multiplier)
    return who_sees_what(trust_model=statement.trust, mode=record.mode, charged=charged)


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
        else f"By its keys, read in the clear, {overlap_text(known, statement.unit)}."
    )
    if statement.unit == "borrower":
        return (
            "One borrower at one lender, with all its training loans there, of which at most "
            f"{statement.max_loans} are kept by a public rule. A borrower of several lenders is protected as far as "
            f"one, two or three of them together (the lines under Parameters). {keys}"
        )
    return (
        f"One {statement.unit}: one row of a lender's table. A borrower is protected as far as one {statement.unit} at "
        f"each of one, two or three lenders (the lines under Parameters). {keys}"
    )


def not_covered(record: RunRecord, statement: EpsilonStatement) -> list[str]:
    """List what a run's promise does not cover.

    Args:
        record: the run.
        statement: its epsilon statement.

    Returns:
        One text a gap.
    """
    several = {
        "loan": "several loans of one borrower at one lender: their losses add up, and only the lines for the worst-"
        "off borrower of this table, where borrower keys are known, add them",
        "borrower": "loans of a borrower under another key, and those beyond the ones that are kept, which are not "
        "trained on",
    }
    charged = () if record.charged is None else record.charged.noise_multiplier
    others = " other than the charged ones" if any(name not in _NO_FIGURES for name in charged) else ""
    own = "" if OWN_INTERCEPT in charged else ", each lender's own intercept"
    lines = [
        line.format(unit=statement.unit, others=others, own=own)
        for line in (*_NOT_COVERED, *_NOT_COVERED_IN[record.mode])
    ]
    return [several[statement.unit], *lines] if statement.unit in several else lines


def _relation(statement: EpsilonStatement) -> str:
    if statement.unit == "borrower":
        return (
            f"`{statement.relation}`: all loans of a borrower at a lender are replaced by ones that contribute "
            "nothing; the numbers of borrowers and of training loans of each lender are public. Replacing a borrower "
            "by another costs more and is not stated."
        )
    return (
        f"`{statement.relation}`: a {statement.unit} is replaced by one that contributes nothing; the number of "
        f"{statement.unit}s{'' if statement.unit == 'institution' else ' of each lender'} is public. For "
        f"Poisson-sampled Gaussian steps the figures are those of adding or removing one {statement.unit}. Replacing "
        "it by another costs more and is not stated."
    )


def _parameters(record: RunRecord, statement: EpsilonStatement) -> str:
    actual = [found.epsilon for found in statement.worst_off.values()]
    accountants = sorted({bound.accountant for bound in (statement.worst, *statement.overlap.values(), *actual)})
    lenders = noise_table(record)
    left_out = len(lenders.rows) - _MOST_LENDERS
    more = f"\n\n{left_out} more lenders are in `institutions.parquet`." if left_out > 0 else ""
    budgets = budget_line(*_promised(record))
    told = "" if budgets is None else f"Targets differ: {budgets}. "
    return (
        f"{told}Delta {statement.target_delta:g} for every figure; upper bounds by {' and '.join(accountants)}. "
        f"All noise is Gaussian, {_clipped(record, statement)}.\n\n"
        f"{markdown_table(reading_table(statement))}\n\n{_worst_off(statement)}"
        f"{markdown_table(lenders, most=_MOST_LENDERS)}{more}"
    )


def _worst_off(statement: EpsilonStatement) -> str:
    lines = worst_off_lines(statement)
    return f"{bullets(lines)}\n\n" if lines else ""


def _clipped(record: RunRecord, statement: EpsilonStatement) -> str:
    if statement.unit == "institution":
        return "added by the server to the mean of updates that are clipped to one norm as a whole"
    if statement.unit != "borrower":
        clipped = f"of one {statement.unit} clipped to one norm"
    elif sampled_by(record) == "borrowers":
        clipped = (
            f"of each loan clipped to 1/{statement.max_loans} of one norm, all loans of a sampled borrower together"
        )
    else:
        clipped = f"of each loan clipped to one norm and priced for {statement.max_loans} loans sampled one by one"
    return f"on gradients {clipped}, in batches drawn by Poisson sampling"


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
            f"{bullets(statement.notes)}"
        )
    return (
        "Local trust: every lender trusts itself alone. It clips and adds noise before anything leaves it, so the "
        "figures hold against the server, the other lenders and everybody outside, also all together. No figure relies "
        "on the server seeing only sums. The server is trusted to train well, not to keep secrets. "
        f"{_mode(record)}"
    )


def _mode(record: RunRecord) -> str:
    return f"Mode {record.mode}: {_NOISE_OF[record.mode]}"


def _released(record: RunRecord, statement: EpsilonStatement) -> str:
    lines = [statement.covers, *(line for line in record.statement_lines if line.startswith("by the part of"))]
    private = [name for name in record.references if name in PRIVATE_REFERENCES]
    if private:
        lines.append(
            f"not in the figures above: the private references of this run ({', '.join(private)}); the ledgers hold "
            "what they cost, for the case that they are published too"
        )
    return bullets([*lines, "what each release cost: `fedcredit ledger show` on this folder"])


def markdown_table(table: Table, *, most: int | None = None) -> str:
    """Write a table as Markdown.

    Args:
        table: the table.
        most: rows at most.

    Returns:
        Its headings, rows and notes.
    """
    lines = [_row(table.headings), _row(["---"] * len(table.headings)), *(_row(row) for row in table.rows[:most])]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def bullets(lines: Sequence[str]) -> str:
    """Write lines as a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)
