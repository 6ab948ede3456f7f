"""Benign traffic made up, many days of it, with everything that detectors wrongly take for abuse.

People at home, behind carrier NAT and in offices, users of an app, travellers, the forgetful and the keen, those who
block and hide what they can; partners with tokens, monitors, feed readers, verified crawlers. Every event says who
made it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import log
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from fraudlog.errors import ConfigError
from fraudlog.evaluation.clients import Client, browser, draw_country, network
from fraudlog.evaluation.people import MANNERS, Habits
from fraudlog.evaluation.programs import PROGRAMS
from fraudlog.evaluation.sites import Site
from fraudlog.evaluation.visits import Trace, Visit
from fraudlog.evaluation.words import NAMES

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

    from fraudlog.evaluation.clients import Network
    from fraudlog.evaluation.programs import Program
    from fraudlog.evaluation.words import Country

__all__ = ["GROUPS", "Group", "benign_events"]

_DAY_S: Final = 86_400
_HOURS: Final = (2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 11, 12, 11, 10, 10, 10, 11, 13, 15, 16, 15, 10, 5)
"""How much goes on in each hour of the day, on the client's own clock."""


class Group(NamedTuple):
    """A kind of person.

    Parameters
    ----------
    name : str
        What it is called in the truth.
    weight : int
        How often it is drawn.
    a_day : float
        Visits a day.
    manner : str
        A row of `people.MANNERS`.
    account : float
        Chance to have an account.
    """

    name: str
    weight: int
    a_day: float
    manner: str
    account: float


GROUPS: Final = (
    Group("home", 44, 0.45, "browse", 0.45),
    Group("carrier", 18, 0.45, "browse", 0.4),
    Group("office", 12, 0.5, "browse", 0.5),
    Group("app", 9, 1.1, "app", 1.0),
    Group("traveller", 4, 0.6, "browse", 1.0),
    Group("forgetful", 4, 0.4, "browse", 1.0),
    Group("angry", 1, 0.25, "anger", 1.0),
    Group("private", 4, 0.4, "browse", 0.2),
    Group("keen", 4, 1.2, "browse", 0.8),
)
"""One row a kind of person; the names are those of column ``group``."""


class _Person(NamedTuple):
    name: str
    group: Group
    country: Country
    home: Network
    devices: tuple[Client, ...]
    habits: Habits


class _World:
    """What the people of one site share: networks of carriers and offices."""

    def __init__(self, rng: Random, people: int) -> None:
        countries = [draw_country(rng) for _ in range(max(2, people // 60))]
        self.carriers = [(country, network(rng, country.code).inside(rng)) for country in countries]
        self.pools = {place.first: [place.address(rng) for _ in range(8)] for _, place in self.carriers}
        self.offices = [
            (country, network(rng, country.code).inside(rng))
            for country in (draw_country(rng) for _ in range(max(1, people // 80)))
        ]
        self.gates = {place.first: place.address(rng) for _, place in self.offices}


def benign_events(
    days: int = 14, people: int = 300, *, seed: int = 0, start: str = "2026-03-02"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make benign traffic up.

    Parameters
    ----------
    days : int, default 14
    people : int, default 300
        Persons; with the programs about 15 events each a day.
    seed : int, default 0
        The same seed gives the same events; another, another site.
    start : str, default "2026-03-02"
        First day, in ISO 8601.

    Returns
    -------
    events : DataFrame of shape (n_events, n_columns)
        As from `fraudlog.read_log`, in order of time: a log that records account, language, client hints, country,
        network and server time.
    truth : DataFrame of shape (n_events, 2)
        Of each event, ``actor`` (who made it) and ``group`` (what that one is: `GROUPS`, or a welcome program).

    Raises
    ------
    ConfigError
        If there are no days or no people.

    Examples
    --------
    >>> events, truth = benign_events(days=1, people=20)
    >>> len(events) == len(truth) > 100
    True
    """
    for name, value in (("days", days), ("people", people)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1", parameter=name)
    rng = Random(seed)
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    trace, site, world = Trace(), Site.drawn(rng), _World(rng, people)
    for number in range(people):
        _live(trace, site, _person(rng, number, world, first.date()), world, rng, first.timestamp(), days)
    for program in PROGRAMS:
        for number in range(max(1, round(program.copies * people / 300))):
            _run(trace, site, program, number, rng, first.timestamp(), days)
    events = trace.events()
    truth = events[["actor", "group"]]
    events = events.drop(columns=["actor", "group"])
    return events.assign(source="benign.log", line_number=range(1, len(events) + 1)), truth


def _person(rng: Random, number: int, world: _World, today: date) -> _Person:
    group = rng.choices(GROUPS, [row.weight for row in GROUPS])[0]
    country, home = _home(rng, group, world)
    phones = {"carrier": True, "app": True, "office": False}.get(group.name)
    devices = [browser(rng, today, country.languages, mobile=phones) for _ in range(rng.choices((1, 2), (3, 1))[0])]
    if group.name == "app":
        system = rng.choice(("Android 14; Pixel 8", "Android 13; SM-A546B", "iOS 18.4; iPhone16,1"))
        devices = [Client(user_agent=f"Shop/4.{rng.randrange(1, 9)} ({system})", language=devices[0].language)]
    account = f"{rng.choice(NAMES)}{number}" if rng.random() < group.account else None
    habits = Habits(
        pages=rng.uniform(2, 9) * (2.5 if group.name == "keen" else 1),
        reads_s=rng.uniform(8, 45),
        account=account,
        stays_in=0.2 if group.name == "forgetful" else rng.uniform(0.4, 0.9),
        forgets=0.45 if group.name == "forgetful" else rng.uniform(0, 0.12),
        buys=rng.uniform(0.03, 0.25),
        talks=rng.uniform(0, 0.25),
        watches=0.25 if group.name == "keen" else 0.02,
    )
    return _Person(f"person-{number}", group, country, home, tuple(devices), habits)


def _home(rng: Random, group: Group, world: _World) -> tuple[Country, Network]:
    if group.name == "carrier":
        return rng.choice(world.carriers)
    if group.name == "office":
        return rng.choice(world.offices)
    country = draw_country(rng)
    return country, network(rng, country.code, is_v6=rng.random() < 0.25).inside(rng)


def _live(trace: Trace, site: Site, person: _Person, world: _World, rng: Random, first_s: float, days: int) -> None:
    """Write down all visits of one person."""
    device_at = [device.at(person.home, rng) for device in person.devices]
    away: Network | None = None
    for day in range(days):
        if person.group.name == "traveller" and rng.random() < 0.25:
            away = None if away else network(rng, draw_country(rng).code).inside(rng)
        for _ in range(_count(rng, person.group.a_day)):
            second = (
                rng.choices(range(24), _HOURS)[0] * 3_600 + rng.random() * 3_600 - person.country.utc_offset_h * 3_600
            )
            start = first_s + day * _DAY_S + second % _DAY_S
            client = _placed(rng, person, rng.choice(device_at), world, away)
            visit = Visit(trace, site, client, rng, start, (person.name, person.group.name))
            if person.group.name == "private":
                visit.sends_referrer, visit.loads_assets = rng.random() < 0.3, rng.random() < 0.4
            MANNERS[person.group.manner](visit, person.habits)


def _placed(rng: Random, person: _Person, client: Client, world: _World, away: Network | None) -> Client:
    """Return the client where its person is just then: on the road, behind a gate, in another place of the network."""
    if away is not None:
        return client.at(away, rng)
    shared = {"carrier": world.pools, "office": {name: [gate] for name, gate in world.gates.items()}}.get(
        person.group.name
    )
    if shared is not None:
        moved = client.at(person.home, rng)
        return _behind(moved, rng.choice(shared[person.home.first]))
    if rng.random() < 0.06:  # a café, the train
        return client.at(network(rng, person.country.code).inside(rng), rng)
    return client


def _behind(client: Client, address: str) -> Client:
    return replace(client, client_ip=address)


def _run(trace: Trace, site: Site, program: Program, number: int, rng: Random, first_s: float, days: int) -> None:
    """Write down all visits of one welcome program."""
    client = program.client(rng, number)
    now = first_s + rng.random() * program.every_s
    while now < first_s + days * _DAY_S:
        visit = Visit(trace, site, client, rng, now, (f"{program.group}-{number}", program.group))
        program.visit(visit)
        now = max(visit.now_s, now + program.every_s * (rng.lognormvariate(0, program.spread) if program.spread else 1))


def _count(rng: Random, mean: float) -> int:
    """Draw a count of the given mean (Poisson, by the gaps between)."""
    count, left = 0, 1.0
    while (left := left + log(1 - rng.random()) / mean) > 0:
        count += 1
    return count
