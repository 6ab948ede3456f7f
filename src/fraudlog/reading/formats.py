"""Log formats as a table: one row each, with the server's own documentation as the reason for each odd rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["FORMATS", "LogFormat", "detect_format"]

# Apache escapes `"` and `\` in a quoted field with a backslash; nginx writes `\x22`. Both leave no bare quote inside.
# https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#format-notes
_QUOTED = r'"(?P<{}>(?:[^"\\]|\\.)*)"'

# The user may hold blanks (RFC 7617 allows them), so it ends at the bracket of the time, not at the first blank; it
# can't hold quotes or brackets, or two fused lines would read as one with a long name.
_COMMON = (
    r"(?P<client_ip>\S+) (?P<ident>\S+) (?P<user>[^\"\[\]]*) \[(?P<timestamp>[^\]]*)\] "
    + _QUOTED.format("request")
    + r" (?P<status>\S+) (?P<bytes_sent>\S+)"
)


@dataclass(frozen=True, slots=True)
class LogFormat:
    """One line-based log format.

    Parameters
    ----------
    name : str
        What `read_log` calls it.
    pattern : re.Pattern
        Matches a whole line; its group names are event columns, ``request`` being split later.
    source : str
        Where the server documents the format.
    """

    name: str
    pattern: re.Pattern[str]
    source: str


FORMATS: Final[tuple[LogFormat, ...]] = (
    LogFormat(
        "combined",
        re.compile(_COMMON + " " + _QUOTED.format("referrer") + " " + _QUOTED.format("user_agent")),
        "https://httpd.apache.org/docs/2.4/logs.html#combined",
    ),
    LogFormat("common", re.compile(_COMMON), "https://httpd.apache.org/docs/2.4/logs.html#common"),
)


def detect_format(lines: list[bytes]) -> LogFormat | None:
    """Return the format that fits most of `lines`, or None if none fits a fifth of them.

    >>> detect_format([b'::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 12']).name
    'common'
    """
    hits = {row: sum(row.pattern.fullmatch(line.decode("latin-1")) is not None for line in lines) for row in FORMATS}
    best = max(FORMATS, key=lambda row: hits[row])
    return best if hits[best] * 5 >= max(len(lines), 1) else None
