"""From plain data to an Experiment: every mistake at once, each with its full key path."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment
from fedcredit.unsound import why_unsound

_MAX_SHOWN = 80
_MEANT = {"epsilon": "target_epsilon", "delta": "target_delta"}


def experiment_from_data(data: Mapping[str, Any]) -> Experiment:
    """Validate the data of an experiment.

    Args:
        data: nested mappings, lists, texts, numbers, booleans and nulls; ``"???"`` stands for a value
            that is still missing.

    Returns:
        The experiment.

    Raises:
        InputError: listing every mistake with its key path, its value, what is allowed and, for an
            unknown key, the nearest valid one.
    """
    try:
        present = _without_missing(data)
        return Experiment.model_validate_json(json.dumps(present))
    except ValidationError as error:
        mistakes = [_sentence(detail, present) for detail in error.errors(include_url=False)]
    except TypeError as error:
        raise InputError(f"the experiment holds a value that is no text, number, list or mapping: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"the experiment holds a number or nesting without bounds ({type(error).__name__})") from None
    head = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    raise InputError("\n  ".join([f"{head} in the experiment:", *mistakes]))


def _without_missing(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _without_missing(inner) for key, inner in value.items() if inner != "???"}
    if isinstance(value, list | tuple):
        return [_without_missing(inner) for inner in value]
    return value


def _sentence(detail: ErrorDetails, data: object) -> str:
    path, models = _resolve(detail["loc"], data)
    where = ".".join(path) or "the experiment"
    kind, said = detail["type"], detail["msg"]
    unsound = why_unsound(path[-1], detail["input"]) if path and kind != "missing" else None
    if unsound is not None and (kind == "extra_forbidden" or why_unsound("", detail["input"]) is not None):
        return f"{where}: {unsound}"
    if kind == "extra_forbidden":
        return f"{where}: unknown key; {_nearest(path, models[-1])}"
    if kind == "missing":
        return f"{where}: missing; give it a value, {where}=..."
    if kind == "union_tag_not_found":
        return f"{where}.kind: missing; allowed: {_allowed_tags(detail)}"
    if kind == "union_tag_invalid":
        return f"{where}.kind is {_shown(detail['ctx']['tag'])}; allowed: {_allowed_tags(detail)}"
    if kind == "value_error":
        return f"{where}: {said.removeprefix('Value error, ')}"
    said = said[0].lower() + said[1:]
    rule = said.removeprefix("input should be ").removeprefix("string should ")
    return f"{where} is {_shown(detail['input'])}; allowed: {rule}"


def _allowed_tags(detail: ErrorDetails) -> str:
    tags = detail.get("ctx", {}).get("expected_tags")
    return str(tags) if tags else "the name of one of its kinds"


def _shown(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _resolve(loc: Sequence[int | str], data: object) -> tuple[list[str], list[type[BaseModel] | None]]:
    """Walk a location through data and models, dropping the union tags that pydantic adds to it."""
    path: list[str] = []
    model: type[BaseModel] | None = Experiment
    models: list[type[BaseModel] | None] = [model]
    steps = iter(loc)
    for step in steps:
        annotation = _annotation(model, step)
        data = _inner(data, step)
        if isinstance(step, int) and path:
            path[-1] += f"[{step}]"
        else:
            path.append(str(step))
            models.append(model)
        variants = list(_models(annotation))
        model = variants[0] if variants else None
        if len(variants) > 1:
            tag = next(steps, None)
            model = next((variant for variant in variants if tag in _tags(variant)), None)
    return path, models


def _inner(data: object, step: int | str) -> object:
    if isinstance(data, Mapping):
        return data.get(step)
    if isinstance(data, list) and isinstance(step, int) and step < len(data):
        return data[step]
    return None


def _annotation(model: type[BaseModel] | None, step: int | str) -> object:
    field = model.model_fields.get(str(step)) if model is not None else None
    return None if field is None else field.annotation


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated):
        for argument in get_args(annotation):
            yield from _models(argument)


def _tags(model: type[BaseModel]) -> tuple[object, ...]:
    field = model.model_fields.get("kind")
    return () if field is None else get_args(field.annotation)


def _nearest(path: Sequence[str], model: type[BaseModel] | None) -> str:
    """Name the nearest valid key: a likely sibling, the same word elsewhere, the best sibling, the best path."""
    word, parent = path[-1], "".join(f"{step}." for step in path[:-1])
    siblings = {name: [parent + name] for name in sorted(model.model_fields)} if model is not None else {}
    everywhere: dict[str, list[str]] = {}
    for known in sorted(set(key_paths())):
        everywhere.setdefault(known.rpartition(".")[2], []).append(known)
    if _MEANT.get(word) in siblings:
        return f"nearest valid key: {parent}{_MEANT[word]}"
    short = [name for name in siblings if word == "".join(part[0] for part in name.split("_"))]
    if short:
        return f"nearest valid key: {parent}{short[0]}"
    for options, cutoff in ((siblings, 0.6), (everywhere, 0.75), (siblings, 0.0), (everywhere, 0.0)):
        for close in difflib.get_close_matches(word, options, n=1, cutoff=cutoff):
            valid = "" if cutoff else f"; valid here: {', '.join(options)}"
            return f"nearest valid key: {' or '.join(options[close])}{valid}"
    return "no key is valid here"


def key_paths(model: type[BaseModel] = Experiment, prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every key that some experiment can have."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for part in _models(field.annotation):
            yield from key_paths(part, f"{prefix}{name}.")
