"""Bytes found and compared in compiled code: what the kernels of reading stand on.

Words of eight bytes are searched with the bit tricks of Mycroft (1987): ``(w - 0x01..) & ~w & 0x80..`` has a bit where
a byte of ``w`` is zero. Nothing here looks at bounds: a buffer has `PAD` readable bytes behind it, and every search
stops at a line's end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "MODES",
    "PAD",
    "Bytes",
    "blank_end",
    "byte_at",
    "compiled",
    "find_stop",
    "gather",
    "is_literal_at",
    "is_plain",
    "is_same",
    "is_token",
    "load",
    "seek_byte",
    "value_end",
    "word_at",
]

PAD: Final = 64
"""Bytes that must be readable behind a buffer."""

MODES: Final = {"bare": 0, "quoted": 1, "bracketed": 2, "last": 3, "free": 4}
"""How a value ends: at a byte, an unescaped quote, a bracket, white space, or a byte with no backslash before it."""

_ONES: Final = np.uint64(0x0101010101010101)
_TOPS: Final = np.uint64(0x8080808080808080)
_QUOTES: Final = np.uint64(0x2222222222222222)
_SLASHES: Final = np.uint64(0x5C5C5C5C5C5C5C5C)
_LINES: Final = np.uint64(0x0A0A0A0A0A0A0A0A)
_LOW: Final = np.uint64(0x2020202020202020)
_WORD_BITS: Final = 64


def _load(bits: int) -> Any:  # noqa: ANN401 -- Numba has no types
    """Make a function that loads 8 or 64 bits at any position, without alignment, bounds or a negative index."""

    def typed(_: Any, array: Any, index: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401, ARG001 -- as above
        return (types.uint64 if bits == _WORD_BITS else types.int64)(array, types.int64), build

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 -- as above
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(bits).as_pointer())
        value = builder.load(pointer)
        value.align = 1
        return value if bits == _WORD_BITS else builder.zext(value, ir.IntType(_WORD_BITS))

    return intrinsic(typed)


Bytes: TypeAlias = "NDArray[np.uint8]"
word_at: Callable[[Bytes, int], np.uint64] = _load(64)
byte_at: Callable[[Bytes, int], int] = _load(8)
_F = TypeVar("_F", bound="Callable[..., Any]")
compiled = cast("Callable[[_F], _F]", numba.njit(nogil=True, cache=True, inline="never", error_model="numpy"))
_zeros = cast("Callable[[np.uint64], int]", trailing_zeros)


def load(buffer: Bytes, parts: Sequence[bytes | memoryview], size: int) -> Bytes:
    """Copy the parts of a block into `buffer`, or a larger one, with an end to the last line and room behind."""
    if buffer.size < size + PAD:
        buffer = np.zeros(size + size // 8 + PAD, np.uint8)
    at = 0
    for part in parts:
        buffer[at : at + len(part)] = np.frombuffer(part, np.uint8)
        at += len(part)
    buffer[size - 1] = 10
    buffer[size : size + PAD] = 0
    return buffer


@compiled
def _trailing(word: np.uint64) -> int:
    """Return the position of the lowest byte with its top bit set."""
    return np.int64(_zeros(word)) >> 3


@compiled
def find_stop(buffer: Bytes, position: int, stop: int) -> int:
    """Return where `stop` or the line's end or a quote comes next."""
    wanted = np.uint64(stop) * _ONES
    while True:
        word = word_at(buffer, position)
        a, b, c = word ^ wanted, word ^ _LINES, word ^ _QUOTES
        hit = (((a - _ONES) & ~a) | ((b - _ONES) & ~b) | ((c - _ONES) & ~c)) & _TOPS
        if hit:
            return position + _trailing(hit)
        position += 8


@compiled
def seek_byte(buffer: Bytes, position: int, end: int, byte: int) -> int:
    """Return where `byte` comes next, or `end`."""
    wanted = np.uint64(byte) * _ONES
    while position < end:
        word = word_at(buffer, position) ^ wanted
        hit = (word - _ONES) & ~word & _TOPS
        if hit:
            return min(position + _trailing(hit), end)
        position += 8
    return end


@compiled
def _find_quote(buffer: Bytes, position: int) -> int:
    """Return where the closing quote or the line's end comes; a backslash keeps the byte behind it."""
    while True:
        word = word_at(buffer, position)
        a, b, c = word ^ _QUOTES, word ^ _LINES, word ^ _SLASHES
        hit = (((a - _ONES) & ~a) | ((b - _ONES) & ~b) | ((c - _ONES) & ~c)) & _TOPS
        if not hit:
            position += 8
            continue
        position += _trailing(hit)
        if byte_at(buffer, position) != 92:
            return position
        if byte_at(buffer, position + 1) == 10:
            return position + 1
        position += 2


@compiled
def _find_bracket(buffer: Bytes, position: int) -> int:
    """Return where a bracket, brace, quote or the line's end comes."""
    while True:
        byte = byte_at(buffer, position)
        if byte in (93, 91, 123, 125, 34, 10):
            return position
        position += 1


@compiled
def _find_space(buffer: Bytes, position: int) -> int:
    """Return where white space or a quote comes."""
    while True:
        byte = byte_at(buffer, position)
        if byte == 32 or 9 <= byte <= 13 or byte == 34:
            return position
        position += 1


@compiled
def blank_end(buffer: Bytes, position: int) -> int:
    """Return where something other than white space comes, or the line's end."""
    while True:
        byte = byte_at(buffer, position)
        if byte == 10 or (byte != 32 and (byte < 9 or byte > 13)):
            return position
        position += 1


@compiled
def value_end(buffer: Bytes, start: int, mode: int, stop: int) -> int:
    """Return where a value ends, in one of `MODES`."""
    if mode == 1:
        return _find_quote(buffer, start)
    if mode == 2:
        return _find_bracket(buffer, start)
    if mode == 3:
        return _find_space(buffer, start)
    return find_stop(buffer, start, stop)


@compiled
def is_plain(buffer: Bytes, start: int, end: int) -> bool:
    """Tell whether all bytes are printable ASCII and none is a backslash."""
    position = start
    while position + 8 <= end:
        word = word_at(buffer, position)
        slash = word ^ _SLASHES
        odd = (word | ((word - _LOW) & ~word) | ((slash - _ONES) & ~slash) | (word + _ONES)) & _TOPS
        if odd:
            return False
        position += 8
    while position < end:
        byte = byte_at(buffer, position)
        if byte < 32 or byte > 126 or byte == 92:
            return False
        position += 1
    return True


@compiled
def is_token(buffer: Bytes, start: int, end: int) -> bool:
    """Tell whether all bytes are letters, digits, dots, underscores and hyphens, not hyphens alone."""
    is_more = False
    for position in range(start, end):
        byte = byte_at(buffer, position)
        is_sign = byte in (46, 95) or 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122
        if not is_sign and byte != 45:
            return False
        is_more |= is_sign
    return is_more


@compiled
def is_same(buffer: Bytes, start: int, arena: Bytes, at: int, length: int) -> bool:
    """Compare bytes in words."""
    done = 0
    while done + 8 <= length:
        if word_at(buffer, start + done) != word_at(arena, at + done):
            return False
        done += 8
    if done == length:
        return True
    keep = (np.uint64(1) << np.uint64(8 * (length - done))) - np.uint64(1)
    return ((word_at(buffer, start + done) ^ word_at(arena, at + done)) & keep) == np.uint64(0)


@compiled
def is_literal_at(buffer: Bytes, position: int, literals: Bytes, at: int, length: int) -> bool:
    """Tell whether a literal stands at `position`."""
    for index in range(length):
        if byte_at(buffer, position + index) != byte_at(literals, at + index):
            return False
    return True


@compiled
def gather(
    buffer: Bytes,
    extra: Bytes,
    size: int,
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    offsets: NDArray[np.int32],
    data: Bytes,
) -> None:
    """Copy the bytes between `starts` and `ends`; positions from `size` on lie in `extra`. Returns nothing."""
    filled = 0
    for line in range(starts.size):
        offsets[line] = filled
        start, end = starts[line], ends[line]
        if start < 0:
            continue
        length = end - start
        if start >= size:
            for index in range(length):
                data[filled + index] = extra[start - size + index]
        else:
            for index in range(length):
                data[filled + index] = buffer[start + index]
        filled += length
    offsets[starts.size] = filled
