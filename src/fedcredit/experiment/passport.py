"""A passport: one page on a finished run for those who review models before they are used.

Every figure on it is read: from the record, from the schema that the run kept, or from the checksums that tie them
together. Nothing is measured or priced here; epsilons stand as the run's statement has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedcredit.data.columns import IgnoredColumn, KeyColumn
from fedcredit.data.encoding import feature_names
from fedcredit.experiment.kept_model import KeptModel
from fedcredit.experiment.page import Section, render
from fedcredit.experiment.passport_limits import limits
from fedcredit.experiment.privacy_page import bullets, markdown_table
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.review_tables import review_headline
from fedcredit.experiment.spec import Experiment, FileTable, FlowerStrategy, MarketPortfolio, PublicTable
from fedcredit.experiment.summary import headline, interval_note, lender_table, reading_table, reference_table
from fedcredit.experiment.wording import Table, as_mapping, figure_text, level_text, readable, statement_of

PASSPORT = "passport"
_NO_PRIVACY = "This run promises no privacy: nothing was clipped and no noise was drawn, so epsilon is infinite."
_NO_PURPOSE = (
    "No purpose was stated by whoever made this page (--purpose), so it is not released for any decision about people."
)
_MOST_LENDERS = 12


@dataclass(frozen=True, kw_only=True)
class Passport:
    """The page as parts that Markdown and HTML write alike."""

    title: str
    told: str
    headline: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    details: tuple[tuple[str, str], ...]


def passport(model: KeptModel, *, purpose: str = "", ledgers: str = "") -> Passport:
    """Put together what a reviewer asks of a run.

    Args:
        model: the run's model.
        purpose: what it is meant for, in its maker's words.
        ledgers: what verifying the run's ledgers came to; empty where there are none.

    Returns:
        The page.
    """
    record = model.record
    statement = statement_of(record)
    sections = (
        Section(title="Purpose", paragraphs=_purpose(model, purpose)),
        Section(title="Data and schema", tables=(_data_table(model),)),
        Section(title="Lenders", tables=(_lenders(record),)),
        Section(title="Network and training", tables=(_network_table(model),)),
        Section(
            title="Privacy statement",
            lines=record.statement_lines,
            paragraphs=(*((_NO_PRIVACY,) if statement is None else ()), *((ledgers,) if ledgers else ())),
            tables=() if statement is None else (reading_table(statement),),
        ),
        Section(title="Evaluation", tables=_evaluation(record)),
        Section(title="Limits and what is not covered", lines=tuple(f"- {line}" for line in limits(model))),
        Section(title="Versions", tables=(_version_table(record),)),
        Section(
            title="How to reproduce",
            paragraphs=(
                "The results folder, or a zip file of it, and the same loan table are enough: the saved experiment is "
                "run again and every figure is compared with the record.",
            ),
            lines=("fedcredit reproduce RESULTS_FOLDER",),
        ),
    )
    return Passport(
        title=f"Model passport: {record.name}",
        told=f"For model-risk review. Run {record.fingerprint}, mode {record.mode}.",
        headline=(*headline(record), *review_headline(record.review)),
        sections=sections,
        details=(("Config", _as_yaml(record.experiment)),),
    )


def passport_markdown(page: Passport) -> str:
    """Write a passport as Markdown.

    Args:
        page: the passport.

    Returns:
        The text.
    """
    parts = [f"# {page.title}", page.told, bullets([f"{label}: **{text}**" for label, text in page.headline])]
    for number, section in enumerate((one for one in page.sections if not one.is_empty), start=1):
        parts.append(f"## {number}. {section.title}")
        parts += section.paragraphs
        if section.lines:
            told = "\n".join(section.lines)
            parts.append(told if _is_list(section) else f"```\n{told}\n```")
        parts += [f"**{table.title}**\n\n{markdown_table(table)}" for table in section.tables]
    return "\n\n".join(parts) + "\n"


def passport_html(page: Passport) -> str:
    """Write a passport as one self-contained HTML file, with the look of the run's report.

    Args:
        page: the passport.

    Returns:
        HTML.
    """
    sections = [
        replace(section, lines=(), paragraphs=(*section.paragraphs, *section.lines)) if _is_list(section) else section
        for section in page.sections
    ]
    return render(title=page.title, told=page.told, headline=page.headline, sections=sections, details=page.details)


def _is_list(section: Section) -> bool:
    return bool(section.lines) and all(line.startswith("- ") for line in section.lines)


def _purpose(model: KeptModel, purpose: str) -> tuple[str, ...]:
    definition = model.schema.default
    return (
        purpose or _NO_PURPOSE,
        f"The network estimates the probability that a loan defaults: {definition.horizon} (column "
        f"{definition.column}, values {', '.join(definition.positive_labels)}).",
    )


def _data_table(model: KeptModel) -> Table:
    schema, environment = model.schema, model.record.environment
    kinds = [column.kind for column in schema.columns if not isinstance(column, KeyColumn | IgnoredColumn)]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    rows = [
        ("loans", _source(model.experiment)),
        ("table is public", "yes" if schema.public else "no"),
        ("schema", schema.name),
        ("schema.yaml, SHA-256", model.schema_checksum),
        ("loans and schema, SHA-256", str(environment.get("data_checksum", "not kept"))),
        ("columns by kind", counts),
        ("encoded features", str(len(feature_names(schema)))),
        ("row norm cap", f"{schema.row_norm_cap:g}"),
        ("encoding", "row by row from the public schema" if model.experiment.encoding is None else _CHARGED_RANGES),
    ]
    return _facts("What the network was trained on", rows)


_CHARGED_RANGES = "row by row from the schema, ranges from charged releases of the lenders"


def _source(experiment: Experiment) -> str:
    portfolio = experiment.portfolio
    match portfolio:
        case PublicTable():
            return f"public table {portfolio.table}"
        case FileTable():
            return f"{portfolio.kind} file {readable(portfolio.path)}"
        case MarketPortfolio():
            return (
                f"simulated market of {portfolio.num_borrowers:,} borrowers, market seed {portfolio.market_seed}, "
                f"shock {portfolio.shock}; no loan of it is real"
            )


def _lenders(record: RunRecord) -> Table:
    table = lender_table(record)
    left_out = len(table.rows) - _MOST_LENDERS
    if left_out <= 0:
        return table
    more = f"{left_out} more lenders are in institutions.parquet."
    return replace(table, rows=table.rows[:_MOST_LENDERS], notes=(more, *table.notes))


def _network_table(model: KeptModel) -> Table:
    network, training = model.network, as_mapping(model.record.experiment["training"])
    widths = " - ".join(str(width) for width in (network.num_features, *network.hidden, 1))
    rows = [
        ("layers", f"{widths}, {f'{network.activation} between' if network.hidden else 'logistic regression'}"),
        ("parameters", f"{network.num_parameters:,}"),
        ("weights.safetensors, SHA-256", model.weights_checksum),
        ("rounds", f"{len(model.record.rounds):,} of {training['num_rounds']} planned"),
        ("stopped early", model.record.stopped or "no"),
        ("server rule", _server_rule(model.experiment)),
        ("seeds", f"run {model.experiment.seed}, split {model.experiment.split_seed}"),
    ]
    return _facts("How it was made", rows)


def _server_rule(experiment: Experiment) -> str:
    strategy = experiment.strategy
    if isinstance(strategy, FlowerStrategy):
        return f"Flower's {strategy.strategy}"
    return f"{strategy.aggregator.kind} of the updates, {strategy.server_optimiser.kind} at the server"


def _evaluation(record: RunRecord) -> tuple[Table, ...]:
    overall = record.evaluation.overall
    if not overall.num_loans:
        return (_facts("Held-out loans", [("none", "in this mode no figure on private loans leaves a lender")]),)
    columns = [overall] if record.own_intercept is None else [overall, record.own_intercept.overall]
    names = {
        "auc": ("AUC", 4), "within_auc": ("AUC within lenders", 4), "ks": ("KS", 4), "gini": ("Gini", 4),
        "brier": ("Brier score", 4), "log_loss": ("log loss (nats)", 4), "ece": ("ECE", 4), "bad_rate": ("bad rate", 4),
        "mean_pd": ("mean PD", 4), "mean_pd_over_bad_rate": ("mean PD / bad rate", 2),
        "calibration_slope": ("calibration slope", 2),
    }  # fmt: skip
    rows = []
    for name, (label, digits) in names.items():
        told = []
        for column in columns:
            interval = getattr(column, f"{name}_interval", None)
            text = figure_text(getattr(column, name), digits=digits)
            told.append(
                text if interval is None else f"{text} [{interval.lower:.{digits}f}, {interval.upper:.{digits}f}]"
            )
        rows.append((label, *told))
    level = level_text(overall.auc_interval)
    table = Table(
        title=f"{overall.num_loans:,} held-out loans, {overall.num_defaults:,} defaults",
        headings=("metric", *(f"{name}{level}" for name in ("shared model", "own intercepts")[: len(columns)])),
        num_labels=1,
        rows=tuple(rows),
        notes=(
            interval_note(record),
            "AUC over all loans also rewards ranking between lenders; AUC within lenders is the loan-weighted mean of "
            "their own.",
        ),
    )
    return (table, reference_table(record)) if record.references else (table,)


def _version_table(record: RunRecord) -> Table:
    packages = as_mapping(record.environment.get("packages", {}))
    told = ("finished_at", "python", "platform", "processor", "trainer")
    rows = [(name, str(record.environment[name])) for name in told if name in record.environment]
    return _facts("On what it was made", [*rows, *((name, str(version)) for name, version in packages.items())])


def _facts(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    return Table(title=title, headings=("what", "is"), num_labels=2, rows=tuple(rows))


def _as_yaml(content: object) -> str:
    import yaml

    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=False)).rstrip()
