"""Which bits of sorted addresses are flipped: the work of ipcrypt-pfx.

The flip of a bit is the XOR of the last bits of AES under two keys on the bits before it, padded. Two ways to make and
read the blocks, the same bits: compiled loops (extra ``fast``), which leave out every block that the address above has
too; and NumPy, byte by byte: every padded prefix is 16 bytes in a row of the address, shifted by 0 to 7 bits, behind a
1 and zeros, so that blocks are copied out of eight such texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fraudlog.privacy.worth import is_worth_compiling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Bytes = NDArray[np.uint8]

__all__ = ["CompiledFlips", "Flips", "flips_of"]

_CHUNK: Final = 2048
"""Addresses at a time: their blocks and what AES makes of them stay in a core's second cache."""

_N_BLOCKS: Final = 1 << 14
"""Blocks at a time in compiled loops: three buffers of 256 kB."""

_BLOCK: Final = np.dtype("V16")
_PLACES: Final = np.arange(7, -1, -1, dtype=np.uint8)[:, None]
_SHIFTS: Final = np.arange(8, 0, -1, dtype=np.uint64)[:, None]
_ONE: Final = np.uint64(1)


def flips_of(key: bytes, n: int) -> Flips | CompiledFlips:
    """Return the way that suits `n` addresses."""
    return CompiledFlips(key) if is_worth_compiling(n) else Flips(key, n)


def _ciphers(key: bytes) -> list[Any]:
    """Return AES under both halves of a key.

    ECB is right here: the draft asks for the bare block cipher, one block a prefix.
    """
    return [Cipher(algorithms.AES(half), modes.ECB()).encryptor() for half in (key[:16], key[16:])]  # noqa: S305


class CompiledFlips:
    """The flips of addresses that are sorted, in compiled loops.

    Parameters
    ----------
    key : bytes of length 32
    """

    def __init__(self, key: bytes) -> None:
        self._halves = _ciphers(key)
        self._blocks = np.empty(2 * _N_BLOCKS, np.uint64)
        self._made = np.empty((2, 16 * _N_BLOCKS + 15), np.uint8)

    def in_order(self, high: Words, low: Words) -> tuple[NDArray[np.int64], Words, Words]:
        """Return the order of 128 bits each, and the halves so."""
        from fraudlog.privacy import compiled  # noqa: PLC0415 -- Numba takes half a second

        order = np.argsort(high)
        high, low = high[order], low[order]
        compiled.sort_runs(high, low, order)
        return order, high, low

    def upper(self, high: Words, known: Words, n_known: NDArray[np.int64]) -> Words:
        """Return the flips of the upper 64 bits, of which each row's first `n_known` are known."""
        return self._of_words(high, high, known.copy(), n_known.astype(np.uint8), 0)

    def lower(self, high: Words, low: Words, first: int = 0) -> Words:
        """Return the flips of the lower 64 bits from bit `first` of them on."""
        known = np.full(len(low), first, np.uint8)
        return self._of_words(high, low, np.zeros(len(low), np.uint64), known, 1)

    def _of_words(self, above: Words, words: Words, flips: Words, known: Bytes, half: int) -> Words:
        from fraudlog.privacy import compiled  # noqa: PLC0415 -- as above

        begins = np.empty(len(words), np.uint8)
        blocks, (one, other) = self._blocks.view(np.uint8), self._made
        row = 0
        while row < len(words):
            stop, n_blocks = compiled.write_blocks(above, words, half, known, row, begins, self._blocks)
            for cipher, made in zip(self._halves, self._made, strict=True):
                cipher.update_into(blocks[: 16 * n_blocks], made)
            compiled.gather_flips(one, other, known, begins, row, stop, flips)
            row = stop
        return flips


class Flips:
    """The flips of addresses that are sorted, with NumPy; of single bits too.

    Parameters
    ----------
    key : bytes of length 32
    n : int
        Most addresses at a time.
    """

    def __init__(self, key: bytes, n: int) -> None:
        size = min(n, _CHUNK)
        self._halves = _ciphers(key)
        self._texts = np.zeros((8, size, 4), np.uint64)
        self._blocks = np.empty(8 * size, _BLOCK)
        self._made = np.empty(8 * size * 16 + 15, np.uint8)

    def in_order(self, high: Words, low: Words) -> tuple[NDArray[np.int64], Words, Words]:
        """Return the order of 128 bits each, and the halves so."""
        order = np.argsort(high)
        upper = high[order]
        if (upper[1:] == upper[:-1]).any():
            order = np.lexsort((low, high))
        return order, high[order], low[order]

    def upper(self, high: Words, known: Words, n_known: NDArray[np.int64]) -> Words:
        """Return the flips of the upper 64 bits, of which each row's first `n_known` are known."""
        flips, first = _bytes_of(known), n_known // 8
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

    def lower(self, high: Words, low: Words, first: int = 0) -> Words:
        """Return the flips of the lower 64 bits from bit `first` of them on, a multiple of 8."""
        flips = np.zeros((len(low), 8), np.uint8)
        for begin in range(0, len(high), _CHUNK):
            chunk = slice(begin, begin + _CHUNK)
            self._write(high[chunk], low[chunk])
            is_other = high[chunk][1:] != high[chunk][:-1]
            changed = low[chunk][1:] ^ low[chunk][:-1]
            differs = np.ones(len(changed) + 1, bool)
            for byte in range(8 + first // 8, 16):
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


def _prefix(high: Words, low: Words, length: int) -> tuple[Words, Words]:
    """Return the first `length` bits of addresses, right-aligned in 128, with a 1 before them, in two halves."""
    if length < 64:
        return np.zeros_like(high), high >> np.uint64(64 - length) | _ONE << np.uint64(length)
    shift = np.uint64(length - 64)
    return high >> (np.uint64(64) - shift) | _ONE << shift, high << shift | low >> (np.uint64(64) - shift)
