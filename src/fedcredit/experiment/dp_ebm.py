"""Differentially private boosted trees on one column each: the door to interpret's DP-EBM, an optional extra.

DP-EBM (Nori, Caruana, Bu, Shen and Kulkarni 2021, "Accuracy, Interpretability, and Differential Privacy via
Explainable Boosting") releases one noisy histogram for each column, then in every round and column a noisy sum of
residuals in each leaf of a random split. Both are Gaussians without sampling whose noise follows from public
numbers, so our accounting can price them. Two things stay the library's word: that one loan moves a histogram and
a sum of residuals by at most 1, and that noise is drawn as often as its loop says.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.columns import CategoryColumn, FlagColumn, NumberColumn
from fedcredit.data.encoding import raw_matrix
from fedcredit.data.features import ScaledNumber
from fedcredit.data.portfolio import Portfolio
from fedcredit.data.schema_checks import range_of
from fedcredit.errors import InputError
from fedcredit.privacy.accounting.events import GaussianSteps

NUM_ROUNDS = 300
LEARNING_RATE = 0.01
BINNING_SHARE = 0.1
INSTALL = "python -m pip install 'fedcredit[rivals]'"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DpEbmNoise:
    """What a fit is asked for and draws.

    ``claimed_epsilon`` is what the library says the fit costs, by its own accounting of it (two parts at half the
    delta each) for one row; the two events are what it draws, histograms and boosting steps, with the noise over what
    the rows of one unit move together.

    ``loans_a_unit`` is how many rows that is.
    """

    claimed_epsilon: float
    delta: float
    binning: GaussianSteps
    boosting: GaussianSteps
    loans_a_unit: int = 1


def require() -> str:
    """Refuse where the optional extra is missing.

    Returns:
        The version of the library.

    Raises:
        InputError: with the command that installs it.
    """
    try:
        import interpret.privacy
    except ImportError as error:
        raise InputError(
            "evaluation.references asks for dp_ebm, which needs interpret-core, and that is not installed: "
            f"{INSTALL}, or leave dp_ebm out"
        ) from error
    return str(interpret.__version__)


def noise_for(single_release: float, *, delta: float, num_columns: int, loans_a_unit: int = 1) -> DpEbmNoise:
    """Find the setting of the library at which its releases together cost what one Gaussian costs.

    The library adds up its two parts by basic composition, which overstates them; at equal noise it would look worse
    than it is, so it gets the noise of the price that the ledger states.

    Args:
        single_release: noise multiplier of the one Gaussian release of the same price.
        delta: the target.
        num_columns: columns of the table.
        loans_a_unit: rows that one unit may have; they move every sum together.

    Returns:
        What to ask the library for.
    """
    from scipy.optimize import brentq

    target = 1.0 / single_release

    def excess(log_claim: float) -> float:
        asked = _noise_of(math.exp(log_claim), delta=delta, num_columns=num_columns, loans_a_unit=loans_a_unit)
        parts = (asked.binning, asked.boosting)
        return math.sqrt(sum(part.num_steps / part.noise_multiplier**2 for part in parts)) - target

    low, high = math.log(1e-3), math.log(200.0)
    root = float(brentq(excess, low, high, xtol=1e-10))
    while excess(root) > 0.0:
        root -= 1e-9
    return _noise_of(math.exp(root), delta=delta, num_columns=num_columns, loans_a_unit=loans_a_unit)


def public_columns(portfolio: Portfolio) -> tuple[Floats, Floats]:
    """Return the columns that the schema encodes, row by row: imputed, clipped, logarithms where the schema takes them.

    A category is its place in the schema's list; unlisted and missing ones come last. So ranges and categories are
    public, and nothing is fitted.

    Args:
        portfolio: the loans.

    Returns:
        The matrix, ``[loans, columns]``, and the public bounds of each column, ``[columns, 2]``.
    """
    schema = portfolio.schema
    used = {feature.of for feature in schema.features} | {name for item in schema.derived for name in item.of}
    ranges: dict[str, list[tuple[float, float]]] = {}
    in_logarithms = set()
    for feature in schema.features:
        if isinstance(feature, ScaledNumber):
            ranges.setdefault(feature.of, []).extend([feature.range] if feature.range else [])
            in_logarithms |= {feature.of} if feature.kind == "log1p" else set()
    matrix, _ = raw_matrix(portfolio)
    columns, bounds = [], []
    read = (NumberColumn, FlagColumn, CategoryColumn)
    for place, column in enumerate([column for column in schema.columns if isinstance(column, read)]):
        if column.name not in used:
            continue
        if isinstance(column, CategoryColumn):
            low, high, missing = 0.0, float(len(column.labels)), float(len(column.labels))
        else:
            own = ranges.get(column.name) or [range_of(column) or (0.0, 1.0)]
            low, high = min(pair[0] for pair in own), max(pair[1] for pair in own)
            missing = low if column.impute is None else float(column.impute)
        values = np.clip(np.where(np.isnan(matrix[:, place]), missing, matrix[:, place]), low, high)
        if column.name in in_logarithms:
            values, low, high = np.log1p(values), math.log1p(low), math.log1p(high)
        columns.append(values)
        bounds.append((low, high))
    return np.stack(columns, axis=1), np.array(bounds)


def fit(columns: Floats, default: NDArray[Any], bounds: Floats, *, noise: DpEbmNoise | None, random_state: int) -> Any:  # noqa: ANN401 (interpret has no types)
    """Fit the model with the library's own defaults.

    Args:
        columns: from ``public_columns``, ``[loans, columns]``.
        default: labels 0 or 1, ``[loans]``.
        bounds: ``[columns, 2]``.
        noise: what to draw; None for the library's model without privacy, one column a term as well.
        random_state: seeds the noise too, as everything in a simulation; the library warns of that, and rightly.

    Returns:
        The fitted model.

    Raises:
        InputError: where the extra is missing.
        ArithmeticError: if the library drew other noise than was charged.
    """
    require()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if noise is None:
            from interpret.glassbox import ExplainableBoostingClassifier

            open_model = ExplainableBoostingClassifier(interactions=0, random_state=random_state, n_jobs=1)
            return open_model.fit(columns, default.astype(np.int64))
        from interpret.privacy import DPExplainableBoostingClassifier

        model = DPExplainableBoostingClassifier(
            feature_types=["continuous"] * columns.shape[1], privacy_bounds=bounds, max_rounds=NUM_ROUNDS,
            learning_rate=LEARNING_RATE, bin_budget_frac=BINNING_SHARE, epsilon=noise.claimed_epsilon,
            delta=noise.delta, composition="gdp", outer_bags=1, random_state=random_state, n_jobs=1,
        )  # fmt: skip
        model.fit(columns, default.astype(np.int64))
    drawn = (model.noise_scale_binning_, model.noise_scale_boosting_ / LEARNING_RATE)
    charged = tuple(noise.loans_a_unit * event.noise_multiplier for event in (noise.binning, noise.boosting))
    if not np.allclose(drawn, charged, rtol=1e-9, atol=0.0):
        raise ArithmeticError(f"DP-EBM drew noise of {drawn}, and {charged} was charged")
    return model


def _noise_of(claimed_epsilon: float, *, delta: float, num_columns: int, loans_a_unit: int) -> DpEbmNoise:
    """Return what the library draws at a setting: the budget's shares, each by its own formula at half the delta."""
    from fedcredit.privacy.accounting.accountants import unsampled_noise

    binning = unsampled_noise(claimed_epsilon * BINNING_SHARE, delta=delta / 2, num_steps=num_columns)
    steps = NUM_ROUNDS * num_columns
    boosting = unsampled_noise(claimed_epsilon * (1.0 - BINNING_SHARE), delta=delta / 2, num_steps=steps)
    return DpEbmNoise(
        claimed_epsilon=claimed_epsilon,
        delta=delta,
        binning=GaussianSteps(sampling_probability=1.0, noise_multiplier=binning / loans_a_unit, num_steps=num_columns),
        boosting=GaussianSteps(sampling_probability=1.0, noise_multiplier=boosting / loans_a_unit, num_steps=steps),
        loans_a_unit=loans_a_unit,
    )
