"""Which rows a tree is grown from: those of lowest keyed-hash rank, a few per source at most.

Every training row has a keyed token made of its owner and id, and every tree mixes the tokens in its own way into
ranks; the tree takes rows by rising rank until it has enough, passing over a row whose source has had its share. Hence

- a row's place depends on the key, its owner and its id, not on the other rows: taking an owner out changes only the
  trees that held a row of theirs (a row that was passed over counts for nothing);
- nobody who lacks the key can arrange to be drawn, and no single source can fill a tree, however many rows it sends.

The key is a secret of the operator. Mixing is SplitMix64's finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom
number generators", OOPSLA 2014) over tokens that are keyed BLAKE2b.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

__all__ = [
    "Pool",
    "draw",
    "full_size",
    "mix",
    "mix_one",
    "numbered",
    "row_tokens",
    "source_codes",
    "text_token",
    "text_tokens",
    "tree_seed",
]

_FULL: Final = 2.0**64
_BLOCK: Final = 1 << 15
_ALL: Final = np.uint64(2**64 - 1)
_ALL_BITS: Final = 2**64 - 1


@dataclass(eq=False)
class Pool:
    """The rows that trees are drawn from.

    Parameters
    ----------
    tokens : uint64 array of shape (n_rows,)
        Keyed token of each row.
    sources : int64 array of shape (n_rows,) or None
        Number of each row's source; None if every row is a source of its own.
    present : bool array of shape (n_rows,)
        False for rows that were forgotten.
    """

    tokens: NDArray[np.uint64]
    sources: NDArray[np.int64] | None
    present: NDArray[np.bool_]


def _fed(key: bytes, *parts: bytes) -> blake2b:
    state = blake2b(key=key, digest_size=8, person=b"fraudlog-forest")
    for part in parts:
        state.update(len(part).to_bytes(8, "little") + part)
    return state


def _digest(key: bytes, *parts: bytes) -> int:
    return int.from_bytes(_fed(key, *parts).digest(), "little")


def numbered(values: Any) -> tuple[NDArray[np.int64], list[str]]:  # noqa: ANN401 -- any array-like
    """Give each distinct value a number; a null is -1.

    Returns
    -------
    codes : int64 array of shape (n_rows,)
    texts : list of str
        Text of each distinct value, by number.

    Examples
    --------
    >>> numbered(["b", "a", None, "b"])
    (array([ 0,  1, -1,  0]), ['b', 'a'])
    """
    import pandas as pd  # noqa: PLC0415 -- who tokens one value of one row needs no pandas

    code, distinct = pd.factorize(values if hasattr(values, "dtype") else np.asarray(values, dtype=object))
    return code.astype(np.int64), [str(value) for value in distinct]


def source_codes(sources: Any) -> NDArray[np.int64]:  # noqa: ANN401 -- any array-like
    """Give each source a number, and each null one of its own.

    >>> source_codes(["a", None, "a", None])
    array([0, 1, 0, 2])
    """
    code, texts = numbered(sources)
    unknown = np.flatnonzero(code < 0)
    code[unknown] = len(texts) + np.arange(len(unknown))
    return code


def text_tokens(texts: Iterable[str], key: bytes, purpose: str) -> NDArray[np.uint64]:
    """Return a keyed 64-bit token of each text; `purpose` keeps the tokens of owners and of ids apart."""
    return np.asarray([text_token(text, key, purpose) for text in texts], dtype=np.uint64)


def text_token(text: str, key: bytes, purpose: str) -> int:
    """Return the token of one text, as `text_tokens` does."""
    state = _begun(key, purpose).copy()  # a third of the time of beginning anew
    part = text.encode("utf-8", "surrogatepass")
    state.update(len(part).to_bytes(8, "little") + part)
    return int.from_bytes(state.digest(), "little")


@lru_cache(64)
def _begun(key: bytes, purpose: str) -> blake2b:
    """Return the digest of all that comes before a text."""
    salt = tree_seed(key, 0, purpose).to_bytes(8, "little")
    return _fed(key, salt)


def row_tokens(owners: NDArray[np.uint64], ids: Any, key: bytes) -> NDArray[np.uint64]:  # noqa: ANN401 -- as above
    """Return the keyed token of each row, of its owner's token and its id.

    Integer ids are mixed under the key, others hashed; a null id is an id like any other.
    """
    ids = ids if hasattr(ids, "dtype") else np.asarray(ids)
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
        return mix(owners ^ mix(ids.astype(np.int64).view(np.uint64), tree_seed(key, 0, "ids")), 0)
    code, texts = numbered(ids)
    return mix(owners ^ text_tokens([*texts, ""], key, "ids")[code], 0)


def mix(tokens: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """Scatter tokens over all 64-bit numbers, in a way of its own for each salt.

    >>> mix(np.array([1, 2], dtype=np.uint64), 0).tolist() == mix(np.array([1, 2], dtype=np.uint64), 1).tolist()
    False
    """
    out = tokens + np.uint64(salt)
    out ^= out >> np.uint64(30)
    out *= np.uint64(0xBF58476D1CE4E5B9)
    out ^= out >> np.uint64(27)
    out *= np.uint64(0x94D049BB133111EB)
    out ^= out >> np.uint64(31)
    return out


def mix_one(token: int, salt: int) -> int:
    """Do what `mix` does for one token, in plain integers: the calls of NumPy would cost ten times as much.

    >>> mix_one(7, 3) == int(mix(np.array([7], dtype=np.uint64), 3)[0])
    True
    """
    out = (token + salt) & _ALL_BITS
    out = ((out ^ out >> 30) * 0xBF58476D1CE4E5B9) & _ALL_BITS
    out = ((out ^ out >> 27) * 0x94D049BB133111EB) & _ALL_BITS
    return out ^ out >> 31


def tree_seed(key: bytes, tree: int, purpose: str) -> int:
    """Return the 64-bit seed of one tree for one purpose."""
    return _digest(key, b"tree", purpose.encode(), tree.to_bytes(8, "little"))


def full_size(pool: Pool, cap: int | None, max_rows: int) -> int:
    """Return how many rows each tree gets: the same number for all trees, whatever their ranks."""
    if pool.sources is None or cap is None:
        return min(max_rows, int(pool.present.sum()))
    held = np.bincount(pool.sources[pool.present])
    return min(max_rows, int(np.minimum(held, cap).sum()))


def draw(pool: Pool, seed: int, n_rows: int, cap: int | None) -> NDArray[np.int64]:
    """Return the rows of one tree, by rising rank.

    Parameters
    ----------
    pool : Pool
    seed : int
        The tree's own way of mixing, from `tree_seed`.
    n_rows : int
        As from `full_size`.
    cap : int or None
        Most rows of one source in the tree.

    Returns
    -------
    int64 array of shape (n_rows,)
    """
    n_present = max(1, int(pool.present.sum()))
    wanted = n_rows + 6.0 * n_rows**0.5 + 16.0
    while True:
        limit = wanted / n_present
        rows = _lowest(pool, seed, limit)
        if pool.sources is not None and cap is not None:
            rows = rows[_places(pool.sources[rows]) < cap]
        if len(rows) >= n_rows or limit >= 1.0:
            return rows[:n_rows]
        wanted *= 4.0


def _lowest(pool: Pool, seed: int, limit: float) -> NDArray[np.int64]:
    highest = _ALL if limit >= 1.0 else np.uint64(limit * _FULL)
    found, ranks = [], []
    for start, rank in _ranks(pool.tokens, seed):
        near = np.flatnonzero((rank <= highest) & pool.present[start : start + len(rank)])
        found.append(near + start)
        ranks.append(rank[near])
    rows = np.concatenate(found)
    return rows[np.argsort(np.concatenate(ranks), kind="stable")].astype(np.int64)


def _ranks(tokens: NDArray[np.uint64], seed: int) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """Rank in blocks that stay in the cache: half the time of one pass over a million rows."""
    return ((start, mix(tokens[start : start + _BLOCK], seed)) for start in range(0, len(tokens), _BLOCK))


def _places(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many equal values stand before each one.

    >>> _places(np.array([7, 8, 7, 7]))
    array([0, 0, 1, 2])
    """
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(groups) else np.zeros(0, dtype=np.int64)
    sizes = np.diff(np.r_[starts, len(groups)])
    places = np.empty(len(groups), dtype=np.int64)
    places[order] = np.arange(len(groups)) - np.repeat(starts, sizes)
    return places
