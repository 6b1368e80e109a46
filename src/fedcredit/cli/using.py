"""The verbs that use a trained model: score new loans, carry it elsewhere, put it before a review."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

SCORE_HELP = "Score new loans (csv or parquet) by a finished run: probability of default, points, reasons."

Run = Annotated[Path, typer.Argument(help="a finished run's folder")]
Force = Annotated[bool, typer.Option("--force", help="replace files that are there")]


def score(
    run: Run,
    table: Annotated[Path, typer.Argument(help="a csv or parquet file; needs no label, no keys and no dates")],
    out: Annotated[Path | None, typer.Option(help="a .csv or .parquet file; csv on standard output by default")] = None,
    lender: Annotated[str | None, typer.Option(help="at this lender's level, where the run has one a lender")] = None,
    reasons: Annotated[int, typer.Option(help="columns that count against a loan, the worst first")] = 0,
    force: Force = False,
) -> None:
    """Score loans in the order of their table."""
    from fedcredit.experiment import scoring
    from fedcredit.experiment.display import RunDisplay
    from fedcredit.experiment.kept_model import open_model

    if out is not None:
        scoring.check_target(out, force=force, inputs=(table, run))
    with RunDisplay(enabled=sys.stderr.isatty()) as display:
        model = open_model(run)
        if out is not None:
            scoring.check_target(out, force=force, inputs=(table, model.folder))
        loans = scoring.read_loans(table)
        level = None if lender is None else scoring.lender_level(model, lender, progress=display.stage)
        scored = scoring.score(model, loans, level=level, num_reasons=reasons, progress=display.stage)
    if out is None:
        sys.stdout.buffer.write(scoring.scores_csv(scored))
        sys.stdout.buffer.flush()
    else:
        scoring.write_scores(scored, out, model=model, force=force)
    _tell(scored, model_name=model.record.name, out=out)


def _tell(scored: object, *, model_name: str, out: Path | None) -> None:
    from fedcredit.experiment.scoring import ScoredTable

    assert isinstance(scored, ScoredTable)
    for remark in scored.remarks:
        typer.echo(f"note: {remark}, as in training", err=True)
    if scored.not_read:
        names = ", ".join(scored.not_read[:8]) + (", ..." if len(scored.not_read) > 8 else "")
        typer.echo(f"note: {len(scored.not_read)} columns are not read by this run: {names}", err=True)
    where = "" if out is None else f" into {out}"
    typer.echo(f"{scored.table.num_rows} loans scored by {model_name}{where}; level: {scored.level.told}", err=True)
