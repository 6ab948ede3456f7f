"""One pass over a block of JSON lines in compiled code: each object checked, the wanted values numbered.

The kernel takes a subset of JSON that it checks whole: printable ASCII, keys without escapes, no key twice among those
that matter, at most `DEPTH` levels. A line outside it gets state 1 and goes to the careful path. Wanted values are the
leaves of a trie of names; each distinct value (with its quotes) is numbered once and read by the careful readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.reading.kernel import _byte, _intern, _jit, _same, _seek, _word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fraudlog.reading.kernel import Bytes

__all__ = ["BUCKETS", "CAREFUL", "DEPTH", "make_trie", "read_objects"]

BUCKETS: Final = 2048
DEPTH: Final = 48
CAREFUL: Final = -2
"""Leaf of a name that can only be read carefully."""
NULL: Final = -2
"""Code of a value that is null; -1 is absent."""

_LIMIT: Final = 64 << 10
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_KEY_MASK: Final = 0xFFFFFFFFFFFFFFFF
_OBJECT: Final = 1
_LONGEST_NUMBER: Final = 40


def make_trie(sources: Sequence[str], leaves: Sequence[int]) -> tuple[NDArray[np.int64], Bytes, NDArray[np.int64]]:
    """Build the table of names.

    Parameters
    ----------
    sources : sequence of str
        Dotted names; the whole name also counts as one key.
    leaves : sequence of int
        Number of each source's value, or `CAREFUL`.

    Returns
    -------
    table : int64 array of shape (BUCKETS, 4)
        Parent, position and length of a key, child; the child is -1 where a bucket is empty.
    keys : uint8 array
    leaf : int64 array of shape (n_nodes,)
        Number of the value at a node, or -1.
    """
    children: dict[tuple[int, bytes], int] = {}
    leaf = [-1]
    for source, number in zip(sources, leaves, strict=True):
        for path in {tuple(source.split(".")), (source,)}:
            node = 0
            for step in path:
                edge = (node, step.encode())
                if edge not in children:
                    children[edge] = len(leaf)
                    leaf.append(-1)
                node = children[edge]
            leaf[node] = number if leaf[node] == -1 else CAREFUL
    table = np.full((BUCKETS, 4), -1, np.int64)
    keys = b""
    for (node, key), child in children.items():
        place = _bucket(int.from_bytes(key[:8], "little"), len(key), node)
        while table[place, 3] >= 0:
            place = (place + 1) % BUCKETS
        table[place] = (node, len(keys), len(key), child)
        keys += key
    return table, np.frombuffer(keys + bytes(16), np.uint8).copy(), np.array(leaf, np.int64)


def _bucket(word: int, length: int, node: int) -> int:
    mixed = ((word ^ (length << 56) ^ (node * int(_MIX))) * int(_MIX)) & _KEY_MASK
    return (mixed >> 53) % BUCKETS


@_jit
def _child(buffer: Bytes, start: int, end: int, node: int, table: NDArray[np.int64], keys: Bytes) -> int:
    """Return the node under a key; -1 if there is none."""
    length = end - start
    word = _word(buffer, start)
    if length < 8:
        word &= (np.uint64(1) << np.uint64(8 * length)) - np.uint64(1)
    mixed = (word ^ (np.uint64(length) << np.uint64(56)) ^ (np.uint64(node) * _MIX)) * _MIX
    place = np.int64(mixed >> np.uint64(53)) % BUCKETS
    while table[place, 3] >= 0:
        if (
            table[place, 0] == node
            and table[place, 2] == length
            and _same(buffer, start, keys, table[place, 1], length)
        ):
            return table[place, 3]
        place = (place + 1) % BUCKETS
    return -1


@_jit
def _string_end(buffer: Bytes, position: int, is_key: int) -> int:
    """Return where a string's closing quote stands; -1 if the careful path must look. Escapes are checked."""
    while True:
        byte = _byte(buffer, position)
        if byte == 34:
            return position
        if byte < 32 or byte > 126:
            return -1
        if byte == 92:
            if is_key != 0:
                return -1
            escape = _byte(buffer, position + 1)
            if escape == 117:
                for index in range(position + 2, position + 6):
                    digit = _byte(buffer, index)
                    if not (48 <= digit <= 57 or 65 <= digit <= 70 or 97 <= digit <= 102):
                        return -1
                position += 4
            elif escape not in (34, 92, 47, 98, 102, 110, 114, 116):
                return -1
            position += 1
        position += 1


@_jit
def _digits(buffer: Bytes, position: int) -> int:
    while 48 <= _byte(buffer, position) <= 57:
        position += 1
    return position


@_jit
def _number_end(buffer: Bytes, position: int) -> int:
    """Return the end of a number (RFC 8259, 6); -1 if it is none."""
    start = position
    if _byte(buffer, position) == 45:
        position += 1
    first = position
    position = _digits(buffer, position)
    if position == first or (_byte(buffer, first) == 48 and position > first + 1):
        return -1
    if _byte(buffer, position) == 46:
        fraction = position + 1
        position = _digits(buffer, fraction)
        if position == fraction:
            return -1
    if _byte(buffer, position) in (69, 101):
        position += 1
        if _byte(buffer, position) in (43, 45):
            position += 1
        exponent = position
        position = _digits(buffer, position)
        if position == exponent:
            return -1
    return position if position - start <= _LONGEST_NUMBER else -1


@_jit
def _literal_end(buffer: Bytes, position: int) -> int:
    """Return the end of true, false or null; -1 if it is none."""
    word = _word(buffer, position) & np.uint64(0xFFFFFFFF)
    if word in (np.uint64(0x65757274), np.uint64(0x6C6C756E)):
        return position + 4
    if word == np.uint64(0x736C6166) and _byte(buffer, position + 4) == 101:
        return position + 5
    return -1


@_jit
def _skip(buffer: Bytes, position: int) -> int:
    """Return where something other than a blank comes."""
    while _byte(buffer, position) in (32, 9, 13):
        position += 1
    return position


@_jit
def read_objects(
    buffer: Bytes,
    size: int,
    table: NDArray[np.int64],
    keys: Bytes,
    leaf: NDArray[np.int64],
    seen: NDArray[np.int64],
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

    ``codes`` has a row for each wanted value: its number, -1 where it is absent, `NULL` where it is null. ``seen``
    notes the last line (counted from 1) in which a node of the trie was met.
    """
    line, position = progress[0], progress[1]
    nodes = np.zeros(DEPTH + 2, np.int64)
    kinds = np.zeros(DEPTH + 2, np.int64)
    while position < size:
        start = position
        depth = -1
        node = np.int64(0)
        expect = 1  # 0 key or end, 1 value, 2 comma or end, 3 key, 4 value or end
        ok = _byte(buffer, position) != 0
        while ok:
            position = _skip(buffer, position)
            byte = _byte(buffer, position)
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
                    node = _child(buffer, position + 1, end, nodes[depth], table, keys)
                    if node >= 0:
                        if seen[node] == line + 1:
                            ok = False
                            break
                        seen[node] = line + 1
                position = _skip(buffer, end + 1)
                if _byte(buffer, position) != 58:
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
                            node = np.int64(_child(_ZERO, 0, 1, nodes[depth], table, keys))
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
                    if slot == CAREFUL or codes[slot, line] != -1:
                        ok = False
                        break
                    if byte == 110:
                        codes[slot, line] = NULL
                    else:
                        number = _intern(buffer, position, end, slot, seed, hashes, ids, entries, arena, recent, used)
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
        if _byte(buffer, position) != 10:
            ok = False
            position = _seek(buffer, start, size, 10)
        bounds[line, 0], bounds[line, 1] = start, position
        state[line] = 0 if ok and position - start <= _LIMIT else 1
        position += 1
        line += 1
    progress[0], progress[1] = line, position
    return True


_ZERO: Final = np.frombuffer(b"0" + bytes(15), np.uint8).copy()
