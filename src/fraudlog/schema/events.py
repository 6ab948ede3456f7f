"""One event as a service gives it: what is wrong with its values, by column."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import SchemaError
from fraudlog.schema.tables import DERIVED, EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MISFIT", "misfit"]

_TEXT: Final = (str, "a string")
_NUMBER: Final = (Real, "a number")
_KINDS: Final[dict[str, tuple[type, str]]] = {
    "string": _TEXT,
    "category": _TEXT,
    "int16": (Integral, "an integer"),
    "int32": (Integral, "an integer"),
    "int64": (Integral, "an integer"),
    "float64": _NUMBER,
    "bool": _NUMBER,
}
_WANTED: Final = {column.name: _KINDS[column.type] for column in (*EVENTS, *DERIVED) if column.type in _KINDS}
_MOST: Final = 1 << 63


MISFIT: Final = (TypeError, AttributeError, ValueError, OverflowError)
"""What work on an event raises where a value has a type of its own."""


def misfit(event: Mapping[str, Any], error: Exception) -> Exception:
    """Return what to raise where work on an event failed: an error that names the columns to blame, if some are.

    Asked only once it failed, so that a check of every value of every event costs nothing.

    Returns
    -------
    Exception
        A SchemaError that names columns and types, never a value; else `error` itself.

    Examples
    --------
    >>> misfit({"path": "/", "status": "404"}, TypeError())
    SchemaError('status is a str, not an integer; what is unknown is None')
    """
    wrong = [] if isinstance(error, SchemaError) else _wrong(event)
    return SchemaError("; ".join([*wrong, "what is unknown is None"])) if wrong else error


def _wrong(event: Mapping[str, Any]) -> list[str]:
    said = []
    for name, value in event.items():
        kind, called = _WANTED.get(name, (object, ""))
        if value is None:
            continue
        if not isinstance(value, kind):
            said.append(f"{name} is a {type(value).__name__}, not {called}")
        elif isinstance(value, (int, float)) and not (isfinite(value) and abs(value) < _MOST):
            said.append(f"{name} is out of range")
    return said
