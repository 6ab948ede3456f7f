"""What other sessions did until now: the table of windows that reach beyond one session.

A window is filled in total order of time by all events, before sessions are cut, and gives each event a number; from
there on that number is a field like any other. Three kinds:

- ``distinct``: how many different values the key had in the window, this event's among them; and whether this value is
  new to the key. A value seen at t counts until ``t + window`` exclusively.
- ``count``: how many events of the key fulfilled a condition in the last whole minutes, this one's among them. Whole
  minutes bound what has to be remembered of a busy key.
- ``speed``: the least speed, in km/h, that lies between this place of the key and the last one known.
- ``straight`` and ``rhythm``: how a client came to a door, and how many networks came to it in the same way. A client
  remembers when it last did something on the way there. *Straight* came who did nothing of the kind within the memory;
  in one *rhythm* came those whose last step lies equally long ago, by quarters of a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

from fraudlog.sessions.language import parse_condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fraudlog.sessions.language import Condition

__all__ = ["APPROACHES", "BEAT_US", "BUCKET_US", "LEAST_TRAVEL_US", "WINDOWS", "Window", "windows_of"]

_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR

BUCKET_US: Final = 60_000_000
"""Length of the steps in which a ``count`` window moves."""

LEAST_TRAVEL_US: Final = 60_000_000
"""Time that two places are taken to lie apart at least, so that clocks a second off make no rocket."""

BEAT_US: Final = 250_000
"""Length of the steps in which a ``rhythm`` is told: a program's pause varies less, a person's more."""

APPROACHES: Final = ("straight", "rhythm")
"""Kinds of windows that say how a client came to a door."""

_FAILED: Final = (
    "(endpoint == 'login' and status in (401, 403)) or (known(outcome) and action == 'login' and outcome == 'failure')"
)


_DOORS: Final = {
    "logins": "(endpoint == 'login' and method == 'POST') or (known(action) and action == 'login')",
    "failures": _FAILED,
    "signups": "endpoint == 'signup' and method == 'POST'",
    "refusals": "endpoint in ('checkout', 'coupon') and 400 <= status <= 499",
}
"""What many networks may do in one manner: log in, fail at it, open accounts, have cards and codes refused."""

_ASKED: Final = {"logins": "login", "signups": "signup"}
"""Doors that a client may come straight to, with the endpoint that is the way in."""


@dataclass(frozen=True)
class Window:
    """One window.

    Parameters
    ----------
    name : str
        The field of numbers it fills.
    kind : str
        ``distinct``, ``count``, ``speed``, ``straight`` or ``rhythm``.
    key, value : str
        Fields of text: whose window, and what is counted in it.
    window_us : int
        Its length.
    new : str
        A second field it fills: 1 if the value was not in the key's window yet. Of ``straight`` and ``rhythm``: how
        many came at all, of those of whom it is known how.
    where, needs : str
        Of ``count``: which events count, and without what the field is null. Of ``distinct``, `needs` says which events
        take part: at all others the field is null. Of ``straight`` and ``rhythm``: which events are steps on the way,
        and which stand at the door.
    counted : str
        Of ``straight`` and ``rhythm``, where `key` is the client and `value` what it asked for and got: the field of
        which different values are counted.
    memory_us : int
        Of those too: how long a client's last step is remembered.
    """

    name: str
    kind: Literal["distinct", "count", "speed", "straight", "rhythm"]
    key: str
    value: str
    window_us: int
    new: str = ""
    where: str = ""
    needs: str = ""
    counted: str = ""
    memory_us: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields it fills."""
        return (self.name, self.new) if self.new else (self.name,)

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields of text it reads."""
        return tuple(name for name in (self.key, self.value, self.counted) if name)

    @property
    def coded(self) -> tuple[str, ...]:
        """Fields of which it keeps codes: all it reads, but the place that a speed is worked out from."""
        return (self.key,) if self.kind == "speed" else self.reads

    @cached_property
    def where_condition(self) -> Condition | None:
        """Which events count."""
        return parse_condition(self.where) if self.where else None

    @cached_property
    def needs_condition(self) -> Condition | None:
        """Without what the field is null."""
        return parse_condition(self.needs) if self.needs else None


def _approach(kind: Literal["straight", "rhythm"], door: str, where: str, memory_us: int) -> Window:
    name = f"{kind}_{door}_1d"
    return Window(
        name,
        kind,
        "client_ip",
        "shape",
        _DAY,
        new=f"{kind}_{door}_of_1d",
        where=where,
        needs=_DOORS[door],
        counted="ip_prefix",
        memory_us=memory_us,
    )


WINDOWS: Final[tuple[Window, ...]] = (
    Window("prefix_users_1h", "distinct", "ip_prefix", "user", _HOUR),
    Window("prefix_users_1d", "distinct", "ip_prefix", "user", _DAY),
    Window("prefix_agents_1h", "distinct", "ip_prefix", "user_agent", _HOUR),
    Window("prefix_agents_1d", "distinct", "ip_prefix", "user_agent", _DAY),
    Window("user_prefixes_1d", "distinct", "user", "ip_prefix", _DAY),
    Window("user_countries_1d", "distinct", "user", "country", _DAY),
    Window("profile_users_1d", "distinct", "profile", "user", _DAY),
    Window("user_devices_30d", "distinct", "user", "device", 30 * _DAY, new="user_device_new"),
    Window("device_users_30d", "distinct", "device_id", "user", 30 * _DAY),
    Window("manner_prefixes_1d", "distinct", "manner", "ip_prefix", _DAY),
    *(
        Window(f"manner_{door}_1d", "distinct", "manner", "ip_prefix", _DAY, needs=needs)
        for door, needs in _DOORS.items()
    ),
    *(
        _approach("straight", door, f"known(endpoint) and not endpoint in ('asset', '{asked}')", _HOUR)
        for door, asked in _ASKED.items()
    ),
    *(_approach("rhythm", door, f"endpoint == '{asked}'", _HOUR // 6) for door, asked in _ASKED.items()),
    Window("user_speed_kmh", "speed", "user", "country", 30 * _DAY),
    Window(
        "prefix_failures_1h",
        "count",
        "ip_prefix",
        "",
        _HOUR,
        where=_FAILED,
        needs="known(status) or known(outcome)",
    ),
    Window("prefix_requests_10m", "count", "ip_prefix", "", _HOUR // 6),
)
"""All windows. A new one is a row here and one in `fraudlog.sessions.fields`."""


def windows_of(fields: Iterable[str]) -> tuple[Window, ...]:
    """Return the windows that fill any of these fields."""
    read = set(fields)
    return tuple(window for window in WINDOWS if read & set(window.fields))
