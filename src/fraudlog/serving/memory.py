"""What a service remembers beside its sessions: verdicts that still hold, and how many people a wider one would hit."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from fraudlog.deciding import Today
from fraudlog.deciding.targets import BYSTANDERS_US

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fraudlog.deciding import Policy, Scope
    from fraudlog.deciding.scoping import Ruling

__all__ = [
    "BYSTANDERS_MS",
    "DAY_US",
    "REVIEWED",
    "SEEN",
    "UNSEEN",
    "LocalMemory",
    "Mark",
    "Memory",
    "Notes",
    "Settled",
    "Target",
    "counted",
    "settle",
]

DAY_US: Final = 86_400_000_000
BYSTANDERS_MS: Final = BYSTANDERS_US // 1000 + DAY_US // 1000
_DAYS: Final = BYSTANDERS_US // DAY_US
_OBSERVE: Final = 1
_CHALLENGE: Final = 2
_DAYS_KEPT: Final = 3

UNSEEN: Final = 0
"""It has not been counted yet."""

SEEN: Final = 1
"""It counts among the day's sessions."""

REVIEWED: Final = 2
"""It takes one of the day's reviews, and keeps it as long as it is open."""

Target = tuple[str, int]
"""A scope, and the keyed hash of what it names there."""


class Mark(NamedTuple):
    """The last challenge or denial of a target.

    Attributes
    ----------
    level : int
        Place of the verdict among `VERDICTS`.
    expires_us, given_us : int
        When it ends, and when it was given.
    strikes : int
        Sessions of this target that were challenged or denied until then.
    """

    level: int
    expires_us: int
    given_us: int
    strikes: int


class Memory(Protocol):
    """Marks of targets, and counts of presumed-human sessions by target and day."""

    def mark(self, target: Target) -> Mark | None:
        """Return the mark of a target."""
        ...

    def put_mark(self, target: Target, mark: Mark) -> None:
        """Set the mark of a target."""
        ...

    def people(self, target: Target, now_us: int) -> int:
        """Return how many presumed-human sessions of a target began in the last seven days."""
        ...

    def add_people(self, target: Target, start_us: int, count: int) -> None:
        """Count a presumed-human session that began then in, or one that is none any more out."""
        ...

    def today(self, day: int) -> Today:
        """Return how many sessions began on a day, and how many of them are reviewed."""
        ...

    def add_today(self, day: int, seen: int, spent: int) -> None:
        """Count a session of a day in, or a review."""
        ...


class Settled(NamedTuple):
    """What memory adds to a ruling.

    Attributes
    ----------
    ruling : Ruling
        As given, or narrowed to the session where too many people would be hit.
    ttl_us, strikes, collateral : int
        How long it holds, what came before it, whom else it hits.
    inherited : Mark or None
        An earlier decision that still holds and is harder.
    scope : str or None
        The scope of that one.
    """

    ruling: Ruling
    ttl_us: int
    strikes: int
    collateral: int
    inherited: Mark | None
    scope: Scope | None


class Notes:
    """What is remembered of one session for deciding.

    Attributes
    ----------
    is_counted : bool
        Whether it counts among the presumed human of its targets.
    struck : dict of Target to int
        What it got a challenge or denial for, and the strikes before it.
    review : int
        Where it stands with the day's reviews: one of `UNSEEN`, `SEEN` and `REVIEWED`.
    """

    __slots__ = ("is_counted", "review", "struck")

    def __init__(
        self, struck: dict[Target, int] | None = None, *, is_counted: bool = False, review: int = UNSEEN
    ) -> None:
        self.is_counted = is_counted
        self.struck = struck
        self.review = review


def settle(
    ruling: Ruling,
    targets: dict[Scope, Target],
    notes: Notes,
    span: tuple[int, int],
    policy: Policy,
    memory: Memory,
    *,
    is_human: bool,
    admits: Callable[[Today], bool] | None = None,
) -> Settled:
    """Remember a ruling, and return what was remembered before.

    Parameters
    ----------
    ruling : Ruling
        Of this session by itself.
    targets : dict of scope to Target
        The session's account, network and profile.
    notes : Notes
        The session's own; changed.
    span : tuple of int
        Start and end of the session so far, in microseconds.
    is_human : bool
        Whether nothing speaks against it.
    admits : callable, optional
        Says whether the pace of the day's reviews lets it have one.
    """
    start_us, now_us = span
    if policy.daily_reviews is not None:
        ruling = _within_budget(ruling, notes, start_us, policy.daily_reviews, memory, admits)
    if is_human is not notes.is_counted:
        notes.is_counted = is_human
        for target in targets.values():
            memory.add_people(target, start_us, 1 if is_human else -1)
    strikes = collateral = 0
    hit = targets.get(ruling.scope)
    if hit is not None:
        collateral = memory.people(hit, now_us) - notes.is_counted
        most = 0 if ruling.spares_all else policy.max_collateral
        if most is not None and collateral > most:
            ruling, hit, collateral = ruling._replace(scope="session", target=None), None, 0
    if hit is not None:
        strikes = _strike(hit, ruling.level, notes, now_us, policy, memory)
    ttl_us = policy.ttls_us[min(strikes, len(policy.ttls_us) - 1)]
    inherited, scope = _standing(targets, ruling.level, now_us, memory, policy)
    return Settled(ruling, ttl_us, strikes, collateral, inherited, scope)


def _within_budget(
    ruling: Ruling,
    notes: Notes,
    start_us: int,
    daily_reviews: int,
    memory: Memory,
    admits: Callable[[Today], bool] | None,
) -> Ruling:
    """Observe what goes beyond the day's reviews (UTC, by the session's start); who has one keeps it."""
    day = start_us // DAY_US
    if notes.review == UNSEEN:
        notes.review = SEEN
        memory.add_today(day, 1, 0)
    if ruling.level != _CHALLENGE or notes.review == REVIEWED:
        return ruling
    today = memory.today(day)
    if today.spent >= daily_reviews or not (admits is None or admits(today)):
        return ruling._replace(level=_OBSERVE, scope="session", target=None)
    notes.review = REVIEWED
    memory.add_today(day, 0, 1)
    return ruling


def _strike(target: Target, level: int, notes: Notes, now_us: int, policy: Policy, memory: Memory) -> int:
    """Mark a target; a session counts once for each."""
    earlier = memory.mark(target)
    if earlier is not None and now_us - earlier.given_us > policy.memory_us:
        earlier = None
    struck = notes.struck or {}
    strikes = struck.get(target)
    if strikes is None:
        strikes = 0 if earlier is None else earlier.strikes
        notes.struck = {**struck, target: strikes}
    total = max(strikes + 1, 0 if earlier is None else earlier.strikes)
    ttl_us = policy.ttls_us[min(strikes, len(policy.ttls_us) - 1)]
    if earlier is not None and now_us < earlier.expires_us:
        level, expires = max(level, earlier.level), max(now_us + ttl_us, earlier.expires_us)
    else:
        expires = now_us + ttl_us
    memory.put_mark(target, Mark(level, expires, now_us, total))
    return strikes


def _standing(
    targets: dict[Scope, Target], level: int, now_us: int, memory: Memory, policy: Policy
) -> tuple[Mark | None, Scope | None]:
    """Return the hardest mark that still holds for one of the session's targets, if it is harder than `level`."""
    found: Mark | None = None
    of: Scope | None = None
    for scope, target in targets.items():
        mark = memory.mark(target) if scope in policy.scopes else None
        if mark is not None and mark.level > max(level, _CHALLENGE - 1) and now_us < mark.expires_us:
            found, of, level = mark, scope, mark.level
    return found, of


class LocalMemory:
    """The memory of one process, bounded: what was not touched for longest goes first.

    Parameters
    ----------
    most : int, default 200,000
        Most marks, and most targets with counted people.
    """

    def __init__(self, most: int = 200_000) -> None:
        self.most = most
        self.marks: OrderedDict[Target, Mark] = OrderedDict()
        self.counts: OrderedDict[Target, dict[int, int]] = OrderedDict()
        self.days: dict[int, Today] = {}

    def mark(self, target: Target) -> Mark | None:
        """Return the mark of a target."""
        return self.marks.get(target)

    def put_mark(self, target: Target, mark: Mark) -> None:
        """Set the mark of a target."""
        self.marks[target] = mark
        self.marks.move_to_end(target)
        if len(self.marks) > self.most:
            self.marks.popitem(last=False)

    def people(self, target: Target, now_us: int) -> int:
        """Return how many presumed-human sessions of a target began in the last seven days."""
        return counted(self.counts.get(target, {}), now_us)

    def add_people(self, target: Target, start_us: int, count: int) -> None:
        """Count a presumed-human session in or out; whole days older than a week are dropped."""
        day = start_us // DAY_US
        days = self.counts.get(target)
        if days is None:
            if count < 0:
                return
            days = self.counts[target] = {}
            if len(self.counts) > self.most:
                self.counts.popitem(last=False)
        self.counts.move_to_end(target)
        days[day] = max(days.get(day, 0) + count, 0)
        if len(days) > _DAYS + 1:
            for old in [one for one in days if one < max(days) - _DAYS]:
                del days[old]

    def today(self, day: int) -> Today:
        """Return how many sessions began on a day, and how many of them are reviewed."""
        return self.days.get(day, Today())

    def add_today(self, day: int, seen: int, spent: int) -> None:
        """Count a session of a day in, or a review; only the latest days are kept."""
        today = self.today(day)
        self.days[day] = Today(today.seen + seen, today.spent + spent)
        if len(self.days) > _DAYS_KEPT:
            del self.days[min(self.days)]

    def targets(self) -> list[Target]:
        """Return all targets that something is remembered of."""
        return list(dict.fromkeys([*self.marks, *self.counts]))

    def dump(self, target: Target) -> list[Any]:
        """Return what is remembered of a target, as JSON holds it."""
        mark = self.marks.get(target)
        return [*target, None if mark is None else list(mark), [[*day] for day in self.counts.get(target, {}).items()]]

    def join_all(
        self, targets: Iterable[tuple[Target, Mark | None, Mapping[int, int]]], days: Iterable[tuple[int, int, int]]
    ) -> None:
        """Add what another process remembered."""
        for target in targets:
            self.join(*target)
        for day in days:
            self.add_today(*day)

    def join(self, target: Target, mark: Mark | None, days: Mapping[int, int]) -> None:
        """Add what another process remembered: the harder and longer mark, all people."""
        own = self.marks.get(target)
        if mark is not None:
            self.put_mark(target, mark if own is None else Mark(*map(max, own, mark)))
        for day, count in days.items():
            self.add_people(target, day * DAY_US, count)


def counted(days: dict[int, int], now_us: int) -> int:
    """Add up the last seven days; of the day they begin in, the share that lies inside."""
    today, passed = divmod(now_us, DAY_US)
    whole = sum(count for day, count in days.items() if today - _DAYS < day <= today)
    first = days.get(today - _DAYS, 0)
    return whole + first * (DAY_US - passed) // DAY_US
