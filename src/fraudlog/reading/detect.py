"""Which format a log has, from the first lines.

Each format reads the head with its careful reader. A line counts if it has a time and a client, half if its user holds
a blank (a sign that a neighbour's values slipped into it). The best share wins, ties go to the format that fills more
columns, then to the row that stands first in the table.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fraudlog.errors import FormatError
from fraudlog.reading.careful import make_reader
from fraudlog.reading.client_ip import TrustedProxies
from fraudlog.reading.escapes import decode, undo
from fraudlog.reading.fieldmaps import look_up
from fraudlog.reading.formats import Format, all_formats
from fraudlog.reading.layout import compile_nginx
from fraudlog.reading.loose import make_matcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fraudlog.reading.lines import Options

__all__ = ["HEAD_BYTES", "detect", "with_extras"]

HEAD_BYTES: Final = 256 << 10
"""How much of a log is looked at."""
_HEAD_LINES: Final = 200
_LEAST_SHARE: Final = 0.2
"""Least share of lines that must fit; a log under attack may hold more garbage than lines."""
_SAME: Final = 0.02
_ACTORS: Final = frozenset({"client_ip", "user", "session_token", "device_id"})
"""Columns that say who did it; a record without any is not about a client."""
_BINARY: Final = bytes((*range(1, 9), *range(14, 27), *range(28, 32)))
_NAME_SIGNS: Final = re.compile(rb"[A-Za-z_][\w .@()-]*(?:[,;\t|][\w .@()\"-]*)+")


def detect(head: bytes, source: str, options: Options) -> Format:
    """Return the format of a log that begins with `head`.

    Raises
    ------
    FormatError
        If none fits; the message says what it looks like and what to do.
    """
    lines = [line for line in head.split(b"\n")[:-1] or [head] if line.strip(b" \t\r\0")][:_HEAD_LINES]
    if not lines:
        raise FormatError(f"{source}: it is empty", source=source)
    options = replace(options, proxies=TrustedProxies())  # which address is the client is not the question here
    scored = [score for row in _candidates(lines, options) if (score := _score(row, lines, options)) is not None]
    best = max((share for share, _, _ in scored), default=0.0)
    if best < _LEAST_SHARE:
        raise FormatError(f"{source}: is no access log of a known format: {_what_else(head, lines)}", source=source)
    close = [score for score in scored if score[0] >= best - _SAME]
    widest = max(n_columns for _, n_columns, _ in close)
    chosen = next(row for _, n_columns, row in close if n_columns == widest)
    return with_extras(chosen, lines) if chosen.name in ("combined", "vhost_combined") else chosen


def _candidates(lines: Sequence[bytes], options: Options) -> Iterable[Format]:
    """Return the formats worth trying, by the look of the lines."""
    formats = all_formats().values()
    objects = [record for line in lines if (record := _object(line)) is not None]
    found: list[Format] = []
    if len(objects) >= _LEAST_SHARE * len(lines):
        known = options.fields is None
        found += [
            row
            for row in formats
            if row.family == "json" and (known or row.name == "json") and _has(objects, row.needs)
        ]
    names = next((line for line in lines if line[:8].lower() == b"#fields:"), None)
    if names is not None:
        text = decode(names)
        found += [row for row in formats if row.family == "w3c" and all(need in text for need in row.needs)][:1]
    if len(objects) <= (1 - _LEAST_SHARE) * len(lines):
        found += [row for row in formats if row.family == "text"]
    if _NAME_SIGNS.fullmatch(lines[0].strip()) is not None:
        found += [row for row in formats if row.family == "csv"]
    return found


def _object(line: bytes) -> dict[str, object] | None:
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        found = json.loads(decode(line))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _has(objects: Sequence[dict[str, object]], needs: Sequence[str]) -> bool:
    """Tell whether most records have the names a format needs; caddy's log holds other records too."""
    found = sum(all(look_up(record, name) is not None for name in needs) for record in objects)
    return found >= _LEAST_SHARE * len(objects)


def _score(row: Format, lines: Sequence[bytes], options: Options) -> tuple[float, int, Format] | None:
    reader = make_reader(row, options)
    good, columns, counted = 0.0, Counter[str](), 0
    for line in lines:
        found = reader.read(line)
        counted += found is not None
        if isinstance(found, dict) and (row.appends_peer or not _ACTORS.isdisjoint(found)):
            good += 0.5 if row.family == "text" and " " in str(found.get("user", "")) else 1.0
            columns.update(found.keys())
    if not good:
        return None
    n_columns = len(columns) if row.family != "json" else sum(columns.values())
    return good / max(counted, 1), n_columns, row


def _what_else(head: bytes, lines: Sequence[bytes]) -> str:
    """Say what a file that is no access log looks like."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "it is UTF-16; convert it to UTF-8 first"
    odd = len(head) - len(head.translate(None, _BINARY + b"\0"))
    if odd > 0.05 * len(head):
        return "the content is binary"
    if (
        sum(
            bool(re.match(rb"\[?[\w ,:./-]{8,40}\]? \[[\w:]*(?:error|crit|warn|notice|debug|alert|info)", line))
            for line in lines[:20]
        )
        > 5
    ):
        return "it is a server's error log, not an access log"
    return "name its format, or give the server's own log_format string"


_EXTRA: Final = re.compile(rb' (?:"((?:[^"\\]|\\.)*)"|([^ "]+))')
_RANGE: Final = r"(?:[a-zA-Z]{2,3}(?:-[A-Za-z0-9]{2,8})*|\*)(?:;q=[01](?:\.\d{1,3})?)?"
_SIGNS: Final = (
    ("http_x_forwarded_for", re.compile(r"(?:[0-9a-fA-F:.]{7,45}|unknown)(?:, ?(?:[0-9a-fA-F:.]{7,45}|unknown))*")),
    ("http_sec_ch_ua_mobile", re.compile(r"\?[01]")),
    ("http_sec_ch_ua", re.compile(r'"[^"]+";v="[\d.]+"(?:, ?"[^"]+";v="[\d.]+")*')),
    ("http_sec_ch_ua_platform", re.compile(r'"(?:Windows|macOS|Linux|Android|iOS|Chrome OS|Chromium OS|Unknown)"')),
    ("http_sec_ch_ua_platform_version", re.compile(r'"\d+(?:\.\d+){1,3}"')),
    ("http_accept_language", re.compile(rf"{_RANGE}(?:, ?{_RANGE})*")),
    ("request_time", re.compile(r"\d{1,6}\.\d{3}")),
)
"""Variable and the look of its values. Four in five of those seen must look like it, so that a few forged headers
can't turn a column into another; a column that looks like nothing is read over."""
_MOST: Final = 0.8


def with_extras(row: Format, lines: Sequence[bytes]) -> Format:
    """Return a combined format with the values behind the agent named by their look."""
    seen: dict[int, list[str]] = {}
    unquoted: set[int] = set()
    for line in lines:
        fit = next((fit for layout in row.layouts if (fit := make_matcher(layout).first(line.rstrip()))), None)
        if fit is None:
            continue
        for index, extra in enumerate(_EXTRA.finditer(line.rstrip(), fit.end + 1)):
            if extra[1] is None:
                unquoted.add(index)
            seen.setdefault(index, []).append(decode(undo(extra[1] if extra[1] is not None else extra[2], "c")))
    names = [_name(seen[index], is_quoted=index not in unquoted) for index in sorted(seen)]
    if not any(name not in ("free_text", "word") for name in names):
        return row
    suffix = "".join(f" ${name}" if index in unquoted else f' "${name}"' for index, name in enumerate(names))
    layouts = tuple(
        compile_nginx(text + suffix, escapes=row.escapes, is_open=True, n_required=len(layout.parts))
        for text, layout in zip(row.templates, row.layouts, strict=True)
    )
    return Format(
        row.name,
        "text",
        row.reason,
        tuple(text + suffix for text in row.templates),
        row.escapes,
        is_open=True,
        layouts=layouts,
    )


def _name(values: Sequence[str], *, is_quoted: bool) -> str:
    known = [value for value in values if value not in ("", "-")]
    for name, sign in _SIGNS if known else ():
        if sum(sign.fullmatch(value) is not None for value in known) >= _MOST * len(known):
            return name
    return "free_text" if is_quoted else "word"
