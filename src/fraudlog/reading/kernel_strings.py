"""The table of strings in compiled code: each distinct string of a column is numbered once.

It is keyed by a random seed, so that a client can't choose strings that collide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.reading.kernel_bytes import compiled, is_same, word_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.reading.kernel_bytes import Bytes

__all__ = ["intern", "rehash"]

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(29)


@compiled
def intern(
    buffer: Bytes,
    start: int,
    end: int,
    slot: int,
    seed: np.uint64,
    hashes: NDArray[np.uint64],
    ids: NDArray[np.int32],
    entries: NDArray[np.int64],
    arena: Bytes,
    recent: NDArray[np.int64],
    used: NDArray[np.int64],
) -> int:
    """Return the number of a string, entering it if it is new; -1 if there is no room.

    ``entries`` has a row (position, length, slot) for each string, ``used`` their number and the bytes of the arena,
    ``recent`` the one that each slot saw last.
    """
    length = end - start
    found = recent[slot]
    if (
        entries[found, 2] == slot
        and entries[found, 1] == length
        and is_same(buffer, start, arena, entries[found, 0], length)
    ):
        return found
    key = seed ^ (np.uint64(slot + 1) * _MIX) ^ np.uint64(length)
    done = 0
    while done + 8 <= length:
        key = (key ^ word_at(buffer, start + done)) * _MIX
        key ^= key >> _SHIFT
        done += 8
    if done < length:
        keep = (np.uint64(1) << np.uint64(8 * (length - done))) - np.uint64(1)
        key = (key ^ (word_at(buffer, start + done) & keep)) * _MIX
    key ^= key >> np.uint64(32)
    key = key * seed
    key ^= key >> _SHIFT
    mask = np.uint64(ids.size - 1)
    place = key & mask
    while True:
        found = ids[place]
        if found < 0:
            break
        is_like = hashes[place] == key and entries[found, 2] == slot and entries[found, 1] == length
        if is_like and is_same(buffer, start, arena, entries[found, 0], length):
            recent[slot] = found
            return found
        place = (place + np.uint64(1)) & mask
    number = used[0]
    if number * 2 >= ids.size or used[1] + length + 64 > arena.size:
        return -1
    for position in range(length):
        arena[used[1] + position] = buffer[start + position]
    entries[number, 0], entries[number, 1], entries[number, 2] = used[1], length, slot
    hashes[place], ids[place] = key, number
    recent[slot] = number
    used[0] += 1
    used[1] += length
    return number


@compiled
def rehash(
    old_hashes: NDArray[np.uint64], old_ids: NDArray[np.int32], hashes: NDArray[np.uint64], ids: NDArray[np.int32]
) -> None:
    """Enter the numbers of a table into a larger one."""
    mask = np.uint64(ids.size - 1)
    for index in range(old_ids.size):
        if old_ids[index] >= 0:
            place = old_hashes[index] & mask
            while ids[place] >= 0:
                place = (place + np.uint64(1)) & mask
            hashes[place], ids[place] = old_hashes[index], old_ids[index]
