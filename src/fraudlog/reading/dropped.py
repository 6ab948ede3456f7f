"""Values that no column takes: dropped, and counted by name, so that a log's owner sees what was left behind.

Names come from the log, so they are not trusted: what is not a plain name (an address used as a key, say), and what
comes after the first `MOST_NAMES`, counts as `OTHER`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from fraudlog.reading.values import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["MORE", "MOST_NAMES", "OTHER", "Dropped", "Tree", "name_tree", "unknown_names", "values_under"]

OTHER: Final = "(other)"
"""What counts for names that are not plain, or too many."""
MORE: Final = "(more)"
"""Name of what stands behind the last value that a layout knows."""
MOST_NAMES: Final = 256
_NAME: Final = re.compile(r"[A-Za-z_$(][\w.()$/-]{0,127}", re.ASCII)
Tree = dict[str, "Tree"]


class Dropped(dict[str, int]):
    """Number of events in which a value of this name was dropped.

    >>> found = Dropped()
    >>> found.add("cookie"), found.add("192.0.2.1"), found
    (None, None, {'cookie': 1, '(other)': 1})
    """

    def add(self, name: str, count: int = 1) -> None:
        """Count a value of this name, or take one back."""
        is_new = name not in self
        if is_new and (count < 0 or len(self) >= MOST_NAMES or _NAME.fullmatch(name) is None) and name != MORE:
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
