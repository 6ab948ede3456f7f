"""What an address says: its /24 or /64, and whether it is an address of the internet at large."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["network_columns"]


def network_columns(client_ip: str | None) -> dict[str, object]:
    """Return the derived columns of one address.

    >>> network_columns("203.0.113.9")["ip_prefix"], network_columns("2001:db8::1")["ip_prefix"]
    ('203.0.113.0/24', '2001:db8::/64')
    """
    if client_ip is None:
        return {"ip_prefix": None, "ip_class": None}
    address = ip_address(client_ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    prefix: IPv4Network | IPv6Network
    if isinstance(address, IPv6Address):
        prefix = IPv6Network((address, 64), strict=False)
    else:
        prefix = IPv4Network((address, 24), strict=False)
    classes = {"loopback": address.is_loopback, "private": address.is_private, "global": address.is_global}
    return {"ip_prefix": str(prefix), "ip_class": next((name for name, holds in classes.items() if holds), "special")}
