"""One line of a log into one event, or into the stable code of what is wrong with it."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fraudlog.reading.formats import LogFormat

__all__ = ["REASONS", "parse_line"]

REASONS: Final = {
    "no_match": "the line does not have the format's shape",
    "bad_time": "the time is not a time",
    "bad_address": "the client is not an IP address",
    "bad_status": "the status is not a number of three digits",
    "bad_bytes": "the size is neither a number nor a dash",
}
"""Stable codes of ``rejected.reason`` and their meaning."""

_ESCAPE = re.compile(r'\\(x[0-9A-Fa-f]{2}|["\\])')
_REQUEST = re.compile(r"(\S+) (.*?)(?: (HTTP/\d(?:\.\d)?))?")
_STATUS = re.compile(r"\d{3}")
_BYTES = re.compile(r"\d{1,18}|-")
_MAX_AGENT = 1024

Event = dict[str, object]


def parse_line(line: bytes, form: LogFormat) -> Event | str:
    r"""Parse `line` by `form`.

    The line is matched as bytes read as Latin-1. Escapes are undone byte by byte, and only then is a field decoded as
    UTF-8, since nginx escapes each byte of a character by itself. A byte that is no UTF-8 shows as ``\\xHH``.

    Returns
    -------
    dict or str
        The event's columns, or one of `REASONS`.
    """
    match = form.pattern.fullmatch(line.decode("latin-1"))
    if match is None:
        return "no_match"
    fields = match.groupdict()
    time = _time(fields["timestamp"])
    address = _address(fields["client_ip"])
    checks = {
        "bad_time": time is None,
        "bad_address": address is None,
        "bad_status": _STATUS.fullmatch(fields["status"]) is None,
        "bad_bytes": _BYTES.fullmatch(fields["bytes_sent"]) is None,
    }
    wrong = next((reason for reason, failed in checks.items() if failed), None)
    if wrong is not None:
        return wrong
    event: Event = {
        "timestamp": time,
        "client_ip": address,
        "user": _text(fields["user"]),
        "status": int(fields["status"]),
        "bytes_sent": None if fields["bytes_sent"] == "-" else int(fields["bytes_sent"]),
        **_request(fields["request"]),
    }
    if "user_agent" in fields:
        agent = _text(fields["user_agent"])
        event["referrer"] = _text(fields["referrer"])
        event["user_agent"] = agent[:_MAX_AGENT] if agent else None
    return event


def _text(field: str) -> str | None:
    if field in ("", "-"):
        return None
    plain = _ESCAPE.sub(lambda m: chr(int(m[1][1:], 16)) if m[1][0] == "x" else m[1], field)
    return plain.encode("latin-1").decode("utf-8", "backslashreplace")


def _time(field: str) -> datetime | None:
    try:
        return datetime.strptime(field, "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
    except ValueError:
        return None


def _address(field: str) -> str | None:
    try:
        return str(ipaddress.ip_address(field))
    except ValueError:
        return None


def _request(field: str) -> Event:
    """Split a request line; what is no request line (TLS bytes on a plain port, say) is kept whole as the path."""
    text = _text(field)
    match = _REQUEST.fullmatch(text or "")
    if match is None or not match[1].isalpha():
        return {"method": None, "path": text, "query": None, "protocol": None}
    path, _, query = match[2].partition("?")
    return {"method": match[1], "path": path, "query": query or None, "protocol": match[3]}
