"""A layout as compiled code reads it: what to do with each value, and whether it knows how to at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.reading import kernel, kernel_bytes, variables
from fraudlog.reading.layout import FILLS
from fraudlog.reading.reasons import BadValueError
from fraudlog.reading.values import FORWARDED, METHOD, PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from fraudlog.reading.fast import FastTextReader
    from fraudlog.reading.layout import Layout, Part
    from fraudlog.reading.values import Row

__all__ = ["Program", "Slot", "can_accelerate"]

_INTERNED: Final = frozenset({"text", "address", "address_port", "address_before_port", "protocol", "forwarded"})
_ACTION_OF: Final = {
    "status": "status",
    "count": "count",
    "clf_time": "clf_time",
    "request": "request",
    "request_url": "request_url",
    "uri": "uri",
    "path": "path",
    "query": "query",
    "duration_sum": "duration_sum",
}
_PATTERNS: Final = {"": "drop", variables.DIGITS: "digits", variables.WORDY: "token"}
_DROPPING: Final = ("drop", "digits", "token")
_DIVISORS: Final = {"s": 1, "auto": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _action(part: Part) -> str | None:
    """Return what the kernel does with a value; None if it can't."""
    variable = part.variable
    if variable.reader in _INTERNED:
        return "intern"
    if variable.reader == "duration":
        return "duration"
    if variable.reader == "time":
        return {"time_iso8601": "iso_time", "iso_time": "iso_time", "msec": "millis"}.get(part.name)
    if not variable.reader:
        return _PATTERNS.get(variable.pattern if part.enclosure == "bare" else "")
    return _ACTION_OF.get(variable.reader)


def can_accelerate(layout: Layout) -> bool:
    """Tell whether the kernel knows every value of a layout, and every line fits in one way."""
    actions = [_action(part) for part in layout.parts]
    columns = [
        part.variable.column
        for part, action in zip(layout.parts, actions, strict=True)
        if part.variable.column and action != "duration_sum"
    ]
    if "duration_sum" in actions:
        columns.append("duration_s")
    targets = [action for action in actions if action in ("request", "request_url", "uri", "path")]
    filled = set(columns) & set(FILLS.get(targets[0], ())) if targets else set()
    return (
        None not in actions
        and not layout.has_loose_bare
        and len(columns) == len(set(columns))
        and len(targets) == 1
        and not filled
        and sum(action in _DROPPING for action in actions) <= kernel.MORE_BIT
    )


@dataclass(slots=True)
class Slot:
    """A column whose strings are numbered."""

    column: str
    read: Callable[[bytes, Row], None]
    pattern: re.Pattern[bytes] | None = None


class Program:
    """A layout as the kernel reads it."""

    def __init__(self, reader: FastTextReader, layout: Layout) -> None:
        rows: list[list[int]] = []
        literals = b""
        self.slots: list[Slot] = []
        self.numbers: dict[str, int] = {}
        self.floats: dict[str, int] = {}
        self.dropped: list[str] = []
        matcher = reader.matchers[0]
        for index, part in enumerate(layout.parts):
            action = str(_action(part))
            column = part.variable.column
            slot = 0
            if action == "intern":
                slot = self._add_slot(column or FORWARDED, matcher.parts[index].read, part.variable.pattern)  # type: ignore[union-attr]
            elif action in ("duration", "duration_sum"):
                slot = self.floats.setdefault(column, len(self.floats))
            elif action in ("status", "count", "clf_time", "iso_time", "millis"):
                slot = self.numbers.setdefault(column, len(self.numbers))
            elif action in _DROPPING:
                slot = len(self.dropped)
                self.dropped.append(part.name)
            stop = layout.following(index)
            mode = {"quoted": "quoted", "bracketed": "bracketed"}.get(part.enclosure, "bare" if stop else "last")
            if mode == "quoted" and layout.escapes == "none":  # up to the next quote, whatever stands before it
                mode = "bare"
            if mode == "bare" and part.variable.is_free and not part.close:
                mode = "free"
            rows.append(
                [len(literals), len(part.literal), kernel_bytes.MODES[mode], stop[0] if stop else 10,
                 kernel.ACTIONS[action], slot, _DIVISORS.get(part.variable.unit, 1), part.close[0] if part.close else 0]
            )  # fmt: skip
            literals += part.literal
        rows.append([len(literals), len(layout.tail), 0, 0, 0, 0, 0, 0])
        literals += layout.tail
        self.options = np.array(
            [
                layout.is_open,
                self._add_slot("method", _checked("method", METHOD)) if reader.has_requests else 0,
                self._add_slot("protocol", _checked("protocol", PROTOCOL)) if reader.has_requests else 0,
                self._add_slot("host", _host) if reader.has_urls else 0,
                ord("#") if layout.escapes == "hash" else 0,
                layout.escapes == "none",
            ],
            np.int64,
        )
        self.rows = np.array(rows, np.int64)
        self.literals = np.frombuffer(literals + b"\0", np.uint8).copy()

    def _add_slot(self, column: str, read: Callable[[bytes, Row], None], pattern: str = "") -> int:
        self.slots.append(Slot(column, read, re.compile(pattern.encode()) if pattern else None))
        return len(self.slots) - 1


def _checked(column: str, pattern: re.Pattern[str]) -> Callable[[bytes, Row], None]:
    """Return a reader of one part of a request line; what does not fit goes to the careful path."""

    def read(raw: bytes, row: Row) -> None:
        text = raw.decode("ascii")
        if pattern.fullmatch(text) is None:
            raise BadValueError("no_match")
        row[column] = text

    return read


def _host(raw: bytes, row: Row) -> None:
    text = raw.decode("ascii")
    if text == "-":
        raise BadValueError("no_match")
    row["host"] = text
