"""Which tables a store holds: their columns, and the order of their rows."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fraudlog.errors import SchemaError
from fraudlog.privacy import REQUESTS, allowed_columns
from fraudlog.schema import DECISIONS, DERIVED, EVENTS, REJECTED, SCORES, SESSIONS, Column, arrow_schema, column_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fraudlog.schema.columns import Purpose

__all__ = ["FEATURE_PURPOSES", "TABLES", "StoredTable", "barred_columns", "conform", "plain"]

FEATURE_PURPOSES: Final[tuple[Purpose, ...]] = ("essential.fraud_detection", "improve.system")
"""What the features of a session may be read for, beside the requests of the person they are about."""

_ID: Final = "user.unique_id.pseudonymous"
_SESSION_ID: Final = replace(
    Column("session_id", "string", "the session the event belongs to", category=_ID),
    purposes=EVENTS[0].purposes,
    retention=EVENTS[0].retention,
)
_EVENTS: Final = tuple({column.name: column for column in (*EVENTS, *DERIVED)}.values())
_FEATURE: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class StoredTable:
    """One table of the store.

    Parameters
    ----------
    name : str
        Name of its folder.
    columns : tuple of Column
        What it may hold; the schema is closed.
    order : tuple of str
        Columns its rows are sorted by, so that equal rows make equal files.
    day_of : str
        What the day of a part is the day of.
    has_features : bool
        Whether further columns are taken, if they are numbers named as features are.
    """

    name: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]
    day_of: str
    has_features: bool = False


TABLES: Final[Mapping[str, StoredTable]] = {
    table.name: table
    for table in (
        StoredTable(
            "events", (*_EVENTS, _SESSION_ID), ("timestamp", "source", "line_number"), "the end of the event's session"
        ),
        StoredTable("late", _EVENTS, ("timestamp", "source", "line_number"), "the event"),
        StoredTable("rejected", REJECTED, ("source", "line_number"), "the newest event before the line"),
        StoredTable("sessions", SESSIONS, ("end", "session_id"), "the session's end", has_features=True),
        StoredTable("scores", SCORES, ("end", "session_id"), "the session's end"),
        StoredTable("decisions", DECISIONS, ("session_id",), "the session's end"),
    )
}
"""The tables of a store."""


def barred_columns(table: StoredTable, present: Iterable[str], purpose: str) -> frozenset[str]:
    """Return those of the columns `present` that may not be read for a purpose.

    Examples
    --------
    >>> barred = barred_columns(TABLES["sessions"], ["user", "country", "requests"], "essential.service.authentication")
    >>> sorted(barred), sorted(barred_columns(TABLES["sessions"], ["user", "requests"], "improve.system"))
    (['requests'], ['user'])
    """
    declared = frozenset(column_names(table.columns))
    barred = declared - frozenset(column_names(allowed_columns(table.columns, purpose)))
    hides_features = table.has_features and purpose not in (*FEATURE_PURPOSES, REQUESTS)
    return frozenset(name for name in present if name in barred or (hides_features and name not in declared))


def plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema with strings in place of dictionaries, which would keep the values of rows taken out."""
    return pa.schema(
        [
            pa.field(field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
            for field in schema
        ]
    )


def conform(rows: pa.Table, table: StoredTable) -> pa.Table:
    """Return rows with the table's columns, in its order and types; columns they lack are null.

    Raises
    ------
    SchemaError
        If they hold a column that the table has not, or one of another type; the message names the column.
    """
    schema = plain(arrow_schema(table.columns))
    known = set(schema.names)
    others = [field for field in rows.schema if field.name not in known]
    for field in others:
        if not (table.has_features and pa.types.is_float64(field.type) and _FEATURE.fullmatch(field.name)):
            raise SchemaError(
                f"{table.name} of a store holds no column {field.name!r} of {field.type}", missing=[field.name]
            )
    present = set(rows.column_names)
    wanted = pa.schema([*schema, *others])
    arrays = [_cast(rows, field) if field.name in present else pa.nulls(len(rows), field.type) for field in wanted]
    return pa.table(arrays, schema=wanted)


def _cast(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    try:
        return rows.column(field.name).cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        found = rows.schema.field(field.name).type
        raise SchemaError(f"column {field.name!r} holds {found}, not {field.type}", missing=[field.name]) from None
