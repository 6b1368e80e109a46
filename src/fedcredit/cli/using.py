"""The verbs that use a trained model: score new loans, carry it elsewhere, put it before a review."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

PASSPORT_HELP = "Write one page on a finished run for model-risk review, as Markdown and HTML."
EXPORT_HELP = "Write a run's network as an ONNX model, or a logistic one as a scorecard."
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
    from fedcredit.experiment.outputs import check_target, write_whole

    if out is not None:
        check_target(out, force=force, endings=scoring.ENDINGS, inputs=(table, run))
    with RunDisplay(enabled=sys.stderr.isatty()) as display:
        model = open_model(run)
        if out is not None:
            check_target(out, force=force, endings=scoring.ENDINGS, inputs=(table, model.folder))
        loans = scoring.read_loans(table)
        level = None if lender is None else scoring.lender_level(model, lender, progress=display.stage)
        scored = scoring.score(model, loans, level=level, num_reasons=reasons, progress=display.stage)
    if out is None:
        sys.stdout.buffer.write(scoring.scores_csv(scored))
        sys.stdout.buffer.flush()
    else:
        is_parquet = out.suffix.lower() in scoring.PARQUET
        content = scoring.scores_parquet(scored, model=model) if is_parquet else scoring.scores_csv(scored)
        write_whole(out, content, force=force)
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


def export(
    run: Run,
    onnx: Annotated[Path | None, typer.Option(help="a .onnx file: encoded features to probability of default")] = None,
    scorecard: Annotated[Path | None, typer.Option(help="a .csv file: points by feature, if logistic")] = None,
    force: Force = False,
) -> None:
    """Write a run's network in other forms."""
    from fedcredit.errors import InputError
    from fedcredit.experiment.kept_model import open_model
    from fedcredit.experiment.outputs import check_target, write_whole

    if onnx is None and scorecard is None:
        raise InputError("nothing to export; add --onnx model.onnx or --scorecard table.csv")
    asked = [("onnx", onnx, (".onnx",)), ("scorecard", scorecard, (".csv",))]
    for what, path, endings in asked:
        if path is not None:
            check_target(path, force=force, endings=endings, inputs=(run,), what=what)
    model = open_model(run)
    for what, path, endings in asked:
        if path is not None:
            check_target(path, force=force, endings=endings, inputs=(model.folder,), what=what)
    made: list[tuple[str, Path, bytes]] = []
    if onnx is not None:
        from fedcredit.experiment.onnx_export import onnx_bytes

        made.append(("onnx", onnx, onnx_bytes(model)))
    if scorecard is not None:
        from fedcredit.experiment.scorecard_table import scorecard_csv, scorecard_rows

        made.append(("scorecard", scorecard, scorecard_csv(scorecard_rows(model))))
    for what, path, content in made:
        write_whole(path, content, force=force, what=what)
        typer.echo(f"{what}: {path}")


def passport(
    run: Run,
    purpose: Annotated[str, typer.Option(help="what the network is meant for, in your words")] = "",
    into: Annotated[Path | None, typer.Option(help="a folder for both files; the run's own by default")] = None,
    force: Force = False,
) -> None:
    """Write passport.md and passport.html."""
    from fedcredit.experiment.kept_model import open_model
    from fedcredit.experiment.outputs import check_target, write_whole
    from fedcredit.experiment.passport import PASSPORT, passport_html, passport_markdown
    from fedcredit.experiment.passport import passport as passport_of
    from fedcredit.experiment.passport_ledgers import verified_ledgers

    model = open_model(run)
    folder = model.folder if into is None else into
    targets = [folder / f"{PASSPORT}.md", folder / f"{PASSPORT}.html"]
    for path in targets:
        check_target(path, force=force, endings=(path.suffix,), what="into")
    page = passport_of(model, purpose=purpose, ledgers=verified_ledgers(model))
    for path, text in zip(targets, (passport_markdown(page), passport_html(page)), strict=True):
        write_whole(path, text.encode(), force=force, what="into")
        typer.echo(f"passport: {path}")
