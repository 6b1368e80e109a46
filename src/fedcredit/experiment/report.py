"""The report of a run or of a study: one HTML file that holds its pictures and asks nothing of a network."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedcredit.errors import InputError
from fedcredit.experiment.by_group import group_table
from fedcredit.experiment.charged_wording import charged_tables
from fedcredit.experiment.market_tables import beyond_tables
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import study_tables
from fedcredit.experiment.review_tables import review_tables
from fedcredit.experiment.study import in_order
from fedcredit.experiment.study_review import study_review_table
from fedcredit.experiment.summary import (
    headline,
    lender_table,
    metric_table,
    noise_table,
    reading_table,
    reference_table,
)
from fedcredit.experiment.wording import statement_of

if TYPE_CHECKING:
    from fedcredit.experiment.canvas import Picture

REPORT_FILE = "report.html"


def write_report(record: RunRecord, folder: Path) -> Path:
    """Write ``report.html`` and its pictures, ``plots/``, into a results folder: whole, then renamed.

    Args:
        record: the run.
        folder: the results folder, which exists.

    Returns:
        The path of the page.
    """
    from fedcredit.experiment.plots import run_pictures, write_plots

    pictures = run_pictures(record)
    write_plots(pictures, folder)
    return _write(_run_page(record, pictures), folder / REPORT_FILE)


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


def write_study_report(records: Sequence[RunRecord], path: Path, *, against: str | None = None) -> Path:
    """Write the report of a study: whole, then renamed.

    Args:
        records: finished runs, at least one.
        path: the file to write; its folder is made if it is missing.
        against: the arm that gaps are taken against, where arms were run on several splits.

    Returns:
        The same path.

    Raises:
        InputError: if there is no run.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return _write(study_report(records, against=against), path)


def run_report(record: RunRecord) -> str:
    """Return the page of one run.

    Args:
        record: the run.

    Returns:
        HTML.
    """
    from fedcredit.experiment.plots import run_pictures

    return _run_page(record, run_pictures(record))


def _run_page(record: RunRecord, pictures: Sequence[Picture]) -> str:
    statement = statement_of(record)
    return _page(
        "run.html.jinja",
        title=record.name,
        record=record,
        headline=headline(record),
        reading=None if statement is None else reading_table(statement),
        tables=[
            lender_table(record),
            *charged_tables(record),
            reference_table(record),
            *beyond_tables(record),
            metric_table(record),
            *review_tables(record.review),
            noise_table(record),
        ],
        pictures=pictures,
        config=_as_yaml(record.experiment),
        environment=_as_yaml(record.environment),
        seconds=_as_yaml({name: round(spent, 3) for name, spent in record.seconds.items()}),
    )


def study_report(records: Sequence[RunRecord], *, against: str | None = None) -> str:
    """Return the page that compares the arms of a study.

    Args:
        records: finished runs, at least one.
        against: the arm that gaps are taken against, where arms were run on several splits.

    Returns:
        HTML.

    Raises:
        InputError: if there is no run.
    """
    from fedcredit.experiment.study_plots import study_pictures

    review = study_review_table(records)
    arms = [*study_tables(records, against=against), *([] if review is None else [review])]
    ordered = in_order(records)
    studies = sorted({record.name.partition("/")[0] for record in ordered})
    of_markets = all(record.truth is not None for record in ordered)
    market_tables = [group_table(ordered, "kind"), group_table(ordered, "lender")] if of_markets else []
    return _page(
        "study.html.jinja",
        title=", ".join(studies),
        records=ordered,
        arms=[*arms, *market_tables],
        pictures=study_pictures(ordered),
        remarks=list(dict.fromkeys(remark for record in ordered for remark in record.remarks)),
    )


def _page(template: str, **content: object) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fedcredit.experiment", "templates"),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["data_uri"] = _data_uri
    return environment.get_template(template).render(**content)


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _as_yaml(content: object) -> str:
    import yaml

    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=False).rstrip()


def _write(page: str, path: Path) -> Path:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)
    return path
