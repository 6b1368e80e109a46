"""A logistic network as a scorecard: what each feature adds to a loan's points.

A loan's points are those of the row ``(base)`` plus those of all other rows, each times min(1, cap / norm): the row
norm cap of the encoding scales a loan whose encoded row is longer than the cap, and ``(cap)`` says what it is.
Points by 600 at odds of 50:1, 20 more at twice that (Siddiqi, Credit Risk Scorecards, 2006, chapter 6).
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

from fedcredit.credit.scorecard import Scorecard
from fedcredit.data.columns import OTHER, CategoryColumn
from fedcredit.data.encoding import feature_names
from fedcredit.data.features import AtLeast, Equals, Feature, IsMissing, OneHot, ScaledNumber, Thermometer
from fedcredit.data.schema_checks import Source, one_hot_labels, range_of
from fedcredit.errors import InputError
from fedcredit.experiment.kept_model import KeptModel

BASE, CAP = "(base)", "(cap)"
HEADINGS = ("column", "feature", "rule", "low", "high", "points_low", "points_high", "points_per_unit", "weight")


@dataclass(frozen=True, kw_only=True)
class ScorecardRow:
    """A feature's part in the points.

    ``low`` and ``high`` are the ends of what the rule takes, 0 and 1 for a rule that holds or not. ``points_per_unit``
    is of the rule's value: of log1p(x) where the rule takes it.
    """

    column: str
    feature: str
    rule: str
    low: float
    high: float
    points_low: float
    points_high: float
    points_per_unit: float
    weight: float


def scorecard_rows(model: KeptModel, scorecard: Scorecard | None = None) -> tuple[ScorecardRow, ...]:
    """Write a logistic network as points by feature.

    Args:
        model: a run's model without hidden layers.
        scorecard: the scale; 600 at 50:1, 20 to double by default.

    Returns:
        The rows: ``(base)``, one a feature in the encoding's order, ``(cap)``.

    Raises:
        InputError: if the network has hidden layers, whose points do not add up over features.
    """
    network, scale, schema = model.network, scorecard or Scorecard(), model.schema
    if network.hidden:
        raise InputError(
            f"scorecard: this network has hidden layers {list(network.hidden)}, so points do not add up over features; "
            "use a run with network.hidden=[], or fedcredit score --reasons for the points of single loans"
        )
    sources: dict[str, Source] = {item.name: item for item in (*schema.columns, *schema.derived)}
    layer = network.layers[-1]
    weights = model.parameters[layer.weight].astype(float).tolist()
    rules = [(feature, *rule) for feature in schema.features for rule in _rules(feature, sources[feature.of])]
    base = scale.base_points - scale.factor * (float(model.parameters[layer.bias][0]) + math.log(scale.base_odds))
    cap = schema.row_norm_cap
    named = zip(rules, feature_names(schema), weights, strict=True)
    return (
        ScorecardRow(
            column=BASE, feature=BASE, rule="every loan", low=0.0, high=0.0, points_low=base, points_high=base,
            points_per_unit=0.0, weight=float(model.parameters[layer.bias][0]),
        ),
        *(_row(rule, name, weight, scale.factor) for rule, name, weight in named),
        ScorecardRow(
            column=CAP, feature=CAP, rule=f"rows but {BASE} count min(1, {cap:g} / norm of the encoded loan) times",
            low=0.0, high=cap, points_low=0.0, points_high=0.0, points_per_unit=0.0, weight=0.0,
        ),
    )  # fmt: skip


def scorecard_csv(rows: tuple[ScorecardRow, ...]) -> bytes:
    """Write a scorecard as csv.

    Args:
        rows: the rows.

    Returns:
        UTF-8 text with a header line; numbers read back to their bits.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADINGS)
    writer.writerows([getattr(row, name) for name in HEADINGS] for row in rows)
    return out.getvalue().encode()


def _row(rule: tuple[Feature, str, float, float, bool], name: str, weight: float, factor: float) -> ScorecardRow:
    feature, told, low, high, takes_log = rule
    per_unit = -factor * weight * feature.scale
    ends = [math.log1p(end) if takes_log else end for end in (low, high)]
    points = [per_unit * (end - feature.centre) for end in ends]
    return ScorecardRow(
        column=feature.of, feature=name, rule=told, low=low, high=high, points_low=points[0], points_high=points[1],
        points_per_unit=per_unit, weight=weight,
    )  # fmt: skip


def _rules(feature: Feature, source: Source) -> list[tuple[str, float, float, bool]]:
    """Say what each encoded column of a feature takes: rule, lowest, highest, and whether through log1p."""
    match feature:
        case ScaledNumber():
            low, high = feature.range or range_of(source) or (0.0, 1.0)
            takes_log = feature.kind == "log1p"
            return [(f"log1p({feature.of})" if takes_log else feature.of, low, high, takes_log)]
        case Thermometer():
            told = [f"{feature.of} >= {cut:g}" for cut in feature.cuts]
        case AtLeast():
            told = [f"{feature.of} >= {feature.value:g}"]
        case OneHot():
            assert isinstance(source, CategoryColumn)
            told = [f"{feature.of} = {label}" for label in one_hot_labels(feature, source)]
            told += [f"{feature.of} = {OTHER}"] * feature.other
        case Equals():
            told = [f"{feature.of} = {' or '.join(str(value) for value in feature.values)}"]
        case IsMissing():
            told = [f"{feature.of} is missing"]
    return [(rule, 0.0, 1.0, False) for rule in told]
