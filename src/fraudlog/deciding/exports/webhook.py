"""`Webhook`: decisions handed on over HTTP, signed, and tried again until they arrive."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from fraudlog.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import urllib3

__all__ = ["Webhook", "parse_secret", "sign"]

_SECRET_BYTES: Final = range(24, 65)
_PREFIX: Final = "whsec_"
_RETRIED: Final = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT_S: Final = 60
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def parse_secret(text: str) -> bytes:
    """Return the key in a Standard Webhooks secret: ``whsec_`` and base64 of 24 to 64 bytes.

    Raises
    ------
    ConfigError
        If it is none; the message says how to make one.
    """
    try:
        key = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if len(key) not in _SECRET_BYTES:
        raise ConfigError(
            "the webhook's secret is not base64 of 24 to 64 bytes; make one with: openssl rand -base64 32",
            parameter="secret",
        )
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``: HMAC-SHA256 over id, time and body (Standard Webhooks, v1).

    >>> sign(bytes(24), "msg_1", 1_700_000_000, b"{}")
    'v1,LzeNxZHo3O8fwpFJpLh/0B99ugILNFJw+/9lTgx0APs='
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Webhook:
    """Posts records as JSON, signed as Standard Webhooks asks: receivers check them with any of its libraries.

    A message is tried again after a failed connection and after 408, 425, 429 and 5xx, with waits that double and vary;
    ``Retry-After`` is heeded up to a minute. Each try is signed anew, and keeps the message's id, by which a receiver
    knows what it has had already. Redirects are not followed.

    Parameters
    ----------
    url : str
        ``https://``; plain ``http://`` only to this machine.
    secret : str
        As `parse_secret` takes it.
    tries : int, default 6
        At most so many for a message.
    backoff_s : float, default 0.5
        First wait.
    timeout_s : float, default 10
        For connecting, and again for the answer.
    batch : int, default 500
        Records in a message.
    sleep : callable, optional
        Takes seconds; for tests.

    Raises
    ------
    ConfigError
        If `url` or `secret` can't be used, or urllib3 is not installed.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        tries: int = 6,
        backoff_s: float = 0.5,
        timeout_s: float = 10.0,
        batch: int = 500,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._url = _checked(url)
        self._key = parse_secret(secret)
        self._tries, self._backoff_s, self._batch, self._sleep = tries, backoff_s, batch, sleep
        self._pool = _pool(timeout_s)

    def send(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Send records; return how many messages it took.

        Raises
        ------
        OutputError
            If a message does not arrive. Those before it have.
        """
        waiting = list(records)
        batches = range(0, len(waiting), self._batch)
        for begin in batches:
            self._deliver(waiting[begin : begin + self._batch])
        return len(batches)

    def _deliver(self, records: Sequence[Mapping[str, Any]]) -> None:
        body = json.dumps({"type": "fraudlog.decisions", "data": list(records)}, allow_nan=False).encode()
        message_id = f"msg_{secrets.token_hex(12)}"
        for attempt in range(1, self._tries + 1):
            status, retry_after = self._post(message_id, body)
            if 200 <= status < 300:
                return
            if status and status not in _RETRIED:
                raise OutputError(f"the webhook refused a message with status {status}; is url and secret right?")
            if attempt < self._tries:
                self._sleep(_wait(attempt, self._backoff_s, retry_after))
        why = f"status {status}" if status else "no answer"
        raise OutputError(f"the webhook did not take a message in {self._tries} tries ({why}); run the export again")

    def _post(self, message_id: str, body: bytes) -> tuple[int, str | None]:
        """Return the status, 0 for no answer, and ``Retry-After``."""
        import urllib3  # noqa: PLC0415 -- an extra

        now = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "fraudlog",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self._key, message_id, now, body),
        }
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError:
            return 0, None
        return answer.status, answer.headers.get("retry-after")


def _wait(attempt: int, backoff_s: float, retry_after: str | None) -> float:
    """Return how long to wait: doubling, varied to keep senders apart, never under what was asked."""
    wait = min(backoff_s * 2.0 ** (attempt - 1), _LONGEST_WAIT_S)
    varied = wait * (0.5 + secrets.randbelow(1000) / 2000)
    return max(varied, min(_asked(retry_after), _LONGEST_WAIT_S))


def _asked(retry_after: str | None) -> float:
    """Return what ``Retry-After`` asks for, in seconds; a value that says nothing asks for nothing."""
    import urllib3  # noqa: PLC0415 -- an extra

    try:
        return urllib3.Retry().parse_retry_after(retry_after) if retry_after else 0.0
    except urllib3.exceptions.InvalidHeader:
        return 0.0


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE)
    if not (is_safe and parts.hostname):
        raise ConfigError(
            "the webhook's url must begin with https:// (http:// for this machine alone)", parameter="url"
        )
    return url


def _pool(timeout_s: float) -> urllib3.PoolManager:
    try:
        import urllib3  # noqa: PLC0415 -- an extra
    except ImportError:
        raise ConfigError('the webhook needs urllib3: pip install "fraudlog[webhook]"', parameter="url") from None
    return urllib3.PoolManager(timeout=urllib3.Timeout(connect=timeout_s, read=timeout_s), retries=False)
