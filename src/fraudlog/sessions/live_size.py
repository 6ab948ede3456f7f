"""How much memory an open session takes, near enough to bound it."""

from __future__ import annotations

from sys import getsizeof
from typing import Any, Final

import numpy as np

from fraudlog.sessions.live_sample import CountSample, SetSample

__all__ = ["size_of"]

_NUMBER: Final = 32
_ENTRY: Final = 420
"""Place in the table of open sessions, key, id, and the tuple of texts it was named by (which are shared)."""


def size_of(state: list[Any]) -> int:
    """Return the bytes of a session's state.

    Numbers kept in a collection count 32 bytes each, whether or not another session shares them.
    """
    return _ENTRY + getsizeof(state) + sum([_value(value) for value in state if value.__class__ in _SIZED])


def _value(value: Any) -> int:  # noqa: ANN401 -- what a slot holds
    size: int = _SIZED[value.__class__](value)
    return size


_SIZED: Final[dict[type, Any]] = {
    np.ndarray: getsizeof,
    int: lambda value: _NUMBER if value > 256 else 0,
    list: lambda value: getsizeof(value) + _NUMBER * len(value),
    set: lambda value: getsizeof(value) + _NUMBER * len(value),
    dict: lambda value: getsizeof(value) + _NUMBER * len(value),
    SetSample: lambda value: getsizeof(value.kept) + _NUMBER * len(value.kept) + 100,
    CountSample: lambda value: _SIZED[dict](value.kept) + _SIZED[dict](value.frequent) + 100,
}
