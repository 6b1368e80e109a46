"""A disk cache for slow accounting results, in the user's cache folder.

An entry is one small JSON file, written whole and then renamed, so that a reader never sees half of
it. It holds its whole key (all inputs, the version of dp-accounting and of this cache) and a digest
of key and value; one that does not verify is logged, left out, and replaced by the next result.
The digest guards against accidents, not against an owner who forges her own cache.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

CACHE_VERSION = 2
_LOG = logging.getLogger(__name__)


def load(kind: str, inputs: Mapping[str, object]) -> dict[str, Any] | None:
    """Look a result up.

    Args:
        kind: what was computed, for example ``"epsilon"``; part of the file's name.
        inputs: everything the result depends on, as JSON values.

    Returns:
        The stored value, or None if there is none that verifies.
    """
    key = _key(inputs)
    path = _path(kind, key)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        _warn(f"accounting cache: {path} cannot be read ({type(error).__name__}) and is ignored")
        return None
    value = _verified(text, key)
    if value is None:
        _warn(f"accounting cache: {path} does not verify and is ignored; it is replaced by the next result")
    return value


def store(kind: str, inputs: Mapping[str, object], value: Mapping[str, object]) -> None:
    """Keep a result. A folder that cannot be written is logged, and the result is not kept.

    Args:
        kind: as in `load`.
        inputs: as in `load`.
        value: the result, as JSON values.
    """
    key = _key(inputs)
    path = _path(kind, key)
    content = {"digest": _digest([key, value]), "key": key, "value": value}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(name).replace(path)
    except OSError as error:
        _warn(f"accounting cache: {path.parent} cannot be written ({type(error).__name__}); results are not kept")


def _path(kind: str, key: Mapping[str, object]) -> Path:
    root = os.environ.get("FEDCREDIT_CACHE")
    folder = Path(root) if root else Path.home() / ".cache" / "fedcredit"
    return folder / "accounting" / f"{kind}-{_digest(key)}.json"


@functools.cache
def _versions() -> dict[str, object]:
    return {"cache_version": CACHE_VERSION, "dp_accounting": version("dp-accounting")}


def _key(inputs: Mapping[str, object]) -> dict[str, object]:
    return {**inputs, **_versions()}


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _verified(text: str, key: Mapping[str, object]) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
        value = content["value"]
        is_sound = content["key"] == key and content["digest"] == _digest([key, value]) and isinstance(value, dict)
    except (ValueError, KeyError, TypeError):
        return None
    return value if is_sound else None


@functools.cache
def _warn(message: str) -> None:
    _LOG.warning(message)
