"""Values that no column takes: dropped, and counted by name, so that a log's owner sees what was left behind.

Names come from the log, so they are not trusted: a record may use what names somebody as a key. What does not look like
the name of a field (an address, a number, a token), and what comes after the first `MOST_NAMES`, counts as `OTHER`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from fraudlog.reading.values import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "MORE",
    "MOST_NAMES",
    "OTHER",
    "Dropped",
    "Tree",
    "looks_like_a_name",
    "name_tree",
    "unknown_names",
    "values_under",
]

OTHER: Final = "(other)"
"""What counts for names that are not plain, or too many."""
MORE: Final = "(more)"
"""Name of what stands behind the last value that a layout knows."""
MOST_NAMES: Final = 256
_NAME: Final = re.compile(r"[A-Za-z_$(][\w.()$/-]{0,63}", re.ASCII)
_CODE: Final = re.compile(r"(?=[A-Za-z]*\d)(?:[A-Z\d]{16}|[a-z\d]{16})")
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MOST_DIGITS: Final = 3
"""As in x509 or sha256; an IPv4 address has four at least."""
_LONGEST_WORD: Final = 20
_LETTERS_A_WORD: Final = 2.5
"""Letters of random bytes change between large and small every other time."""
_FEW_WORDS: Final = 4
Tree = dict[str, "Tree"]


@lru_cache(maxsize=4096)
def looks_like_a_name(name: str) -> bool:
    """Say whether a key looks like the name of a field, made of words, and like no address, number or token.

    A plain word may still name somebody: ``{"alice": 1}`` can't be told from a field.

    >>> [looks_like_a_name(key) for key in ("device.imei", "xForwardedFor", "cs(Cookie)", "sha256", "_http_2xx")]
    [True, True, True, True, True]
    >>> [looks_like_a_name(key) for key in ("me@a.example", "ip-10-0-0-1", "u48213", "dGhTzKqWeRtYuP", "fe80::1")]
    [False, False, False, False, False]
    """
    if _NAME.fullmatch(name) is None or _CODE.search(name) or sum(map(str.isdigit, name)) > _MOST_DIGITS:
        return False
    lengths = [len(word) for word in _WORDS.findall(name)]
    is_mixed = len(lengths) > _FEW_WORDS and sum(lengths) < _LETTERS_A_WORD * len(lengths)
    return max(lengths, default=0) <= _LONGEST_WORD and not is_mixed


class Dropped(dict[str, int]):
    """Number of events in which a value of this name was dropped.

    >>> found = Dropped()
    >>> found.add("cookie"), found.add("192.0.2.1"), found
    (None, None, {'cookie': 1, '(other)': 1})
    """

    def add(self, name: str, count: int = 1) -> None:
        """Count a value of this name, or take one back."""
        is_new = name not in self
        if is_new and (count < 0 or len(self) >= MOST_NAMES or not looks_like_a_name(name)) and name != MORE:
            name = OTHER
        self[name] = self.get(name, 0) + count

    def merge(self, other: Mapping[str, int]) -> None:
        """Add the counts of another."""
        for name, count in other.items():
            self[name] = self.get(name, 0) + count


def name_tree(sources: Iterable[str]) -> Tree:
    """Return the names that a field map knows, step by step; of ``a + b`` both parts.

    >>> name_tree(["ts", "device.os"])
    {'ts': {}, 'device': {'os': {}}, 'device.os': {}}
    """
    tree: Tree = {}
    for source in sources:
        for part in source.split(" + "):
            at = tree
            for step in part.split("."):
                at = at.setdefault(step, {})
            tree.setdefault(part, {})
    return tree


def unknown_names(record: Mapping[str, Any], tree: Tree, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of each value that `tree` does not know; an unknown object counts as one.

    Of a list whose name is known only the first item is looked into, as field maps do.

    >>> record = {"ts": 1, "device": {"os": "iOS", "serial": "F2"}, "x": {"y": 1}, "z": None}
    >>> list(unknown_names(record, name_tree(["ts", "device.os"])))
    ['device.serial', 'x']
    """
    for key, value in record.items():
        known = tree.get(key)
        if known is None:
            if value is not None and not (isinstance(value, str) and value in MISSING):
                yield prefix + key
        elif known:
            yield from _below(value, known, f"{prefix}{key}.")
        elif isinstance(value, dict):
            yield from unknown_names(value, known, f"{prefix}{key}.")


def _below(value: Any, tree: Tree, prefix: str) -> Iterator[str]:  # noqa: ANN401 -- whatever JSON holds
    if isinstance(value, dict):
        yield from unknown_names(value, tree, prefix)
    elif isinstance(value, list) and value and "0" in tree:
        yield from _below(value[0], tree["0"], f"{prefix}0.")


def values_under(names: Sequence[tuple[int, str]], values: Sequence[str]) -> Iterator[str]:
    """Yield the names whose value, by position, is not missing."""
    for position, name in names:
        if values[position] not in MISSING:
            yield name
