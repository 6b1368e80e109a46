"""Generated changes that mean nothing, each with the reason why no test can see it; a sample leaves them out.

A change stands here only if every number that leaves the module is the same with it. One that is slower, needs more
memory or is never reached is equivalent; one that moves a number by rounding is not.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Equivalent:
    """A change of a file of the package, as `Change.shown` shows it, and why it is none."""

    file: str
    shown: str
    reason: str


_GRADIENTS_FIT = "squared.max() < LARGEST_NORM**2"
_INPUTS_FIT = "inputs.max() < _LARGEST_INPUT**2"
_COUNTS_AS_ZERO = (
    "a loan whose gradient is finite and not below 2**100 has the factor 0, so inside its block it adds nothing, as "
    "outside; one with a gradient that is no number or infinite is still found, as are large inputs"
)
_NONE_TO_SET_APART = "rows are looked at one by one more often, and none is found to set apart: slower"
_STILL_PLAIN = (
    "whether rows are looked at one by one: below 2**69 no squared norm of inputs, and no product of it with one of "
    "gradients, reaches the 2**80 and 2**200 from which a row is set apart"
)

EQUIVALENT = (
    Equivalent(
        file="privacy/cap.py",
        shown="low, stride = at_least, max(1, at_least // 16)  ->  low, stride = at_least, max(2, at_least // 16)",
        reason="the first stride of a search that doubles it and then halves: the same largest count at any stride",
    ),
    Equivalent(
        file="privacy/cap.py",
        shown="if quick_epsilon(whole, delta=self.delta).value <= self.epsilon:  ->  "
        "if quick_epsilon(whole, delta=self.delta).value < self.epsilon:",
        reason="where the quick bound is the cap itself, the bounds asked next are not above it and say yes as well",
    ),
    Equivalent(
        file="privacy/entropy.py",
        shown="total /= SUMMED_DRAWS**0.5  ->  total /= SUMMED_DRAWS*0.5",
        reason="four draws are summed, and both are 2",
    ),
    *(
        Equivalent(
            file="training/clipped_sums.py",
            shown=f"is_plain = {_GRADIENTS_FIT} and {_INPUTS_FIT}  ->  is_plain = {changed}",
            reason=reason,
        )
        for changed, reason in (
            (f"{_GRADIENTS_FIT.replace('<', '<=')} and {_INPUTS_FIT}", _COUNTS_AS_ZERO),
            (f"{_GRADIENTS_FIT.replace('**2', '**3')} and {_INPUTS_FIT}", _COUNTS_AS_ZERO),
            (f"{_GRADIENTS_FIT.replace('**', '*')} and {_INPUTS_FIT}", _NONE_TO_SET_APART),
            (f"{_GRADIENTS_FIT} and {_INPUTS_FIT.replace('**', '*')}", _NONE_TO_SET_APART),
        )
    ),
    *(
        Equivalent(file="training/host_sums.py", shown=f"_PLAIN = 2.0**60  ->  _PLAIN = {changed}", reason=reason)
        for changed, reason in (
            ("2.0**61", _STILL_PLAIN),
            ("2.2**60", _STILL_PLAIN),
            ("2.0*60", _NONE_TO_SET_APART),
        )
    ),
    Equivalent(
        file="training/clipped_sums.py",
        shown='return self.norms.flatten(1).numpy() if self.norms.device.type == "cpu" else None  ->  return None',
        reason="the caller then copies the norms to the host, where they lie already: the same values",
    ),
    Equivalent(
        file="training/compiled/passes.py",
        shown="values = space[target + row * width : target + (row + 1) * width]  ->  "
        "values = space[target + row * width : target + (row - 1) * width]",
        reason="the end of a piece of memory that compiled code, which checks no bounds, writes by its beginning alone",
    ),
)
