"""Keyed codes of texts: what stands in a live session's state instead of an address, an account or a path.

Equal texts have equal codes under one key, in every process and after every restart; without the key a code tells
nothing. Keyed by a secret they can't be made to collide on purpose either, as texts that a client chooses can.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["MOST_ENTRIES", "Codes", "derived"]

_PERSON: Final = b"fraudlog code"
MOST_ENTRIES: Final = 1 << 16
"""Most texts whose codes are kept, and most entries of each table of facts; when it is reached, all are let go."""

_LONGEST_KEPT: Final = 1024


def derived(key: bytes) -> bytes:
    """Return the key of the codes that goes with a key of session ids; no code can be compared with such an id."""
    return hashlib.blake2b(b"live codes", key=key, digest_size=32, person=_PERSON).digest()


class Codes:
    """Codes of 63 bits under one key; those of frequent texts are kept.

    Parameters
    ----------
    key : bytes
        At most 64 bytes.

    Examples
    --------
    >>> code = Codes(b"secret")
    >>> code("203.0.113.9") == Codes(b"secret")("203.0.113.9") != Codes(b"other")("203.0.113.9")
    True
    """

    __slots__ = ("_hash", "known")

    def __init__(self, key: bytes) -> None:
        self._hash = hashlib.blake2b(digest_size=8, key=key, person=_PERSON)
        self.known: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """Return the code of a text."""
        code = self.known.get(text)
        if code is None:
            hashed = self._hash.copy()
            hashed.update(text.encode("utf-8", "surrogatepass"))
            code = int.from_bytes(hashed.digest(), "little") >> 1
            if len(text) <= _LONGEST_KEPT:
                if len(self.known) >= MOST_ENTRIES:
                    self.known.clear()
                self.known[text] = code
        return code
