"""Colours of figures: series that a colour-blind reader can part, on a light and on a dark ground."""

from __future__ import annotations

from dataclasses import dataclass

# Okabe and Ito, "Color universal design" (2008), and three more; lighter tints of the same hues on a dark ground.
_COLOURS = {
    False: ("#0072B2", "#D55E00", "#009E73", "#9F4A7A", "#6B6B6B", "#8A5A00", "#C2185B", "#4B4BB5"),
    True: ("#56B4E9", "#F0A04B", "#3FD0A0", "#E39CC3", "#A8A8A8", "#D9B36C", "#FF8AB0", "#A9A9FF"),
}
_INK = {False: ("#1c1c1c", "#5a5a5a", "#dddddd", "#ffffff"), True: ("#ececec", "#b4b4b4", "#3d4248", "#181b1f")}
NUM_COLOURS = len(_COLOURS[False])


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of the series in order, and of ink, quiet ink, grid lines and ground."""

    series: tuple[str, ...]
    ink: str
    quiet: str
    grid: str
    ground: str


def theme(*, dark: bool) -> Theme:
    """Return the colours for a light or a dark ground.

    Args:
        dark: which of the two.

    Returns:
        The colours.
    """
    ink, quiet, grid, ground = _INK[dark]
    return Theme(series=_COLOURS[dark], ink=ink, quiet=quiet, grid=grid, ground=ground)
