"""What the variables of log formats mean: nginx's names, and Apache's directives in terms of them.

Sources: nginx ``ngx_http_variables.c`` and ``ngx_http_log_module.c``; Apache ``mod_log_config.c`` and its manual page.
A variable that is not here is read over (its value is dropped) with the widest pattern that its surroundings allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["APACHE", "APACHE_HEADERS", "DIGITS", "NGINX", "WORDY", "Variable", "nginx_variable"]


@dataclass(frozen=True, slots=True)
class Variable:
    """One value that a log line can hold.

    Parameters
    ----------
    column : str
        Column of ``schema.EVENTS`` that it fills; empty if it fills several or none.
    reader : str
        Name in `values.READERS`; empty to drop the value.
    pattern : str
        Regular expression of the value where no quotes or brackets enclose it; empty for "up to the next separator".
    is_free : bool
        Whether the client chooses the text, blanks included, so that unenclosed it may imitate its neighbours.
    unit : str
        Unit of a number.
    """

    column: str = ""
    reader: str = ""
    pattern: str = ""
    is_free: bool = False
    unit: str = "auto"


_ADDRESS = r"[0-9A-Za-z:.%_-]+"
_CLF = r"\d{2}/[A-Za-z]{3}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}"
WORDY = r"[0-9A-Za-z._-]*[0-9A-Za-z._][0-9A-Za-z._-]*"
DIGITS = r"[0-9]+"
_FREE = True
_CHOSEN = ("http_", "cookie_", "arg_", "sent_http_", "upstream_http_", "free_")

NGINX: Final[dict[str, Variable]] = {
    "remote_addr": Variable("client_ip", "address", _ADDRESS),
    "realip_remote_addr": Variable("", "", _ADDRESS),
    "remote_user": Variable("user", "text", "", _FREE),
    "time_local": Variable("timestamp", "clf_time", _CLF),
    "time_iso8601": Variable("timestamp", "time"),
    "msec": Variable("timestamp", "time", r"\d+\.\d{3}", unit="s"),
    "request": Variable("", "request", "", _FREE),
    "request_method": Variable("method", "text"),
    "request_uri": Variable("", "uri", "", _FREE),
    "uri": Variable("path", "path", "", _FREE),
    "document_uri": Variable("path", "path", "", _FREE),
    "args": Variable("query", "query", "", _FREE),
    "query_string": Variable("query", "query", "", _FREE),
    "is_args": Variable("", "", r"\??"),
    "server_protocol": Variable("protocol", "protocol"),
    "status": Variable("status", "status"),
    "body_bytes_sent": Variable("bytes_sent", "count"),
    "bytes_sent": Variable("bytes_sent", "count"),
    "request_time": Variable("duration_s", "duration", unit="s"),
    "http_referer": Variable("referrer", "text", "", _FREE),
    "http_user_agent": Variable("user_agent", "text", "", _FREE),
    "http_accept_language": Variable("language", "text", "", _FREE),
    "http_sec_ch_ua": Variable("ch_ua", "text", "", _FREE),
    "http_sec_ch_ua_platform": Variable("ch_platform", "text", "", _FREE),
    "http_sec_ch_ua_platform_version": Variable("ch_platform_version", "text", "", _FREE),
    "http_sec_ch_ua_mobile": Variable("ch_mobile", "text", "", _FREE),
    "http_sec_ch_ua_model": Variable("ch_model", "text", "", _FREE),
    "http_x_forwarded_for": Variable("", "forwarded", "", _FREE),
    "proxy_add_x_forwarded_for": Variable("", "forwarded", "", _FREE),
    "http_forwarded": Variable("", "forwarded", "", _FREE),
    "host": Variable("host", "text"),
    "http_host": Variable("host", "text"),
    "server_name": Variable("host", "text"),
    "geoip_country_code": Variable("country", "text"),
    "geoip2_country_code": Variable("country", "text"),
    "ssl_ja3_hash": Variable("tls_fingerprint", "text"),
    "ssl_ja4": Variable("tls_fingerprint", "text"),
    # names of our own, for formats whose servers have no nginx names
    "client_and_port": Variable("client_ip", "address_before_port"),
    "client_maybe_port": Variable("client_ip", "address_port"),
    "vhost_client": Variable("client_ip", "address", r"[0-9A-Fa-f]*[.:][0-9A-Fa-f:.]+"),
    "iso_time": Variable("timestamp", "time"),
    "request_url": Variable("", "request_url", "", _FREE),
    "url": Variable("", "url"),
    "duration_part": Variable("duration_s", "duration_sum", r"-?[0-9.]+", unit="s"),
    "duration_ms": Variable("duration_s", "duration", r"[+-]?[0-9.]+|-", unit="ms"),
    "duration_us": Variable("duration_s", "duration", unit="us"),
    "duration_ns": Variable("duration_s", "duration", unit="ns"),
    "go_duration": Variable("duration_s", "duration", r"\d+ms"),
    "requester": Variable("user", "text"),
    "free_text": Variable("", "", "", _FREE),
    "word": Variable(),
    "request_id": Variable("", "", WORDY),
    "bucket_owner": Variable("", "", WORDY),
    "request_count": Variable("", "", DIGITS),
    "server_port": Variable("", "", DIGITS),
}
"""Variable and meaning. Cookies and other headers are dropped, and counted by name, unless the caller names a column
for them."""


def nginx_variable(name: str) -> Variable:
    """Return the meaning of a variable; unknown headers, cookies and arguments count as text of the client's choice."""
    known = NGINX.get(name)
    if known is not None:
        return known
    if name.startswith("strftime:"):
        return _strftime(name.removeprefix("strftime:"))
    return Variable(is_free=name.startswith(_CHOSEN))


_EPOCHS: Final = {"sec": "s", "msec": "ms", "usec": "us"}


def _strftime(form: str) -> Variable:
    """Apache's ``%{form}t``: an epoch, or the C library's strftime."""
    if form in _EPOCHS:
        return Variable("timestamp", "time", r"\d+", unit=_EPOCHS[form])
    return Variable("timestamp", "strptime", r"[^\[\]\"]+?", unit=form)


APACHE: Final[dict[str, str]] = {
    "a": "remote_addr",
    "h": "remote_addr",
    "l": "word",
    "u": "remote_user",
    "t": "time_local",
    "r": "request",
    "s": "status",
    "b": "body_bytes_sent",
    "B": "body_bytes_sent",
    "O": "bytes_sent",
    "I": "word",
    "S": "word",
    "D": "duration_us",
    "T": "request_time",
    "m": "request_method",
    "U": "uri",
    "q": "args",
    "H": "server_protocol",
    "v": "host",
    "V": "host",
    "p": "word",
    "P": "word",
    "k": "word",
    "L": "word",
    "X": "word",
    "R": "word",
    "A": "word",
    "f": "free_text",
}
"""Directive and the nginx variable of the same meaning; the others are read over."""

APACHE_HEADERS: Final = {
    "referer": "http_referer",
    "user-agent": "http_user_agent",
    "accept-language": "http_accept_language",
    "x-forwarded-for": "http_x_forwarded_for",
    "forwarded": "http_forwarded",
    "host": "http_host",
    "sec-ch-ua": "http_sec_ch_ua",
    "sec-ch-ua-platform": "http_sec_ch_ua_platform",
    "sec-ch-ua-platform-version": "http_sec_ch_ua_platform_version",
    "sec-ch-ua-mobile": "http_sec_ch_ua_mobile",
    "sec-ch-ua-model": "http_sec_ch_ua_model",
}
"""Request header, as ``%{name}i`` has it, and the nginx variable."""
