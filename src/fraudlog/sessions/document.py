"""The catalogue for people: docs/features.md, and what `fraudlog features` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fraudlog.sessions.catalogue import FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fraudlog.sessions.definition import Feature

__all__ = ["features_as_dicts", "features_page"]

_HEAD: Final = """# Features of a session

Generated from the catalogue by `fraudlog features --markdown > docs/features.md`; a test holds this page to it.
A feature is null where the session's events don't say. *Forest*: the scale on which a forest sees it, and which end is
suspicious; without one only evidence reads it. *Resolution*: the coarsest timestamps that carry it.
"""
_FAMILIES: Final = {
    "volume": "how much",
    "tempo": "how fast, how regular, when",
    "mix": "what kinds of request",
    "navigation": "which way through the site",
    "errors": "what went wrong",
    "identity": "what the client says of itself, inside the session",
    "population": "how rare that is among all; needs a fitted `Population`",
    "endpoints": "what the paths are for",
    "cross": "what other sessions did until then",
    "threats": "what single automated threats show of themselves",
}
_RESOLUTIONS: Final = {0: "finer than 1 s", 1: "1 s", 60: "1 min"}


def features_as_dicts(features: Sequence[Feature] = FEATURES) -> list[dict[str, Any]]:
    """Return the catalogue as rows of plain values.

    >>> features_as_dicts()[0]["expression"]
    'count()'
    """
    return [
        {
            "name": row.name,
            "family": row.family,
            "unit": row.unit,
            "meaning": row.meaning,
            "misses": row.misses,
            "expression": row.expression,
            "needs": list(row.needs),
            "spoofable": row.spoofable,
            "oat": list(row.oat),
            "source": row.source,
            "transform": row.transform if row.in_forest else None,
            "suspicious": row.suspicious if row.in_forest else None,
            "resolution_s": row.resolution_s,
        }
        for row in features
    ]


def features_page(features: Sequence[Feature] = FEATURES) -> str:
    """Return the catalogue as Markdown, a section a family."""
    families = list(dict.fromkeys(row.family for row in features))
    sections = [_section(family, [row for row in features if row.family == family]) for family in families]
    return "\n".join([_HEAD, f"{len(features)} features in {len(families)} families.", *sections])


def _section(family: str, rows: Sequence[Feature]) -> str:
    title = f"\n## {family.capitalize()}: {_FAMILIES.get(family, 'own features')}\n"
    return "\n".join([title, *(_entry(row) for row in rows)])


def _entry(row: Feature) -> str:
    facts = {
        "Misses": row.misses,
        "Needs": ", ".join(f"`{name}`" for name in row.needs),
        "OAT": ", ".join(row.oat),
        "Source": row.source,
        "Spoofable": "yes" if row.spoofable else "",
        "Forest": f"{row.transform}, {row.suspicious}" if row.in_forest else "",
        "Resolution": _RESOLUTIONS[row.resolution_s] if row.resolution_s != 60 else "",
    }
    said = " ".join(f"*{name}:* {fact}." for name, fact in facts.items() if fact)
    formula = f" `{row.expression}`" if row.expression else ""
    return f"- **{row.name}** ({row.unit}): {row.meaning}.{formula} {said}".rstrip()
