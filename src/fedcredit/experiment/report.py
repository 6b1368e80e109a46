"""The report of a run or of a study: one HTML file that holds its pictures and asks nothing of a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fedcredit.errors import InputError
from fedcredit.experiment.by_group import group_table
from fedcredit.experiment.charged_wording import charged_tables
from fedcredit.experiment.epsilon_by_round import spending_of
from fedcredit.experiment.figures import Figure
from fedcredit.experiment.looking import Cost, known_cost, looking_headline, looking_table
from fedcredit.experiment.market_tables import beyond_tables
from fedcredit.experiment.page import Section, render
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import arms_by_split, study_tables
from fedcredit.experiment.review_tables import review_headline, review_tables
from fedcredit.experiment.run_figures import run_figures
from fedcredit.experiment.study import in_order
from fedcredit.experiment.study_figures import study_figures
from fedcredit.experiment.study_review import study_review_table
from fedcredit.experiment.study_tables import difference_table, privacy_table
from fedcredit.experiment.summary import (
    headline,
    lender_table,
    metric_table,
    noise_table,
    reading_table,
    reference_table,
)
from fedcredit.experiment.wording import Table, readable, statement_of
from fedcredit.privacy.accounting.ledger import LEDGER_FOLDER

_NO_PRIVACY = "Nothing was clipped and no noise was drawn: this run promises no privacy."
_AGAIN = (
    "From the folder of this report, or a zip file of it, with the same loan table; every figure is compared with what "
    "is saved here, and the differences of versions and machines are named."
)
REPORT_FILE, DECISIONS_FILE = "report.html", "decisions.html"
_BESIDE = {DECISIONS_FILE: "Approvals, limits, losses, tranches and months decided by this run"}


def write_report(record: RunRecord, folder: Path) -> Path:
    """Write ``report.html`` and its pictures, ``plots/``, into a results folder: whole, then renamed.

    Args:
        record: the run.
        folder: the results folder, which exists.

    Returns:
        The path of the page.
    """
    from fedcredit.experiment.painted import write_plots

    figures = _figures_of(record, folder)
    write_plots(figures, folder)
    return _write(_run_page(record, figures, folder), folder / REPORT_FILE)


def report_of(record: RunRecord, folder: Path) -> Path:
    """Return the page of a finished run; a run made without one gets it now.

    Args:
        record: the run.
        folder: its results folder.

    Returns:
        The path of the page.

    Raises:
        InputError: if there is none and the folder cannot be written.
    """
    path = folder / REPORT_FILE
    if path.is_file():
        return path
    try:
        return write_report(record, folder)
    except OSError as error:
        raise InputError(
            f"{folder} holds no {REPORT_FILE} and cannot be written ({error.strerror}); copy the folder to a place you "
            "may write to"
        ) from error


def write_study_report(
    records: Sequence[RunRecord], path: Path, *, against: str | None = None, cost: Cost | None = None
) -> Path:
    """Write the report of a study and its figures for papers, ``plots/`` beside it: whole, then renamed.

    Args:
        records: finished runs, at least one.
        path: the file to write, ``<results>/<study>/report.html``; its folder is made if it is missing.
        against: the arm that gaps are taken against, where arms were run on several splits.
        cost: what looking at all of them costs; by default it is read from the ledgers below ``<results>``.

    Returns:
        The same path.

    Raises:
        InputError: if there is no run, or runs on private loans cannot be priced together.
    """
    from fedcredit.experiment.painted import write_plots

    if not records:
        raise InputError("records holds no run; give at least one finished run")
    found = known_cost(records, path.parent.parent) if cost is None else cost
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = study_figures(in_order(records))
    write_plots(figures, path.parent)
    return _write(_study_page(in_order(records), figures, found, against=against), path)


def run_report(record: RunRecord, folder: Path | None = None) -> str:
    """Return the page of one run.

    Args:
        record: the run.
        folder: its results folder, for the lines of epsilon at several lenders.

    Returns:
        HTML.
    """
    return _run_page(record, _figures_of(record, folder), folder)


def study_report(records: Sequence[RunRecord], *, cost: Cost, against: str | None = None) -> str:
    """Return the page that compares the arms of a study.

    Args:
        records: finished runs, at least one.
        cost: what looking at all of them costs.
        against: the arm that gaps are taken against, where arms were run on several splits.

    Returns:
        HTML.

    Raises:
        InputError: if there is no run.
    """
    if not records:
        raise InputError("records holds no run; give at least one finished run")
    ordered = in_order(records)
    return _study_page(ordered, study_figures(ordered), cost, against=against)


def _figures_of(record: RunRecord, folder: Path | None) -> tuple[Figure, ...]:
    has_ledgers = folder is not None and (folder / LEDGER_FOLDER).is_dir()
    return run_figures(record, spending=spending_of(record, folder) if folder is not None and has_ledgers else None)


def _run_page(record: RunRecord, figures: Sequence[Figure], folder: Path | None) -> str:
    statement = statement_of(record)
    drawn = {figure.name: figure for figure in figures}

    def named(*names: str) -> tuple[Figure, ...]:
        return tuple(drawn[name] for name in names if name in drawn)

    private = (noise_table(record),) if statement is None else (reading_table(statement), noise_table(record))
    sections = (
        Section(
            title="What epsilon means here",
            lines=record.statement_lines,
            paragraphs=() if statement is not None else (_NO_PRIVACY,),
            figures=named("rounds", "reading"),
            tables=private,
        ),
        Section(title="Remarks", paragraphs=record.remarks),
        Section(
            title="Alone, federated, pooled",
            figures=named("lenders", "levels"),
            tables=(lender_table(record), *charged_tables(record), reference_table(record)),
        ),
        Section(title="Calibration and fit", figures=named("calibration"), tables=(metric_table(record),)),
        Section(title="Credit review", figures=named("deciles", "segments", "groups", "drift"),
                tables=review_tables(record.review)),
        Section(title="Beyond the held-out loans", tables=tuple(beyond_tables(record))),
        Section(title="Decisions", links=_beside(folder)),
        Section(title="How to reproduce", paragraphs=(_AGAIN,), lines=("fedcredit reproduce RESULTS_FOLDER",)),
    )  # fmt: skip
    return render(
        title=record.name,
        told=f"{record.mode} run, fingerprint {record.fingerprint}",
        headline=(*headline(record), *review_headline(record.review)),
        sections=sections,
        details=(
            ("Config", _as_yaml(record.experiment)),
            ("Environment", _as_yaml(record.environment)),
            ("Seconds", _as_yaml({name: round(spent, 3) for name, spent in record.seconds.items()})),
        ),
    )


def _study_page(records: Sequence[RunRecord], figures: Sequence[Figure], cost: Cost, *, against: str | None) -> str:
    studies = sorted({record.name.partition("/")[0] for record in records})
    of_markets = all(record.truth is not None for record in records)
    num_arms = len(arms_by_split(records))
    known = (looking_table(cost.found),) if cost.found else ()
    drawn = {figure.name: figure for figure in figures}
    first = tuple(drawn[name] for name in ("study_frontier", "study_kinds") if name in drawn)
    rest = tuple(figure for figure in figures if figure not in first)
    sections = (
        Section(title="Privacy and utility", figures=first, tables=tuple(study_tables(records, against=against))),
        Section(title="The cost of looking", paragraphs=(cost.unknown,) if cost.unknown else (), tables=known),
        Section(title="What epsilon means here", tables=_present(privacy_table(records))),
        Section(title="Arm by arm", figures=rest, tables=_present(study_review_table(records))),
        Section(
            title="Lenders",
            tables=(group_table(records, "kind"), group_table(records, "lender")) if of_markets else (),
        ),
        Section(title="Remarks", paragraphs=tuple(dict.fromkeys(text for run in records for text in run.remarks))),
        Section(title="Configs", tables=_present(difference_table(records))),
        Section(
            title="How to reproduce",
            paragraphs=(_AGAIN,),
            lines=(*(f"fedcredit reproduce RESULTS_FOLDER/{readable(study)}" for study in studies),),
        ),
    )
    return render(
        title=", ".join(studies),
        told=f"{len(records)} finished runs of {num_arms} arms, the least private first.",
        headline=(*looking_headline(cost.found), ("runs", str(len(records))), ("arms", str(num_arms))),
        sections=sections,
        details=(
            ("Epsilon statements of all runs", "\n\n".join(_statement_text(record) for record in records)),
            ("Config of the first run", _as_yaml(records[0].experiment)),
            ("Environment of the first run", _as_yaml(records[0].environment)),
        ),
    )


def _beside(folder: Path | None) -> tuple[tuple[str, str], ...]:
    """Link the pages that other verbs wrote beside the report."""
    return tuple((name, told) for name, told in _BESIDE.items() if folder is not None and (folder / name).is_file())


def _present(table: Table | None) -> tuple[Table, ...]:
    return () if table is None else (table,)


def _statement_text(record: RunRecord) -> str:
    head = f"{record.name}, fingerprint {record.fingerprint}"
    return "\n".join([head, *(f"  {line}" for line in record.statement_lines or (_NO_PRIVACY,))])


def _as_yaml(content: object) -> str:
    import yaml

    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=False).rstrip()


def _write(page: str, path: Path) -> Path:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)
    return path
