"""Windows over other sessions as compiled loops over one array, to the results of `fraudlog.sessions.window_live`.

Every key of a window and every value of a key is a node of nine words, found by one table of hashes; the values of a
key hang together in the order they were last seen, the keys of a window in the order they were last touched. So each
event takes constant work, and what nobody touched for longer than the window is dropped from the front, a few nodes an
event.
"""

# Plain loops over arrays, as in live_fast_blocks.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from fraudlog.sessions.windows import BUCKET_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HEAD_WORDS", "WATCH_WORDS", "count", "distinct", "drop", "grown", "key_node", "pool_of", "put_last"]

_compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")

HEAD_WORDS = 16
"""Words before those of the windows: those named from `TABLE` on."""

WATCH_WORDS = 4
"""Words of each window: key touched longest ago, key touched last, number of keys, most keys."""

TABLE, ROOM, FREE, USED, SEED, HELD, WINDOWS = range(7)
WINDOW, KEY, VALUE, NUMBER, FIRST, LAST, OLDER, NEWER, TOUCHED, NODE_WORDS = range(10)
"""Words of a node. Of a key, NUMBER counts and FIRST and LAST are its values; of a value, NUMBER is its time or weight.
OLDER and NEWER are a node's neighbours."""

_OF_KEY = -(1 << 63)
_MIX = 0x1E3779B97F4A7C15
_SLACK_US = 3_600_000_000
_DROPPED_AT_ONCE = 3


def pool_of(n_windows: int, most: int, room: int, seed: int) -> NDArray[np.int64]:
    """Return an empty pool for so many nodes; `most` keys of a window are kept."""
    table = 1 << (2 * room - 1).bit_length()
    pool = np.zeros(HEAD_WORDS + WATCH_WORDS * n_windows + table + NODE_WORDS * (room + 1), np.int64)
    pool[TABLE], pool[ROOM], pool[SEED], pool[WINDOWS] = table, room, seed, n_windows
    for window in range(n_windows):
        pool[HEAD_WORDS + WATCH_WORDS * window + 3] = most
    return pool


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _nodes(pool: NDArray[np.int64]) -> int:
    """Return where node 0 stands; there is none of that number."""
    return HEAD_WORDS + WATCH_WORDS * pool[WINDOWS] + pool[TABLE]


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _slot_of(pool: NDArray[np.int64], window: int, key: int, value: int) -> int:
    mixed = (key ^ pool[SEED]) * _MIX
    mixed = (mixed ^ (mixed >> 31) ^ value ^ window) * _MIX
    return (mixed ^ (mixed >> 29)) & (pool[TABLE] - 1)


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _find(pool: NDArray[np.int64], window: int, key: int, value: int) -> int:
    """Return the place of a node in the table, or the free place where it would stand."""
    first, nodes, wrap = HEAD_WORDS + WATCH_WORDS * pool[WINDOWS], _nodes(pool), pool[TABLE] - 1
    slot = _slot_of(pool, window, key, value)
    while pool[first + slot]:
        node = nodes + NODE_WORDS * pool[first + slot]
        if pool[node + KEY] == key and pool[node + VALUE] == value and pool[node + WINDOW] == window:
            break
        slot = (slot + 1) & wrap
    return first + slot


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _forget(pool: NDArray[np.int64], window: int, key: int, value: int) -> None:
    """Take a node out of the table; those behind it that it had pushed on move up."""
    first, nodes, wrap = HEAD_WORDS + WATCH_WORDS * pool[WINDOWS], _nodes(pool), pool[TABLE] - 1
    hole = _find(pool, window, key, value) - first
    slot = hole
    while True:
        slot = (slot + 1) & wrap
        number = pool[first + slot]
        if number == 0:
            break
        node = nodes + NODE_WORDS * number
        home = _slot_of(pool, pool[node + WINDOW], pool[node + KEY], pool[node + VALUE])
        if ((slot - home) & wrap) >= ((slot - hole) & wrap):
            pool[first + hole] = number
            hole = slot
    pool[first + hole] = 0


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _made(pool: NDArray[np.int64], window: int, key: int, value: int) -> int:
    """Return the number of a new node; that there is room was asked before."""
    number = pool[FREE]
    nodes = _nodes(pool)
    if number:
        pool[FREE] = pool[nodes + NODE_WORDS * number + NEWER]
    else:
        pool[USED] += 1
        number = pool[USED]
    pool[HELD] += 1
    node = nodes + NODE_WORDS * number
    for i in range(NODE_WORDS):
        pool[node + i] = 0
    pool[node + WINDOW] = window
    pool[node + KEY] = key
    pool[node + VALUE] = value
    return number


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _free(pool: NDArray[np.int64], number: int) -> None:
    node = _nodes(pool) + NODE_WORDS * number
    pool[node + NEWER] = pool[FREE]
    pool[node + VALUE] = 0
    pool[node + WINDOW] = -1
    pool[FREE] = number
    pool[HELD] -= 1


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _leave(pool: NDArray[np.int64], number: int, first: int, last: int, older: int, newer: int) -> None:
    """Take a node out of a chain; `first` and `last` are where the chain's ends stand, the others words of a node."""
    nodes = _nodes(pool)
    node = nodes + NODE_WORDS * number
    before, behind = pool[node + older], pool[node + newer]
    if before:
        pool[nodes + NODE_WORDS * before + newer] = behind
    else:
        pool[first] = behind
    if behind:
        pool[nodes + NODE_WORDS * behind + older] = before
    else:
        pool[last] = before


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _join(pool: NDArray[np.int64], number: int, first: int, last: int, older: int, newer: int) -> None:
    """Put a node at the end of a chain."""
    nodes = _nodes(pool)
    node = nodes + NODE_WORDS * number
    before = pool[last]
    pool[node + older] = before
    pool[node + newer] = 0
    if before:
        pool[nodes + NODE_WORDS * before + newer] = number
    else:
        pool[first] = number
    pool[last] = number


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _drop_first(pool: NDArray[np.int64], owner: int, is_hashed: bool) -> None:  # noqa: FBT001 -- compiled
    """Drop the value of a key that was seen longest ago."""
    number = pool[owner + FIRST]
    node = _nodes(pool) + NODE_WORDS * number
    if is_hashed:
        _forget(pool, pool[node + WINDOW], pool[node + KEY], pool[node + VALUE])
        pool[owner + NUMBER] -= 1
    else:
        pool[owner + NUMBER] -= pool[node + NUMBER]
    _leave(pool, number, owner + FIRST, owner + LAST, OLDER, NEWER)
    _free(pool, number)


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def drop(pool: NDArray[np.int64], number: int, is_hashed: bool, most: int) -> None:  # noqa: FBT001 -- compiled
    """Drop a key with its values, at most so many of them at once: a key with more goes on without these."""
    node = _nodes(pool) + NODE_WORDS * number
    for _ in range(most):
        if pool[node + FIRST] == 0:
            break
        _drop_first(pool, node, is_hashed)
    if pool[node + FIRST] == 0:
        watch = HEAD_WORDS + WATCH_WORDS * pool[node + WINDOW]
        _forget(pool, pool[node + WINDOW], pool[node + KEY], _OF_KEY)
        _leave(pool, number, watch, watch + 1, OLDER, NEWER)
        pool[watch + 2] -= 1
        _free(pool, number)


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def key_node(pool: NDArray[np.int64], window: int, key: int) -> int:
    """Return where the node of a key stands, or 0."""
    number = pool[_find(pool, window, key, _OF_KEY)]
    return _nodes(pool) + NODE_WORDS * number if number else 0


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _touched(pool: NDArray[np.int64], window: int, key: int, now: int) -> int:
    """Return where the node of a key stands, made if there was none; it is the one touched last."""
    slot = _find(pool, window, key, _OF_KEY)
    watch = HEAD_WORDS + WATCH_WORDS * window
    number = pool[slot]
    if number == 0:
        pool[slot] = number = _made(pool, window, key, _OF_KEY)
        pool[watch + 2] += 1
        _join(pool, number, watch, watch + 1, OLDER, NEWER)
    elif pool[watch + 1] != number:
        _leave(pool, number, watch, watch + 1, OLDER, NEWER)
        _join(pool, number, watch, watch + 1, OLDER, NEWER)
    node = _nodes(pool) + NODE_WORDS * number
    pool[node + TOUCHED] = now
    return node


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _tend(pool: NDArray[np.int64], window: int, now: int, window_us: int, is_hashed: bool) -> None:  # noqa: FBT001 -- compiled
    """Drop some of the keys that nobody touched for longer than the window, or that are too many."""
    watch = HEAD_WORDS + WATCH_WORDS * window
    for _ in range(_DROPPED_AT_ONCE):
        number = pool[watch]
        if number == 0:
            return
        node = _nodes(pool) + NODE_WORDS * number
        is_gone = now - pool[node + TOUCHED] >= window_us + _SLACK_US
        if not is_gone and (pool[watch + 2] <= pool[watch + 3] or number == pool[watch + 1]):
            return
        drop(pool, number, is_hashed, 8 if is_gone else 1 << 30)


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def put_last(pool: NDArray[np.int64], node: int, value: int, number: int, is_hashed: bool) -> None:  # noqa: FBT001 -- compiled
    """Put a value behind the others of a key."""
    window, key = pool[node + WINDOW], pool[node + KEY]
    made = _made(pool, window, key, value)
    if is_hashed:
        pool[_find(pool, window, key, value)] = made
        pool[node + NUMBER] += 1
    else:
        pool[node + NUMBER] += number
    pool[_nodes(pool) + NODE_WORDS * made + NUMBER] = number
    _join(pool, made, node + FIRST, node + LAST, OLDER, NEWER)


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def distinct(
    pool: NDArray[np.int64], window: int, key: int, value: int, now: int, window_us: int, most_values: int
) -> int:
    """Take one event into a window of distinct values; twice their number, and 1 more if this one is new."""
    _tend(pool, window, now, window_us, True)  # noqa: FBT003 -- compiled
    node = _touched(pool, window, key, now)
    nodes = _nodes(pool)
    while pool[node + FIRST] and now - pool[nodes + NODE_WORDS * pool[node + FIRST] + NUMBER] >= window_us:
        _drop_first(pool, node, True)  # noqa: FBT003 -- compiled
    number = pool[_find(pool, window, key, value)]
    if number:
        if pool[node + LAST] != number:
            _leave(pool, number, node + FIRST, node + LAST, OLDER, NEWER)
            _join(pool, number, node + FIRST, node + LAST, OLDER, NEWER)
        pool[nodes + NODE_WORDS * number + NUMBER] = now
        return 2 * pool[node + NUMBER]
    put_last(pool, node, value, now, True)  # noqa: FBT003 -- compiled
    if pool[node + NUMBER] > most_values:
        _drop_first(pool, node, True)  # noqa: FBT003 -- compiled
    return 2 * pool[node + NUMBER] + 1


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def count(pool: NDArray[np.int64], window: int, key: int, weight: int, now: int, window_us: int) -> int:
    """Take one event into a window that counts by the minute; returns the number of events."""
    _tend(pool, window, now, window_us, False)  # noqa: FBT003 -- compiled
    if weight == 0 and pool[_find(pool, window, key, _OF_KEY)] == 0:
        return 0
    node = _touched(pool, window, key, now)
    nodes, bucket, length = _nodes(pool), now // BUCKET_US, window_us // BUCKET_US
    last = nodes + NODE_WORDS * pool[node + LAST]
    if pool[node + LAST] and pool[last + VALUE] == bucket:
        pool[last + NUMBER] += weight
        pool[node + NUMBER] += weight
    else:
        put_last(pool, node, bucket, weight, False)  # noqa: FBT003 -- compiled
    while bucket - pool[nodes + NODE_WORDS * pool[node + FIRST] + VALUE] >= length:
        _drop_first(pool, node, False)  # noqa: FBT003 -- compiled
    return pool[node + NUMBER]


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def replace(
    pool: NDArray[np.int64],
    window: int,
    key: int,
    pairs: NDArray[np.int64],
    now: int,
    is_hashed: bool,  # noqa: FBT001 -- compiled
) -> None:
    """Put these values in the place of all that a key had."""
    node = _touched(pool, window, key, now)
    while pool[node + FIRST]:
        _drop_first(pool, node, is_hashed)
    for i in range(len(pairs)):
        put_last(pool, node, pairs[i, 0], pairs[i, 1], is_hashed)


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def grown(pool: NDArray[np.int64], larger: NDArray[np.int64], hashed: NDArray[np.bool_]) -> None:
    """Put all nodes into a larger pool, under the same numbers; `hashed` says whose values stand in the table."""
    head = HEAD_WORDS + WATCH_WORDS * pool[WINDOWS]
    table, room = larger[TABLE], larger[ROOM]
    larger[:head] = pool[:head]
    larger[TABLE], larger[ROOM] = table, room
    before, behind = _nodes(pool), _nodes(larger)
    for number in range(1, pool[USED] + 1):
        old, new = before + NODE_WORDS * number, behind + NODE_WORDS * number
        larger[new : new + NODE_WORDS] = pool[old : old + NODE_WORDS]
        window, value = larger[new + WINDOW], larger[new + VALUE]
        if window >= 0 and (value == _OF_KEY or hashed[window]):
            larger[_find(larger, window, larger[new + KEY], value)] = number
