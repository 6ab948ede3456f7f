"""What an Accept-Language header says: the language its owner prefers."""

from __future__ import annotations

import re

__all__ = ["language_columns"]

# RFC 9110, 12.5.4: the ranges are listed in order of preference unless q-values say otherwise.
_FIRST = re.compile(r"\s*([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]+)*\s*(?:;|,|$)")


def language_columns(language: str | None) -> dict[str, object]:
    """Return the derived columns of one Accept-Language value.

    >>> language_columns("de-CH,de;q=0.9,en;q=0.8")
    {'language_primary': 'de'}
    """
    match = _FIRST.match(language or "")
    return {"language_primary": match[1].lower() if match else None}
