"""What a campaign borrows from the log it is put into: browsers, networks, accounts, and what is recorded at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from fraudlog.enriching import read_agent
from fraudlog.evaluation.clients import Client, Network, draw_country, library, network
from fraudlog.evaluation.sites import Site

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from fraudlog.enriching import EndpointMap
    from fraudlog.evaluation.raids import Disguise

__all__ = ["Surroundings"]

_SHOWN: Final = ("client_ip", "user_agent", "language", "ch_ua", "ch_platform", "ch_mobile", "country", "asn")
_OLD: Final = (
    "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{}.{} Safari/537.36"
)
_DEFAULT_LANGUAGES: Final = (None, None, None, "en-US", "en-US,en;q=0.9")
_WITHOUT_AGENT: Final = 0.1
_OUTDATED: Final = 0.35


@dataclass(frozen=True)
class Surroundings:
    """The log as an attacker's stage.

    Parameters
    ----------
    site : Site
    visitors : tuple of Client
        Browsers of the log, as often as they came.
    accounts : dict of str to (str or None)
        Accounts of the log, and the last session token of each.
    protocols : tuple of str
        Of those visitors' requests.
    recorded : frozenset of str
        Columns in which the log holds a value.
    ticks_s : float
        Resolution of its clock.
    """

    site: Site
    visitors: tuple[Client, ...]
    accounts: dict[str, str | None]
    protocols: tuple[str, ...]
    recorded: frozenset[str]
    ticks_s: float

    @classmethod
    def of(
        cls,
        events: pd.DataFrame,
        rng: Random,
        *,
        endpoints: EndpointMap | None = None,
        agents: Sequence[str] | None = None,
        most: int = 2_000,
    ) -> Surroundings:
        """Look around in a log.

        Parameters
        ----------
        events : DataFrame of shape (n_events, n_columns)
        rng : Random
        endpoints : EndpointMap, optional
            What the site's paths are.
        agents : sequence of str, optional
            Agents of browsers to borrow in place of the log's own.
        most : int, default 2,000
            Visitors to remember.
        """
        recorded = frozenset(str(name) for name in events.columns if events[name].notna().any())
        shown = events[_browsers(events)] if "user_agent" in recorded else events
        shown = shown if len(shown) else events
        picked = shown.iloc[sorted(rng.sample(range(len(shown)), min(most, len(shown))))]
        visitors = [_client(row) for row in picked.reindex(columns=list(_SHOWN)).to_dict("records")]
        if agents:
            visitors = [replace(client, user_agent=rng.choice(agents), ch_ua=None) for client in visitors]
        whole = bool((events["timestamp"].dt.microsecond == 0).all())
        return cls(
            Site.of(events, rng, endpoints),
            tuple(visitors),
            _accounts(events) if "user" in recorded else {},
            _protocols(shown),
            recorded,
            1.0 if whole else 0.001,
        )

    def profile(self, rng: Random, disguise: Disguise) -> Client:
        """Return what an attacker shows of a browser, as far as its disguise goes."""
        seen = rng.choice(self.visitors)
        if not disguise.agent or seen.user_agent is None:
            return Client(user_agent=_tool(rng), language=rng.choice(_DEFAULT_LANGUAGES))
        if not disguise.hints:
            seen = replace(seen, ch_ua=None, ch_platform=None, ch_mobile=None)
        return seen if disguise.language else replace(seen, language=rng.choice(_DEFAULT_LANGUAGES))

    def home(self, rng: Random, disguise: Disguise, hosting: Sequence[Network]) -> Network:
        """Return the network of one more address: near one of the visitors', or one of the campaign's own."""
        if not disguise.residential:
            return rng.choice(hosting)
        near = rng.choice(self.visitors)
        first = ".".join(near.client_ip.split(".")[:2])
        if ":" in near.client_ip or first.count(".") != 1:
            return network(rng, near.country, is_v6=":" in near.client_ip)._replace(asn=near.asn).inside(rng)
        return Network(first, near.country, near.asn).inside(rng)

    def hosting(self, rng: Random) -> list[Network]:
        """Draw the few networks of a campaign that has rented its machines."""
        return [network(rng, draw_country(rng).code).inside(rng) for _ in range(rng.randrange(1, 4))]


def _accounts(events: pd.DataFrame) -> dict[str, str | None]:
    known = events[events["user"].notna()].drop_duplicates("user", keep="last").sort_values("user")
    tokens = known["session_token"] if "session_token" in known else pd.Series(None, index=known.index, dtype="str")
    return {
        str(user): None if pd.isna(token) else str(token) for user, token in zip(known["user"], tokens, strict=True)
    }


def _protocols(events: pd.DataFrame) -> tuple[str, ...]:
    known = events["protocol"].dropna().astype("str").head(5_000) if "protocol" in events else ()
    return tuple(known) or ("HTTP/1.1",)


def _browsers(events: pd.DataFrame) -> pd.Series:
    """Say which events come from a browser by their agents, each distinct agent looked at once."""
    agents = events["user_agent"].astype("str")
    facts = {agent: read_agent(agent) for agent in agents.dropna().unique()}
    good = {agent for agent, found in facts.items() if found.agent_kind == "browser" and not found.is_automation}
    return agents.isin(good)


def _client(row: dict[Any, Any]) -> Client:
    known = {name: value for name, value in row.items() if not pd.isna(value)}
    return Client(**{name: int(value) if name == "asn" else str(value) for name, value in known.items()})  # type: ignore[arg-type]


def _tool(rng: Random) -> str | None:
    """Return the agent of who does not care: a library's, an old browser's, none."""
    chance = rng.random()
    if chance < _WITHOUT_AGENT:
        return None
    if chance < _OUTDATED:
        return _OLD.format(rng.randrange(38, 92), rng.randrange(2_000, 4_600), rng.randrange(10, 200))
    return library(rng)
