"""Evidence that other packages bring: the entry points of the group ``fraudlog.evidence``.

An entry point names an `Evidence`, or an iterable of them::

    [project.entry-points."fraudlog.evidence"]
    shop = "shop_fraud.evidence:ROWS"
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from fraudlog.detecting.evidence.rule import Evidence
from fraudlog.errors import ConfigError
from fraudlog.sessions.catalogue import FEATURES

__all__ = ["GROUP", "installed_evidence", "joined"]

GROUP: Final = "fraudlog.evidence"


def installed_evidence() -> tuple[Evidence, ...]:
    """Return the evidence that installed packages bring, in the order of its codes.

    Raises
    ------
    ConfigError
        If a package's entry point can't be loaded, or names anything else.
    """
    rows = [row for point in entry_points(group=GROUP) for row in _rows(point)]
    return tuple(sorted(rows, key=lambda row: row.code))


def _rows(point: EntryPoint) -> list[Evidence]:
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"evidence {point.name!r} ({point.value}) can't be loaded: {error}", parameter=GROUP
        ) from None
    rows = list(loaded) if isinstance(loaded, Iterable) else [loaded]
    if not all(isinstance(row, Evidence) for row in rows):
        raise ConfigError(f"evidence {point.name!r} ({point.value}) must be Evidence or a list of it", parameter=GROUP)
    return rows


def joined(built_in: tuple[Evidence, ...], installed: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    """Return one table of both.

    Raises
    ------
    ConfigError
        If a code stands twice, for a reason must mean one thing, or a condition is on no feature of the catalogue, for
        such a row could never speak.
    """
    table = (*built_in, *installed)
    known = {row.name for row in FEATURES}
    if unknown := sorted({c.feature for row in table for c in row.conditions} - known):
        raise ConfigError(f"evidence looks at {', '.join(unknown)}, which no feature is called", parameter=GROUP)
    if twice := [code for code, times in Counter(row.code for row in table).items() if times > 1]:
        raise ConfigError(f"evidence {', '.join(sorted(twice))} stands twice; give it another code", parameter=GROUP)
    return table
