"""Whether a live twin is compiled, and its engine, if so; numba is loaded only then."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ConfigError
from fraudlog.sessions import codes

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.live_compiled import Engine
    from fraudlog.sessions.live_layout import Layout
    from fraudlog.sessions.live_slots import Slots
    from fraudlog.sessions.windows import Window

__all__ = ["engine_of", "is_compilable", "watchable"]

_MOST_CONDITIONS: Final = 62
_MOST_WINDOWS: Final = 31


def is_compilable(layout: Layout, *, is_compiled: bool | None) -> bool:
    """Say whether to compile: as told, or where numba is installed and ``FRAUDLOG_FAST`` is not 0.

    A definition whose reducers have more conditions than fit a word is not compiled.

    Raises
    ------
    ConfigError
        If it is to be compiled, and numba is not installed.
    """
    has_numba = find_spec("numba") is not None
    if is_compiled and not has_numba:
        raise ConfigError("is_compiled needs numba: pip install fraudlog[fast]", parameter="is_compiled")
    wanted = has_numba and os.environ.get("FRAUDLOG_FAST", "1") != "0" if is_compiled is None else is_compiled
    return wanted and len(layout.wheres) <= _MOST_CONDITIONS


def watchable(layout: Layout) -> tuple[Window, ...]:
    """Return the windows that the compiled update can take an event into: all whose rules one look-up answers."""
    if layout.rules and layout.rule_group is None:
        return ()
    windows = [window for window in layout.definition.plan.windows if window.kind in ("distinct", "count")]
    return tuple(windows[:_MOST_WINDOWS])


def engine_of(
    definition: Definition,
    layout: Layout,
    slots: Slots,
    weights: NDArray[np.int64],
    lanes_of: Callable[[int], tuple[int, int]],
    exact_values: int | None,
    watched: tuple[Window, ...],
    most: int | None,
) -> Engine:
    """Return the compiled engine of a definition; see `fraudlog.sessions.live_compiled`."""
    module: Any = import_module("fraudlog.sessions.live_compiled")
    engine: Engine = module.Engine(
        definition, layout, slots, weights, lanes_of, exact_values, codes.MOST_ENTRIES, watched, most
    )
    return engine
