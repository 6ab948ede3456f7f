"""What is said of a column: type, unit, meaning, and what the privacy promise asks of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["MARKUP", "Column", "Purpose", "Retention", "Treatment", "Type", "column_names", "tagged"]

Type = Literal["timestamp", "string", "category", "binary", "int16", "int32", "int64", "float64", "bool", "reasons"]
"""Storage types. ``category`` is a dictionary-encoded string, for values that repeat. ``timestamp`` is in microseconds,
UTC. ``reasons`` is a list of (code, contribution, value, percentile, oat)."""

Treatment = Literal["keep", "ip", "token", "path", "url", "cut", "seal"]
"""What becomes of a value as it leaves the reader: ``ip`` and ``token`` become keyed pseudonyms; ``path``
loses the identifiers that stand in it; ``url`` also its user and its query; ``cut`` keeps its length alone and
whether it held `MARKUP`; ``seal`` is left out; ``keep`` stays, but for e-mail addresses in a text that the client
chooses."""

MARKUP: Final = ("<", "%3C", "%3c", "'", "%27", "../", "..%2f", "..%2F", "%2e%2e", "%2E%2E")
"""Quotes, tags and climbing paths: what an attack writes into a query, and people hardly ever."""

Purpose = Literal["essential.fraud_detection", "essential.service.authentication", "improve.system"]
"""What a column may be read for, by fideslang's names of data uses, beside the requests of the person it is about;
`fraudlog.privacy.purposes` says what each means."""

Retention = Literal["", "events", "quarantine", "scores", "fraud"]
"""How long a column may be kept; `fraudlog.privacy.retention` says how many days that is."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        Name in every table and file.
    type : str
        Storage type, one of `Type`.
    meaning : str
        One sentence for a person.
    unit : str
        Unit of a number, or empty.
    category : str
        Privacy category of fideslang, or empty where the value says nothing about a person.
    spoofable : bool
        Whether the client chooses the value freely.
    treatment : str
        What becomes of it as it leaves the reader, one of `Treatment`.
    purposes : tuple of str
        What it may be read for, of `Purpose`; none means it is given out for nothing.
    retention : str
        Class of retention, of `Retention`.
    """

    name: str
    type: Type
    meaning: str
    unit: str = ""
    category: str = ""
    spoofable: bool = False
    treatment: Treatment = "keep"
    purposes: tuple[Purpose, ...] = ()
    retention: Retention = ""


def tagged(
    retention: Retention, purposes: tuple[Purpose, ...], *columns: Column, narrower: Mapping[str, tuple[Purpose, ...]]
) -> tuple[Column, ...]:
    """Return `columns` with a class of retention and purposes, fewer of these where `narrower` says so by name."""
    return tuple(
        replace(column, retention=retention, purposes=narrower.get(column.name, purposes)) for column in columns
    )


def column_names(columns: Iterable[Column]) -> list[str]:
    """Return the names of `columns`, in order.

    >>> from fraudlog.schema import REJECTED
    >>> column_names(REJECTED)
    ['source', 'line_number', 'reason', 'raw']
    """
    return [column.name for column in columns]
