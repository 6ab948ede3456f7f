"""The way back from a pseudonym to an address: for those who hold the key, and never without a trace."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.errors import ConfigError, SchemaError
from fraudlog.privacy.pseudonyms import Pseudonyms, derive_key, last_bits, padded_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

__all__ = ["Reidentifier", "decrypt_addresses"]

_LOW: Final = (1 << 64) - 1


def decrypt_addresses(addresses: Sequence[str], key: bytes) -> list[str]:
    """Turn ipcrypt-pfx pseudonyms back into the addresses they stand for.

    Parameters
    ----------
    addresses : sequence of str
        As from `fraudlog.privacy.pseudonyms.encrypt_addresses`.
    key : bytes
        The 32 bytes they were made with.

    Returns
    -------
    list of str
        Another key gives other addresses, not an error: compare ``Pseudonyms.key_id`` first.

    Notes
    -----
    Bit n of an address was flipped by a function of the n bits before it, so bits come back one after the other, those
    of all addresses at once (draft-denis-ipcrypt, ipcrypt-pfx).
    """
    parsed = [ip_address(address) for address in addresses]
    result: list[str] = [""] * len(parsed)
    for kind, first in ((IPv4Address, 96), (IPv6Address, 0)):
        rows = [row for row, address in enumerate(parsed) if isinstance(address, kind)]
        numbers = [int(parsed[row]) | (0xFFFF << 32 if first else 0) for row in rows]
        high = np.array([number >> 64 for number in numbers], np.uint64)
        low = np.array([number & _LOW for number in numbers], np.uint64)
        for length in range(first, 128) if rows else ():
            _decrypt_bit(high, low, length, key)
        for row, upper, lower in zip(rows, high.tolist(), low.tolist(), strict=True):
            number = upper << 64 | lower
            result[row] = str(IPv4Address(number & 0xFFFFFFFF) if first else IPv6Address(number))
    return result


def _decrypt_bit(high: Words, low: Words, length: int, key: bytes) -> None:
    """Turn bit `length` back, counted from the left, in place; those before it are plain already."""
    blocks = np.empty((1, len(high), 2), ">u8")
    blocks[0, :, 0], blocks[0, :, 1] = padded_prefix(high, low, length)
    flip = (last_bits(blocks, key[:16]) ^ last_bits(blocks, key[16:]))[0]
    half = high if length < 64 else low
    half ^= flip << np.uint64((127 - length) % 64)


class Reidentifier:
    """Turns pseudonyms of addresses and networks back, and has each use written down before it gives an answer.

    Parameters
    ----------
    key : bytes
        The secret of the pseudonyms, 32 bytes.
    purpose : str
        What for, as the record of it will say.
    audit : callable
        Takes a record (a mapping of plain values) and keeps it. If it raises, nothing is turned back.

    Examples
    --------
    >>> from fraudlog.privacy import Pseudonyms
    >>> key = bytes(range(32))
    >>> hidden = Pseudonyms(key).addresses(["203.0.113.9", "203.0.113.0/24"])
    >>> trail = []
    >>> Reidentifier(key, "export to nginx-geo", trail.append)(hidden)
    ['203.0.113.9', '203.0.113.0/24']
    >>> trail[0]["action"], trail[0]["values"], trail[0]["purpose"]
    ('reidentify', 2, 'export to nginx-geo')
    """

    def __init__(self, key: bytes, purpose: str, audit: Callable[[Mapping[str, Any]], object]) -> None:
        self._key = key
        self._purpose = purpose
        self._audit = audit

    @property
    def key_id(self) -> str:
        """Which key it holds."""
        return Pseudonyms(self._key).key_id

    def check(self, made_with: object) -> None:
        """Refuse pseudonyms of another key: they would turn into addresses of people who did nothing.

        Raises
        ------
        ConfigError
            If `made_with`, the key's id that a table names, is another.
        """
        if made_with != self.key_id:
            raise ConfigError(
                "the key is not the one these tables were written with, so their addresses can't be turned back; give "
                "the right one with --key-file or FRAUDLOG_KEY",
                parameter="key",
            )

    def __call__(self, values: Sequence[str]) -> list[str]:
        """Return the address, or network (``203.0.113.0/24``), behind each pseudonym.

        Raises
        ------
        SchemaError
            If one is no address.
        """
        self._audit(
            {
                "action": "reidentify",
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "purpose": self._purpose,
                "values": len(values),
                "key_id": self.key_id,
            }
        )
        parts = [value.partition("/") for value in values]
        try:
            plain = decrypt_addresses([address for address, _, _ in parts], derive_key(self._key, "ip"))
        except ValueError:  # its message would name the value
            raise SchemaError("a pseudonym to turn back is no address; is the table damaged?") from None
        return [
            str(ip_network(f"{address}/{length}", strict=False)) if slash else address
            for address, (_, slash, length) in zip(plain, parts, strict=True)
        ]
