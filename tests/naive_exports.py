"""Slow, readable twins of what the exports do."""

from __future__ import annotations


def verdict_of(address, entries, allowed):
    """Return (level, expires) of one address: nothing if allowed, else the hardest verdict and its latest end."""
    if any(address in network for network in allowed if network.version == address.version):
        return None
    own = [(entry.level, entry.expires) for entry in entries if address in entry.network]
    return max(own, default=None)
