"""Country and autonomous system of an address, from a database that the user brings.

Either a MaxMind-format file (GeoLite2, GeoIP2, DB-IP Lite; needs the extra ``geo``) or a sorted table of IPv4 ranges.
Nothing is shipped and nothing is fetched; what a database does not know is null.
"""

from __future__ import annotations

import csv
import gzip
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pyarrow as pa

from fraudlog.enriching.distinct import CATEGORY, FactTable
from fraudlog.errors import ConfigError, InputError
from fraudlog.privacy.addresses import parse_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["GEO_COLUMNS", "CountryRanges", "GeoDatabase", "GeoSource"]

GEO_COLUMNS: Final = (("country", pa.string()), ("asn", pa.int64()), ("as_org", pa.string()))


class GeoSource(Protocol):
    """What gives columns of `GEO_COLUMNS` for addresses."""

    def columns(self, addresses: pa.Array) -> dict[str, pa.Array]:
        """Return one array a column it knows, each as long as `addresses`."""


class GeoDatabase:
    """Databases in MaxMind's format, asked in order; the first that knows a fact gives it.

    Parameters
    ----------
    paths : path or iterable of paths
        For example a country and an ASN database.

    Attributes
    ----------
    computed : int
        How many distinct addresses were looked up.

    Raises
    ------
    ConfigError
        If the extra ``geo`` is not installed.
    InputError
        If a file is missing or no database.
    """

    def __init__(self, paths: str | Path | Iterable[str | Path]) -> None:
        try:
            import maxminddb  # noqa: PLC0415 -- an extra: only who brings a database needs it
        except ImportError:
            raise ConfigError(
                "country and ASN databases need the extra: pip install 'fraudlog[geo]'", parameter="geo"
            ) from None
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        self._readers = []
        for path in given:
            try:
                self._readers.append(maxminddb.open_database(str(path)))
            except (OSError, maxminddb.InvalidDatabaseError):
                raise InputError(
                    f"{Path(path).name} is missing or no database in MaxMind's format", source=path
                ) from None
        self._table = FactTable(self._look_up, GEO_COLUMNS)

    @property
    def computed(self) -> int:
        """How many distinct addresses were looked up."""
        return self._table.computed

    def columns(self, addresses: pa.Array) -> dict[str, pa.Array]:
        """Return country, asn and as_org of each address, null where no database knows."""
        return self._table.lookup(addresses)

    def _look_up(self, address: str) -> tuple[str | None, int | None, str | None]:
        country, asn, org = None, None, None
        for reader in self._readers:
            try:
                row: Any = reader.get(address) or {}
            except ValueError:  # no address, or an IPv6 one in a database of IPv4
                continue
            country = country or (row.get("country") or row.get("registered_country") or {}).get("iso_code")
            asn = (
                asn or row.get("autonomous_system_number") or (row.get("traits") or {}).get("autonomous_system_number")
            )
            org = org or row.get("autonomous_system_organization")
        return country, asn, org


class CountryRanges:
    """Countries from a sorted table of IPv4 ranges: first, last (numbers or dotted), ISO code; CSV, plain or gzip.

    A range of the registries says where a network was delegated, not where its users are: right for about 86 % of
    clients.

    Parameters
    ----------
    path : path

    Raises
    ------
    InputError
        If a row is no range, or the ranges overlap or are out of order.
    """

    def __init__(self, path: str | Path) -> None:
        opener = gzip.open if str(path).endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.reader(lines) if row and not row[0].startswith("#")]
        try:
            self._first = np.array([_number(row[0]) for row in rows], np.uint64)
            self._last = np.array([_number(row[1]) for row in rows], np.uint64)
            self._codes = pa.array([row[2] for row in rows], pa.string()).dictionary_encode()
        except (ValueError, IndexError):
            raise InputError(
                f"{Path(path).name} holds a row that is no range: write first,last,country", source=path
            ) from None
        if (self._first[1:] <= self._last[:-1]).any() or (self._last < self._first).any():
            raise InputError(f"the ranges of {Path(path).name} overlap or are not sorted", source=path)

    def columns(self, addresses: pa.Array) -> dict[str, pa.Array]:
        """Return the country of each address, null for IPv6 and where no range holds it."""
        parsed, _ = parse_addresses(addresses).embedded()
        places = np.searchsorted(self._first, parsed.low, side="right") - 1
        inside = (parsed.version == 4) & (places >= 0)
        inside &= parsed.low <= self._last[np.maximum(places, 0)]
        return {"country": self._codes.take(pa.array(places, mask=~inside)).cast(CATEGORY)}


def _number(text: str) -> int:
    text = text.strip()
    return int(text) if text.isdigit() else int(ipaddress.IPv4Address(text))
