"""Checks that look across the parts of a schema: names, kinds, ranges and cuts that must fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from fedcredit.data.columns import (
    OTHER,
    CategoryColumn,
    Column,
    FlagColumn,
    IgnoredColumn,
    KeyColumn,
    NumberColumn,
    as_label,
)
from fedcredit.data.features import (
    AtLeast,
    Derived,
    Equals,
    Feature,
    IsMissing,
    OneHot,
    ScaledNumber,
    Thermometer,
)
from fedcredit.data.schema_parts import Parts, SegmentColumn
from fedcredit.data.wording import nearest

Source = Column | Derived


def reference_mistakes(parts: Parts) -> list[str]:
    """List what does not fit between the parts of a schema.

    Args:
        parts: the parts that passed their own checks.

    Returns:
        One line per mistake, empty if there is none.
    """
    columns = {column.name: column for column in parts.columns}
    mistakes = [line for column in parts.columns for line in _missing_rule(column)]
    mistakes += _key_mistakes(parts, columns)
    mistakes += _segment_mistakes(parts, columns)
    sources: dict[str, Source] = dict(columns)
    for item in parts.derived:
        if item.name in columns:
            mistakes.append(f"derived.{item.name}: a column has this name already")
        mistakes += _derived_mistakes(item, sources, parts)
        sources[item.name] = item
    names: Counter[str] = Counter()
    for index, feature in parts.features:
        where = f"features[{index}]"
        source = sources.get(feature.of)
        if source is None:
            mistakes += _unknown(f"{where}.of", feature.of, parts.declared)
            continue
        mistakes += [f"{where}: {text}" for text in _feature_mistakes(feature, source)]
        names.update(encoded_names(feature, source))
    mistakes += [f"features: the name {name!r} is given {n} times" for name, n in names.items() if n > 1]
    return mistakes


def range_of(source: Source) -> tuple[float, float] | None:
    """Return the public range of a number, flag or derived column.

    Args:
        source: a column or a derived column.

    Returns:
        Lowest and highest value, or None for a column that is no number.
    """
    if isinstance(source, FlagColumn):
        return (0.0, 1.0)
    return None if isinstance(source, CategoryColumn) else getattr(source, "range", None)


def one_hot_labels(feature: OneHot, source: CategoryColumn) -> tuple[str, ...]:
    """Return the values that have a flag of their own.

    Args:
        feature: the feature.
        source: its category column.

    Returns:
        The values as text.
    """
    return source.labels if feature.categories is None else tuple(as_label(value) for value in feature.categories)


def category_labels(feature: Equals) -> tuple[str, ...]:
    """Return the values of an ``equals`` feature as the texts of a category column.

    Args:
        feature: the feature.

    Returns:
        The values as text; whole floats lose their point.
    """
    whole = (int(value) if isinstance(value, float) and value == int(value) else value for value in feature.values)
    return tuple(as_label(value) if isinstance(value, int | str) else str(value) for value in whole)


def encoded_names(feature: Feature, source: Source) -> tuple[str, ...]:
    """Return the names of a feature's encoded columns.

    Args:
        feature: the feature.
        source: the column it is made of.

    Returns:
        One name per encoded column.
    """
    name = feature.name
    match feature:
        case ScaledNumber():
            return (name or (feature.of if feature.kind == "linear" else f"log1p({feature.of})"),)
        case Thermometer():
            return tuple(f"{name or feature.of}>={cut:g}" for cut in feature.cuts)
        case OneHot() if isinstance(source, CategoryColumn):
            values = one_hot_labels(feature, source) + ((OTHER,) if feature.other else ())
            return tuple(f"{name or feature.of}={value}" for value in values)
        case Equals():
            return (name or f"{feature.of}={'|'.join(str(value) for value in feature.values)}",)
        case AtLeast():
            return (name or f"{feature.of}>={feature.value:g}",)
        case IsMissing():
            return (name or f"{feature.of} missing",)
    return ()


def _missing_rule(column: Column) -> Iterator[str]:
    if not isinstance(column, NumberColumn | FlagColumn | CategoryColumn):
        return
    where = f"columns.{column.name}"
    if column.missing == "allowed" and column.impute is None:
        yield f"{where}: missing is allowed, so give the fixed constant impute"
    if column.missing == "error" and column.impute is not None:
        yield f"{where}: impute is given, but missing is not allowed; write missing: allowed or leave impute out"
    if isinstance(column, NumberColumn) and column.impute is not None and not _inside(column.impute, column.range):
        yield f"{where}: impute {column.impute:g} is outside the range {_pair(column.range)}"
    if isinstance(column, CategoryColumn):
        if OTHER in column.labels:
            yield f"{where}: {OTHER!r} is the name of the bucket for unlisted values; leave it out of categories"
        if column.impute is not None and as_label(column.impute) not in (*column.labels, OTHER):
            yield f"{where}: impute {as_label(column.impute)!r} is not one of the categories, nor {OTHER!r}"


def _key_mistakes(parts: Parts, columns: Mapping[str, Column]) -> Iterator[str]:
    allowed: dict[str, tuple[type, ...]] = {
        "borrower": (KeyColumn,),
        "institution": (KeyColumn, CategoryColumn),
        "time": (KeyColumn, NumberColumn),
        "exposure_amount": (NumberColumn,),
    }
    for key, name in parts.keys.items():
        kinds = allowed[key]
        if name not in columns:
            yield from _unknown(key, name, parts.declared)
        elif not isinstance(columns[name], kinds):
            words = " or ".join(str(kind.__pydantic_fields__["kind"].default) for kind in kinds)  # type: ignore[attr-defined]
            yield f"{key}: column {name} is of kind {columns[name].kind}; it must be {words}"
        elif key == "borrower" and getattr(columns[name], "missing", "error") == "allowed":
            yield f"columns.{name}: a borrower key cannot be missing"
    if parts.default is not None:
        if parts.default.column in parts.declared:
            yield f"default.column: {parts.default.column} is also listed under columns; leave it out there"
        both = set(parts.default.positive_labels) & set(parts.default.negative_labels)
        if both:
            yield f"default: {', '.join(sorted(both))} is both a positive and a negative value"


def _segment_mistakes(parts: Parts, columns: Mapping[str, Column]) -> Iterator[str]:
    seen: set[str] = set()
    for index, segment in parts.segments:
        where, column = f"segments[{index}]", columns.get(segment.of)
        if segment.of in seen:
            yield f"{where}.of: {segment.of} is listed twice"
        seen.add(segment.of)
        match column:
            case None:
                yield from _unknown(f"{where}.of", segment.of, parts.declared)
                continue
            case IgnoredColumn():
                yield f"{where}.of: column {segment.of} is ignored, so nothing of it is read"
            case NumberColumn() if segment.cuts is None:
                yield f"{where}: a number needs cuts, for example cuts: [30, 40, 50]"
            case CategoryColumn() | FlagColumn() if segment.cuts is not None:
                yield f"{where}: column {segment.of} is of kind {column.kind}; only numbers and keys are cut"
            case _ if segment.of == parts.keys.get("borrower"):
                yield f"{where}.of: {segment.of} is the borrower key, so every borrower would be a segment"
        allowed = _num_segments(segment, column)
        if segment.names and len(segment.names) != allowed:
            yield f"{where}.names: there are {len(segment.names)} names for {allowed} segments"


def _num_segments(segment: SegmentColumn, column: Column) -> int:
    if segment.cuts is not None:
        return len(segment.cuts) + 1
    return len(column.labels) if isinstance(column, CategoryColumn) else 2 * isinstance(column, FlagColumn)


def _derived_mistakes(item: Derived, sources: Mapping[str, Source], parts: Parts) -> Iterator[str]:
    where = f"derived.{item.name}"
    for name in item.of:
        if name not in sources and any(name == other.name for other in parts.derived):
            yield f"{where}.of: {name} is derived later; put it before {item.name}"
        elif name not in sources:
            yield from _unknown(f"{where}.of", name, parts.declared)
        elif range_of(sources[name]) is None:
            yield f"{where}.of: {name} is of kind {sources[name].kind}; only numbers and flags can be combined"


def _feature_mistakes(feature: Feature, source: Source) -> Iterator[str]:
    match feature:
        case OneHot():
            if not isinstance(source, CategoryColumn):
                yield f"one_hot needs a category column; {source.name} is of kind {source.kind}"
            else:
                absent = sorted(set(one_hot_labels(feature, source)) - set(source.labels))
                if absent:
                    yield f"{', '.join(absent)} is not among the categories of {source.name}"
        case IsMissing():
            if getattr(source, "missing", "error") != "allowed" or isinstance(source, KeyColumn):
                yield f"{source.name} is never missing; a missing flag needs a column with missing: allowed"
        case Equals() if isinstance(source, CategoryColumn):
            absent = sorted(set(category_labels(feature)) - {*source.labels, OTHER})
            if absent:
                yield f"{', '.join(absent)} is not among the categories of {source.name}, nor {OTHER!r}"
        case _:
            yield from _number_mistakes(feature, source)


def _number_mistakes(feature: Feature, source: Source) -> Iterator[str]:
    limits = range_of(source)
    if limits is None:
        yield f"{feature.kind} needs a number; {source.name} is of kind {source.kind}"
        return
    match feature:
        case ScaledNumber():
            own = feature.range or limits
            if not (_inside(own[0], limits) and _inside(own[1], limits)):
                yield f"range {_pair(own)} is not inside the range {_pair(limits)} of {source.name}"
            if feature.kind == "log1p" and own[0] < 0:
                yield f"log1p needs a range from 0 up; it is {_pair(own)}"
        case Thermometer():
            outside = [f"{cut:g}" for cut in feature.cuts if not limits[0] < cut <= limits[1]]
            if outside:
                yield f"cuts {', '.join(outside)} do not divide the range {_pair(limits)} of {source.name}"
        case AtLeast():
            if not limits[0] < feature.value <= limits[1]:
                yield f"value {feature.value:g} does not divide the range {_pair(limits)} of {source.name}"
        case Equals():
            for value in feature.values:
                if isinstance(value, str) or not _inside(float(value), limits):
                    yield f"value {value} is not a number in the range {_pair(limits)} of {source.name}"


def _unknown(where: str, name: str, declared: frozenset[str]) -> Iterator[str]:
    """Complain about an undeclared name; a declared one that has a mistake of its own is told there."""
    if name not in declared:
        yield f"{where}: there is no column {name!r}{nearest(name, sorted(declared))}"


def _inside(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _pair(limits: tuple[float, float]) -> str:
    return f"[{limits[0]:g}, {limits[1]:g}]"
