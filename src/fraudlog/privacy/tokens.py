"""Keyed tokens: BLAKE2b under a key, in letters and digits that any system can hold."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["token_array", "tokens_of"]

_LETTERS: Final = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8)
"""Base32 (RFC 4648) in lower case."""

_BITS: Final = 5


def tokens_of(values: Iterable[str], key: bytes, size: int) -> list[str]:
    """Return a token for each of a few texts, in which ``surrogateescape`` may stand for bytes that are no UTF-8.

    Examples
    --------
    >>> tokens_of(["alice"], bytes(32), 16)
    ['67s7yrypo43atyuzs6f3355ssa']
    """
    data = _digests(values, key, size)
    return [b32encode(data[at : at + size]).decode().rstrip("=").lower() for at in range(0, len(data), size)]


def token_array(values: pa.Array, key: bytes, size: int) -> pa.Array:
    """Return a token for each text; null stays null.

    Parameters
    ----------
    values : Array of string
    key : bytes
    size : int
        Bytes of a digest: 16 make a token of 26 characters.

    Returns
    -------
    Array of string

    Examples
    --------
    >>> token_array(pa.array(["alice", None]), bytes(32), 16).to_pylist()
    ['67s7yrypo43atyuzs6f3355ssa', None]
    """
    present = values.is_valid()
    texts = _letters(_digests(values.drop_null().to_pylist(), key, size), size)
    lengths = np.where(present.to_numpy(zero_copy_only=False), texts.shape[1], 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    tokens = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(texts.tobytes()))
    return pc.if_else(present, tokens, pa.scalar(None, pa.string())) if values.null_count else tokens


def _letters(data: bytes, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Write digests of `size` bytes in base32 without padding: shape (n, characters)."""
    n_letters = -(-8 * size // _BITS)
    raw = np.zeros((len(data) // size, size + 2), np.uint8)
    raw[:, :size] = np.frombuffer(data, np.uint8).reshape(-1, size)
    letters = np.empty((len(raw), n_letters), np.uint8)
    for place in range(n_letters):
        byte, bit = divmod(_BITS * place, 8)
        two = raw[:, byte].astype(np.uint16) << 8 | raw[:, byte + 1]
        letters[:, place] = _LETTERS[two >> (11 - bit) & 31]
    return letters


def _digests(values: Iterable[str], key: bytes, size: int) -> bytes:
    """Return the keyed digests of texts, one behind the other."""
    keyed = hashlib.blake2b(key=key, digest_size=size)  # the key is taken in once, then copied
    found = []
    for value in values:
        state = keyed.copy()
        state.update(value.encode("utf-8", "surrogateescape"))
        found.append(state.digest())
    return b"".join(found)
