"""Which address is the client: canonical form, and the hop to believe behind proxies.

A proxy appends the address it saw to ``X-Forwarded-For`` or ``Forwarded`` (RFC 7239); whatever stood there before came
with the request. So the list is read from its right end, and only for as long as the hop that wrote an entry is
trusted. The first hop that is not trusted is the client. A trusted hop is never the client, and neither is anything
left of a hop that can't be read.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TrustedProxies", "canonical", "hops", "strip_port"]

_LONGEST: Final = 45 + 1 + 32
_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}")
_FOR = re.compile(r'(?:^|[;\s])for\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,"\s]+))', re.IGNORECASE)
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"|")+')


def canonical(text: str) -> str | None:
    """Return an address in its one form: dotted IPv4, or RFC 5952 IPv6 without zone; None if it is no address.

    IPv4-mapped IPv6 becomes IPv4. Leading zeros are refused, since programs disagree about what they mean.

    >>> canonical("::FFFF:192.0.2.1"), canonical("2001:DB8:0:0::1%eth0"), canonical("999.1.1.1")
    ('192.0.2.1', '2001:db8::1', None)
    """
    if not 2 <= len(text) <= _LONGEST or not text.isascii():
        return None
    if ":" not in text:
        return text if _IPV4.fullmatch(text) else None
    try:
        address = IPv6Address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else str(address)


def strip_port(text: str) -> str:
    """Return a host without port and brackets.

    >>> strip_port("[2001:db8::1]:443"), strip_port("192.0.2.1:443"), strip_port("2001:db8::1")
    ('2001:db8::1', '192.0.2.1', '2001:db8::1')
    """
    if text.startswith("["):
        return text[1:].partition("]")[0]
    if text.count(":") == 1:
        return text.partition(":")[0]
    return text


def hops(header: str) -> list[str]:
    """Return the hops of an ``X-Forwarded-For`` or ``Forwarded`` value, left to right, as written.

    >>> hops("203.0.113.7, 10.0.0.1"), hops('for="[2001:db8::1]:47011";proto=https, for=10.0.0.1')
    (['203.0.113.7', '10.0.0.1'], ['[2001:db8::1]:47011', '10.0.0.1'])
    """
    if "=" not in header:
        return [hop.strip() for hop in header.split(",")]
    found = []
    for element in _ELEMENT.findall(header):
        match = _FOR.search(element.strip())
        found.append("" if match is None else match[1] or match[2] or "")
    return found


class TrustedProxies:
    """The networks whose word about the hop before them is believed.

    Parameters
    ----------
    networks : iterable of str
        Addresses or CIDR blocks of your own proxies and your CDN.

    Raises
    ------
    ConfigError
        If one is not a network.

    Examples
    --------
    >>> proxies = TrustedProxies(["10.0.0.0/8"])
    >>> proxies.client("10.0.0.2", "6.6.6.6, 203.0.113.7, 10.0.0.1")
    '203.0.113.7'
    >>> proxies.client("198.51.100.9", "6.6.6.6")  # the peer itself is not trusted, so its header is not read
    '198.51.100.9'
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self.networks: list[IPv4Network | IPv6Network] = []
        for position, network in enumerate(networks):
            try:
                self.networks.append(ip_network(network, strict=False))
            except ValueError:
                raise ConfigError(
                    f"trusted_proxies[{position}] is not an address or CIDR block", parameter="trusted_proxies"
                ) from None
        self._trusts = lru_cache(maxsize=65_536)(self._look_up)

    def trusts(self, address: str) -> bool:
        """Say whether a canonical address lies in one of the networks."""
        return self._trusts(address)

    def _look_up(self, address: str) -> bool:
        parsed = ip_address(address)
        return any(parsed.version == network.version and parsed in network for network in self.networks)

    def client(self, peer: str | None, header: str | None) -> str | None:
        """Return the client, or None if it can't be known.

        Parameters
        ----------
        peer : str or None
            Canonical address at the other end of the connection; None if the log does not hold it and the server that
            wrote it appends the peer to the header itself (Envoy).
        header : str or None
            ``X-Forwarded-For`` or ``Forwarded`` as logged.
        """
        if peer is not None and not self.trusts(peer):
            return peer
        for hop in reversed(hops(header)) if header else ():
            address = canonical(strip_port(hop))
            if address is None or not self.trusts(address):
                return address
        return None
