"""From the parts of an HTTP request to an event, as `read_log` would read it from the server's log."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ConfigError
from fraudlog.reading.client_ip import TrustedProxies, canonical
from fraudlog.reading.escapes import decode
from fraudlog.reading.values import MISSING, cut
from fraudlog.schema import EVENTS, column_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = ["HEADERS", "EventReader"]

HEADERS: Final = {
    b"host": "host",
    b"referer": "referrer",
    b"user-agent": "user_agent",
    b"accept-language": "language",
    b"sec-ch-ua": "ch_ua",
    b"sec-ch-ua-platform": "ch_platform",
    b"sec-ch-ua-platform-version": "ch_platform_version",
    b"sec-ch-ua-mobile": "ch_mobile",
    b"sec-ch-ua-model": "ch_model",
}
"""Request headers, and the columns of `fraudlog.schema.EVENTS` they go to."""

_COLUMNS: Final = frozenset(column_names(EVENTS))
_COOKIE: Final = b"cookie"


class EventReader:
    """Turns requests into events: the same columns and the same text that the log of the server would give.

    Parameters
    ----------
    trusted_proxies : iterable of str, optional
        Networks of your own proxies and CDN; only their word is taken for who the client is.
    client_header : str, default "x-forwarded-for"
        Header in which they say it; ``forwarded`` (RFC 7239) too.
    session_cookie : str, optional
        Cookie that holds the session id your service issues. Its digest goes into ``session_token``, never itself.
    columns : collection of str, optional
        Keep these columns alone: those of the log the detector has learnt from.

    Attributes
    ----------
    names : frozenset of bytes
        Headers it looks at, in lower case.

    Raises
    ------
    ConfigError
        If a network or column is none.

    Examples
    --------
    >>> reader = EventReader(["10.0.0.0/8"])
    >>> event = reader.read("GET", b"/a%20b", b"q=1", "1.1", "10.0.0.1", [
    ...     (b"user-agent", b"curl/8.5.0"), (b"x-forwarded-for", b"6.6.6.6, 203.0.113.9"),
    ... ])
    >>> event["client_ip"], event["path"], event["user_agent"], event["language"]
    ('203.0.113.9', '/a%20b', 'curl/8.5.0', None)
    """

    def __init__(
        self,
        trusted_proxies: Iterable[str] = (),
        *,
        client_header: str = "x-forwarded-for",
        session_cookie: str | None = None,
        columns: Collection[str] | None = None,
    ) -> None:
        self._proxies = TrustedProxies(trusted_proxies)
        self._client_header = client_header.lower().encode()
        self._cookie = None if session_cookie is None else session_cookie.encode()
        if unknown := set(columns or ()) - _COLUMNS:
            raise ConfigError(f"no columns of an event: {', '.join(sorted(unknown))}", parameter="columns")
        self._columns = _COLUMNS if columns is None else frozenset(columns)
        self.names = frozenset({*HEADERS, self._client_header, *([_COOKIE] if self._cookie else [])})

    def read(
        self,
        method: str,
        path: bytes,
        query: bytes,
        version: str | None,
        peer: str | None,
        headers: Iterable[tuple[bytes, bytes]],
    ) -> dict[str, Any]:
        """Return the event of a request, without what is known once it is answered.

        Parameters
        ----------
        method : str
        path, query : bytes
            As they came, percent-encoded.
        version : str or None
            Of HTTP, as ``1.1``.
        peer : str or None
            Address at the other end of the connection; None for a Unix socket.
        headers : iterable of (bytes, bytes)
            Names in lower case; a name may come twice.
        """
        wanted = self.names
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in wanted:
                found[name] = found[name] + b", " + value if name in found else value
        event: dict[str, Any] = {
            "client_ip": self._client(peer, found.get(self._client_header)),
            "path": decode(path) or None,
            "query": decode(query) or None,
        }
        texts = {"method": method, "protocol": version and f"HTTP/{version}"}
        texts |= {column: decode(found[name]).strip() for name, column in HEADERS.items() if name in found}
        for column in ("method", "protocol", *HEADERS.values()):
            text = texts.get(column)
            event[column] = cut(text, column, event) if text and text not in MISSING else None
        if self._cookie is not None:
            event["session_token"] = self._token(found.get(_COOKIE, b""))
        return self.only(event)

    def only(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of an event that are to be kept; the schema is closed."""
        columns = self._columns
        return {name: value for name, value in event.items() if name in columns}

    def _client(self, peer: str | None, header: bytes | None) -> str | None:
        address = None if peer is None else canonical(peer)
        if address is None and not (peer in {None, ""} and self._proxies.networks):
            return None
        return self._proxies.client(address, None if header is None else header.decode("latin-1"))

    def _token(self, cookies: bytes) -> str | None:
        for part in cookies.split(b";"):
            name, _, value = part.strip().partition(b"=")
            if name == self._cookie and value:
                return hashlib.blake2b(value, digest_size=16).hexdigest()
        return None
