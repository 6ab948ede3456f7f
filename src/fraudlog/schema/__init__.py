"""Every column of every table: name, type, unit, meaning, and what the privacy promise says of it.

This is the one place where a column is declared. Readers fill these columns and no others (a field that is not here is
dropped and counted), writers write them, documents are generated from them. Features of sessions are declared in
`fraudlog.sessions.catalogue`, since a feature is also a computation.

Names follow OpenTelemetry and the Elastic Common Schema where they have one; privacy categories are those of fideslang.
A column says what it may be read for (`purposes`) and how long it may be kept (`retention`); one that says neither is
in no table that is given out.
"""

from fraudlog.schema.arrow import arrow_schema, is_shielded, require_columns, to_arrow, to_pandas
from fraudlog.schema.columns import MARKUP, Column, column_names, tagged
from fraudlog.schema.events import MISFIT, misfit
from fraudlog.schema.tables import DECISIONS, DERIVED, EVENTS, REJECTED, SCORES, SESSIONS

__all__ = [
    "DECISIONS",
    "DERIVED",
    "EVENTS",
    "MARKUP",
    "MISFIT",
    "REJECTED",
    "SCORES",
    "SESSIONS",
    "Column",
    "arrow_schema",
    "column_names",
    "is_shielded",
    "misfit",
    "require_columns",
    "tagged",
    "to_arrow",
    "to_pandas",
]
