"""The table of evidence for people: docs/evidence.md, and what `fraudlog evidence` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fraudlog.detecting.evidence import BUILT_IN, EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fraudlog.detecting.evidence.rule import Evidence

__all__ = ["FAMILIES", "THREATS", "evidence_as_dicts", "evidence_page"]

THREATS: Final = {
    "OAT-001": "carding",
    "OAT-002": "token cracking",
    "OAT-003": "ad fraud",
    "OAT-004": "fingerprinting",
    "OAT-005": "scalping",
    "OAT-006": "expediting",
    "OAT-007": "credential cracking",
    "OAT-008": "credential stuffing",
    "OAT-009": "CAPTCHA defeat",
    "OAT-010": "card cracking",
    "OAT-011": "scraping",
    "OAT-012": "cashing out",
    "OAT-013": "sniping",
    "OAT-014": "vulnerability scanning",
    "OAT-015": "denial of service",
    "OAT-016": "skewing",
    "OAT-017": "spamming",
    "OAT-018": "footprinting",
    "OAT-019": "account creation",
    "OAT-020": "account aggregation",
    "OAT-021": "denial of inventory",
}
"""OWASP's automated threats."""

FAMILIES: Final = {
    "scanning": "looking for what a site runs and where it is weak",
    "harvesting": "taking what a site shows",
    "flooding": "taking its time",
    "logins": "trying to get in",
    "signups": "many accounts in one hand",
    "takeover": "an account in other hands",
    "cards": "trying cards and codes",
    "goods": "carts and checkouts that no person fills",
    "counts": "clicks, votes and texts that no person gives",
    "claims": "what a client says of itself; none of it decides alone",
    "network": "where it comes from, and whether that fits",
}

_HEAD: Final = """# Evidence

Generated from the table by `fraudlog evidence --markdown > docs/evidence.md`; a test holds this page to it.

A row speaks against a session where all its conditions hold; on a feature that is unknown it abstains, and none speaks
against a crawler whose address confirms its name. *Weight* is the risk it gives by itself; several combine as
independent chances do. *Confidence* is how sure it is that the sentence is true. What rests on a client's own word
(*spoofable*) weighs 0.45 at most, below the 0.5 of a challenge. What is of how a client works *may be a habit*: it says
nothing against one (a prefix and an agent) that did so on three days and never anything worse; who goes through twenty
different paths in a session, assets aside, has no habits in it. *Misses* says whom it takes for an abuser
wrongly.

Other packages add rows by an entry point of the group `fraudlog.evidence` that names an `Evidence` or a list of them:

```toml
[project.entry-points."fraudlog.evidence"]
shop = "shop_fraud.evidence:ROWS"
```

```python
>>> from fraudlog.detecting.evidence import Evidence, when
>>> row = Evidence("MANY_EXPORTS", "exported {value} times", ("OAT-011",), 0.3, when("export_requests >= 20"))
>>> row.rule
'export_requests >= 20'

```
"""


def evidence_as_dicts(rows: Sequence[Evidence] = EVIDENCE) -> list[dict[str, Any]]:
    """Return the table as rows of plain values.

    >>> evidence_as_dicts()[0]["rule"]
    'probe_requests >= 1'
    """
    return [
        {
            "code": row.code,
            "family": row.family,
            "sentence": row.sentence,
            "rule": row.rule,
            "oats": list(row.oats),
            "weight": row.weight,
            "confidence": row.confidence,
            "spoofable": row.spoofable,
            "may_be_habit": row.may_be_habit,
            "misses": row.misses,
        }
        for row in rows
    ]


def evidence_page(rows: Sequence[Evidence] = BUILT_IN) -> str:
    """Return the table as Markdown, a section a family, after a list of threats with the codes that speak for each."""
    families = list(dict.fromkeys(row.family for row in rows))
    sections = [_section(family, [row for row in rows if row.family == family]) for family in families]
    return "\n".join([_HEAD, f"{len(rows)} rows in {len(families)} families.\n", _threats(rows), *sections])


def _threats(rows: Sequence[Evidence]) -> str:
    lines = ["## Threats\n", "| threat | evidence |", "|---|---|"]
    for oat, name in THREATS.items():
        codes = ", ".join(f"`{row.code}`" for row in rows if oat in row.oats)
        lines.append(f"| {oat} {name} | {codes or 'none: a log does not show it'} |")
    return "\n".join(lines)


def _section(family: str, rows: Sequence[Evidence]) -> str:
    title = f"\n## {family.capitalize()}: {FAMILIES.get(family, 'added by other packages')}\n"
    return "\n".join([title, *(_entry(row) for row in rows)])


def _entry(row: Evidence) -> str:
    said = row.sentence.replace("{value}", "N").replace("{percent}", "N %")
    spoofable = " *Spoofable.*" if row.spoofable else ""
    habit = " *May be a habit.*" if row.may_be_habit else ""
    misses = f" *Misses:* {row.misses}." if row.misses else ""
    return (
        f"- **{row.code}**: {said}. `{row.rule}` *OAT:* {', '.join(row.oats)}. *Weight:* {row.weight:g}. "
        f"*Confidence:* {row.confidence:g}.{spoofable}{habit}{misses}"
    )
