"""Slow, readable twins of the vectorised parts of enriching."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse(text: str | None) -> tuple[int, int] | None:
    """Return version and number of an address, as the C library reads it."""
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        try:
            return version, int.from_bytes(socket.inet_pton(family, text or ""), "big")
        except (OSError, ValueError):
            pass
    return None


def labels_around(address: str, networks: Mapping[str, list[Network]]) -> tuple[set[str], str | None]:
    """Return every label whose networks hold `address`, and the label of the narrowest, by trying all of them."""
    found = ipaddress.ip_address(address)
    around = [
        (network.prefixlen, order, label)
        for order, label in enumerate(networks)
        for network in networks[label]
        if network.version == found.version and found in network
    ]
    return {label for *_, label in around}, max(around)[2] if around else None
