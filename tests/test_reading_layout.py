"""Format strings of nginx and Apache, compiled; and lines that try to forge a field."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.errors import ConfigError
from fraudlog.reading import all_formats, read_log
from fraudlog.reading.careful import make_reader
from fraudlog.reading.formats import find_format
from fraudlog.reading.layout import compile_apache, compile_nginx
from fraudlog.reading.lines import Options

UA = "Mozilla/5.0 (X11)"


def read_one(form: str, line: str) -> dict[str, object] | str | None:
    """Read one line in a format string."""
    return make_reader(find_format(form), Options()).read(line.encode())


@pytest.mark.parametrize(
    ("form", "line", "expected"),
    [
        (
            (
                '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
                '"$http_user_agent" rt=$request_time uct="$upstream_connect_time"'
            ),
            (
                '192.0.2.1 - ann [10/Oct/2000:13:55:36 +0000] "GET /a?b HTTP/2.0" 200 5 "-" "Mozilla/5.0 (X11)" '
                'rt=0.042 uct="0.001, 0.002"'
            ),
            {"client_ip": "192.0.2.1", "user": "ann", "path": "/a", "duration_s": 0.042, "user_agent": UA},
        ),
        (
            "${time_iso8601}|$remote_addr|$request_method|$uri|$args|$status|$http_user_agent",
            "2000-10-10T13:55:36+02:00|2001:DB8::1|POST|/x y|q=1|404|Mozilla/5.0 (X11)",
            {"client_ip": "2001:db8::1", "method": "POST", "path": "/x y", "query": "q=1", "user_agent": UA},
        ),
        (
            "$msec\t$remote_addr\t$host\t$uri$is_args$args\t$status\t$cookie_sid",
            "1700000000.123\t192.0.2.1\tshop.example\t/p?q\t200\tabc",
            {"timestamp": 1700000000123000, "host": "shop.example", "path": "/p", "query": "q"},
        ),
        (
            r"%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\" %D",
            'a.example:443 192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 26 "-" "curl" 1500',
            {"host": "a.example", "bytes_sent": 26, "duration_s": 0.0015, "user_agent": "curl"},
        ),
        (
            r"%{%Y-%m-%dT%H:%M:%S%z}t %a %m %U%q %H %s %{ms}T \"%{Accept-Language}i\" \"%{Sec-CH-UA}i\"",
            r'2000-10-10T13:55:36+0000 192.0.2.1 GET /a?b HTTP/1.1 200 12 "de,en;q=0.5" "\"Chromium\";v=\"120\""',
            {"method": "GET", "path": "/a", "query": "b", "duration_s": 0.012, "ch_ua": '"Chromium";v="120"'},
        ),
        (
            '{"t":"$time_iso8601","ip":"$remote_addr","st":$status,"rt":$request_time,"ua":"$http_user_agent"}',
            r'{"t":"2000-10-10T13:55:36+00:00","ip":"192.0.2.1","st":200,"rt":0.5,"ua":"a \"b\" \u0001"}',
            {"status": 200, "duration_s": 0.5, "user_agent": 'a "b" \x01'},
        ),
        (
            "%400,501{User-Agent}i %{sec}t %h %%",
            "curl 971186136 192.0.2.1 %",
            {"user_agent": "curl", "client_ip": "192.0.2.1", "timestamp": 971186136000000},
        ),
    ],
)
def test_any_format_string_compiles(form, line, expected):
    """Nginx's and Apache's own strings, with the fields that they carry."""
    row = read_one(form, line)
    assert isinstance(row, dict), row
    assert {name: row.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("$remote_addr$status $time_local", "nothing stands between"),
        ("$remote_addr $status", "no time"),
        ("%h %s", "no time"),
        ("plain", "is not known"),
        ('{"ip":"$remote_addr"}', "no time"),
    ],
)
def test_format_strings_that_cannot_be_read(form, message):
    """A clear message."""
    with pytest.raises(ConfigError, match=message):
        find_format(form)


def test_named_variables_fill_columns():
    """A cookie as the session token."""
    log = read_log(
        io.BytesIO(b"192.0.2.1 [10/Oct/2000:13:55:36 +0000] abc\n"),
        "$remote_addr [$time_local] $cookie_sid",
        fields={"session_token": "cookie_sid"},
    )
    assert log.table["session_token"].to_pylist() == ["abc"]


def test_an_unquoted_agent_that_imitates_its_neighbour_is_refused():
    """What could be read in two ways is read in none."""
    form = "$time_iso8601 $http_user_agent $remote_addr $status"
    assert read_one(form, "2000-10-10T13:55:36Z curl/8 192.0.2.1 200")["client_ip"] == "192.0.2.1"
    assert read_one(form, "2000-10-10T13:55:36Z curl 6.6.6.6 200 x 192.0.2.1 200")["client_ip"] == "192.0.2.1"
    form = "$time_iso8601 $http_user_agent $remote_addr $http_referer"
    assert read_one(form, "2000-10-10T13:55:36Z a 6.6.6.6 b 192.0.2.1 c") == "ambiguous"


def apache_escape(text: str) -> str:
    r"""Escape as Apache's ap_escape_logitem does."""
    out = []
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\':
            out.append("\\" + char)
        elif char in "\n\r\t\v\b":
            out.append({"\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\b": "\\b"}[char])
        else:
            out.append(char if 32 <= byte < 127 else f"\\x{byte:02x}")
    return "".join(out)


def nginx_escape(text: str) -> str:
    r"""Escape as nginx's ngx_http_log_escape does."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in (34, 92) else f"\\x{byte:02X}" for byte in text.encode()
    )


FORGED = [
    '" 200 5 "-" "-"\n6.6.6.6 - root [10/Oct/2001:13:55:36 +0000] "GET / HTTP/1.1',
    'x [10/Oct/2001:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "-"',
    "root [10/Oct/2001:13:55:36 +0000",
    *("] [", 'a b] "GET', '\\" 6.6.6.6', "\\", '\\\\"', "6.6.6.6, 6.6.6.6", "\r\n6.6.6.6 - - ", "\0", "-", '" "'),
    *("é\ud7ff", "%22", "x22", "\\x22", '"'),
]


@pytest.mark.parametrize("escape", [apache_escape, nginx_escape])
def test_ten_thousand_forged_lines_choose_nothing(escape):
    """Client, user and time come from their own fields, whatever the client wrote into the others."""
    rng = random.Random(5)  # noqa: S311 -- not for secrets
    reader = make_reader(all_formats()["combined"], Options())

    def hostile() -> str:
        return "".join(rng.choice(FORGED) for _ in range(rng.randrange(1, 4)))

    for number in range(5_000):
        user, target, referrer, agent = hostile(), hostile(), hostile(), hostile()
        line = (
            f'192.0.2.{number % 250} - {escape(user)} [10/Oct/2000:13:55:36 +0000] "GET /{escape(target)} HTTP/1.1" '
            f'404 5 "{escape(referrer)}" "{escape(agent)}"'
        )
        assert "\n" not in line
        row = reader.read(line.encode())
        if isinstance(row, str):
            continue
        assert row["client_ip"] == f"192.0.2.{number % 250}"
        assert row["timestamp"] == 971186136000000
        assert row.get("user", "-") == (user if user not in ("", "-") else "-")
        assert row.get("user_agent", "-") == agent


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from([apache_escape, nginx_escape]))
@settings(max_examples=200)
def test_escapes_are_undone_as_they_were_written(agent, referrer, escape):
    """Whatever text goes in comes out, for both servers."""
    agent, referrer = agent.replace("\ud800", ""), referrer.replace("\ud800", "")
    line = f'192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "{escape(referrer)}" "{escape(agent)}"'
    row = make_reader(all_formats()["combined"], Options()).read(line.encode())
    assert isinstance(row, dict)
    for column, value in (("user_agent", agent), ("referrer", referrer)):
        assert row.get(column) == (None if value in ("", "-") else value)


@pytest.mark.parametrize("compile_", [compile_nginx, compile_apache])
def test_a_string_without_variables(compile_):
    """A clear message."""
    with pytest.raises(ConfigError, match="names no"):
        compile_("plain words")
