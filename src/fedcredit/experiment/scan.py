"""What an experiment file may say; checked before Hydra sees a word of it.

Hydra runs code named in a config (callbacks, launchers, ``_target_``) before any model of ours could
refuse it, so an experiment file is data of a small shape or nothing: a ``defaults`` list that picks
options of known groups, and plain values under keys of the experiment. Interpolations may point to
other keys (``${seed}``) but not call a resolver.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from fedcredit.errors import InputError

MAX_BYTES = 64 * 1024
_MAX_DEPTH = 12
_MAX_EVENTS = 5000
_STEP = r"[A-Za-z0-9][A-Za-z0-9_.=-]*"
_NAME = re.compile(rf"{_STEP}/{_STEP}")
_REFERENCE = re.compile(r"\$\{\.*(?!hydra\b)[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*\}")
_PACKAGE = re.compile(r"#\s*@package\s+(\S+)")


def is_name(name: str) -> bool:
    """Whether a text is an experiment's name, ``<study>/<arm>``, and stays inside the experiments folder."""
    return len(name) <= 200 and _NAME.fullmatch(name) is not None


def check_text(text: str, *, origin: str) -> None:
    """Refuse a text that is too large, too deep or not plain yaml, without building anything from it.

    Args:
        text: the file's content.
        origin: the file's name for messages.

    Raises:
        InputError: naming the file, the line and the rule.
    """
    if len(text.encode()) > MAX_BYTES:
        raise InputError(f"{origin}: more than {MAX_BYTES} bytes; an experiment file is a page of keys")
    header = _PACKAGE.search(text)
    if header is not None and header[1] != "_global_":
        raise InputError(f"{origin}: '@package {header[1]}' is not allowed; write '# @package _global_'")
    try:
        _check_events(text, origin)
    except yaml.YAMLError as error:
        raise InputError(f"{origin}: not valid yaml: {what_is_wrong(error)}") from None


def check_content(content: object, *, origin: str, study: str, groups: Collection[str]) -> dict[str, Any]:
    """Refuse a parsed experiment file that says more than options and values.

    Args:
        content: the parsed yaml, not resolved.
        origin: the file's name for messages.
        study: the study it belongs to; a bare name in ``defaults`` is another arm of it.
        groups: the config groups whose options may be picked, for example ``"strategy/cohort"``.

    Returns:
        The content, with ``_self_`` last in its ``defaults``.

    Raises:
        InputError: naming the file, the key and the rule.
    """
    if not isinstance(content, dict):
        raise InputError(f"{origin}: holds no keys; an experiment file is a mapping of keys to values")
    entries = content.get("defaults", [])
    if not isinstance(entries, list):
        raise InputError(f"{origin}: defaults is not a list")
    for key, value in content.items():
        if key != "defaults":
            _check_node(str(key), key, value, origin)
    if "name" in content:
        raise InputError(f"{origin}: name is not allowed; the name is the file's own, <study>/<arm>")
    if "_self_" in entries and entries[-1] != "_self_":
        raise InputError(f"{origin}: _self_ must come last in defaults, so that the file's own keys win")
    picked = [_checked_default(entry, origin, study, groups) for entry in entries if entry != "_self_"]
    return {"defaults": [*picked, "_self_"], **{k: v for k, v in content.items() if k != "defaults"}}


def _check_events(text: str, origin: str) -> None:
    depth, has_root = 0, False
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        where = origin if event.start_mark is None else f"{origin}, line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError(f"{where}: yaml anchors and aliases are not allowed")
        if getattr(event, "tag", None) is not None:
            raise InputError(f"{where}: yaml tags are not allowed")
        if isinstance(event, yaml.DocumentStartEvent) and count > 1:
            raise InputError(f"{where}: one yaml document is allowed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        has_root |= isinstance(event, yaml.MappingStartEvent) and depth == 1
        if depth > _MAX_DEPTH or count > _MAX_EVENTS:
            raise InputError(f"{where}: nested or long beyond what an experiment can hold")
    if not has_root:
        raise InputError(f"{origin}: holds no keys; an experiment file is a mapping of keys to values")


def _check_node(path: str, key: object, value: object, origin: str) -> None:
    if not isinstance(key, str):
        raise InputError(f"{origin}: key {path} is not a text")
    if key == "hydra" or key.startswith(("hydra.", "hydra@", "_")):
        raise InputError(f"{origin}: key {path} is not allowed; an experiment file cannot set up Hydra or run code")
    if key == "defaults":
        raise InputError(f"{origin}: key {path} is not allowed; defaults stands at the top of the file alone")
    if key == "kind":
        group = path.rpartition(".")[0].replace(".", "/")
        raise InputError(
            f"{origin}: key {path} is not allowed; pick the kind in defaults: 'override /{group}: <option>'"
        )
    for text in _texts(key, value):
        if "${" in _REFERENCE.sub("", text):
            raise InputError(f"{origin}: {path}: only plain references to other keys, such as ${{seed}}, are allowed")
    for child, inner in _children(value):
        if isinstance(value, dict):
            _check_node(f"{path}.{child}", child, inner, origin)
        else:
            _check_node(f"{path}[{child}]", "item", inner, origin)


def _checked_default(entry: object, origin: str, study: str, groups: Collection[str]) -> object:
    if isinstance(entry, str):
        name = entry.removeprefix("/experiments/") if entry.startswith("/") else f"{study}/{entry}"
        if is_name(name):
            return f"/experiments/{name}"
    if isinstance(entry, dict) and len(entry) == 1:
        ((pick, option),) = entry.items()
        group = str(pick).removeprefix("override /")
        if group != pick and group in groups and isinstance(option, str) and is_name(f"{study}/{option}"):
            return entry
    raise InputError(
        f"{origin}: defaults entry {str(entry)[:80]!r} is not allowed; write 'override /<group>: <option>' with a "
        f"group of {', '.join(sorted(groups))}, or the name of another arm of the study"
    )


def _texts(key: str, value: object) -> Iterator[str]:
    yield key
    if isinstance(value, str):
        yield value


def _children(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def what_is_wrong(error: Exception) -> str:
    """Say what a yaml reader found, with the line; a link may lead anywhere, so no line of the file is quoted."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"a value in it cannot be read ({type(error).__name__})"
    return f"{getattr(error, 'problem', None) or type(error).__name__} in line {mark.line + 1}"
