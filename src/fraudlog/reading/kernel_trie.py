"""The names that a JSON log may hold, step by step, in arrays that compiled code looks them up in and adds to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.reading.dropped import MOST_NAMES
from fraudlog.reading.kernel_bytes import compiled, is_same, word_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fraudlog.reading.kernel_bytes import Bytes

__all__ = ["BUCKETS", "CAREFUL", "DROP", "OTHER_NODE", "Trie", "child_of", "enter", "make_trie"]

BUCKETS: Final = 2048
CAREFUL: Final = -2
"""Leaf of a name that can only be read carefully."""
DROP: Final = -3
"""Leaf of a name that no column takes; its values are counted."""
OTHER_NODE: Final = 1
"""Node of names that are too long or too many to keep."""

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_KEY_MASK: Final = 0xFFFFFFFFFFFFFFFF
_NAME_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Trie:
    """The table of names: those wanted, and those dropped, which the kernel enters as it meets them.

    Attributes
    ----------
    table : int64 array of shape (BUCKETS, 4)
        Parent, position and length of a key, child; the child is -1 where a bucket is empty.
    keys : uint8 array
    leaf : int64 array of shape (n_nodes,)
        Number of the value at a node, -1, `CAREFUL` or `DROP`.
    seen : int64 array of shape (n_nodes,)
        Last line (counted from 1) in which a node was met.
    counts : int64 array of shape (n_nodes,)
        Dropped values, by node.
    grown : int64 array
        Nodes, bytes of keys and dropped names so far.
    """

    table: NDArray[np.int64]
    keys: Bytes
    leaf: NDArray[np.int64]
    seen: NDArray[np.int64]
    counts: NDArray[np.int64]
    grown: NDArray[np.int64]

    def take_counts(self) -> list[tuple[str, int]]:
        """Return dotted name (empty for `OTHER_NODE`) and number of the values dropped since the last call."""
        nodes = np.flatnonzero(self.counts).tolist()
        edges = {row[3]: row for row in self.table[self.table[:, 3] >= 0].tolist()} if nodes else {}
        found = [(self._name(node, edges), int(self.counts[node])) for node in nodes]
        self.counts[:] = 0
        return found

    def _name(self, node: int, edges: dict[int, list[int]]) -> str:
        steps: list[str] = []
        while node in edges:
            parent, at, length, _ = edges[node]
            steps.insert(0, self.keys[at : at + length].tobytes().decode("ascii"))
            node = parent
        return ".".join(steps)


def make_trie(sources: Sequence[str], leaves: Sequence[int]) -> Trie:
    """Build the table of names.

    Parameters
    ----------
    sources : sequence of str
        Dotted names; the whole name also counts as one key.
    leaves : sequence of int
        Number of each source's value, or `CAREFUL`.
    """
    children: dict[tuple[int, bytes], int] = {}
    leaf = [-1, DROP]
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
    n_nodes, n_bytes = len(leaf), len(keys)
    room = n_nodes + MOST_NAMES
    return Trie(
        table,
        np.frombuffer(keys + bytes(MOST_NAMES * _NAME_BYTES + 16), np.uint8).copy(),
        np.array(leaf + [DROP] * MOST_NAMES, np.int64),
        np.zeros(room, np.int64),
        np.zeros(room, np.int64),
        np.array([n_nodes, n_bytes, 0], np.int64),
    )


def _bucket(word: int, length: int, node: int) -> int:
    mixed = ((word ^ (length << 56) ^ (node * int(_MIX))) * int(_MIX)) & _KEY_MASK
    return (mixed >> 53) % BUCKETS


@compiled
def child_of(buffer: Bytes, start: int, end: int, node: int, table: NDArray[np.int64], keys: Bytes) -> int:
    """Return the node under a key; below 0, -1 less the empty bucket, if there is none."""
    length = end - start
    word = word_at(buffer, start)
    if length < 8:
        word &= (np.uint64(1) << np.uint64(8 * length)) - np.uint64(1)
    mixed = (word ^ (np.uint64(length) << np.uint64(56)) ^ (np.uint64(node) * _MIX)) * _MIX
    place = np.int64(mixed >> np.uint64(53)) % BUCKETS
    while table[place, 3] >= 0:
        if (
            table[place, 0] == node
            and table[place, 2] == length
            and is_same(buffer, start, keys, table[place, 1], length)
        ):
            return table[place, 3]
        place = (place + 1) % BUCKETS
    return -1 - place


@compiled
def enter(
    buffer: Bytes,
    start: int,
    end: int,
    node: int,
    place: int,
    table: NDArray[np.int64],
    keys: Bytes,
    grown: NDArray[np.int64],
) -> int:
    """Enter a name that no column takes at an empty bucket; return its node."""
    length = end - start
    if length > _NAME_BYTES or grown[2] >= MOST_NAMES:
        return OTHER_NODE
    made, at = grown[0], grown[1]
    for index in range(length):
        keys[at + index] = buffer[start + index]
    table[place, 0], table[place, 1], table[place, 2], table[place, 3] = node, at, length, made
    grown[0] += 1
    grown[1] += length
    grown[2] += 1
    return made
