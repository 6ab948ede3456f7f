"""Programs that a site is glad of: partners, monitors, feed readers, crawlers whose address confirms their name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from fraudlog.evaluation.clients import Client, library, network

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from fraudlog.evaluation.visits import Visit

__all__ = ["PROGRAMS", "Program"]


class Program(NamedTuple):
    """A welcome program.

    Parameters
    ----------
    group : str
        What it is, in the truth.
    copies : int
        How many of it visit a site that has 300 people.
    every_s : float
        Seconds from visit to visit, at the median.
    spread : float
        How uneven these are; 0 for a timer.
    client : callable
        Draws one.
    visit : callable
        What it does when it comes.
    """

    group: str
    copies: int
    every_s: float
    spread: float
    client: Callable[[Random, int], Client]
    visit: Callable[[Visit], None]


def _partner(rng: Random, number: int) -> Client:
    home = network(rng, "US").inside(rng)
    return Client(user_agent=library(rng), user=f"partner-{number}").at(home, rng)


def _monitor(rng: Random, number: int) -> Client:
    agents = ("UptimeRobot/2.0; http://www.uptimerobot.com/", "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)")
    agent = f"Mozilla/5.0+(compatible; {agents[0]})" if number % 2 else agents[1]
    return Client(user_agent=agent).at(network(rng, "US").inside(rng), rng)


def _feed_reader(rng: Random, number: int) -> Client:
    agents = (
        "FreshRSS/1.24.{} (Linux; https://freshrss.org)",
        "NetNewsWire (RSS Reader; https://netnewswire.com/)",
        "Tiny Tiny RSS/23.{} (https://tt-rss.org/)",
        "Feedly/1.0 (+http://www.feedly.com/fetcher.html; {} subscribers)",
        "Miniflux/2.1.{} (+https://miniflux.app)",
    )
    agent = agents[number % len(agents)].format(rng.randrange(1, 9))
    return Client(user_agent=agent).at(network(rng, "DE").inside(rng), rng)


_CRAWLERS: Final = (
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "66.249.66.{}"),
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "157.55.39.{}"),
)


def _crawler(rng: Random, number: int) -> Client:
    agent, place = _CRAWLERS[number % len(_CRAWLERS)]
    return Client(
        client_ip=place.format(rng.randrange(1, 250)),
        user_agent=agent,
        country="US",
        asn=15169 if number % 2 == 0 else 8075,
    )


def _script(visit: Visit) -> None:
    visit.loads_assets = visit.sends_referrer = False
    visit.protocol = "HTTP/1.1"


def _sync(visit: Visit) -> None:
    """Fetch what changed, page by page, under a token."""
    _script(visit)
    api = visit.site.doors["api"]
    for number in range(1, visit.rng.randrange(4, 40)):
        visit.ask(f"{api}/items", query=f"page={number}")
        visit.wait(0.8, 0.2)
    if visit.rng.random() < 0.2:
        visit.ask(visit.site.doors["export"])


def _check(visit: Visit) -> None:
    _script(visit)
    visit.ask(visit.site.doors["health"] if visit.rng.random() < 0.5 else "/", method=visit.rng.choice(("GET", "HEAD")))


def _poll(visit: Visit) -> None:
    _script(visit)
    visit.ask(visit.site.doors["feed"], visit.rng.choices((304, 200), (3, 1))[0])


def _crawl(visit: Visit) -> None:
    _script(visit)
    if visit.rng.random() < 0.3:
        visit.ask("/robots.txt")
    for _ in range(visit.rng.randrange(3, 30)):
        visit.ask(visit.rng.choice(visit.site.items + visit.site.pages))
        visit.wait(20, 0.9)


PROGRAMS: Final = (
    Program("partner", 3, 7_200, 0.05, _partner, _sync),
    Program("monitor", 2, 900, 0.0, _monitor, _check),
    Program("feed", 4, 5_400, 0.1, _feed_reader, _poll),
    Program("crawler", 4, 9_000, 0.7, _crawler, _crawl),
)
"""One row a kind of welcome program."""
