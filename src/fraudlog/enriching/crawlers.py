"""Whether a crawler is who it claims to be: verified, fake, unverifiable, or no claim made.

Published networks are asked first. Where a resolver was given, a reverse name under the operator's domain that leads
forward to the same address decides; without one, only an operator that publishes all its networks can be told from a
fake. Unverifiable is not fake. Nothing here touches the network on its own.

References
----------
.. [1] https://developers.google.com/search/docs/crawling-indexing/verifying-googlebot
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from fraudlog.enriching.agents import AGENT_LIMIT
from fraudlog.enriching.networks import IP_CLASSES, NetworkLists, special_use
from fraudlog.enriching.resolving import NameCheck
from fraudlog.privacy.addresses import parse_addresses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import numpy.typing as npt

    from fraudlog.enriching.resolving import Resolver

__all__ = ["CRAWLER_STATES", "CrawlerVerifier", "claimed_crawler"]

CRAWLER_STATES: Final[dict[str, str]] = {
    "verified": "the address belongs to the operator that the agent names",
    "fake": "the operator can be checked, and the address is not its own",
    "unverifiable": "a crawler that nobody can check, or not with what is at hand",
    "unclaimed": "the agent claims to be no crawler",
}
"""The vocabulary of `crawler_state`."""

_REMEMBERED: Final = 20_000
_CLAIMING: Final = frozenset({"crawler", "ai", "feed", "monitor", "preview"})


@dataclass(frozen=True, slots=True)
class _Crawler:
    name: str
    pattern: re.Pattern[str]
    ranges: tuple[str, ...]
    domains: tuple[str, ...]
    is_complete: bool


@cache
def _crawlers() -> tuple[_Crawler, ...]:
    rows = tomllib.loads((resources.files(__package__) / "rules" / "crawlers.toml").read_text(encoding="utf-8"))
    return tuple(
        _Crawler(
            name,
            re.compile(row["pattern"], re.IGNORECASE),
            tuple(row.get("ranges", ())),
            tuple(row.get("domains", ())),
            row.get("is_complete", False),
        )
        for name, row in rows.items()
    )


@cache
def _published() -> NetworkLists:
    folder = resources.files(__package__) / "rules" / "crawlers"
    names = {name for crawler in _crawlers() for name in crawler.ranges}
    with resources.as_file(folder) as path:
        return NetworkLists.from_files({name: Path(path) / f"{name}.txt" for name in sorted(names)})


def claimed_crawler(agent: str) -> str | None:
    """Return the operator whose crawler `agent` claims to be, if its claim can be checked.

    >>> claimed_crawler("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)")
    'bing'
    """
    return next((crawler.name for crawler in _crawlers() if crawler.pattern.search(agent)), None)


class CrawlerVerifier:
    """Decides the state of each pair of agent and address.

    Parameters
    ----------
    resolver : Resolver, optional
        Asked for reverse and forward names; without it no name is ever looked up.
    ranges : NetworkLists, optional
        Networks of crawlers under the names of ``rules/crawlers.toml``, in place of those in the package.
    max_age_days : int, default 400
        An event farther than this from the date of an operator's list is not called fake by that list.
    time_limit_s : float, default 2.0
        Longest wait for all names of one call together; a name that comes later counts as unknown.

    Examples
    --------
    >>> verifier = CrawlerVerifier()
    >>> agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    >>> addresses = ["66.249.66.1", "192.0.32.7", "192.0.32.7"]
    >>> verifier.states([agent, agent, "curl/8.5.0"], addresses, ["crawler", "crawler", "tool"])
    ['verified', 'fake', 'unclaimed']
    """

    def __init__(
        self,
        resolver: Resolver | None = None,
        *,
        ranges: NetworkLists | None = None,
        max_age_days: int = 400,
        time_limit_s: float = 2.0,
    ) -> None:
        self._ranges = ranges or _published()
        self._names = NameCheck(resolver, time_limit_s=time_limit_s) if resolver else None
        self.max_age_days = max_age_days
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._state)

    @property
    def filled(self) -> tuple[int, int]:
        """How many claims are remembered, and how many may be."""
        return self._remembered.cache_info().currsize, _REMEMBERED

    def states(
        self,
        agents: Sequence[str | None],
        addresses: Sequence[str | None],
        categories: Sequence[str | None],
        days: npt.NDArray[np.float64] | None = None,
    ) -> list[str | None]:
        """Return the state of each pair, None where there is no agent.

        Parameters
        ----------
        agents, addresses : sequences of str or None, length n
            Distinct pairs, best.
        categories : sequence of str or None, length n
            `bot_category` of each agent.
        days : array of shape (n,), optional
            Day of the event, counted from 1970; NaN where unknown.
        """
        crawlers = {crawler.name: crawler for crawler in _crawlers()}
        claims = _claims(agents)
        parsed, _ = parse_addresses(pa.array(addresses, pa.string())).embedded()
        _, classes = special_use().lookup(parsed)
        is_public = classes == list(IP_CLASSES).index("global")
        masks = self._ranges.masks(parsed)
        confirmed = self._look_up(addresses, [crawlers.get(claim or "") for claim in claims], is_public, masks)
        found: list[str | None] = []
        for row, claim in enumerate(claims):
            crawler = crawlers.get(claim or "")
            if agents[row] is None:
                found.append(None)
            elif crawler is None:
                found.append("unverifiable" if categories[row] in _CLAIMING else "unclaimed")
            elif not is_public[row]:
                found.append("unverifiable")
            elif self._is_inside(crawler, int(masks[row])):
                found.append("verified")
            else:
                day = np.nan if days is None else float(days[row])
                found.append(self._outside(crawler, confirmed.get((addresses[row] or "", crawler.domains)), day))
        return found

    def state(self, agent: str | None, address: str | None, category: str | None, day: float = np.nan) -> str | None:
        """Return the state of one pair, as `states` does for many; quick where no claim can be checked."""
        if agent is None or _remembered_claim(agent) is None:
            return None if agent is None else "unverifiable" if category in _CLAIMING else "unclaimed"
        if self._names is None and len(agent) <= AGENT_LIMIT:  # published networks alone: what was found once stays
            return self._remembered(agent, address, category, day)
        return self._state(agent, address, category, day)

    def _state(self, agent: str, address: str | None, category: str | None, day: float) -> str | None:
        return self.states([agent], [address], [category], np.array([day]))[0]

    def _is_inside(self, crawler: _Crawler, mask: int) -> bool:
        return any(mask >> self._ranges.names.index(name) & 1 for name in crawler.ranges if name in self._ranges.names)

    def _look_up(
        self,
        addresses: Sequence[str | None],
        crawlers: Sequence[_Crawler | None],
        is_public: npt.NDArray[np.bool_],
        masks: npt.NDArray[np.int64],
    ) -> Mapping[tuple[str, tuple[str, ...]], bool]:
        if self._names is None:
            return {}
        wanted = {
            (address, crawler.domains): None
            for address, crawler, public, mask in zip(addresses, crawlers, is_public, masks, strict=True)
            if address and crawler and crawler.domains and public and not self._is_inside(crawler, int(mask))
        }
        return self._names.confirm(list(wanted))

    def _outside(self, crawler: _Crawler, is_confirmed: bool | None, day: float) -> str:  # noqa: FBT001 -- private
        """Return the state of a claim from outside the published networks."""
        if is_confirmed is not None:
            return "verified" if is_confirmed else "fake"
        if crawler.is_complete and crawler.ranges and self._is_current(crawler, day):
            return "fake"
        return "unverifiable"

    def _is_current(self, crawler: _Crawler, day: float) -> bool:
        dates = [self._ranges.dates.get(name) for name in crawler.ranges]
        if any(made is None for made in dates):
            return False
        return bool(np.isnan(day)) or all(abs(day - _day_of(made)) <= self.max_age_days for made in dates if made)


def _day_of(made: date) -> int:
    return made.toordinal() - 719163  # ordinal of 1970-01-01


@lru_cache(maxsize=10_000)
def _remembered_claim(agent: str) -> str | None:
    return claimed_crawler(agent[:AGENT_LIMIT])


def _claims(agents: Sequence[str | None]) -> list[str | None]:
    return [None if agent is None else _remembered_claim(agent) for agent in agents]
