"""The catalogue: every feature of a session, a row each. A new feature is a new row, and works in every evaluator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fraudlog.sessions import rows_identity, rows_mix, rows_navigation, rows_tempo, rows_threats
from fraudlog.sessions.definition import Definition

if TYPE_CHECKING:
    from fraudlog.sessions.definition import Direction, Feature, Transform

__all__ = ["DEFAULT", "FEATURES", "feature_names", "transforms"]

FEATURES: Final[tuple[Feature, ...]] = (
    *rows_tempo.VOLUME,
    *rows_tempo.TEMPO,
    *rows_mix.MIX,
    *rows_navigation.ROWS,
    *rows_mix.ERRORS,
    *rows_identity.ROWS,
    *rows_threats.ROWS,
)
"""All features, in the order of their columns."""

DEFAULT: Final = Definition(FEATURES)
"""All features with the usual limits: 30 minutes of silence, 12 hours, 10,000 events."""


def feature_names(*, in_forest: bool = False) -> list[str]:
    """Return the names of all features, or of those a forest sees.

    >>> feature_names()[:3]
    ['requests', 'pages', 'assets']
    """
    return [row.name for row in FEATURES if row.in_forest or not in_forest]


def transforms() -> dict[str, tuple[Transform, Direction]]:
    """Return what a forest makes of each feature it sees, and which end of it is suspicious.

    >>> transforms()["requests_per_minute"]
    ('log1p', 'high')
    """
    return {row.name: (row.transform, row.suspicious) for row in FEATURES if row.in_forest}
