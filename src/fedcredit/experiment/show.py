"""Finished runs in a terminal: one run with all it came to, or the arms of a study side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from fedcredit.experiment.charged_wording import charged_tables
from fedcredit.experiment.looking import Cost, looking_table
from fedcredit.experiment.market_tables import beyond_tables
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import study_tables
from fedcredit.experiment.review_tables import review_headline
from fedcredit.experiment.summary import headline, lender_table, reference_table
from fedcredit.experiment.wording import Table, readable

_GAP = 2
_SHORT_NAME = 18
_LONG_NAME = 50


def print_run(record: RunRecord, console: Console, *, report: Path | None = None) -> None:
    """Print a finished run.

    Args:
        record: the run.
        console: where to print.
        report: the report's path, named at the end.
    """
    console.print(run_view(record))
    _print_path(console, report)


def print_study(
    records: Sequence[RunRecord],
    console: Console,
    *,
    report: Path | None = None,
    against: str | None = None,
    cost: Cost | None = None,
) -> None:
    """Print the arms of a study side by side: their means where they were run on several splits.

    Args:
        records: finished runs, at least one.
        console: where to print.
        report: the report's path, named at the end.
        against: the arm that gaps between means are taken against.
        cost: what looking at all of them costs.

    Raises:
        InputError: if there is no run.
    """
    console.print(TableView(study_tables(records, against=against)[0]))
    if cost is not None:
        print_cost(cost, console)
    _print_path(console, report)


def print_cost(cost: Cost, console: Console) -> None:
    """Print what looking at several runs costs, or why it is unknown.

    Args:
        cost: from `looking.known_cost`.
        console: where to print.
    """
    if cost.found:
        console.print(TableView(looking_table(cost.found)))
    else:
        console.print(Text(cost.unknown, style="dim"))


def run_view(record: RunRecord) -> RenderableType:
    """Lay out a run: headline, epsilon statement, lenders, references, remarks.

    Args:
        record: the run.

    Returns:
        What rich can print.
    """
    figures = RichTable.grid(padding=(0, 2))
    for label, text in (*headline(record), *review_headline(record.review)):
        figures.add_row(Text(label, style="dim"), Text(text, style="bold"))
    return Group(
        Text.assemble((readable(record.name), "bold"), f"  {record.mode}, fingerprint {record.fingerprint[:16]}"),
        Padding(figures, (1, 0)),
        *(Text(readable(line)) for line in record.statement_lines),
        TableView(lender_table(record)),
        *(TableView(table) for table in charged_tables(record)),
        *((TableView(reference_table(record)),) if record.references else ()),
        *(TableView(table) for table in beyond_tables(record)),
        *(Text(f"note: {readable(remark)}", style="dim") for remark in record.remarks),
    )


@dataclass(frozen=True)
class TableView:
    """A text table in a terminal: names to the left, figures to the right, notes below.

    Where the terminal is too narrow, droppable columns are left out and the notes say so.
    """

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the table out in the width there is."""
        shown, name_width = _fitted(self.table, options.max_width)
        drawn = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for place in shown:
            is_label = place < self.table.num_labels
            width = name_width if place == self.table.num_labels - 1 else _widths(self.table)[place]
            drawn.add_column(
                Text(self.table.headings[place]), justify="left" if is_label else "right", width=width, overflow="fold"
            )
        for row in self.table.rows:
            drawn.add_row(*(Text(_shortened(row[place])) for place in shown))
        yield Text(f"\n{self.table.title}", style="bold")
        yield drawn
        hidden = [heading for place, heading in enumerate(self.table.headings) if place not in shown]
        notes = (*self.table.notes, *((f"Left out for want of width: {', '.join(hidden)}.",) if hidden else ()))
        yield from (Text(note, style="dim") for note in notes)


def _fitted(table: Table, width: int) -> tuple[list[int], int]:
    """Choose the columns that fit, and the width of the column of names."""
    name, widths = table.num_labels - 1, _widths(table)
    for dropped in range(len(table.droppable) + 1):
        shown = [place for place, text in enumerate(table.headings) if text not in table.droppable[:dropped]]
        left = width - sum(widths[place] for place in shown if place != name) - _GAP * len(shown)
        if left >= min(widths[name], _SHORT_NAME):
            break
    return shown, max(min(widths[name], left), 1)


def _widths(table: Table) -> list[int]:
    """Measure columns: a heading may break between words, a figure may not."""
    return [
        max(cell_len(text) for text in (*heading.split(), *(_shortened(row[place]) for row in table.rows)))
        for place, heading in enumerate(table.headings)
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONG_NAME else f"{text[: _LONG_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _print_path(console: Console, report: Path | None) -> None:
    if report is not None:
        console.print(Text(f"\nreport: {report}"), soft_wrap=True)
