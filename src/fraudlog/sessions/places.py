"""Where a country is, how far it reaches, and its clock: a coarse table, for coarse questions.

The table stands in ``places.csv``; `tools/make_places.py` makes it from GeoNames (CC BY 4.0). Distances are straight
through the earth, so never above the way a traveller takes, and both countries' radii are subtracted: the speed that
follows is the least that is possible, and 0 between neighbours.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from math import sqrt
from typing import NamedTuple

__all__ = ["Place", "distance_km", "offset_minutes", "places"]


class Place(NamedTuple):
    """One country: kilometres from the centre of the earth, radius that holds its towns, minutes from UTC."""

    x: int
    y: int
    z: int
    radius: int
    offset: int | None


@cache
def places() -> dict[str, Place]:
    """Return all countries by ISO 3166-1 alpha-2 code."""
    text = (files("fraudlog.sessions") / "places.csv").read_text("ascii")
    rows = list(csv.reader(text.splitlines()))[1:]
    return {
        code: Place(int(x), int(y), int(z), int(r), int(offset) if offset else None)
        for code, x, y, z, r, offset in rows
    }


def offset_minutes(country: str | None) -> int | None:
    """Return minutes from UTC in winter, or None for a country of several zones or one not known.

    >>> offset_minutes("JP"), offset_minutes("US")
    (540, None)
    """
    place = places().get(country or "")
    return place.offset if place else None


@cache
def distance_km(one: str, other: str) -> float | None:
    """Return the least way between any town of two countries; None if one is not known.

    >>> distance_km("FR", "DE"), distance_km("DE", "JP") > 6000
    (0.0, True)
    """
    table = places()
    if one not in table or other not in table:
        return None
    if one == other:
        return 0.0
    a, b = table[one], table[other]
    squares = (a.x - b.x) ** 2 + (a.y - b.y) ** 2 + (a.z - b.z) ** 2
    return max(0.0, sqrt(squares) - a.radius - b.radius)
