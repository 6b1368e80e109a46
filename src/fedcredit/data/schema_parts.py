"""From plain yaml data to checked parts of a schema, with every mistake collected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from fedcredit.data.columns import STRICT, Column, Label, Values, as_label
from fedcredit.data.features import Cuts, Derived, Feature
from fedcredit.data.wording import nearest
from fedcredit.unsound import why_unsound


@checked_dataclass(frozen=True, kw_only=True, config=STRICT)
class DefaultDefinition:
    """What default means: the label column, its values, and the window it looks at."""

    column: Label
    positive: Values
    negative: Values
    horizon: Annotated[str, Field(min_length=1)]

    @property
    def positive_labels(self) -> tuple[str, ...]:
        """The values of a loan that defaulted, as text."""
        return tuple(as_label(value) for value in self.positive)

    @property
    def negative_labels(self) -> tuple[str, ...]:
        """The values of a loan that did not default, as text."""
        return tuple(as_label(value) for value in self.negative)


@checked_dataclass(frozen=True, kw_only=True, config=STRICT)
class SegmentColumn:
    """A column whose values part the loans for the evaluation's tables.

    ``cuts`` part a number, or a key that holds numbers, into bands; a band begins at its cut. ``names``
    are texts for the bands, or for a column's categories, in their order. ``group`` declares a group of
    people, which the evaluation compares for fairness.
    """

    of: Label
    cuts: Cuts | None = None
    names: tuple[Label, ...] = ()
    group: bool = False


@checked_dataclass(frozen=True, kw_only=True, config=STRICT)
class Header:
    """The single entries of a schema file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
    public: bool
    row_norm_cap: Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
    borrower: Label | None = None
    institution: Label | None = None
    time: Label | None = None
    exposure_amount: Label | None = None
    missing_texts: tuple[Label, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts that passed their own checks; ``declared`` and ``keys`` also name what did not."""

    header: Header | None
    keys: Mapping[str, str]
    default: DefaultDefinition | None
    columns: tuple[Column, ...]
    derived: tuple[Derived, ...]
    features: tuple[tuple[int, Feature], ...]
    declared: frozenset[str]
    segments: tuple[tuple[int, SegmentColumn], ...] = ()


_PARTS: Mapping[str, Any] = {
    "header": Header, "default": DefaultDefinition, "columns": Column, "derived": Derived, "features": Feature,
    "segments": SegmentColumn,
}  # fmt: skip
_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {section: TypeAdapter(part) for section, part in _PARTS.items()}
_KEYS = ("borrower", "institution", "time", "exposure_amount")
_BRANCHES = {"bool", "int", "str", "float"}


def read_parts(raw: Mapping[str, Any], mistakes: list[str]) -> Parts:
    """Check each part of a schema by itself.

    Args:
        raw: the mapping of the schema file.
        mistakes: collects one line per mistake.

    Returns:
        The parts; where there is a mistake, without the part it is in.
    """
    single = {key: value for key, value in raw.items() if key not in _PARTS}
    columns = _named(raw, "columns", mistakes)
    derived = _named(raw, "derived", mistakes)
    features = raw.get("features")
    if not isinstance(features, list) or not features:
        mistakes.append("features: must be a list with at least one feature")
        features = []
    if not columns:
        mistakes.append("columns: must be a mapping with at least one column")
    checked_features = [_checked("features", entry, f"features[{i}]", mistakes) for i, entry in enumerate(features, 1)]
    return Parts(
        header=_checked("header", single, "", mistakes),
        keys={key: single[key] for key in _KEYS if isinstance(single.get(key), str)},
        default=_checked("default", raw.get("default"), "default", mistakes),
        columns=_kept(_checked("columns", entry, f"columns.{name}", mistakes) for name, entry in columns.items()),
        derived=_kept(_checked("derived", entry, f"derived.{name}", mistakes) for name, entry in derived.items()),
        features=tuple((i, item) for i, item in enumerate(checked_features, 1) if item is not None),
        declared=frozenset(columns) | frozenset(derived),
        segments=_segments(raw, mistakes),
    )


def _segments(raw: Mapping[str, Any], mistakes: list[str]) -> tuple[tuple[int, SegmentColumn], ...]:
    entries = raw.get("segments") or []
    if not isinstance(entries, list):
        mistakes.append("segments: must be a list of columns, each a mapping with the key of")
        return ()
    checked = [_checked("segments", entry, f"segments[{i}]", mistakes) for i, entry in enumerate(entries, 1)]
    return tuple((i, item) for i, item in enumerate(checked, 1) if item is not None)


def _kept(parts: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return tuple(part for part in parts if part is not None)


def _named(raw: Mapping[str, Any], section: str, mistakes: list[str]) -> dict[str, Any]:
    entries = raw.get(section) or {}
    if not isinstance(entries, dict):
        mistakes.append(f"{section}: must be a mapping from a name to its description")
        return {}
    for name, entry in entries.items():
        if isinstance(entry, dict) and "name" in entry:
            mistakes.append(f"{section}.{name}.name: unknown key; the name is {name!r} already")
    return {name: entry | {"name": name} if isinstance(entry, dict) else entry for name, entry in entries.items()}


def _checked(section: str, raw: object, where: str, mistakes: list[str]) -> Any:  # noqa: ANN401
    """Check one part. Json is pydantic's strict mode in which a list is a tuple."""
    try:
        return _ADAPTERS[section].validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        lines = [_line(_PARTS[section], dict(item), where) for item in error.errors(include_url=False)]
        mistakes.extend(dict.fromkeys(lines))
    return None


def _line(part: Any, item: dict[str, Any], where: str) -> str:  # noqa: ANN401
    kinds = get_args(get_args(part)[0]) if get_args(part) else ()
    place = item["loc"][1:] if kinds and item["loc"] else item["loc"]
    in_union = bool(place) and place[-1] in _BRANCHES
    path = ".".join([where] * bool(where) + [str(key) for key in (place[:-1] if in_union else place)])
    match item["type"]:
        case "unexpected_keyword_argument":
            unsound = why_unsound(str(place[-1]))
            if unsound is not None:
                return f"{path}: {unsound}"
            owner = next((kind for kind in kinds if item["loc"][0] in get_args(_kind_type(kind))), part)
            allowed = sorted(field.name for field in fields(owner))
            return f"{path}: unknown key{nearest(str(place[-1]), allowed)}; allowed are {', '.join(allowed)}"
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return f"{path}: is missing"
        case "union_tag_not_found":
            return f"{path}: has no kind"
        case "union_tag_invalid":
            unsound = why_unsound(str(item["ctx"]["tag"]), str(item["ctx"]["tag"]))
            if unsound is not None:
                return f"{path}.kind: {unsound}"
            return f"{path}: kind {item['ctx']['tag']} is unknown; allowed are {item['ctx']['expected_tags']}"
        case "dataclass_type" | "model_attributes_type" | "dict_type":
            return f"{path}: must be a mapping"
        case "value_error":
            return f"{path}: {item['ctx']['error']}"
    unsound = why_unsound("", item["input"])
    if unsound is not None:
        return f"{path}: {unsound}"
    found = "a text, a number or a boolean is allowed" if in_union else item["msg"]
    return f"{path}: {found}, found {json.dumps(item['input'], default=str)[:80]}"


def _kind_type(kind: Any) -> Any:  # noqa: ANN401
    return kind.__pydantic_fields__["kind"].annotation
