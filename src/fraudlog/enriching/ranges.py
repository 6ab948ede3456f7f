"""Ranges of addresses with a label each, flattened once, asked for many addresses at a time.

Networks of several lists nest and overlap. They are cut once into disjoint pieces, each with the set of lists it stands
in and the label of the smallest network around it; a lookup is then a binary search.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from fraudlog.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fraudlog.privacy.addresses import Addresses

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

__all__ = ["RangeTable", "read_networks"]

_DATE: Final = re.compile(r"#\s*(?:date|updated|generated)\s*[:=]\s*(\d{4}-\d{2}-\d{2})", re.IGNORECASE)
_MOST_LABELS: Final = 63


def read_networks(path: str | Path) -> tuple[list[Network], date | None]:
    """Read a plain file of networks: one address, CIDR or ``first-last`` a line, ``#`` starts a comment.

    A line ``# date: 2026-08-22`` says when the list was made.

    Raises
    ------
    InputError
        If a line is no network; the message names file and line number.
    """
    networks: list[Network] = []
    made: date | None = None
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            stamp = _DATE.match(line)
            if stamp:
                made = date.fromisoformat(stamp[1])
            text = line.split("#", 1)[0].strip()
            if not text:
                continue
            try:
                networks += _parse(text)
            except (ValueError, TypeError):  # TypeError: a range from one family to the other
                raise InputError(
                    f"line {number} of {Path(path).name} is no network: write one address, CIDR or first-last a line",
                    source=path,
                ) from None
    return networks, made


def _parse(text: str) -> list[Network]:
    first, dash, last = text.partition("-")
    if dash:
        ends = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        return list(ipaddress.summarize_address_range(*ends))
    return [ipaddress.ip_network(text, strict=False)]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Disjoint pieces of one family: where each starts, its lists as a bit mask, its narrowest label (-1: none)."""

    starts: npt.NDArray[np.uint64] | npt.NDArray[np.bytes_]
    masks: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int16]

    def find(self, keys: npt.NDArray[np.uint64] | npt.NDArray[np.bytes_]) -> npt.NDArray[np.intp]:
        return np.searchsorted(self.starts, keys, side="right") - 1


class RangeTable:
    """Labelled networks of both families.

    Parameters
    ----------
    networks : mapping of str to iterable of network
        At most 63 labels. Where networks nest, the narrowest gives the label and all give their bit.

    Attributes
    ----------
    labels : tuple of str
        Label of each bit.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from fraudlog.privacy.addresses import parse_addresses
    >>> cloud, vpn = ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("10.1.0.0/16")
    >>> table = RangeTable({"cloud": [cloud], "vpn": [vpn]})
    >>> masks, labels = table.lookup(parse_addresses(pa.array(["10.1.2.3", "10.2.2.3", "11.0.0.1"])))
    >>> masks.tolist(), [table.labels[label] if label >= 0 else None for label in labels]
    ([3, 1, 0], ['vpn', 'cloud', None])
    """

    def __init__(self, networks: Mapping[str, Iterable[Network]]) -> None:
        if len(networks) > _MOST_LABELS:
            raise ConfigError(f"{len(networks)} lists of networks; at most {_MOST_LABELS} fit", parameter="networks")
        self.labels = tuple(networks)
        spans = [
            (network.version, int(network.network_address), int(network.broadcast_address), bit)
            for bit, label in enumerate(networks)
            for network in networks[label]
        ]
        self._four = _flatten([span[1:] for span in spans if span[0] == 4], packed=False)
        self._six = _flatten([span[1:] for span in spans if span[0] == 6], packed=True)

    def lookup(self, addresses: Addresses) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int16]]:
        """Return the bit mask of lists and the narrowest label of each address: 0 and -1 where no list has it."""
        masks, labels = np.zeros(len(addresses), np.int64), np.full(len(addresses), -1, np.int16)
        is_four, is_six = addresses.version == 4, addresses.version == 6
        for rows, pieces, keys in (
            (is_four, self._four, addresses.low),
            (is_six, self._six, addresses.packed() if is_six.any() else addresses.high),
        ):
            if rows.any():
                places = pieces.find(keys[rows])
                masks[rows], labels[rows] = pieces.masks[places], pieces.labels[places]
        return masks, labels

    def find(self, version: int, number: int) -> tuple[int, int]:
        """Return bit mask and narrowest label of one address, as `lookup` does for many."""
        pieces = self._four if version == 4 else self._six
        key = np.uint64(number) if version == 4 else np.bytes_(number.to_bytes(16, "big"))
        place = int(np.searchsorted(pieces.starts, key, side="right")) - 1
        return int(pieces.masks[place]), int(pieces.labels[place])


def _flatten(spans: list[tuple[int, int, int]], *, packed: bool) -> _Pieces:
    """Cut nested spans (first, last, bit) into disjoint pieces by walking them with a stack, widest first."""
    pieces: list[tuple[int, int, int]] = [(0, 0, -1)]
    stack: list[tuple[int, int, int]] = []  # last address, mask, label

    def close_until(limit: int) -> None:
        while stack and stack[-1][0] < limit:
            end = stack.pop()[0]
            pieces.append((end + 1, stack[-1][1] if stack else 0, stack[-1][2] if stack else -1))

    for first, last, bit in sorted(spans, key=lambda span: (span[0], -span[1])):
        close_until(first)
        mask = (stack[-1][1] if stack else 0) | (1 << bit)
        stack.append((last, mask, bit))
        pieces.append((first, mask, bit))
    close_until(1 << 129)
    final = {
        start: (mask, label) for start, mask, label in pieces
    }  # of several that start together the last, narrowest
    limit = 1 << (128 if packed else 32)
    ordered = [(start, *final[start]) for start in sorted(final) if start < limit]
    starts = (
        np.array([start.to_bytes(16, "big") for start, *_ in ordered], dtype="S16")
        if packed
        else np.array([start for start, *_ in ordered], dtype=np.uint64)
    )
    return _Pieces(
        starts,
        np.array([mask for _, mask, _ in ordered], dtype=np.int64),
        np.array([label for *_, label in ordered], dtype=np.int16),
    )
