"""How one value of a log becomes one or more values of an event: a table of readers.

A reader takes the value as text or as a JSON scalar and writes into a row (column to value). Missing is left out. A
value that can't be what it should be raises `BadValueError` with a code of `reasons.REASONS`. A new kind of value is
one function and one row of `READERS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Final

from fraudlog.reading import times
from fraudlog.reading.client_ip import canonical, strip_port
from fraudlog.reading.escapes import storable
from fraudlog.reading.reasons import BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Scalar = str | int | float
    Row = dict[str, Scalar]
    Reader = Callable[["Scalar", "Row", "Target"], None]

__all__ = [
    "FORWARDED",
    "LIMITS",
    "METHOD",
    "MISSING",
    "PROTOCOL",
    "READERS",
    "TRUNCATED",
    "Target",
    "cut",
    "split_request",
    "split_uri",
]

MISSING: Final = frozenset({"", "-"})
"""What servers write for a value they do not have."""

FORWARDED: Final = "_forwarded"
"""Key of a row under which ``X-Forwarded-For`` or ``Forwarded`` stands until the client is known. Never a column."""
TRUNCATED: Final = "is_truncated"

_HEADER = 512
LIMITS: Final[dict[str, int]] = {
    "user_agent": 1024,
    **dict.fromkeys(
        (
            "user", "session_token", "host", "method", "protocol", "referrer", "language", "ch_ua", "ch_platform",
            "ch_platform_version", "ch_mobile", "ch_model", "os", "browser", "device_id", "app_version", "action",
            "outcome", "tls_fingerprint", "country",
        ),
        _HEADER,
    ),
}  # fmt: skip
"""Longest value of a column in bytes; what is longer is cut and the event flagged. Engines for agents take seconds on
long strings."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a value goes, and what its reader needs to know.

    Parameters
    ----------
    column : str
        Column of ``schema.EVENTS``, or empty where the reader fills several.
    unit : str
        Unit of a number or an epoch time.
    zone : tzinfo
        Time zone of a time that does not say.
    values : mapping of str to str
        New names of values, as ``{"OK": "success"}``.
    """

    column: str = ""
    unit: str = "auto"
    zone: tzinfo = UTC
    values: Mapping[str, str] | None = None


def cut(text: str, column: str, row: Row) -> str:
    """Return `text` no longer than `LIMITS` allows, without half a character; flag the row if it was longer."""
    limit = LIMITS.get(column)
    if limit is None or (len(text) <= limit and (text.isascii() or len(text.encode("utf-8", "replace")) <= limit)):
        return text
    row[TRUNCATED] = True
    return text.encode("utf-8", "backslashreplace")[:limit].decode("utf-8", "ignore")


def read_text(value: Scalar, row: Row, target: Target) -> None:
    """Read any text."""
    text = storable(value) if isinstance(value, str) else _plain(value)
    if target.values is not None:
        text = target.values.get(text, text)
    if text not in MISSING:
        row[target.column] = cut(text, target.column, row)


def _plain(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_address(value: Scalar, row: Row, target: Target) -> None:
    """Read an address, canonical afterwards. nginx writes ``unix:`` for a local socket: no address is known then."""
    text = str(value)
    if text in MISSING or text == "unix:":
        return
    address = canonical(text)
    if address is None:
        raise BadValueError("bad_address")
    row[target.column] = address


def read_address_port(value: Scalar, row: Row, target: Target) -> None:
    """Read an address that may carry a port: ``192.0.2.1:443``, ``[2001:db8::1]:443``."""
    read_address(strip_port(str(value)), row, target)


def read_address_before_port(value: Scalar, row: Row, target: Target) -> None:
    """Read an address that always carries a port, bare even for IPv6 (HAProxy ``%ci:%cp``, AWS load balancers)."""
    text = str(value)
    read_address(strip_port(text) if text.startswith("[") else text.rpartition(":")[0] or text, row, target)


def read_forwarded(value: Scalar, row: Row, _: Target) -> None:
    """Read the hops before the peer; `client_ip.TrustedProxies` decides what they are worth."""
    text = str(value)
    if text not in MISSING:
        row[FORWARDED] = text


def read_status(value: Scalar, row: Row, target: Target) -> None:
    """Read a status. HAProxy writes -1, Envoy and Traefik 0, nginx 000 where no answer was sent: null."""
    text = str(value)
    if text in MISSING or text in ("0", "000", "-1"):
        return
    if not (len(text) == 3 and text.isascii() and text.isdigit() and text[0] != "0"):
        raise BadValueError("bad_status")
    row[target.column] = int(text)


_COUNT = re.compile(r"\d{1,18}", re.ASCII)


def read_count(value: Scalar, row: Row, target: Target) -> None:
    """Read a whole number that is not negative. Traefik and HAProxy may write a sign."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).removeprefix("+")
    if text in MISSING:
        return
    if _COUNT.fullmatch(text) is None:
        raise BadValueError("bad_number")
    row[target.column] = int(text)


_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(-?\d{1,18}(?:\.\d{1,30})?(?:[eE]-?\d{1,2})?) ?(s|ms|us|µs|ns)?", re.ASCII)


def read_duration(value: Scalar, row: Row, target: Target) -> None:
    """Read a duration, in the unit written behind it (``12ms``, ``0.3s``) or in the target's; negative is unknown."""
    text = str(value).removeprefix("+")
    if text in MISSING:
        return
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadValueError("bad_number")
    amount = float(match[1])
    unit = (match[2] or target.unit).replace("µ", "u")
    if amount >= 0:
        row[target.column] = amount if unit in ("s", "auto") else round(amount * _SECONDS[unit], 9)


def read_duration_sum(value: Scalar, row: Row, target: Target) -> None:
    """Read one of several parts of a duration, as AWS load balancers write it; -1 makes the whole unknown."""
    part: Row = {}
    read_duration(value, part, target)
    if target.column not in part:
        row["_unknown"] = True
        row.pop(target.column, None)
    elif "_unknown" not in row:
        row[target.column] = round(float(row.get(target.column, 0.0)) + float(part[target.column]), 9)


def read_clf_time(value: Scalar, row: Row, target: Target) -> None:
    """Read ``10/Oct/2000:13:55:36 -0700``."""
    row[target.column] = times.from_clf(str(value), target.zone)


def read_strptime(value: Scalar, row: Row, target: Target) -> None:
    """Read a time in the form that stands in the target's unit."""
    row[target.column] = times.from_form(str(value), target.unit, target.zone)


def read_time(value: Scalar, row: Row, target: Target) -> None:
    """Read any time: ISO 8601, the common log's, or a number since 1970."""
    if isinstance(value, bool):
        raise BadValueError("bad_time")
    if isinstance(value, (int, float)):
        row[target.column] = times.from_number(value, target.unit)
    elif value not in MISSING:
        row[target.column] = times.from_text(value, target.unit, target.zone)


METHOD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}", re.ASCII)
PROTOCOL = re.compile(r"[A-Za-z]{2,10}/[0-9]{1,2}(?:\.[0-9]{1,2})?", re.ASCII)


def split_request(text: str) -> tuple[str | None, str | None, str | None]:
    r"""Split a request line into method, target and protocol.

    What is no request line (TLS or shell bytes on a plain port) comes back as target alone: it was asked for, whatever
    it is. HTTP/0.9 has no protocol (RFC 1945, 4.1); Apache logs a target with blanks as it came.

    >>> split_request("GET /a b HTTP/1.1"), split_request("GET /"), split_request("\\x16\\x03"), split_request("-")
    (('GET', '/a b', 'HTTP/1.1'), ('GET', '/', None), (None, '\\x16\\x03', None), (None, None, None))
    """
    if text in MISSING:
        return None, None, None
    method, _, rest = text.partition(" ")
    if METHOD.fullmatch(method) is None or not rest:
        return None, text, None
    uri, blank, protocol = rest.rpartition(" ")
    if blank and PROTOCOL.fullmatch(protocol):
        return method, uri or None, protocol
    if rest[0] in "/*" or "://" in rest:
        return method, rest, None
    return None, text, None


def split_uri(text: str) -> tuple[str, str | None]:
    """Split a request target at its first question mark.

    >>> split_uri("/a?b=c?d"), split_uri("/a")
    (('/a', 'b=c?d'), ('/a', None))
    """
    path, mark, query = text.partition("?")
    return path, query if mark else None


def read_uri(value: Scalar, row: Row, _: Target) -> None:
    """Read path and query."""
    text = storable(str(value))
    if text in MISSING:
        return
    path, query = split_uri(text)
    row["path"] = path
    if query:
        row["query"] = query


_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]{0,15}://([^/?#]*)([^#]*)", re.IGNORECASE | re.DOTALL)


def read_url(value: Scalar, row: Row, _: Target) -> None:
    """Read an absolute URL as a load balancer writes it for every request: host, path and query."""
    match = _ABSOLUTE.match(str(value))
    if match is None:
        read_uri(value, row, _)
        return
    host = strip_port(match[1].rpartition("@")[2])
    if host not in MISSING and "host" not in row:
        row["host"] = cut(storable(host), "host", row)
    rest = match[2]
    read_uri(rest if rest.startswith("/") else "/" + rest, row, _)


def read_request(value: Scalar, row: Row, target: Target) -> None:
    """Read a request line: method, path, query, protocol."""
    _request(value, row, target, read_uri)


def read_request_url(value: Scalar, row: Row, target: Target) -> None:
    """Read a request line whose target is always an absolute URL."""
    _request(value, row, target, read_url)


def _request(value: Scalar, row: Row, target: Target, reader: Reader) -> None:
    method, uri, protocol = split_request(str(value))
    if method is not None:
        row["method"] = method
    if protocol is not None:
        row["protocol"] = protocol
    if uri is not None:
        (reader if method is not None else read_whole)(uri, row, target)


def read_whole(value: Scalar, row: Row, _: Target) -> None:
    """Read what stood where a request should be: all of it is the path."""
    row["path"] = storable(str(value))


def read_path(value: Scalar, row: Row, target: Target) -> None:
    """Read a path without query."""
    if value not in MISSING:
        row[target.column] = storable(str(value))


def read_query(value: Scalar, row: Row, _: Target) -> None:
    """Read a query, with or without its question mark."""
    text = storable(str(value)).removeprefix("?")
    if text not in MISSING:
        row["query"] = text


def read_protocol(value: Scalar, row: Row, target: Target) -> None:
    """Read a protocol, also as Cloudflare and W3C logs write it (``HTTP/1.1``) or as a bare version."""
    text = str(value)
    if text not in MISSING:
        row[target.column] = cut(f"HTTP/{text}" if text[0].isdigit() else storable(text), target.column, row)


READERS: Final[dict[str, Reader]] = {
    "text": read_text,
    "address": read_address,
    "address_port": read_address_port,
    "address_before_port": read_address_before_port,
    "forwarded": read_forwarded,
    "status": read_status,
    "count": read_count,
    "duration": read_duration,
    "duration_sum": read_duration_sum,
    "clf_time": read_clf_time,
    "time": read_time,
    "strptime": read_strptime,
    "request": read_request,
    "request_url": read_request_url,
    "uri": read_uri,
    "url": read_url,
    "path": read_path,
    "query": read_query,
    "protocol": read_protocol,
}
"""Name of a reader, as the tables of formats use it."""
