"""The report of a run or of a study: one HTML file that holds its pictures and asks nothing of a network."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from fedcredit.experiment.canvas import Picture
from fedcredit.experiment.plots import run_pictures
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import study_tables
from fedcredit.experiment.study import in_order
from fedcredit.experiment.study_plots import study_pictures
from fedcredit.experiment.summary import (
    headline,
    lender_table,
    metric_table,
    noise_table,
    reading_table,
    reference_table,
)
from fedcredit.experiment.wording import statement_of

REPORT_FILE = "report.html"


def write_report(record: RunRecord, folder: Path) -> Path:
    """Write ``report.html`` into a results folder: whole, then renamed.

    Args:
        record: the run.
        folder: the results folder, which exists.

    Returns:
        The path of the file.
    """
    return _write(run_report(record), folder / REPORT_FILE)


def write_study_report(records: Sequence[RunRecord], path: Path) -> Path:
    """Write the report of a study: whole, then renamed.

    Args:
        records: finished runs, at least one.
        path: the file to write; its folder is made if it is missing.

    Returns:
        The same path.

    Raises:
        InputError: if there is no run.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return _write(study_report(records), path)


def run_report(record: RunRecord) -> str:
    """Return the page of one run.

    Args:
        record: the run.

    Returns:
        HTML.
    """
    statement = statement_of(record)
    return _page(
        "run.html.jinja",
        title=record.name,
        record=record,
        headline=headline(record),
        reading=None if statement is None else reading_table(statement),
        tables=[lender_table(record), reference_table(record), metric_table(record), noise_table(record)],
        pictures=_pairs(run_pictures(record), run_pictures(record, dark=True)),
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
    arms = study_tables(records, against=against)
    ordered = in_order(records)
    studies = sorted({record.name.partition("/")[0] for record in ordered})
    return _page(
        "study.html.jinja",
        title=", ".join(studies),
        records=ordered,
        arms=arms,
        pictures=_pairs(study_pictures(ordered), study_pictures(ordered, dark=True)),
        remarks=list(dict.fromkeys(remark for record in ordered for remark in record.remarks)),
    )


def _page(template: str, **content: object) -> str:
    environment = Environment(
        loader=PackageLoader("fedcredit.experiment", "templates"),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["data_uri"] = _data_uri
    return environment.get_template(template).render(**content)


def _pairs(light: Sequence[Picture], dark: Sequence[Picture]) -> list[tuple[Picture, Picture]]:
    return list(zip(light, dark, strict=True))


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _as_yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=False).rstrip()


def _write(page: str, path: Path) -> Path:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)
    return path
