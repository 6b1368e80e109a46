"""A strict reader of small yaml files: plain data only, no duplicate keys, no aliases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fedcredit.errors import InputError

_MAX_BYTES = 4 * 2**20


class _StrictLoader(yaml.SafeLoader):
    """The safe loader without what makes a file mean other than it says."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*) stands in it; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.YAMLError(f"a key in line {line} is not text; put it in quotes")
            if key.value in seen:
                raise yaml.YAMLError(f"key {key.value!r} in line {line} stands there a second time")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_yaml(
    path: Path, *, what: str = "schema file", holds: str = "name, columns, default and features"
) -> dict[str, Any]:
    """Read a yaml file that holds one mapping.

    Args:
        path: the file.
        what: what a message calls it.
        holds: which keys it has, for a message.

    Returns:
        The mapping: text keys; text, numbers, booleans, null, lists and mappings as values.

    Raises:
        InputError: for a file that is missing, too large, not UTF-8, not yaml, or not a mapping.
    """
    if not path.is_file():
        raise InputError(f"{what} {path}: {'is not a file' if path.exists() else 'does not exist'}")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{what} {path}: larger than {_MAX_BYTES} bytes; that is no {what}")
    try:
        raw = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_StrictLoader)
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except RecursionError:
        raise InputError(f"{what} {path}: nested too deeply to be a {what.removesuffix(' file')}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{what} {path}: not valid yaml: {_place(error)}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{what} {path}: must hold a mapping with {holds}")
    return raw


def _place(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    return " ".join(str(error).split())
