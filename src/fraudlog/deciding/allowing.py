"""`AllowList`: who is never challenged or denied, whatever else is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import numpy as np

from fraudlog.enriching import read_agent
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Network, IPv6Network

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["AllowList"]


@lru_cache(maxsize=65_536)
def _number(text: str) -> tuple[int, int] | None:
    """Return the version and the number of an address; an IPv4 address inside an IPv6 one is the former."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = address if mapped is None else mapped
    return address.version, int(address)


@dataclass(frozen=True)
class AllowList:
    """Networks, accounts, profiles and crawlers that always pass.

    Parameters
    ----------
    networks : tuple of str
        In CIDR form; an address stands for itself alone.
    users, profiles : tuple of str
        Accounts and profiles (``"Linux Firefox en"``), as sessions name them.
    crawlers : tuple of str
        Programs by the name that `fraudlog.enriching.read_agent` gives their agents, as a monitor of your own. An agent
        is easily copied: prefer `networks`. Crawlers whose address confirms their name need no entry.

    Raises
    ------
    ConfigError
        If a network is none.

    Examples
    --------
    >>> allowed = AllowList(networks=("203.0.113.0/24",), users=("monitor",))
    >>> allowed.covers(client_ip="203.0.113.9"), allowed.covers(client_ip="198.51.100.9", user="monitor")
    (True, True)
    """

    networks: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    crawlers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("networks", "users", "profiles", "crawlers"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(entry, str) for entry in value):
                raise ConfigError(f"allow.{name} must be a list of texts", parameter=f"allow.{name}")
            object.__setattr__(self, name, tuple(value))
        _ = self._parsed

    def __bool__(self) -> bool:
        return bool(self.networks or self.users or self.profiles or self.crawlers)

    @cached_property
    def _parsed(self) -> tuple[IPv4Network | IPv6Network, ...]:
        parsed = []
        for row, text in enumerate(self.networks):
            try:
                parsed.append(ip_network(text, strict=False))
            except ValueError:
                raise ConfigError(
                    f"allow.networks: entry {row + 1} is no network; write it as 203.0.113.0/24",
                    parameter="allow.networks",
                ) from None
        return tuple(parsed)

    @cached_property
    def _by_length(self) -> dict[int, list[tuple[int, frozenset[int]]]]:
        """Return, for each version, the prefixes of each length: as many look-ups as there are lengths."""
        grouped: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for network in self._parsed:
            shift = network.max_prefixlen - network.prefixlen
            grouped[network.version].setdefault(shift, set()).add(int(network.network_address) >> shift)
        return {
            version: [(shift, frozenset(heads)) for shift, heads in lengths.items()]
            for version, lengths in grouped.items()
        }

    def covers(
        self,
        *,
        client_ip: str | None = None,
        user: str | None = None,
        profile: str | None = None,
        user_agent: str | None = None,
    ) -> bool:
        """Say whether one of these is on the list."""
        if user is not None and user in self.users:
            return True
        if profile is not None and profile in self.profiles:
            return True
        if self.networks and client_ip is not None and self._holds(client_ip):
            return True
        return bool(self.crawlers) and user_agent is not None and _program(user_agent) in self.crawlers

    def _holds(self, client_ip: str) -> bool:
        parsed = _number(client_ip)
        if parsed is None:
            return False
        version, number = parsed
        return any(number >> shift in heads for shift, heads in self._by_length[version])

    def touches(self, network: str) -> bool:
        """Say whether any address of `network` is on the list, so that no verdict may hold for all of it."""
        if not self._parsed:
            return False
        try:
            asked = ip_network(network, strict=False)
        except ValueError:
            return False
        return any(own.version == asked.version and own.overlaps(asked) for own in self._parsed)

    def rows(self, sessions: pd.DataFrame) -> NDArray[np.bool_]:
        """Say for each session whether it is on the list; each distinct value is looked at once.

        Returns
        -------
        ndarray of bool, shape (n_sessions,)
        """
        covered = np.zeros(len(sessions), bool)
        looks: dict[str, Callable[[Any], bool]] = {
            "client_ip": self._holds,
            "user": self.users.__contains__,
            "profile": self.profiles.__contains__,
            "user_agent": lambda agent: _program(agent) in self.crawlers,
        }
        for name, look in looks.items():
            if name in sessions.columns and self:
                values = sessions[name]
                on_list = [value for value in values.dropna().unique() if look(value)]
                covered |= values.isin(on_list).to_numpy(bool)
        return covered

    def to_dict(self) -> dict[str, list[str]]:
        """Return it as JSON and TOML hold it."""
        return {name: list(getattr(self, name)) for name in ("networks", "users", "profiles", "crawlers")}


@lru_cache(maxsize=65_536)
def _program(user_agent: str) -> str | None:
    return read_agent(user_agent).bot_name
