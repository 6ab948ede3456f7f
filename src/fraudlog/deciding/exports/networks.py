"""Networks that may be handed out: parsed strictly, never one's own house, and each address in one of them at most."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
    summarize_address_range,
)
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Entry", "Network", "disjoint", "never_exported", "parse_allowed", "target_network"]

Network = IPv4Network | IPv6Network

_IPV6_PREFIX: Final = 64

_NEVER: Final[tuple[tuple[str, str], ...]] = (
    ("0.0.0.0/8", "this host"),
    ("127.0.0.0/8", "this host"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved, and broadcast"),
    ("::/64", "this host, and IPv4-mapped: a /64 of it is all of IPv4"),
    ("64:ff9b::/64", "NAT64: a /64 of it is all of IPv4"),
    ("64:ff9b:1::/48", "NAT64 of one's own network"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
)
"""Networks no list may hold, and why (RFC 6890, RFC 6052)."""

_INTERNAL: Final[tuple[tuple[str, str], ...]] = (
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "between a carrier and its customers"),
    ("fc00::/7", "unique local"),
)
"""Networks that hold one's own proxies more often than an attacker (RFC 1918, 4193, 6598)."""

_NEVER_NETWORKS: Final = tuple(ip_network(text) for text, _ in _NEVER)
_INTERNAL_NETWORKS: Final = tuple(ip_network(text) for text, _ in _INTERNAL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list.

    Every field is a number, a network or a word of fraudlog's own, so nothing a client wrote reaches a file through it.

    Attributes
    ----------
    network : IPv4Network or IPv6Network
        No other entry of the list overlaps it.
    level : int
        Place of the verdict in `fraudlog.deciding.VERDICTS`.
    expires : int
        Seconds since 1970 at which the verdict ends.
    code : str
        The reason that weighed most: letters, digits and underscores.
    """

    network: Network
    level: int
    expires: int
    code: str


def target_network(text: str) -> Network | None:
    """Return the network an address or prefix stands for: one IPv4 address, the /64 of an IPv6 one; None if it is none.

    >>> target_network("203.0.113.9"), target_network("2001:db8::1"), target_network("203.0.113.0/24; deny all")
    (IPv4Network('203.0.113.9/32'), IPv6Network('2001:db8::/64'), None)
    """
    address, slash, length = text.partition("/")
    try:
        parsed = ip_address(address)
        if parsed.version == 6 and (mapped := parsed.ipv4_mapped) is not None:
            return ip_network(mapped)
        network = ip_network(f"{parsed}/{length}" if slash else parsed, strict=False)
    except ValueError:
        return None
    is_one_device = network.version == 6 and network.prefixlen > _IPV6_PREFIX
    return network.supernet(new_prefix=_IPV6_PREFIX) if is_one_device else network


def never_exported(network: Network, *, internal: bool) -> bool:
    """Say whether a network may not stand on a list; `internal` ones may if the caller says so."""
    kept = _NEVER_NETWORKS if internal else _NEVER_NETWORKS + _INTERNAL_NETWORKS
    return any(network.version == other.version and network.overlaps(other) for other in kept)


def parse_allowed(texts: Iterable[str]) -> list[Network]:
    """Return the networks of an allow list.

    Raises
    ------
    ConfigError
        If one is none; the message names its place.
    """
    networks = []
    for position, text in enumerate(texts):
        try:
            networks.append(ip_network(text.strip(), strict=False))
        except ValueError:
            raise ConfigError(f"allow[{position}] is not an address or CIDR block", parameter="allow") from None
    return networks


def disjoint(entries: Sequence[Entry], allowed: Sequence[Network] = ()) -> list[Entry]:
    """Return entries of which no two overlap: each address keeps its hardest verdict, and that one's latest end.

    Addresses in `allowed` are in none of them. Neighbours that say the same become one.

    Parameters
    ----------
    entries : sequence of Entry
        They may overlap.
    allowed : sequence of IPv4Network or IPv6Network

    Returns
    -------
    list of Entry
        IPv4 before IPv6, in the order of addresses.

    Examples
    --------
    >>> wide, narrow = (Entry(ip_network(f"203.0.113.0/{n}"), 2, 60, "A") for n in (24, 25))
    >>> [str(entry.network) for entry in disjoint([wide, narrow], [ip_network("203.0.113.128/25")])]
    ['203.0.113.0/25']
    """
    result = []
    for version in (4, 6):
        spans = [
            (int(entry.network.network_address), int(entry.network.broadcast_address), _rank(entry))
            for entry in entries
            if entry.network.version == version
        ]
        spans += [
            (int(network.network_address), int(network.broadcast_address), _ALLOWED)
            for network in allowed
            if network.version == version
        ]
        for first, last, rank in _joined(_swept(spans)):
            if rank != _ALLOWED:
                result += [Entry(net, -rank[0], -rank[1], rank[2]) for net in _networks(first, last, version)]
    return result


_Rank = tuple[int, int, str]
_Span = tuple[int, int, _Rank]
_ALLOWED: Final[_Rank] = (-1_000, 0, "")  # harder than any verdict


def _rank(entry: Entry) -> _Rank:
    """Order entries: the one that counts most comes first."""
    return (-entry.level, -entry.expires, entry.code)


def _swept(spans: list[_Span]) -> Iterator[_Span]:
    """Walk over the bounds of all spans, and give what counts most between each two."""
    spans.sort()
    bounds = sorted({bound for first, last, _ in spans for bound in (first, last + 1)})
    open_spans: list[tuple[_Rank, int]] = []
    at = 0
    for begin, end in pairwise(bounds):
        while at < len(spans) and spans[at][0] <= begin:
            heappush(open_spans, (spans[at][2], spans[at][1]))
            at += 1
        while open_spans and open_spans[0][1] < begin:
            heappop(open_spans)
        if open_spans:
            yield begin, end - 1, open_spans[0][0]


def _joined(spans: Iterable[_Span]) -> Iterator[_Span]:
    held: _Span | None = None
    for first, last, rank in spans:
        if held is not None and held[1] + 1 == first and held[2] == rank:
            held = (held[0], last, rank)
            continue
        if held is not None:
            yield held
        held = (first, last, rank)
    if held is not None:
        yield held


def _networks(first: int, last: int, version: int) -> Iterator[Network]:
    if version == 4:
        yield from summarize_address_range(IPv4Address(first), IPv4Address(last))
    else:
        yield from summarize_address_range(IPv6Address(first), IPv6Address(last))
