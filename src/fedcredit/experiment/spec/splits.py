"""Which loans train, and which are held out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedcredit.experiment.spec.part import Part

Month = Annotated[int, Field(ge=-(2**31), le=2**31)] | Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
Months = tuple[Month, Month]
WindowName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")]


def month_number(month: int | str) -> int:
    """Count months: whole numbers stay, ``2019-03`` is 12 times the year and the month.

    Args:
        month: a whole number, or ``YYYY-MM``.

    Returns:
        The number.
    """
    return month if isinstance(month, int) else 12 * int(month[:4]) + int(month[5:])


class HashedSplit(Part):
    """Train .70, validation .10 and test .20 by keyed hash of the borrower, whatever the time."""

    kind: Literal["hashed"] = "hashed"


class OutOfTimeSplit(Part):
    """Train on early months, test on later ones.

    ``column`` holds the time of a loan, as whole months or as ``YYYY-MM``; by default it is the schema's
    time column. ``train`` and each window of ``test`` are a first and a last month, both included; a test
    window begins at least ``gap_months`` after the last training month, so that no training label looks
    into it (12 for a label over 12 months). What lies in none of them is left out.

    ``borrowers: shared`` tests on all loans of the window, as a bank does on its own book: most of them are of
    borrowers with a training loan, and the record says how many and what the others show alone.
    ``borrowers: apart`` splits borrowers by keyed hash as well: .70 may train, .20 may be tested on, and
    nobody is on both sides.
    """

    kind: Literal["out_of_time"]
    column: Annotated[str, Field(min_length=1)] | None = None
    train: Months
    test: Annotated[dict[WindowName, Months], Field(min_length=1, max_length=20)]
    gap_months: Annotated[int, Field(ge=1, le=600)] = 12
    borrowers: Literal["shared", "apart"] = "shared"

    @model_validator(mode="after")
    def _in_order(self) -> OutOfTimeSplit:
        spans = {"train": self.train, **{f"test.{name}": window for name, window in self.test.items()}}
        numbers = {name: (month_number(first), month_number(last)) for name, (first, last) in spans.items()}
        for name, (first, last) in numbers.items():
            if first > last:
                raise ValueError(f"{name} is {_shown(spans[name])}; write [first month, last month]")
        earliest = numbers["train"][1] + self.gap_months
        for name, (first, _) in numbers.items():
            if name != "train" and first < earliest:
                raise ValueError(
                    f"{name} is {_shown(spans[name])}, and train ends at {self.train[1]}: the window begins less than "
                    f"gap_months={self.gap_months} later; move it, or shorten gap_months if labels look less far ahead"
                )
        ordered = sorted(name for name in numbers if name != "train")
        for place, name in enumerate(ordered):
            for other in ordered[place + 1 :]:
                if numbers[name][0] <= numbers[other][1] and numbers[other][0] <= numbers[name][1]:
                    raise ValueError(f"{name} and {other} overlap; a loan is tested in one window")
        return self


def _shown(span: Months) -> str:
    return f"[{span[0]}, {span[1]}]"


Split = Annotated[HashedSplit | OutOfTimeSplit, Field(discriminator="kind")]
