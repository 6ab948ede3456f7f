"""Documents written from the tables the code runs on: record of processing, retention schedule, notice, model card.

They can't fall behind the code: a column, feature or purpose that is added is in them, or the tests fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fraudlog.detecting import EVIDENCE
from fraudlog.privacy import PURPOSES, RETENTION
from fraudlog.sessions import FEATURES
from fraudlog.store import FEATURE_PURPOSES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from fraudlog.privacy import RetentionRow
    from fraudlog.schema import Column

__all__ = ["DOCUMENTS", "document", "documented_columns", "write_documents"]

DOCUMENTS: Final = ("record-of-processing.md", "retention.md", "notice.md", "model-card.md")
"""File names of the documents; each has a template of its name."""

_TREATED: Final = {
    "keep": "as it is",
    "text": "as it is, but for e-mail addresses in it",
    "ip": "encrypted with a key, prefix-preserving",
    "token": "replaced by a keyed token",
    "path": "identifiers in it are replaced",
    "url": "user, query and identifiers in it are replaced",
    "cut": "its length is kept, and whether it holds quotes, tags or climbing paths",
    "seal": "not kept",
}
_CATEGORIES: Final = {
    "user.device.ip_address": "The address of your device on the internet",
    "user.unique_id.pseudonymous": "Account, session and device numbers",
    "user.device": "What your device and browser say of themselves",
    "user.behavior.browsing_history": "What was asked for",
    "user.location.imprecise": "The country",
}
_GENERATED: Final = "*Written by `fraudlog privacy docs` from the tables of the code; change those, not this page.*"


def documented_columns() -> dict[str, Column]:
    """Return every column of every stored table that the documents speak of, by name."""
    return {column.name: column for table in TABLES.values() for column in table.columns if column.purposes}


def document(
    name: str, *, retention: Mapping[str, RetentionRow] = RETENTION, manifest: Mapping[str, Any] | None = None
) -> str:
    """Return one of `DOCUMENTS`.

    Parameters
    ----------
    name : str
    retention : mapping, optional
        The site's own times, as from `fraudlog.privacy.with_days`.
    manifest : mapping, optional
        Facts of a fitted model for its card, as its file has them; without it the card speaks of any.
    """
    import jinja2  # noqa: PLC0415 -- reading the tables does not need it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fraudlog.subjects"),
        autoescape=False,  # noqa: S701 -- Markdown of our own tables
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template(name).render(_context(retention, manifest or {}))
    return text.rstrip("\n") + "\n"


def write_documents(folder: Path, manifest: Mapping[str, Any] | None = None) -> list[Path]:
    """Write all documents to `folder`; the model card with the facts of a model, if given."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DOCUMENTS:
        (folder / name).write_text(document(name, manifest=manifest), encoding="utf-8")
    return [folder / name for name in DOCUMENTS]


def _context(retention: Mapping[str, RetentionRow], manifest: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: value for name, value in manifest.items() if isinstance(value, (str, int, float, list))}
    return {
        "generated": _GENERATED,
        "retention": retention,
        "purposes": [(row.title, row.meaning, row.basis) for row in PURPOSES.values()],
        "tables": [(name, [_column_row(c, retention) for c in table.columns]) for name, table in TABLES.items()],
        "schedule": _schedule(retention),
        "told": _told(),
        "feature_purposes": _titles(FEATURE_PURPOSES),
        "features": [(row.name, row.meaning, ", ".join(row.needs) or "-") for row in FEATURES],
        "card_features": [(row.name, row.unit, row.meaning, row.misses or "-") for row in FEATURES],
        "evidence": [(row.code, row.sentence, row.oat, f"{row.weight:g}") for row in EVIDENCE],
        "facts": [(name, _fact(facts[name])) for name in sorted(facts)],
    }


def _schedule(retention: Mapping[str, RetentionRow]) -> list[tuple[str, ...]]:
    where: dict[str, set[str]] = {"models": {"models"}, "fraud": {"holds"}}
    for table in TABLES.values():
        for column in table.columns:
            where.setdefault(column.retention, set()).add(table.name)
    return [
        (row.name, row.what, f"{row.days} days", ", ".join(sorted(where[row.name])), row.why)
        for row in retention.values()
    ]


def _told() -> list[tuple[str, str, list[str]]]:
    """Return what is used of a person by category and treatment, in the words of the schema."""
    found: dict[tuple[str, str], set[str]] = {}
    for column in documented_columns().values():
        if column.category:
            found.setdefault((column.category, _treatment(column)), set()).add(column.meaning)
    return [
        (_CATEGORIES[category], _TREATED[treatment], sorted(meanings))
        for (category, treatment), meanings in sorted(found.items())
    ]


def _column_row(column: Column, retention: Mapping[str, RetentionRow]) -> tuple[str, ...]:
    days = retention[column.retention].days if column.retention else 0
    meaning = column.meaning + (f" ({column.unit})" if column.unit else "")
    return (
        f"`{column.name}`",
        meaning,
        column.category or "-",
        _titles(column.purposes),
        f"{days} days",
        _TREATED[_treatment(column)],
    )


def _treatment(column: Column) -> str:
    is_text = column.spoofable and column.type in ("string", "category")
    return "text" if column.treatment == "keep" and is_text else column.treatment


def _titles(names: Iterable[str]) -> str:
    return "; ".join(PURPOSES[name].title.lower() for name in names)


def _fact(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
