"""What `RedisState` fetches of the memory of verdicts for one event, and what that event changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fraudlog.deciding import Today
from fraudlog.serving.memory import DAY_US, Mark, Target, counted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Fetched", "text_of"]


class Fetched:
    """The memory of an event's targets, as Redis had it, and what changed."""

    def __init__(self, targets: list[Target], rows: list[Any], days: Mapping[int, tuple[int, int]]) -> None:
        self.marks = {target: _mark(text_of(row[0])) for target, row in zip(targets, rows, strict=True)}
        self.days = {target: _days(row[1]) for target, row in zip(targets, rows, strict=True)}
        self.counted = {day: Today(*counts) for day, counts in days.items()}
        self.changes: list[tuple[str, Target, str, str]] = []
        self.spent: list[tuple[int, int, int]] = []

    def mark(self, target: Target) -> Mark | None:
        """Return the mark of a target."""
        return self.marks.get(target)

    def put_mark(self, target: Target, mark: Mark) -> None:
        """Set the mark of a target."""
        self.marks[target] = mark
        self.changes.append(("mark", target, json.dumps(list(mark)), ""))

    def people(self, target: Target, now_us: int) -> int:
        """Return how many presumed-human sessions of a target began in the last seven days."""
        return counted(self.days.get(target, {}), now_us)

    def add_people(self, target: Target, start_us: int, count: int) -> None:
        """Count a presumed-human session in or out."""
        day, days = start_us // DAY_US, self.days.setdefault(target, {})
        days[day] = days.get(day, 0) + count
        self.changes.append(("people", target, str(day), str(count)))

    def today(self, day: int) -> Today:
        """Return how many sessions began on a day, and how many of them are reviewed."""
        return self.counted.get(day, Today())

    def add_today(self, day: int, seen: int, spent: int) -> None:
        """Count a session of a day in, or a review."""
        today = self.today(day)
        self.counted[day] = Today(today.seen + seen, today.spent + spent)
        self.spent.append((day, seen, spent))


def text_of(value: bytes | str | None) -> str:
    """Return what Redis gave as text; nothing is an empty one."""
    return "" if value is None else value if isinstance(value, str) else value.decode()


def _mark(text: str) -> Mark | None:
    return Mark(*json.loads(text)) if text else None


def _days(flat: list[Any]) -> dict[int, int]:
    return {int(day): int(count) for day, count in zip(flat[::2], flat[1::2], strict=True)}
