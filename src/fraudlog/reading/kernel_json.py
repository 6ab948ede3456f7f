"""One pass over a block of JSON lines in compiled code: each object checked, the wanted values numbered.

The kernel takes a subset of JSON that it checks whole: printable ASCII, keys without escapes, no key twice among those
that matter, at most `DEPTH` levels. A line outside it gets state 1 and goes to the careful path. Wanted values are the
leaves of a trie of names; each distinct value (with its quotes) is numbered once and read by the careful readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.reading.kernel_bytes import byte_at, compiled, seek_byte, word_at
from fraudlog.reading.kernel_strings import intern
from fraudlog.reading.kernel_trie import CAREFUL, DROP, child_of, enter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.reading.kernel_bytes import Bytes

__all__ = ["DEPTH", "read_objects"]

DEPTH: Final = 48
NULL: Final = -2
"""Code of a value that is null; -1 is absent."""

_LIMIT: Final = 64 << 10
_OBJECT: Final = 1
_LONGEST_NUMBER: Final = 40
_HITS: Final = 64
"""Most dropped values of a line; a line with more is read carefully."""


@compiled
def _string_end(buffer: Bytes, position: int, is_key: int) -> int:
    """Return where a string's closing quote stands; -1 if the careful path must look. Escapes are checked."""
    while True:
        byte = byte_at(buffer, position)
        if byte == 34:
            return position
        if byte < 32 or byte > 126:
            return -1
        if byte == 92:
            if is_key != 0:
                return -1
            escape = byte_at(buffer, position + 1)
            if escape == 117:
                for index in range(position + 2, position + 6):
                    digit = byte_at(buffer, index)
                    if not (48 <= digit <= 57 or 65 <= digit <= 70 or 97 <= digit <= 102):
                        return -1
                position += 4
            elif escape not in (34, 92, 47, 98, 102, 110, 114, 116):
                return -1
            position += 1
        position += 1


@compiled
def _digits(buffer: Bytes, position: int) -> int:
    while 48 <= byte_at(buffer, position) <= 57:
        position += 1
    return position


@compiled
def _number_end(buffer: Bytes, position: int) -> int:
    """Return the end of a number (RFC 8259, 6); -1 if it is none."""
    start = position
    if byte_at(buffer, position) == 45:
        position += 1
    first = position
    position = _digits(buffer, position)
    if position == first or (byte_at(buffer, first) == 48 and position > first + 1):
        return -1
    if byte_at(buffer, position) == 46:
        fraction = position + 1
        position = _digits(buffer, fraction)
        if position == fraction:
            return -1
    if byte_at(buffer, position) in (69, 101):
        position += 1
        if byte_at(buffer, position) in (43, 45):
            position += 1
        exponent = position
        position = _digits(buffer, position)
        if position == exponent:
            return -1
    return position if position - start <= _LONGEST_NUMBER else -1


@compiled
def _literal_end(buffer: Bytes, position: int) -> int:
    """Return the end of true, false or null; -1 if it is none."""
    word = word_at(buffer, position) & np.uint64(0xFFFFFFFF)
    if word in (np.uint64(0x65757274), np.uint64(0x6C6C756E)):
        return position + 4
    if word == np.uint64(0x736C6166) and byte_at(buffer, position + 4) == 101:
        return position + 5
    return -1


@compiled
def _skip(buffer: Bytes, position: int) -> int:
    """Return where something other than a blank comes."""
    while byte_at(buffer, position) in (32, 9, 13):
        position += 1
    return position


@compiled
def read_objects(
    buffer: Bytes,
    size: int,
    table: NDArray[np.int64],
    keys: Bytes,
    leaf: NDArray[np.int64],
    seen: NDArray[np.int64],
    counts: NDArray[np.int64],
    grown: NDArray[np.int64],
    seed: np.uint64,
    codes: NDArray[np.int32],
    bounds: NDArray[np.int64],
    state: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    ids: NDArray[np.int32],
    entries: NDArray[np.int64],
    arena: Bytes,
    recent: NDArray[np.int64],
    used: NDArray[np.int64],
    progress: NDArray[np.int64],
) -> bool:
    """Read the lines of a block from where `progress` stands; as `kernel.read_lines`.

    ``codes`` has a row for each wanted value: its number, -1 where it is absent, `NULL` where it is null. For
    ``table`` to ``grown`` see `Trie`.
    """
    line, position = progress[0], progress[1]
    nodes = np.zeros(DEPTH + 2, np.int64)
    kinds = np.zeros(DEPTH + 2, np.int64)
    hits = np.zeros(_HITS, np.int64)
    while position < size:
        start = position
        depth = -1
        node = np.int64(0)
        n_hits = 0
        expect = 1  # 0 key or end, 1 value, 2 comma or end, 3 key, 4 value or end
        ok = byte_at(buffer, position) != 0
        while ok:
            position = _skip(buffer, position)
            byte = byte_at(buffer, position)
            if expect in (0, 3):
                if byte == 125 and expect == 0:
                    position += 1
                    depth -= 1
                    expect = 2
                    if depth < 0:
                        break
                    continue
                end = _string_end(buffer, position + 1, 1) if byte == 34 else -1
                if end < 0:
                    ok = False
                    break
                node = np.int64(-1)
                if nodes[depth] >= 0:
                    node = child_of(buffer, position + 1, end, nodes[depth], table, keys)
                    if node < 0:
                        node = enter(buffer, position + 1, end, nodes[depth], -1 - node, table, keys, grown)
                    if seen[node] == line + 1:
                        ok = False
                        break
                    seen[node] = line + 1
                position = _skip(buffer, end + 1)
                if byte_at(buffer, position) != 58:
                    ok = False
                    break
                position += 1
                expect = 1
            elif expect == 2:
                is_object = kinds[depth] == _OBJECT
                if byte == 44:
                    expect = 3 if is_object else 1
                    node = np.int64(-1)
                elif byte == (125 if is_object else 93):
                    depth -= 1
                    if depth < 0:
                        position += 1
                        break
                else:
                    ok = False
                    break
                position += 1
            else:
                if byte == 93 and expect == 4:
                    position += 1
                    depth -= 1
                    expect = 2
                    continue
                if byte == 123 or (byte == 91 and depth >= 0):
                    if node >= 0 and leaf[node] == DROP:
                        if n_hits == _HITS:
                            ok = False
                            break
                        hits[n_hits] = node
                        n_hits += 1
                        node = np.int64(-1)
                    depth += 1
                    if depth >= DEPTH:
                        ok = False
                        break
                    nodes[depth], kinds[depth] = node, _OBJECT if byte == 123 else 2
                    position += 1
                    expect = 0
                    if byte == 91:
                        expect = 4
                        if node >= 0:  # the first item has the name 0
                            node = np.int64(child_of(_ZERO, 0, 1, nodes[depth], table, keys))
                            if node >= 0 and leaf[node] == DROP:
                                node = np.int64(-1)
                    continue
                if depth < 0:
                    ok = False
                    break
                if byte == 34:
                    end = _string_end(buffer, position + 1, 0) + 1
                elif byte == 45 or 48 <= byte <= 57:
                    end = _number_end(buffer, position)
                else:
                    end = _literal_end(buffer, position)
                if end <= 0:
                    ok = False
                    break
                if node >= 0 and leaf[node] != -1:
                    slot = leaf[node]
                    if slot == DROP:
                        is_missing = byte == 110 or (byte == 34 and end - position == 2)
                        if not is_missing and not (
                            byte == 34 and end - position == 3 and byte_at(buffer, position + 1) == 45
                        ):
                            if n_hits == _HITS:
                                ok = False
                                break
                            hits[n_hits] = node
                            n_hits += 1
                    elif slot == CAREFUL or codes[slot, line] != -1:
                        ok = False
                        break
                    elif byte == 110:
                        codes[slot, line] = NULL
                    else:
                        number = intern(buffer, position, end, slot, seed, hashes, ids, entries, arena, recent, used)
                        if number < 0:
                            codes[:, line] = -1
                            seen[:] = 0
                            progress[0], progress[1] = line, start
                            return False
                        codes[slot, line] = number
                position = end
                expect = 2
        if ok:
            position = _skip(buffer, position)
        if byte_at(buffer, position) != 10:
            ok = False
            position = seek_byte(buffer, start, size, 10)
        bounds[line, 0], bounds[line, 1] = start, position
        state[line] = 0 if ok and position - start <= _LIMIT else 1
        if state[line] == 0:
            for index in range(n_hits):
                counts[hits[index]] += 1
        position += 1
        line += 1
    progress[0], progress[1] = line, position
    return True


_ZERO: Final = np.frombuffer(b"0" + bytes(15), np.uint8).copy()
