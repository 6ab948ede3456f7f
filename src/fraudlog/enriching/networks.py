"""What an address says: family, prefixes, special use, transition form, and the named lists it stands on.

References
----------
.. [1] IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890).
"""

from __future__ import annotations

import ipaddress
import socket
from functools import cache
from os import PathLike
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from fraudlog.enriching.ranges import RangeTable, read_networks
from fraudlog.errors import ConfigError
from fraudlog.privacy.addresses import parse_addresses, prefixes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date
    from pathlib import Path

    import numpy.typing as npt

    from fraudlog.enriching.ranges import Network
    from fraudlog.privacy.addresses import Addresses

__all__ = [
    "IP_CLASSES",
    "LIST_COLUMNS",
    "NETWORK_COLUMNS",
    "NetworkLists",
    "read_address",
    "read_addresses",
    "special_use",
]

IP_CLASSES: Final[dict[str, tuple[str, ...]]] = {
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "64:ff9b:1::/48"),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "shared": ("100.64.0.0/10",),
    "link_local": ("169.254.0.0/16", "fe80::/10"),
    "documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "special": (
        *("0.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
        *("::/8", "100::/8", "2001::/23", "5f00::/16", "200::/7", "400::/6", "800::/5", "1000::/4"),
        *("4000::/2", "8000::/1"),
    ),
    "global": ("0.0.0.0/0", "2000::/3", "2001:1::1/128", "2001:1::2/128", "2001:3::/32", "2001:4:112::/48",
               "2001:20::/28", "2001:30::/28", "192.0.0.9/32", "192.0.0.10/32"),
}  # fmt: skip
"""Vocabulary of `ip_class` with the networks of each; the narrowest decides. ``shared`` is carrier-grade NAT (RFC
6598), ``special`` what IANA set aside or has not given out."""

LIST_COLUMNS: Final[dict[str, str]] = {
    "hosting": "is_hosting",
    "cloud": "is_cloud",
    "vpn": "is_vpn",
    "tor": "is_tor",
    "relay": "is_relay",
    "mobile": "is_mobile_network",
    "proxy": "is_own_proxy",
}
"""Names of lists that have a column of their own; a list of any other name shows in `network` alone."""

_FORM_NAMES: Final = ("mapped", "6to4", "nat64")
_FORMS: Final = pa.array(_FORM_NAMES)

NETWORK_COLUMNS: Final = (
    *("ip_version", "ip_prefix", "ip_prefix_56", "ip_prefix_48", "ip_class", "ip_transition", "network"),
    *LIST_COLUMNS.values(),
)
"""The columns that `read_addresses` gives, in order."""


@cache
def special_use() -> RangeTable:
    """Return the table whose labels are `IP_CLASSES`."""
    return RangeTable(
        {label: [ipaddress.ip_network(network) for network in networks] for label, networks in IP_CLASSES.items()}
    )


class NetworkLists:
    """Named lists of networks, each with its date.

    An address on no list is not "not hosting": it is only on none of these lists. A column whose list is not loaded
    stays null.

    Parameters
    ----------
    networks : mapping of str to iterable of network
        Name of the list, as in `LIST_COLUMNS`, to its networks.
    dates : mapping of str to date, optional
        When each list was made.

    Attributes
    ----------
    names : tuple of str
    dates : dict of str to date or None

    Examples
    --------
    >>> lists = NetworkLists({"vpn": [ipaddress.ip_network("192.0.2.0/24")]})
    >>> columns = read_addresses(pa.array(["192.0.2.1", "8.8.8.8", None]), lists=lists)
    >>> columns["network"].to_pylist(), columns["is_vpn"].to_pylist(), columns["is_tor"].to_pylist()
    (['vpn', None, None], [True, False, None], [None, None, None])
    """

    def __init__(self, networks: Mapping[str, Iterable[Network]], *, dates: Mapping[str, date] | None = None) -> None:
        self._table = RangeTable(networks)
        self.names = self._table.labels
        self.dates: dict[str, date | None] = {name: (dates or {}).get(name) for name in self.names}

    @classmethod
    def from_files(cls, files: Mapping[str, str | Path | Iterable[str | Path]]) -> NetworkLists:
        """Read the lists from plain files, see `read_networks`.

        Several files of one name make one list, which is as old as the oldest of them.

        Raises
        ------
        InputError
            If a line is no network.
        """
        networks: dict[str, list[Network]] = {}
        dates: dict[str, date] = {}
        for name, given in files.items():
            paths = [given] if isinstance(given, (str, PathLike)) else list(given)
            if not paths:
                raise ConfigError(f"list {name!r} names no file", parameter="files")
            for path in paths:
                found, made = read_networks(path)
                networks.setdefault(name, []).extend(found)
                if made is not None:
                    dates[name] = min(made, dates.get(name, made))
        return cls(networks, dates=dates)

    def masks(self, addresses: Addresses) -> npt.NDArray[np.int64]:
        """Return for each address the set of lists it stands on, as bits in the order of `names`."""
        return self._table.lookup(addresses)[0]

    def columns(self, addresses: Addresses) -> dict[str, pa.Array]:
        """Return `network` (narrowest list) and one column a row of `LIST_COLUMNS`, null where unknown."""
        masks, labels = self._table.lookup(addresses)
        unknown = addresses.version == 0
        return {
            "network": _labelled(labels, self.names),
            **{
                column: (
                    pa.array((masks >> self.names.index(name)) & 1 != 0, mask=unknown)
                    if name in self.names
                    else pa.nulls(len(addresses), pa.bool_())
                )
                for name, column in LIST_COLUMNS.items()
            },
        }

    def facts(self, version: int, number: int) -> tuple[str | bool | None, ...]:
        """Return the values of `columns` for one address."""
        mask, label = self._table.find(version, number)
        flags = (bool(mask >> self.names.index(name) & 1) if name in self.names else None for name in LIST_COLUMNS)
        return (self.names[label] if label >= 0 else None, *flags)


_NO_LISTS: Final = NetworkLists({})


def _labelled(labels: npt.NDArray[np.int16], names: tuple[str, ...]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        pa.array(labels.astype(np.int32), mask=labels < 0), pa.array(names, pa.string())
    )


def read_addresses(strings: pa.Array, *, lists: NetworkLists | None = None) -> dict[str, pa.Array]:
    """Return what addresses say, one array a column.

    Parameters
    ----------
    strings : Array of string, length n
        Distinct addresses, best; nothing is remembered between calls, since parsing is as cheap as remembering.
    lists : NetworkLists, optional
        Without it the columns of lists are null.

    Returns
    -------
    dict of str to Array of length n
        `ip_version`, `ip_prefix` (/24 or /64), `ip_prefix_56` and `ip_prefix_48` (IPv6 only), `ip_class`,
        `ip_transition`, `network`, and the columns of `LIST_COLUMNS`. All null for what is no address. An IPv4 address
        inside an IPv6 one (mapped, 6to4, NAT64) is judged as that IPv4 address.
    """
    written = parse_addresses(strings)
    return _columns(written, lists or _NO_LISTS)


def _columns(written: Addresses, lists: NetworkLists) -> dict[str, pa.Array]:
    addresses, forms = written.embedded()
    _, classes = special_use().lookup(addresses)
    return {
        "ip_version": pa.array(written.version.astype(np.int16), mask=written.version == 0),
        "ip_prefix": prefixes(addresses, four=24, six=64),
        "ip_prefix_56": prefixes(addresses, four=None, six=56),
        "ip_prefix_48": prefixes(addresses, four=None, six=48),
        "ip_class": _labelled(np.where(addresses.version == 0, np.int16(-1), classes), tuple(IP_CLASSES)),
        "ip_transition": pa.DictionaryArray.from_arrays(pa.array(forms.astype(np.int32) - 1, mask=forms == 0), _FORMS),
        **lists.columns(addresses),
    }


def read_address(text: str | None, *, lists: NetworkLists | None = None) -> tuple[str | int | bool | None, ...]:
    """Return what one address says: the values of `NETWORK_COLUMNS`, as `read_addresses` gives them for many.

    >>> read_address("::ffff:192.0.2.7")[:6]
    (6, '192.0.2.0/24', None, None, 'documentation', 'mapped')
    """
    written = _packed(text)
    if written is None:
        return (None,) * len(NETWORK_COLUMNS)
    version, number = written
    form = _form(version, number)
    if form is not None:
        number = (number >> 80 if form == "6to4" else number) & 0xFFFFFFFF
    family = 4 if form is not None else version
    _, label = special_use().find(family, number)
    return (
        version,
        _prefix(family, number, 24 if family == 4 else 64),
        _prefix(family, number, 56) if family == 6 else None,
        _prefix(family, number, 48) if family == 6 else None,
        tuple(IP_CLASSES)[label],
        form,
        *(lists or _NO_LISTS).facts(family, number),
    )


def _packed(text: str | None) -> tuple[int, int] | None:
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        try:
            return version, int.from_bytes(socket.inet_pton(family, text or ""), "big")
        except (OSError, ValueError):
            continue
    return None


def _form(version: int, number: int) -> str | None:
    if version == 4:
        return None
    if number >> 32 == 0xFFFF:
        return "mapped"
    if number >> 112 == 0x2002:
        return "6to4"
    return "nat64" if number >> 32 == 0x0064_FF9B << 64 else None


def _prefix(version: int, number: int, length: int) -> str:
    family, bits = (socket.AF_INET, 32) if version == 4 else (socket.AF_INET6, 128)
    network = number >> (bits - length) << (bits - length)
    return f"{socket.inet_ntop(family, network.to_bytes(bits // 8, 'big'))}/{length}"
