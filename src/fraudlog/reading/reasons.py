"""Why a line was rejected: one stable code each, with the sentence a person reads."""

from __future__ import annotations

from typing import Final

__all__ = ["REASONS", "BadValueError"]

REASONS: Final[dict[str, str]] = {
    "no_match": "the line does not fit the layout of the format",
    "open_quote": "a quote opens and never closes, or closes in the middle of a value",
    "ambiguous": "the line fits the layout in more than one way, so a client could have forged a field",
    "bad_time": "the time is no time, or lies outside 1990 to 2099",
    "missing_time": "the record has no time",
    "bad_address": "the client's address is not an IP address",
    "bad_status": "the status is not a number from 100 to 999",
    "bad_number": "a size, duration or other number is not one",
    "not_json": "the line is not valid JSON",
    "not_object": "the line is JSON but not an object",
    "wrong_columns": "the line has more or fewer values than the header declares",
    "no_header": "a value line stands before the line that names its columns",
    "line_too_long": "the line is longer than the limit, and what is left does not hold a time and a client",
    "half_line": "the last line has no end and does not fit: it was cut while being written",
    "withheld": "the person it is about withdrew consent, objected, or is barred; nothing else of it is kept",
}
"""Code and meaning. Codes are stable: later versions add to them and never rename them."""


class BadValueError(ValueError):
    """Raised by a value reader; its text is a code of `REASONS`. It never leaves this package."""

    @property
    def code(self) -> str:
        """The stable code."""
        return str(self.args[0])
