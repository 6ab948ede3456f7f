"""ipcrypt-pfx over arrays: addresses that share a prefix of n bits share one of n bits afterwards, and none longer.

Bit n of an address is flipped by the XOR of the last bits of AES under both halves of the key on the n bits before it,
padded as the draft says [1]_. That is 128 pairs of blocks for an IPv6 address, 4 kB, so the work is to need fewer of
them and to make them cheaply:

- addresses are sorted and taken byte by byte: those that share a prefix share its blocks;
- the upper 64 bits, in which the networks of a log hardly differ, are worked out once for each distinct /64, and
  remembered from batch to batch: a new /64 begins behind the bits it shares with the nearest known one;
- every padded prefix is 16 bytes in a row of the address, shifted by 0 to 7 bits, behind a 1 and zeros: blocks are
  copied out of eight such texts, not computed.

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
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Bytes = NDArray[np.uint8]

__all__ = ["PrefixCipher"]

_CHUNK: Final = 2048
"""Addresses at a time: their blocks and what AES makes of them stay in a core's second cache."""

_REMEMBERED: Final = 1 << 16
"""Most /64 prefixes to remember: 1 MB."""

_BLOCK: Final = np.dtype("V16")
_PLACES: Final = np.arange(7, -1, -1, dtype=np.uint8)[:, None]
_SHIFTS: Final = np.arange(8, 0, -1, dtype=np.uint64)[:, None]
_ONE: Final = np.uint64(1)
_FOUR: Final = np.uint64(0xFFFFFFFF)
_MAPPED: Final = np.uint64(0xFFFF << 32)
"""IPv4 is encrypted as the IPv6 address ::ffff:a.b.c.d, of which the first 96 bits stay."""


class PrefixCipher:
    """Encrypts addresses under one key, and remembers prefixes from call to call.

    Parameters
    ----------
    key : bytes
        32 bytes, the halves different.

    Raises
    ------
    ConfigError
        If the key is not of that form.

    Examples
    --------
    >>> from fraudlog.privacy.addresses import format_addresses, parse_addresses
    >>> import pyarrow as pa
    >>> cipher = PrefixCipher(bytes(range(32)))
    >>> plain = parse_addresses(pa.array(["2001:db8::1", "2001:db8::2", "192.0.2.1"]))
    >>> hidden = cipher.encrypt(plain)
    >>> format_addresses(cipher.decrypt(hidden)).to_pylist()
    ['2001:db8::1', '2001:db8::2', '192.0.2.1']
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != 32 or key[:16] == key[16:]:
            raise ConfigError("the key for addresses must have 32 bytes and two different halves", parameter="key")
        self._key = key
        self._known: tuple[Words, Words] = _nothing()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is remembered: it is of raw addresses, and a pickle may land on a disk."""
        return {"_key": self._key, "_known": _nothing()}

    def encrypt(self, addresses: Addresses) -> Addresses:
        """Encrypt addresses; IPv4 stays IPv4, what is no address stays none.

        Parameters
        ----------
        addresses : Addresses of n rows

        Returns
        -------
        Addresses of n rows
        """
        high, low = addresses.high.copy(), addresses.low.copy()
        flips = _Flips(self._key, len(addresses))
        four, six = np.flatnonzero(addresses.version == 4), np.flatnonzero(addresses.version == 6)
        four = four[np.argsort(low[four], kind="stable")]
        numbers = low[four]
        zeros = np.zeros_like(numbers)
        low[four] ^= flips.lower(zeros, numbers | _MAPPED, first=12) & _FOUR
        six = six[np.argsort(high[six])]
        upper = high[six]
        if (upper[1:] == upper[:-1]).any():
            six = six[np.lexsort((low[six], upper))]
        high[six] ^= self._of_networks(upper, flips)
        low[six] ^= flips.lower(upper, low[six])
        return Addresses(addresses.version, high, low)

    def decrypt(self, addresses: Addresses) -> Addresses:
        """Undo `encrypt`: bit by bit, since each needs all those before it."""
        high, low = addresses.high.copy(), addresses.low.copy()
        flips = _Flips(self._key, len(addresses))
        for version, first in ((4, 96), (6, 0)):
            rows = np.flatnonzero(addresses.version == version)
            for begin in range(0, len(rows), _CHUNK):
                chunk = rows[begin : begin + _CHUNK]
                upper, lower = high[chunk], low[chunk] | (_MAPPED if version == 4 else np.uint64(0))
                for length in range(first, 128):
                    target = upper if length < 64 else lower
                    target ^= flips.of_bit(upper, lower, length) << np.uint64((127 - length) % 64)
                high[chunk], low[chunk] = upper, lower & _FOUR if version == 4 else lower
        return Addresses(addresses.version, high, low)

    def _of_networks(self, upper: Words, flips: _Flips) -> Words:
        """Return the flips of sorted /64 prefixes; those that are new are remembered."""
        is_first = np.ones(len(upper), bool)
        is_first[1:] = upper[1:] != upper[:-1]
        distinct = upper[is_first]
        found, n_known = self._remembered(distinct)
        fresh = np.flatnonzero(n_known < 64)
        if len(fresh):
            found[fresh] = flips.upper(distinct[fresh], found[fresh], n_known[fresh] // 8)
            self._remember(distinct[fresh], found[fresh])
        return found if len(found) == len(upper) else found[np.cumsum(is_first) - 1]

    def _remembered(self, distinct: Words) -> tuple[Words, NDArray[np.int64]]:
        """Return the flips of what is known, and how many bits of flips that is for each prefix."""
        known, flips = self._known
        if not len(known):
            return np.zeros_like(distinct), np.zeros(len(distinct), np.int64)
        place = np.searchsorted(known, distinct)
        left, right = np.maximum(place - 1, 0), np.minimum(place, len(known) - 1)
        nearest = np.where(distinct ^ known[left] < distinct ^ known[right], left, right)
        # The first bit that differs is still flipped alike: its flip depends on the bits before it.
        n_known = np.minimum(_leading_zeros(distinct ^ known[nearest]) + 1, 64) // 8 * 8
        keep = ~np.uint64(0) << (np.uint64(64) - n_known.astype(np.uint64))
        return flips[nearest] & keep, n_known

    def _remember(self, prefixes: Words, flips: Words) -> None:
        known, before = self._known
        if len(prefixes) > _REMEMBERED:
            return
        if len(prefixes) + len(known) > _REMEMBERED:
            known, before = _nothing()
        joined = np.concatenate([known, prefixes])
        order = np.argsort(joined)
        self._known = joined[order], np.concatenate([before, flips])[order]


class _Flips:
    """The flips of bytes and bits of addresses that are sorted."""

    def __init__(self, key: bytes, n: int) -> None:
        size = min(n, _CHUNK)
        # ECB is right here: the draft asks for the bare block cipher, one block a prefix.
        self._halves: list[Any] = [
            Cipher(algorithms.AES(half), modes.ECB()).encryptor()  # noqa: S305
            for half in (key[:16], key[16:])
        ]
        self._texts = np.zeros((8, size, 4), np.uint64)
        self._blocks = np.empty(8 * size, _BLOCK)
        self._made = np.empty(8 * size * 16 + 15, np.uint8)

    def upper(self, high: Words, known: Words, first: NDArray[np.int64]) -> Words:
        """Return the flips of the upper 64 bits, of which each row's `first` bytes are known."""
        flips = _bytes_of(known)
        for begin in range(0, len(high), _CHUNK):
            chunk = slice(begin, begin + _CHUNK)
            self._write(high[chunk], None)
            changed = high[chunk][1:] ^ high[chunk][:-1]
            for byte in range(8):
                is_open = first[chunk] <= byte
                differs = is_open.copy()
                differs[1:] &= changed >= _ONE << np.uint64(57 - 8 * byte)
                np.copyto(flips[chunk, byte], self._of_byte(byte, differs), where=is_open)
        return _words_of(flips)

    def lower(self, high: Words, low: Words, first: int = 8) -> Words:
        """Return the flips of the lower 64 bits from byte `first` of the address on."""
        flips = np.zeros((len(low), 8), np.uint8)
        for begin in range(0, len(high), _CHUNK):
            chunk = slice(begin, begin + _CHUNK)
            self._write(high[chunk], low[chunk])
            is_other = high[chunk][1:] != high[chunk][:-1]
            changed = low[chunk][1:] ^ low[chunk][:-1]
            differs = np.ones(len(changed) + 1, bool)
            for byte in range(first, 16):
                np.logical_or(is_other, changed >= _ONE << np.uint64(121 - 8 * byte), out=differs[1:])
                flips[chunk, byte - 8] = self._of_byte(byte, differs)
        return _words_of(flips)

    def _write(self, high: Words, low: Words | None) -> None:
        """Write addresses as bits behind a 1 and zeros, eight times, each a bit further to the left than before.

        Every padded prefix is then 16 bytes in a row of one of the eight: of text r those that end with r bits of a
        byte.
        """
        shifted = high >> _SHIFTS | _ONE << np.uint64(64) - _SHIFTS
        self._texts[:, : len(high), 2] = shifted.byteswap(inplace=True)
        if low is not None:
            shifted = high << np.uint64(64) - _SHIFTS | low >> _SHIFTS
            self._texts[:, : len(high), 3] = shifted.byteswap(inplace=True)

    def _of_byte(self, byte: int, differs: NDArray[np.bool_]) -> Bytes:
        """Return the flips of one byte of all addresses; a row that does not differ has those of the one above."""
        n, n_own = len(differs), int(np.count_nonzero(differs))
        strides = (self._texts.strides[0], self._texts.strides[1])
        prefixes: NDArray[Any] = np.ndarray((8, n), _BLOCK, self._texts.data, byte + 1, strides)
        if 2 * n_own > n:
            return self._packed(prefixes)
        if not n_own:
            return np.zeros(n, np.uint8)
        found: Bytes = self._packed(prefixes[:, np.flatnonzero(differs)])[np.maximum(np.cumsum(differs) - 1, 0)]
        return found

    def _packed(self, prefixes: NDArray[Any]) -> Bytes:
        """Return the flips that eight prefixes of each address make, the shortest first, as one byte."""
        n = prefixes.shape[1]
        blocks = self._blocks[: 8 * n]
        blocks.reshape(8, n)[...] = prefixes
        flips = self._last_bytes(blocks.view(np.uint8)).reshape(8, n)
        flips &= 1
        np.left_shift(flips, _PLACES, out=flips)
        found: Bytes = np.bitwise_or.reduce(flips, axis=0)
        return found

    def of_bit(self, high: Words, low: Words, length: int) -> Words:
        """Return the flips of the bit behind `length` others."""
        blocks = np.column_stack(_prefix(high, low, length)).byteswap()
        found: Words = (self._last_bytes(blocks.reshape(-1).view(np.uint8)) & 1).astype(np.uint64)
        return found

    def _last_bytes(self, blocks: Bytes) -> Bytes:
        """Return the last bytes of both ciphers on each block, XORed."""
        one, other = self._halves
        size = len(blocks)
        one.update_into(blocks, self._made)
        last = self._made[15:size:16].copy()
        other.update_into(blocks, self._made)
        last ^= self._made[15:size:16]
        return last


def _bytes_of(words: Words) -> Bytes:
    return words.astype(">u8").view(np.uint8).reshape(-1, 8)


def _words_of(flips: Bytes) -> Words:
    return flips.view(">u8").reshape(-1).astype(np.uint64)


def _nothing() -> tuple[Words, Words]:
    return np.zeros(0, np.uint64), np.zeros(0, np.uint64)


def _prefix(high: Words, low: Words, length: int) -> tuple[Words, Words]:
    """Return the first `length` bits of addresses, right-aligned in 128, with a 1 before them, in two halves."""
    if length < 64:
        return np.zeros_like(high), high >> np.uint64(64 - length) | _ONE << np.uint64(length)
    shift = np.uint64(length - 64)
    return high >> (np.uint64(64) - shift) | _ONE << shift, high << shift | low >> (np.uint64(64) - shift)


def _leading_zeros(numbers: Words) -> NDArray[np.int64]:
    """Return the zero bits before the first one of each; 64 for 0."""
    zeros = np.full(len(numbers), 64, np.int64)
    rest = numbers.copy()
    for step in (32, 16, 8, 4, 2, 1):
        is_large = rest >= _ONE << np.uint64(step)
        zeros -= np.where(is_large, step, 0)
        rest = np.where(is_large, rest >> np.uint64(step), rest)
    return zeros - (numbers > 0)
