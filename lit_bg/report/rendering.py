"""Templates to HTML that needs nothing but itself."""

from __future__ import annotations

import base64
import struct
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from lit_bg.report.trust import HEADLINE

DPI_OF_SCREENS = 96
WIDE = 1.9  # width over height, from which a picture scrolls on a phone instead of shrinking to nothing
ABOUT = {
    "configurations": (
        "Free-energy surfaces of the proposals, of the reweighted proposals and, where it is known, of the target, in one "
        "colour scale. What the proposals never reach, weights cannot mend."
    ),
    "energies": (
        "Reduced energies of the proposals, of the reweighted proposals and, where it is known, of the target. The more the "
        "proposals overlap with the target, the more effective samples there are."
    ),
    "weights": (
        "The importance weights, the largest on the left. Averages rest on these; in the shaded region the tail is too heavy "
        "for an honest error bar."
    ),
    "distances": (
        "Distances between particles (of a molecule, its atoms), of the proposals, of the reweighted proposals and of the "
        "target."
    ),
    "radial": "Density of particles around a particle, of the proposals, of the reweighted proposals and of the target.",
    "profile": "Free energy along {name}, of the proposals, of the reweighted proposals and, where it is known, of the target.",
}


class Picture(NamedTuple):
    """A PNG inside the page."""

    source: str
    alt: str
    caption: str
    width: int  # on a screen [px]
    height: int
    wide: bool


def picture(png: bytes, alt: str, caption: str = "", dpi: int = 160) -> Picture:
    """Return a PNG as it stands in HTML.

    Raises:
        ValueError: it is none.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        raise ValueError(f"the figure '{alt}' is no PNG: move it away, and the page is written without it.")
    width, height = struct.unpack(">II", png[16:24])
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    size = DPI_OF_SCREENS / dpi
    return Picture(source, alt, caption, round(width * size), round(height * size), width > WIDE * height)


def describe_figure(name: str) -> str:
    """Return what a figure of a run shows.

    >>> describe_figure("profile_phi").split(",")[0]
    'Free energy along phi'
    """
    kind, _, rest = name.partition("_")
    return ABOUT.get(kind, f"Figure {name}.").format(name=rest)


def render(template: str, **values: Any) -> str:
    """Return a page; everything that is put into it is escaped, a missing value is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lit_bg.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["slug"] = lambda word: word.replace(" ", "-")
    environment.globals["headline"] = HEADLINE
    return environment.get_template(template).render(version=_version(), **values)


def _version() -> str:
    try:
        return version("lit_bg")
    except PackageNotFoundError:
        return ""
