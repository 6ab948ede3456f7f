"""Log injection: whatever a client writes into its own fields, no event takes client, user or time from there."""

from __future__ import annotations

import io
import json
import random
from datetime import UTC, datetime

import pytest

from fraudlog.reading import all_formats, iter_log, read_log
from fraudlog.reading.careful import make_reader
from fraudlog.reading.columns import events_table
from fraudlog.reading.framing import frame
from fraudlog.reading.lines import Options
from fraudlog.reading.pipeline import fast_reader

CLIENT, USER = "192.0.2.1", "alice"
TIME = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
CLF = "01/May/2024:12:00:00 +0000"
EVIL = '6.6.6.6 - evil [01/Jan/1999:00:00:00 +0000] "GET /x HTTP/1.1" 200 1 "-" "-"'
PIECES = [
    EVIL, f"\n{EVIL}", f'"\n{EVIL}', '"', '" "', '" 200 5 "-" "-"', "\\", '\\"', "\\x22", "\r\n", "\0", " ", "  ",
    "\t", "[", "]", f"[{CLF}]", "[01/Jan/1999:00:00:00 +0000]", "6.6.6.6", "evil", " - evil [", "HTTP/1.1",
    '","client_ip":"6.6.6.6"', '"},{"ts":1,"ip":"6.6.6.6"}', "\\u0022", "é", "\x16\x03\x01", "a" * 40, "?", "#", "{",
    "}", "|", "%0a", "%22", ",", ", 6.6.6.6", "6.6.6.6, ", "\x1b[2K", "\u2028", "-", "",
]  # fmt: skip
LINES_EACH = 1_250


def nginx(text: str) -> str:
    """Escape as ``ngx_http_log_escape``."""
    return "".join(chr(b) if 32 <= b < 127 and b not in (34, 92) else f"\\x{b:02X}" for b in text.encode())


def apache(text: str) -> str:
    """Escape as ``ap_escape_logitem``."""
    named = {34: '\\"', 92: "\\\\", 10: "\\n", 13: "\\r", 9: "\\t"}
    return "".join(named.get(b) or (chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in text.encode())


def go(text: str) -> str:
    """Quote as Go's ``strconv.Quote``, near enough."""
    named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(named.get(c) or (c if c.isprintable() else f"\\u{ord(c):04x}") for c in text)


def haproxy(text: str) -> str:
    """Escape as HAProxy's ``encode_string``."""
    return "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"#{|}' else f"#{b:02X}" for b in text.encode())


def header(text: str) -> str:
    """Return what can stand in a header at all: no line ends and no NUL, but quotes as they are."""
    return text.replace("\r", "").replace("\n", "").replace("\0", "").replace("\u2028", "")


def combined(escape):
    return lambda a, b, c: f'{CLIENT} - {USER} [{CLF}] "GET /{escape(a)} HTTP/1.1" 200 5 "{escape(b)}" "{escape(c)}"'


def as_json(a: str, b: str, c: str) -> str:
    return json.dumps(
        {"ts": TIME.timestamp(), "ip": CLIENT, "user": USER, "path": "/" + a, "referrer": b, "ua": c, b: c}
    )


def as_csv(a: str, b: str, c: str) -> str:
    quoted = (value.replace('"', '""').replace("\r", "").replace("\n", "") for value in (a, b, c))
    return ",".join(["2024-05-01T12:00:00Z", CLIENT, USER, *(f'"{value}"' for value in quoted)])


SERVERS = {
    "nginx": ("combined", "", combined(nginx)),
    "apache": ("combined", "", combined(apache)),
    "vhost": ("vhost_combined", "", lambda a, b, c: f"shop.example:443 {combined(apache)(a, b, c)}"),
    "traefik": ("traefik_clf", "", lambda a, b, c: f'{combined(go)(a, b, c)} 7 "{go(b)}" "{go(c)}" 3ms'),
    "haproxy": (
        "haproxy_http",
        "",
        lambda a, b, c: (
            f"{CLIENT}:5000 [01/May/2024:12:00:00.000] front back/srv 0/0/0/1/1 200 5 - - ---- 1/1/1/1/0 0/0 "
            f'{{{haproxy(b)}}} {{{haproxy(c)}}} "GET /{haproxy(a)} HTTP/1.1"'
        ),
    ),
    "envoy": (
        "envoy",
        "",
        lambda a, b, c: (
            f'[2024-05-01T12:00:00.000Z] "GET /{header(a)} HTTP/1.1" 200 - 0 5 1 1 "{header(b)}, {CLIENT}" '
            f'"{header(c)}" "id" "shop.example" "10.0.0.1:80"'
        ),
    ),
    "json": ("json", "", as_json),
    "csv": ("csv", "time,ip,user,path,referrer,ua", as_csv),
}  # fmt: skip


def forged(write, rng: random.Random) -> list[str]:
    """Return lines of an honest server whose client chose path, referrer and agent."""
    values = [["".join(rng.choices(PIECES, k=rng.randrange(1, 5))) for _ in range(3)] for _ in range(LINES_EACH)]
    return [write(*three) for three in values]


@pytest.mark.parametrize("server", SERVERS)
def test_no_forged_field_becomes_client_user_or_time(server):
    """10,000 lines over all servers; every line of the file is one the server wrote, and is read as such or refused."""
    name, head, write = SERVERS[server]
    lines = forged(write, random.Random(server))  # noqa: S311 -- not for secrets
    data = "\n".join([head, *lines] if head else lines).encode()
    readers = [make_reader(all_formats()[name], Options()), fast_reader(all_formats()[name], Options())]
    tables = [
        read_log(io.BytesIO(data), name).table,
        *(events_table([reader.read_block(b) for b in frame("x", [data])]) for reader in readers if reader is not None),
    ]
    for table in tables:
        assert set(table["client_ip"].to_pylist()) <= {CLIENT}
        assert set(table["timestamp"].to_pylist()) == {TIME}
        assert set(table["user"].to_pylist() if "user" in table.column_names else [USER]) <= {USER}
        assert table.num_rows > (0.3 if server == "envoy" else 0.99) * LINES_EACH
    assert all(table.num_rows == tables[0].num_rows for table in tables)
    assert sum(batch.summary.events for batch in iter_log(io.BytesIO(data), name, batch_bytes=1)) == tables[0].num_rows
