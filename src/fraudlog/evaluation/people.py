"""What people do on a site, visit by visit: browse, sign in, forget a password, buy, complain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fraudlog.evaluation.words import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from fraudlog.evaluation.visits import Visit

__all__ = ["Habits", "browse", "call_api", "leave_in_anger"]

_ENTRIES: Final = (
    None,
    None,
    "https://www.google.com/",
    "https://duckduckgo.com/",
    "https://www.bing.com/",
    "https://t.co/",
)
_LONGEST: Final = 120


@dataclass(frozen=True)
class Habits:
    """How somebody uses a site; shares are chances.

    Parameters
    ----------
    pages : float
        Pages of a visit, at the median.
    reads_s : float
        Seconds on a page, at the median.
    account : str or None
        Who has none never signs in.
    stays_in : float
        Chance that the browser is still signed in.
    forgets : float
        Chance that a password is wrong.
    buys : float
        Chance of a cart, a visit.
    talks : float
        Chance of a comment, a vote, a form, a click on an advert, a visit.
    watches : float
        Chance of coming back to one and the same item for a while.
    """

    pages: float = 5.0
    reads_s: float = 22.0
    account: str | None = None
    stays_in: float = 0.6
    forgets: float = 0.08
    buys: float = 0.12
    talks: float = 0.12
    watches: float = 0.03


def browse(visit: Visit, habits: Habits) -> None:
    """Make one visit as a person does."""
    rng, site = visit.rng, visit.site
    visit.has_seen(rng.choice((0.0, 0.3, 0.9)))
    if habits.account and rng.random() < habits.stays_in:
        visit.client = visit.client.known_as(habits.account)
    visit.open(_doorstep(visit), referrer=rng.choice(_ENTRIES))
    visit.wait(habits.reads_s)
    if habits.account and visit.client.user is None and rng.random() < 0.45 and not _sign_in(visit, habits):
        return
    for _ in range(min(_LONGEST, int(rng.lognormvariate(0, 0.8) * habits.pages))):
        _step(visit)
        visit.wait(habits.reads_s, 1.0)
    for chance, act in ((habits.buys, _buy), (habits.talks, _talk), (habits.watches, _watch)):
        if rng.random() < chance:
            act(visit, habits)
    if visit.client.user and rng.random() < 0.2:
        visit.open(site.doors["account"])
        visit.wait(habits.reads_s)
        visit.ask(site.doors["logout"], 302)


def call_api(visit: Visit, habits: Habits) -> None:
    """Make one visit as an app does: an API, hardly a page, no referrer."""
    rng, api = visit.rng, visit.site.doors["api"]
    visit.loads_assets = visit.sends_referrer = False
    if rng.random() < 0.1:
        for _ in range(_tries(rng, habits.forgets)):
            visit.ask(f"{api}/session", 401, method="POST")
            visit.wait(6)
        visit.ask(f"{api}/session", 200, method="POST", size=420)
    visit.client = visit.client.known_as(habits.account)
    for _ in range(min(_LONGEST, 2 + int(rng.lognormvariate(0, 0.8) * habits.pages * 1.5))):
        kind = rng.choice(("items", "items", "me", "news", "offers"))
        number = rng.choice(visit.site.items).rstrip("/").rpartition("/")[2].rpartition("-")[2]
        visit.ask(f"{api}/{kind}/{number}" if kind == "items" else f"{api}/{kind}", rng.choices((200, 304), (3, 1))[0])
        visit.wait(habits.reads_s / 3, 1.3)
    if rng.random() < habits.buys:
        visit.ask(f"{api}/cart", 200, method="POST")
        visit.wait(25)
        visit.ask(f"{api}{visit.site.doors['checkout']}", rng.choices((200, 402), (15, 1))[0], method="POST")


def leave_in_anger(visit: Visit, habits: Habits) -> None:
    """Try old passwords until one does, or ask for a new one."""
    rng = visit.rng
    visit.open(rng.choice(visit.site.pages))
    visit.wait(habits.reads_s)
    for _ in range(rng.randrange(2, 7)):
        visit.open(visit.site.doors["login"])
        visit.wait(11)
        visit.send(visit.site.doors["login"], visit.site.refusal)
        visit.wait(5)
    if rng.random() < 0.6:
        _reset(visit, habits)


def _doorstep(visit: Visit) -> str:
    rng, site = visit.rng, visit.site
    return rng.choices((site.pages[0], rng.choice(site.pages), _item(visit)), (4, 3, 5))[0]


def _item(visit: Visit) -> str:
    """Return an item; few are looked at often, most seldom."""
    items = visit.site.items
    return items[int(len(items) * visit.rng.random() ** 2.2)]


def _step(visit: Visit) -> None:
    rng, site = visit.rng, visit.site
    kind = rng.choices(("item", "page", "search", "broken", "reload"), (55, 26, 9, 1.2, 3))[0]
    if kind == "item":
        visit.open(_item(visit))
    elif kind == "page":
        visit.open(rng.choice(site.pages))
    elif kind == "search":
        visit.open(
            site.doors["search"],
            query=f"q={rng.choice(WORDS)}" + (f"&page={rng.randrange(2, 5)}" if rng.random() < 0.2 else ""),
        )
    elif kind == "broken":
        visit.ask(f"/{rng.choice(WORDS)}/{rng.choice(WORDS)}", site.missing)
    else:
        visit.ask(visit.before or "/", rng.choice((200, 304)))


def _tries(rng: Random, forgets: float) -> int:
    """Return how many wrong passwords come before the right one."""
    tries = 0
    while tries < 6 and rng.random() < forgets * (1 + tries):
        tries += 1
    return tries


def _sign_in(visit: Visit, habits: Habits) -> bool:
    """Sign in; who forgets tries again, then asks for a new password, or gives up."""
    rng, doors = visit.rng, visit.site.doors
    visit.open(doors["login"])
    visit.wait(9)
    for _ in range(_tries(rng, habits.forgets)):
        visit.send(doors["login"], visit.site.refusal)
        visit.wait(8)
        if rng.random() < 0.25:
            _reset(visit, habits)
            return rng.random() < 0.5
    visit.send(doors["login"], 302)
    visit.client = visit.client.known_as(habits.account)
    visit.open(doors["account"])
    visit.wait(habits.reads_s)
    return True


def _reset(visit: Visit, habits: Habits) -> None:
    doors = visit.site.doors
    visit.open(doors["password_reset"])
    visit.wait(14)
    visit.send(doors["password_reset"], 302)
    visit.wait(70)
    visit.send(doors["password_reset"], 302, leads_to=doors["login"])
    visit.wait(10)
    visit.send(doors["login"], 302)
    visit.client = visit.client.known_as(habits.account)
    visit.open(doors["account"])


def _buy(visit: Visit, habits: Habits) -> None:
    """Fill a cart; many leave it, some type a code, a few cards are refused once or twice."""
    rng, doors = visit.rng, visit.site.doors
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        visit.open(_item(visit))
        visit.wait(habits.reads_s)
        visit.send(doors["cart"], 302, leads_to=doors["cart"])
        visit.wait(12)
    if rng.random() < 0.45:
        return
    for _ in range(rng.choices((0, 1, 2, 3), (80, 12, 5, 3))[0]):
        visit.send(doors["coupon"], rng.choice((200, 400, 422)))
        visit.wait(15)
    if habits.account is None and rng.random() < 0.2:
        visit.open(doors["signup"])
        visit.wait(60)
        visit.send(doors["signup"], 302)
    visit.open(doors["checkout"])
    visit.wait(55)
    for _ in range(rng.choices((0, 1, 2), (90, 7, 3))[0]):
        visit.send(doors["checkout"], 402)
        visit.wait(35)
    visit.send(doors["checkout"], 302, leads_to=doors["account"] if visit.client.user else visit.site.pages[0])


def _talk(visit: Visit, habits: Habits) -> None:
    """Write, vote, fill a form step by step, follow an advert."""
    rng, doors = visit.rng, visit.site.doors
    kind = rng.choice(("comment", "vote", "form", "advert"))
    if kind == "form":
        for number in range(1, rng.randrange(3, 7)):
            visit.open(f"{doors['form']}/{number}")
            visit.wait(40)
            visit.send(f"{doors['form']}/{number}", 302)
        return
    visit.open(_item(visit))
    visit.wait(habits.reads_s * (3 if kind == "comment" else 1))
    if kind == "advert":
        visit.ask(doors["advert"], 302, query=f"id={rng.randrange(1, 60)}")
        return
    visit.send(doors[kind], rng.choice((200, 302)))


def _watch(visit: Visit, habits: Habits) -> None:
    """Come back to one item again and again: somebody waits for a price or a ticket."""
    wanted = _item(visit)
    visit.open(wanted)
    for _ in range(visit.rng.randrange(4, 22)):
        visit.wait(habits.reads_s, 0.7)
        visit.ask(wanted, visit.rng.choices((200, 304), (2, 1))[0])


MANNERS: Final[dict[str, Callable[[Visit, Habits], None]]] = {
    "browse": browse,
    "app": call_api,
    "anger": leave_in_anger,
}
"""Ways to make a visit, by name."""
