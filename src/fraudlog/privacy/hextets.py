"""IPv6 addresses as text, many at once: the common spellings over all their bytes, the rest by the C library.

Read here: eight groups of one to four hex digits, or fewer around one ``::`` between two of them. Written here: what
has no two zero groups side by side, so nothing to shorten. All else (``::1``, ``fe80::``, ``::ffff:192.0.2.1``, zones,
what is no address) goes to `inet_pton` and `inet_ntop`, one by one, and both ways agree with these on every text.
Where numba is installed (extra ``fast``) compiled loops read and write, and all spellings but those that end in an IPv4
address.

References
----------
.. [1] RFC 4291 2.2 (spellings), RFC 5952 4 (the one to write).
"""

from __future__ import annotations

import socket
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.privacy.worth import is_worth_compiling

__all__ = ["format_hextets", "parse_hextets"]

U64 = npt.NDArray[np.uint64]
_CHUNK: Final = 4096
_COLON: Final = ord(":")
_GROUPS: Final = 8
_DIGITS: Final = 4
_BAD: Final = 255


def _hex_values() -> npt.NDArray[np.uint8]:
    values = np.full(256, _BAD, np.uint8)
    for digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
        values[np.frombuffer(digits, np.uint8)] = np.arange(16)
    return values


_VALUE: Final = _hex_values()
_HEX: Final = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)
"""The two digits of a byte, as they stand in memory."""


def parse_hextets(texts: pa.Array) -> tuple[npt.NDArray[np.bool_], U64, U64]:
    """Read addresses.

    Parameters
    ----------
    texts : Array of string or large_string, length n, without nulls

    Returns
    -------
    is_address, high, low : arrays of shape (n,)
        Whether each is an IPv6 address, and its two halves; 0 where it is none.

    Examples
    --------
    >>> parse_hextets(pa.array(["2001:db8::1", "1:2:3:4:5:6:7:8", "1::2::3"]))[0].tolist()
    [True, True, False]
    """
    n = len(texts)
    found, high, low = np.zeros(n, bool), np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    if is_worth_compiling(n):
        _read_compiled(texts.cast(pa.large_string()), found, high, low)
    else:
        for begin in range(0, n, _CHUNK):
            rows = slice(begin, begin + _CHUNK)
            found[rows], words = _read(texts.slice(begin, _CHUNK))
            high[rows], low[rows] = words[:, 0], words[:, 1]
    rest = np.flatnonzero(~found)
    for row, text in zip(rest.tolist(), texts.take(pa.array(rest)).to_pylist(), strict=True):
        packed = _try_inet6(text)
        if packed is not None:
            found[row], high[row], low[row] = True, *np.frombuffer(packed, ">u8")
    return found, high, low


def _read_compiled(texts: pa.Array, found: npt.NDArray[np.bool_], high: U64, low: U64) -> None:
    from fraudlog.privacy import compiled  # noqa: PLC0415 -- Numba takes half a second

    _, offsets, data = texts.buffers()
    of_rows = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    compiled.read_hextets(np.frombuffer(data or b"", np.uint8), of_rows, found, high, low)


def _read(texts: pa.Array) -> tuple[npt.NDArray[np.bool_], U64]:
    """Read the common spellings: which are such, and both halves of each."""
    n = len(texts)
    # One text with a colon behind each address: then every group ends with one.
    joined = pc.binary_join(pa.ListArray.from_arrays([0, n], texts.cast(pa.string())), ":")[0].as_buffer()
    data = np.empty(joined.size + _DIGITS + 1, np.uint8)
    data[:_DIGITS], data[-1] = 0, _COLON  # zeros before, so that four digits can be asked for anywhere
    data[_DIGITS:-1] = np.frombuffer(joined, np.uint8)
    ends = np.flatnonzero(data == _COLON).astype(np.int32)
    of_row = (np.cumsum(pc.binary_length(texts).to_numpy() + 1) + _DIGITS - 1).astype(np.int32)
    behind = np.searchsorted(ends, of_row).astype(np.int32) + 1
    first = np.concatenate([np.zeros(1, np.int32), behind[:-1]])
    values, lengths, is_bad = _groups(_VALUE[data], ends)
    is_empty = lengths == 0
    n_empty = np.add.reduceat(is_empty, first, dtype=np.int32)
    counts = behind - first
    is_well = ~(np.logical_or.reduceat(is_bad, first) | is_empty[first] | is_empty[behind - 1])
    is_full = is_well & (counts == _GROUPS) & (n_empty == 0)
    is_short = is_well & (counts <= _GROUPS) & (n_empty == 1)
    out = np.zeros((n, _GROUPS), ">u2")
    out[is_full] = values[np.repeat(is_full, counts)].reshape(-1, _GROUPS)
    if is_short.any():
        chosen = np.repeat(is_short, counts)
        out[is_short] = _stretched(values[chosen], is_empty[chosen], counts[is_short])
    return is_full | is_short, out.view(">u8").astype(np.uint64)


def _groups(
    digits: npt.NDArray[np.uint8], ends: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return value and length of the group before each end, and whether it is none of hex digits."""
    lengths = np.diff(ends, prepend=np.int32(_DIGITS - 1)) - 1
    values = np.zeros(len(ends), np.uint16)
    is_bad = lengths > _DIGITS
    for place in range(_DIGITS):
        found = digits[ends - (1 + place)]
        found *= lengths > place
        is_bad |= found == _BAD
        values |= found.astype(np.uint16) << np.uint16(4 * place)
    return values, lengths, is_bad


def _stretched(
    values: npt.NDArray[np.uint16], is_empty: npt.NDArray[np.bool_], counts: npt.NDArray[np.int32]
) -> npt.NDArray[np.uint16]:
    """Put the groups of shortened addresses in their places: those behind the empty one at the end."""
    rows = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    is_behind = np.cumsum(is_empty) > rows  # each has one, so that of the row itself was seen
    places = np.arange(len(values)) - first[rows] + np.where(is_behind, _GROUPS - counts[rows], 0)
    out = np.zeros((len(counts), _GROUPS), np.uint16)
    out[rows, places] = values
    return out


def _try_inet6(text: str) -> bytes | None:
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None


def format_hextets(high: U64, low: U64) -> pa.Array:
    """Write addresses.

    Examples
    --------
    >>> halves = parse_hextets(pa.array(["2001:DB8:0:1:0:1:0:1", "2001:db8:0:0::1"]))[1:]
    >>> format_hextets(*halves).to_pylist()
    ['2001:db8:0:1:0:1:0:1', '2001:db8::1']
    """
    texts, is_left = _write_compiled(high, low) if is_worth_compiling(len(high)) else _write_numpy(high, low)
    if not is_left.any():
        return texts
    few = np.column_stack([high[is_left], low[is_left]]).astype(">u8").tobytes()
    others = [socket.inet_ntop(socket.AF_INET6, few[at : at + 16]) for at in range(0, len(few), 16)]
    return pc.replace_with_mask(texts, pa.array(is_left), pa.array(others, pa.string()))


def _write_compiled(high: U64, low: U64) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    from fraudlog.privacy import compiled  # noqa: PLC0415 -- as above

    n = len(high)
    data, offsets = np.empty(n * compiled.LONGEST, np.uint8), np.zeros(n + 1, np.int32)
    is_left = np.empty(n, bool)
    size = compiled.write_hextets(high, low, data, offsets, is_left)
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(data[:size].copy())), is_left


def _write_numpy(high: U64, low: U64) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    packed = np.column_stack([high, low]).astype(">u8")
    groups = packed.view(">u2").astype(np.uint16)
    is_zero = groups == 0
    parts = [_write(packed[at : at + _CHUNK], groups[at : at + _CHUNK]) for at in range(0, len(high), _CHUNK)]
    texts = pa.concat_arrays(parts) if parts else pa.array([], pa.string())
    return texts, (is_zero[:, 1:] & is_zero[:, :-1]).any(axis=1)


def _write(packed: npt.NDArray[np.uint64], groups: npt.NDArray[np.uint16]) -> pa.Array:
    """Write all eight groups, without the zeros before them."""
    n = len(groups)
    texts = np.empty((n, _GROUPS, _DIGITS + 1), np.uint8)
    texts[:, :, :_DIGITS] = _HEX[packed.view(np.uint8)].view(np.uint8).reshape(n, _GROUPS, _DIGITS)
    texts[:, :, _DIGITS] = _COLON
    kept = np.ones(texts.shape, bool)
    for place in range(_DIGITS - 1):
        np.greater_equal(groups, 16 ** (_DIGITS - 1 - place), out=kept[:, :, place])
    kept[:, -1, -1] = False
    offsets = np.zeros(n + 1, np.int32)
    np.cumsum(np.count_nonzero(kept.reshape(n, -1), axis=1), out=offsets[1:])
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(texts[kept]))
