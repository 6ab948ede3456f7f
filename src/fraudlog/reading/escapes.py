r"""Undo the escapes that servers write, and turn bytes into text without losing any.

=========  ==============================================================================================
style      who writes it
=========  ==============================================================================================
``c``      Apache ``ap_escape_logitem`` (``\"``, ``\\``, ``\n`` ``\r`` ``\t`` ``\v`` ``\b``, ``\xhh``) and nginx
           ``ngx_http_log_escape`` (``\xHH`` alone). nginx writes a backslash as ``\x5C``, Apache as ``\\``, so one
           reader serves both.
``go``     Traefik's common log format: Go's ``strconv.Quote``, which adds ``\a``, ``\f``, ``\u`` and ``\U``
``hash``   HAProxy: ``#HH`` for what is not printable and for ``"``, ``#``, ``{``, ``|``, ``}``
``url``    W3C extended logs of CloudFront: ``%HH``
``plus``   IIS: a blank in an agent is written ``+``
``none``   the value stands as it is
=========  ==============================================================================================

A backslash before anything else stands for itself. Bytes that are not UTF-8 come out as ``\xHH`` (Arrow strings hold no
lone surrogates, so ``surrogateescape`` can't be used).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STYLES", "decode", "storable", "undo"]

_C = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([\"\\nrtvb]))", re.DOTALL)
_GO = re.compile(
    rb"\\(?:x([0-9A-Fa-f]{2})|([\"\\nrtvbaf'])|u([0-9A-Fa-f]{4})|U(00(?:10|0[0-9A-Fa-f])[0-9A-Fa-f]{4}))", re.DOTALL
)
_HASH = re.compile(rb"#([0-9A-Fa-f]{2})")
_LETTERS: Final = {
    b'"': b'"',
    b"\\": b"\\",
    b"'": b"'",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"b": b"\b",
    b"a": b"\a",
    b"f": b"\f",
}


def _c(raw: bytes) -> bytes:
    return _C.sub(lambda m: bytes.fromhex(m[1].decode()) if m[1] else _LETTERS[m[2]], raw) if b"\\" in raw else raw


def _go_letter(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes.fromhex(match[1].decode())
    if match[2]:
        return _LETTERS[match[2]]
    return chr(int(match[3] or match[4], 16)).encode("utf-8", "surrogatepass")


def _go(raw: bytes) -> bytes:
    return _GO.sub(_go_letter, raw) if b"\\" in raw else raw


def _hash(raw: bytes) -> bytes:
    return _HASH.sub(lambda m: bytes.fromhex(m[1].decode()), raw) if b"#" in raw else raw


def _url(raw: bytes) -> bytes:
    return unquote_to_bytes(raw) if b"%" in raw else raw


def _plus(raw: bytes) -> bytes:
    return raw.replace(b"+", b" ")


def _none(raw: bytes) -> bytes:
    return raw


STYLES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "c": _c,
    "go": _go,
    "hash": _hash,
    "url": _url,
    "plus": _plus,
    "none": _none,
}


def undo(raw: bytes, style: str) -> bytes:
    r"""Return `raw` without the escapes of `style`, one of `STYLES`.

    >>> undo(rb"say \"hi\" \xE2\x82\xAC \d", "c").decode()
    'say "hi" \u20ac \\d'
    """
    return STYLES[style](raw)


def decode(raw: bytes) -> str:
    r"""Return `raw` as text; bytes that are not UTF-8 become ``\xHH``.

    >>> decode(b"caf\xe9")
    'caf\\xe9'
    """
    return raw.decode("utf-8", "backslashreplace")


def storable(text: str) -> str:
    r"""Return `text` so that Arrow can hold it: a lone surrogate, as JSON can make it, becomes ``\ud800``."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
