"""A schema as the yaml that reads back to it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import yaml

from fedcredit.data.schema import Schema

_BY_NAME = ("columns", "derived")


def schema_yaml(schema: Schema) -> str:
    """Write a schema as a schema file.

    Args:
        schema: the schema.

    Returns:
        Block-style yaml; ``read_schema`` of it gives an equal schema.
    """
    text: str = yaml.safe_dump(schema_data(schema), sort_keys=False, allow_unicode=True, width=120)
    return text


def schema_data(schema: Schema) -> dict[str, Any]:
    """Turn a schema into the plain data of a schema file.

    Args:
        schema: the schema.

    Returns:
        What ``parse_schema`` reads back to an equal schema; what has its default is left out.
    """
    data: dict[str, Any] = {}
    for field in fields(schema):
        value = getattr(schema, field.name)
        if field.name in _BY_NAME:
            data[field.name] = {item.name: {k: v for k, v in _plain(item).items() if k != "name"} for item in value}
        elif value is not None and value != ():
            data[field.name] = _plain(value)
    return {key: value for key, value in data.items() if value != {}}


def _plain(value: Any) -> Any:  # noqa: ANN401
    if is_dataclass(value) and not isinstance(value, type):
        told = ((field.name, getattr(value, field.name), field) for field in fields(value))
        return {name: _plain(found) for name, found, field in told if name == "kind" or found != field.default}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
