"""How far two runs of one experiment are apart, figure by figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.experiment.record import RunRecord, to_jsonable

WEIGHTS_FILE = "weights.safetensors"
IDENTICAL, WITHIN, DIFFERENT = "identical bits", "within tolerance", "different"
_ORDER = (IDENTICAL, WITHIN, DIFFERENT)
_ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Figures of one kind, before and again.

    Attributes:
        name: what they are of, for example ``"evaluation"`` or ``"references.alone"``.
        num_figures: how many there are.
        verdict: the worst of them: ``"identical bits"``, ``"within tolerance"`` or ``"different"``.
        largest: the largest difference of two numbers, relative to the number where that is above 1; infinite
            where a figure is missing on one side.
        where: the figure with the largest difference; empty where all are identical.
    """

    name: str
    num_figures: int
    verdict: str
    largest: float
    where: str


def compare_records(before: RunRecord, again: RunRecord, *, tolerance: float) -> list[Compared]:
    """Compare what two records say of the same experiment, times and places apart.

    Args:
        before: the one.
        again: the other.
        tolerance: the largest difference that is still within: absolute for figures up to 1, relative above.

    Returns:
        One comparison for each part of a record that holds figures.
    """
    parts: dict[str, tuple[object, object]] = {
        "evaluation": (before.evaluation, again.evaluation),
        "own intercepts": (before.own_intercept, again.own_intercept),
        "privacy statement": (before.statement, again.statement),
    }
    names = sorted({*before.references, *again.references})
    parts.update({f"reference {name}": (before.references.get(name), again.references.get(name)) for name in names})
    return [
        _compare(name, dict(leaves(to_jsonable(one))), dict(leaves(to_jsonable(other))), tolerance)
        for name, (one, other) in parts.items()
        if one is not None or other is not None
    ]


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """List the innermost values of plain data.

    Args:
        value: objects, lists and plain values, as a record's JSON holds them.
        path: what stands before every path.

    Yields:
        Path and value.
    """
    if isinstance(value, Mapping) and set(value) != {"$float"}:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for row, item in enumerate(value):
            yield from leaves(item, f"{path}[{row}]")
    else:
        yield path, float(str(value["$float"])) if isinstance(value, Mapping) else value


def difference(one: object, other: object) -> float:
    """Say how far two figures are apart.

    Args:
        one: a number, text, truth value or None.
        other: another.

    Returns:
        0 for equal ones; the absolute difference of numbers, relative to the larger where that is above 1; infinite
        for anything else.
    """
    if one == other and type(one) is type(other):
        return 0.0
    if not _is_number(one) or not _is_number(other):
        return math.inf
    first, second = float(one), float(other)  # type: ignore[arg-type]
    if math.isnan(first) and math.isnan(second):
        return 0.0
    gap = abs(first - second) / max(1.0, abs(first), abs(second))
    return gap if math.isfinite(gap) else math.inf


def verdict(gap: float, tolerance: float) -> str:
    """Name a difference: identical bits, within tolerance, or different."""
    return IDENTICAL if gap == 0.0 else WITHIN if gap <= tolerance else DIFFERENT


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _compare(name: str, before: Mapping[str, object], again: Mapping[str, object], tolerance: float) -> Compared:
    paths = sorted({*before, *again})
    gaps = {path: difference(before.get(path, _ABSENT), again.get(path, _ABSENT)) for path in paths}
    worst = max(paths, key=lambda path: gaps[path], default="")
    largest = gaps.get(worst, 0.0)
    return Compared(
        name=name,
        num_figures=len(paths),
        verdict=verdict(largest, tolerance),
        largest=largest,
        where=worst if largest > 0.0 else "",
    )


def compare_weights(before: Path, again: Path, *, tolerance: float) -> list[Compared]:
    """Compare the released weights of two results folders.

    Args:
        before: the one.
        again: the other.
        tolerance: absolute for weights up to 1, relative above.

    Returns:
        One comparison; none where one of them keeps no weights.

    Raises:
        InputError: if a file of weights is not whole.
    """
    one, other = (_tensors(folder / WEIGHTS_FILE) for folder in (before, again))
    if one is None or other is None:
        return []
    gaps = {name: _tensor_gap(one.get(name), other.get(name)) for name in sorted({*one, *other})}
    worst = max(gaps, key=lambda name: gaps[name])
    return [
        Compared(
            name="weights",
            num_figures=sum(array.size for array in other.values()),
            verdict=verdict(gaps[worst], tolerance),
            largest=gaps[worst],
            where=worst if gaps[worst] > 0.0 else "",
        )
    ]


def _tensors(path: Path) -> dict[str, NDArray[Any]] | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path) if path.is_file() else None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a whole safetensors file; take it from a finished run") from error


def _tensor_gap(one: NDArray[Any] | None, other: NDArray[Any] | None) -> float:
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return math.inf
    if one.tobytes() == other.tobytes():
        return 0.0
    scale = np.maximum(1.0, np.maximum(np.abs(one), np.abs(other)))
    gap = float(np.max(np.abs(one.astype(np.float64) - other) / scale))
    return gap if math.isfinite(gap) else math.inf


def worst_verdict(compared: Sequence[Compared]) -> str:
    """Return the worst verdict of several comparisons.

    Args:
        compared: at least one.

    Returns:
        The verdict.
    """
    return max((found.verdict for found in compared), key=_ORDER.index)
