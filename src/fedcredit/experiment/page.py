"""The page of a report: one HTML file that holds its style, its figures and its script, and asks nothing of a network.

The page allows that one script, by its digest, and no other: whatever a name or a remark holds stays text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from fedcredit.experiment.figures import Figure
from fedcredit.experiment.inline_svg import inline_svg, legend_of
from fedcredit.experiment.palette import theme
from fedcredit.experiment.wording import Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page: a title, lines set as they are, paragraphs, links (file and text), figures and tables."""

    title: str
    lines: tuple[str, ...] = ()
    paragraphs: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.lines or self.paragraphs or self.links or self.figures or self.tables)

    @property
    def anchor(self) -> str:
        """The name that a link to it uses."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


def render(
    *,
    title: str,
    told: str,
    headline: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    details: Sequence[tuple[str, str]],
) -> str:
    """Write a page.

    Args:
        title: at its top.
        told: one line below the title.
        headline: label and text of the figures that are looked for first.
        sections: in order; empty ones are left out.
        details: title and text of what is folded away at the end.

    Returns:
        HTML.
    """
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return str(
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            told=told,
            headline=headline,
            sections=[section for section in sections if not section.is_empty],
            details=details,
            script=script,
            digest=digest,
            themes=(("light", theme(dark=False)), ("dark", theme(dark=True))),
        )
    )


@cache
def _environment():  # type: ignore[no-untyped-def]  # noqa: ANN202 (jinja2 is imported late)
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("fedcredit.experiment", "templates"),
        autoescape=True,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["svg"] = lambda figure: Markup(inline_svg(figure))
    environment.filters["legend"] = legend_of
    environment.filters["script"] = Markup
    return environment


@cache
def _script() -> str:
    return (resources.files("fedcredit.experiment") / "templates" / "page.js").read_text(encoding="utf-8")
