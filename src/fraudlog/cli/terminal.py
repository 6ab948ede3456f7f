"""What a verb prints on: a console for results, progress for a person who waits."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

__all__ = ["open_console", "progress"]

_WIDE: Final = 112
_STEPS: Final = 5


def open_console() -> Console:
    """Return a console on stdout: as wide as the terminal, or 112 columns in a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDE)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done on a terminal's stderr; elsewhere show nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    screen = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("starting", total=_STEPS)
        yield lambda what: bar.update(task, description=what, advance=1)
