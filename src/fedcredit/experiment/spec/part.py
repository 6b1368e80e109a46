"""What every part of an experiment is made of: the closed model and the ranges of its fields."""

from __future__ import annotations

from typing import Annotated, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.=,-]*$", max_length=200)]


class Part(BaseModel):
    """A part of an experiment: frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", ser_json_inf_nan="constants", protected_namespaces=()
    )


class FrozenDict(dict[str, float]):
    """Numbers by name that nobody changes, so that the part that holds them can be compared and hashed."""

    def __hash__(self) -> int:  # type: ignore[override]
        """Hash the items in any order, as equality compares them."""
        return hash(frozenset(self.items()))

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("this mapping is frozen; make another experiment")

    __setitem__ = __delitem__ = update = pop = popitem = clear = setdefault = __ior__ = _refuse


ByLender = Annotated[dict[Annotated[str, Field(min_length=1)], Positive], AfterValidator(FrozenDict)]


def is_unset(value: object) -> bool:
    """Say whether a field stays out of the dump, so that experiments from before it keep their fingerprints.

    Args:
        value: the field's value.

    Returns:
        Whether it is nothing: ``None`` or an empty mapping.
    """
    return value is None or value == {}
