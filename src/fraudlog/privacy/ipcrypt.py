"""ipcrypt-pfx over arrays: addresses that share a prefix of n bits share one of n bits afterwards, and none longer.

Bit n of an address is flipped by the XOR of the last bits of AES under both halves of the key on the n bits before it,
padded as the draft says [1]_. Addresses are sorted first, so that a prefix that many share is encrypted once.

References
----------
.. [1] F. Denis, "Methods for IP Address Encryption and Obfuscation", draft-denis-ipcrypt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fraudlog.errors import ConfigError
from fraudlog.privacy.addresses import Addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

__all__ = ["decrypt_pfx", "encrypt_pfx"]

_CHUNK: Final = 4096
_BITS: Final = {4: 32, 6: 128}
_ONE: Final = np.uint64(1)
_MAPPED: Final = np.uint64(0xFFFF << 32)
"""IPv4 is encrypted as the IPv6 address ::ffff:a.b.c.d, of which the first 96 bits stay."""


def encrypt_pfx(addresses: Addresses, key: bytes) -> Addresses:
    """Encrypt addresses; IPv4 stays IPv4, what is no address stays none.

    Parameters
    ----------
    addresses : Addresses of n rows
    key : bytes
        32 bytes, the halves different.

    Returns
    -------
    Addresses of n rows

    Raises
    ------
    ConfigError
        If the key is not of that form.
    """
    return _by_version(addresses, key, _encrypt)


def decrypt_pfx(addresses: Addresses, key: bytes) -> Addresses:
    """Undo `encrypt_pfx`."""
    return _by_version(addresses, key, _decrypt)


def _by_version(addresses: Addresses, key: bytes, work: Callable[[Words, Words, int, _Cipher], None]) -> Addresses:
    if len(key) != 32 or key[:16] == key[16:]:
        raise ConfigError("the key for addresses must have 32 bytes and two different halves", parameter="key")
    cipher = _Cipher(key)
    high, low = addresses.high.copy(), addresses.low.copy()
    for version, bits in _BITS.items():
        rows = np.flatnonzero(addresses.version == version)
        rows = rows[np.lexsort((low[rows], high[rows])) if version == 6 else np.argsort(low[rows], kind="stable")]
        for begin in range(0, len(rows), _CHUNK):
            chunk = rows[begin : begin + _CHUNK]
            upper, lower = high[chunk], low[chunk] | (_MAPPED if version == 4 else np.uint64(0))
            work(upper, lower, bits, cipher)
            high[chunk], low[chunk] = upper, lower & np.uint64(0xFFFFFFFF) if version == 4 else lower
    return Addresses(addresses.version, high, low)


class _Cipher:
    """The last bit of AES under both halves of a key, XORed."""

    def __init__(self, key: bytes) -> None:
        # ECB is right here: the draft asks for the bare block cipher, one block a prefix.
        self._halves: list[Any] = [
            Cipher(algorithms.AES(half), modes.ECB()).encryptor()  # noqa: S305
            for half in (key[:16], key[16:])
        ]
        self._out = bytearray()

    def flips(self, blocks: NDArray[Any]) -> Words:
        data = blocks.tobytes()
        if len(self._out) < len(data) + 15:
            self._out = bytearray(len(data) + 15)
        last = []
        for half in self._halves:
            half.update_into(data, self._out)
            last.append(np.frombuffer(self._out, np.uint8, len(data))[15::16] & 1)
        flips: Words = (last[0] ^ last[1]).astype(np.uint64)
        return flips


def _encrypt(high: Words, low: Words, bits: int, cipher: _Cipher) -> None:
    """Encrypt sorted addresses in place: one call of AES for all distinct prefixes of all lengths."""
    parts = list(_prefixes(high, low, bits))
    blocks = np.concatenate([part for part, _ in parts]).byteswap()
    flips = cipher.flips(blocks)
    begin = 0
    for length, (part, of_row) in enumerate(parts, start=128 - bits):
        found = flips[begin : begin + len(part)]
        begin += len(part)
        target = high if length < 64 else low
        target ^= (found if of_row is None else found[of_row]) << np.uint64((127 - length) % 64)


def _prefixes(high: Words, low: Words, bits: int) -> Iterator[tuple[Words, NDArray[np.intp] | None]]:
    """Yield the distinct padded prefixes of each length, and which of them each row has (None: one each)."""
    differs = np.zeros(len(low), bool)
    for length in range(128 - bits, 128):
        upper, lower = _padded_prefix(high, low, length)
        if not differs.all():
            differs[1:] = (lower[1:] != lower[:-1]) | (upper[1:] != upper[:-1])
            differs[:1] = True
        if differs.all():
            yield np.column_stack([upper, lower]), None
        else:
            yield np.column_stack([upper[differs], lower[differs]]), np.cumsum(differs) - 1


def _decrypt(high: Words, low: Words, bits: int, cipher: _Cipher) -> None:
    """Decrypt in place, bit by bit: each needs all those before it."""
    for length in range(128 - bits, 128):
        upper, lower = _padded_prefix(high, low, length)
        target = high if length < 64 else low
        target ^= cipher.flips(np.column_stack([upper, lower]).byteswap()) << np.uint64((127 - length) % 64)


def _padded_prefix(high: Words, low: Words, length: int) -> tuple[Words, Words]:
    """Return the first `length` bits of each address, right-aligned in 128 bits, with a 1 before them."""
    shift = 128 - length
    if shift == 128:
        upper, lower = np.zeros_like(high), np.zeros_like(low)
    elif shift >= 64:
        upper, lower = np.zeros_like(high), high >> np.uint64(shift - 64)
    else:
        upper = high >> np.uint64(shift)
        lower = high << np.uint64(64 - shift) | low >> np.uint64(shift)
    if length < 64:
        return upper, lower | _ONE << np.uint64(length)
    return upper | _ONE << np.uint64(length - 64), lower
