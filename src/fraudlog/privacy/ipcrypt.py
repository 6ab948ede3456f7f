"""ipcrypt-pfx over arrays: addresses that share a prefix of n bits share one of n bits afterwards, and none longer.

Bit n of an address is flipped by the XOR of the last bits of AES under both halves of the key on the n bits before it,
padded as the draft says [1]_. That is 128 pairs of blocks for an IPv6 address, 4 kB, so the work is to need fewer of
them and to make them cheaply:

- addresses are sorted: those that share a prefix share its blocks;
- the upper 64 bits, in which the networks of a log hardly differ, are worked out once for each distinct /64, and
  remembered from batch to batch: a new /64 begins behind the bits it shares with the nearest known one;
- the blocks are written and read in compiled loops where numba is installed (`flips`).

References
----------
.. [1] F. Denis, "Methods for IP Address Encryption and Obfuscation", draft-denis-ipcrypt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.errors import ConfigError
from fraudlog.privacy.addresses import Addresses
from fraudlog.privacy.flips import Flips, flips_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.privacy.flips import CompiledFlips

    Words = NDArray[np.uint64]

__all__ = ["PrefixCipher"]

_CHUNK: Final = 2048
_REMEMBERED: Final = 1 << 16
"""Most /64 prefixes to remember: 1 MB."""

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
        flips = flips_of(self._key, len(addresses))
        four, six = np.flatnonzero(addresses.version == 4), np.flatnonzero(addresses.version == 6)
        four = four[np.argsort(low[four], kind="stable")]
        numbers = low[four]
        zeros = np.zeros_like(numbers)
        low[four] ^= flips.lower(zeros, numbers | _MAPPED, first=32) & _FOUR
        if len(six) == len(high):
            order, upper, lower = flips.in_order(high, low)
        else:
            order, upper, lower = flips.in_order(high[six], low[six])
            order = six[order]
        high[order] = upper ^ self._of_networks(upper, flips)
        low[order] = lower ^ flips.lower(upper, lower)
        return Addresses(addresses.version, high, low)

    def decrypt(self, addresses: Addresses) -> Addresses:
        """Undo `encrypt`: bit by bit, since each needs all those before it."""
        high, low = addresses.high.copy(), addresses.low.copy()
        flips = Flips(self._key, len(addresses))
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

    def _of_networks(self, upper: Words, flips: Flips | CompiledFlips) -> Words:
        """Return the flips of sorted /64 prefixes; those that are new are remembered."""
        is_first = np.ones(len(upper), bool)
        is_first[1:] = upper[1:] != upper[:-1]
        distinct = upper[is_first]
        found, n_known = self._remembered(distinct)
        fresh = np.flatnonzero(n_known < 64)
        if len(fresh):
            found[fresh] = flips.upper(distinct[fresh], found[fresh], n_known[fresh])
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
        n_known = np.minimum(_leading_zeros(distinct ^ known[nearest]) + 1, 64)
        keep = ~(~np.uint64(0) >> _ONE >> (n_known - 1).astype(np.uint64))
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


def _nothing() -> tuple[Words, Words]:
    return np.zeros(0, np.uint64), np.zeros(0, np.uint64)


def _leading_zeros(numbers: Words) -> NDArray[np.int64]:
    """Return the zero bits before the first one of each; 64 for 0."""
    zeros = np.full(len(numbers), 64, np.int64)
    rest = numbers.copy()
    for step in (32, 16, 8, 4, 2, 1):
        is_large = rest >= _ONE << np.uint64(step)
        zeros -= np.where(is_large, step, 0)
        rest = np.where(is_large, rest >> np.uint64(step), rest)
    return zeros - (numbers > 0)
