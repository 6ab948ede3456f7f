"""What a service holds in memory, table by table, beside the most it may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fraudlog.sessions import codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fraudlog.serving.memory import LocalMemory
    from fraudlog.serving.state import LocalState
    from fraudlog.sessions import LiveFeatures

__all__ = ["Size", "sizes_of", "tables_of"]


class Size(NamedTuple):
    """How full a table is.

    Parameters
    ----------
    held : int
        Entries; bytes where the name says so.
    most : int or None
        Most there may be; None where no bound was set.
    """

    held: int
    most: int | None


def sizes_of(state: LocalState) -> dict[str, Size]:
    """Return how full each table of a state is; walks the windows, so not for every request."""
    live, sessions = state.live, state.live.max_sessions
    found = {
        "sessions": Size(len(live), sessions),
        "session bytes": Size(live.n_bytes, live.max_bytes),
        "session ids": Size(state.n_ids, sessions),
    } | tables_of(live)
    for name, window in live.windows.items():
        found |= {f"window {name}: {part}": size for part, size in _of_window(window)}
    return found | _of_memory(state.memory)


def tables_of(live: LiveFeatures) -> dict[str, Size]:
    """Return how full the tables of values seen before are."""
    tables = {f"facts: {name}": count for name, count in live.tables().items()} | {"codes": len(live.code.known)}
    return {name: Size(count, codes.MOST_ENTRIES) for name, count in tables.items()}


def _of_memory(memory: LocalMemory) -> dict[str, Size]:
    """Return how full the tables of verdicts and of people are."""
    return {"verdicts": Size(len(memory.marks), memory.most), "people": Size(len(memory.counts), memory.most)}


def _of_window(window: Any) -> Iterator[tuple[str, Size]]:  # noqa: ANN401 -- of three kinds
    keys = window.keys
    bound = None if keys.most is None else 3 * keys.most  # young, old, and what is being dropped
    yield "keys", Size(len(keys), bound)
    yield "most values of a key", Size(*window.longest())
