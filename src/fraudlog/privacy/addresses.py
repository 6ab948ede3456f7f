"""Addresses as numbers: many strings parsed at once, special-use ranges, transition forms and prefixes.

Strings are read over all their bytes at once, uncommon spellings of IPv6 by the C library. Both refuse what `inet_pton`
refuses (leading zeros, blanks, zones), so that one client has one spelling.

References
----------
.. [1] IANA IPv4 and IPv6 Special-Purpose Address Registries.
.. [2] RFC 4291 2.5.5.2 (IPv4-mapped), RFC 3056 (6to4), RFC 6052 (NAT64), RFC 4380 (Teredo).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.privacy.hextets import format_hextets, parse_hextets

__all__ = ["Addresses", "format_addresses", "parse_addresses", "prefixes"]

U64 = npt.NDArray[np.uint64]
_CHUNK: Final = 1 << 16
_LONGEST_IPV4: Final = 15
_DOT: Final = ord(".")
_NAT64: Final = 0x0064_FF9B_0000_0000


@dataclass(frozen=True, slots=True)
class Addresses:
    """Parsed addresses, one a row.

    Attributes
    ----------
    version : array of uint8, shape (n,)
        4 or 6, as written; 0 where the string is no address.
    high, low : arrays of uint64, shape (n,)
        The 128 bits; an IPv4 address stands in the lowest 32.
    """

    version: npt.NDArray[np.uint8]
    high: U64
    low: U64

    def __len__(self) -> int:
        return len(self.version)

    def embedded(self) -> tuple[Addresses, npt.NDArray[np.uint8]]:
        """Return the addresses with IPv4 taken out of IPv6, and the transition form: 0 none, 1 mapped, 2 6to4, 3 NAT64.

        A mapped address is an IPv4 client on an IPv6 socket; behind 6to4 and NAT64 stands one IPv4 address too, and the
        client may choose the rest. So all three are judged by that address.
        """
        is_six = self.version == 6
        mapped = is_six & (self.high == 0) & ((self.low >> np.uint64(32)) == 0xFFFF)
        six_to_four = is_six & ((self.high >> np.uint64(48)) == 0x2002)
        nat64 = is_six & (self.high == _NAT64) & ((self.low >> np.uint64(32)) == 0)
        form = mapped.astype(np.uint8) + 2 * six_to_four.astype(np.uint8) + 3 * nat64.astype(np.uint8)
        low = np.where(six_to_four, (self.high >> np.uint64(16)) & np.uint64(0xFFFFFFFF), self.low)
        low = np.where(form > 0, low & np.uint64(0xFFFFFFFF), low)
        version = np.where(form > 0, np.uint8(4), self.version)
        return Addresses(version, np.where(form > 0, np.uint64(0), self.high), low), form

    def packed(self) -> npt.NDArray[np.bytes_]:
        """Return the 128 bits as bytes that sort like the number."""
        both = np.empty((len(self), 2), dtype=">u8")
        both[:, 0], both[:, 1] = self.high, self.low
        return both.view("S16").reshape(-1)


def parse_addresses(strings: pa.Array) -> Addresses:
    """Parse addresses as strings.

    Parameters
    ----------
    strings : Array of string, length n
        Nulls and what is no address come out with version 0.

    Returns
    -------
    Addresses

    Examples
    --------
    >>> parsed = parse_addresses(pa.array(["192.0.2.7", "2001:db8::1", "999.1.1.1", None]))
    >>> parsed.version.tolist(), int(parsed.low[0])
    ([4, 6, 0, 0], 3221225991)
    """
    strings = strings.cast(pa.large_string())
    n = len(strings)
    version, high, low = np.zeros(n, np.uint8), np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    has_colon = pc.fill_null(pc.match_substring(strings, ":"), fill_value=False).to_numpy(zero_copy_only=False)
    fours, sixes = np.flatnonzero(~has_colon), np.flatnonzero(has_colon)
    if len(fours):
        is_four, numbers = _read_ipv4(strings if len(fours) == n else strings.take(pa.array(fours)))
        version[fours[is_four]], low[fours] = 4, np.where(is_four, numbers, np.uint64(0))
    if len(sixes):
        is_six, upper, lower = parse_hextets(strings if len(sixes) == n else strings.take(pa.array(sixes)))
        version[sixes[is_six]], high[sixes], low[sixes] = 6, upper, lower
    return Addresses(version, high, low)


def _read_ipv4(strings: pa.Array) -> tuple[npt.NDArray[np.bool_], U64]:
    """Read strings without a colon, of which some may be null."""
    n = len(strings)
    found, numbers = np.zeros(n, bool), np.zeros(n, np.uint64)
    offsets = np.frombuffer(strings.buffers()[1], np.int64)[strings.offset : strings.offset + n + 1]
    data = np.frombuffer(strings.buffers()[2] or b"", np.uint8)
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(n, start + _CHUNK))
        found[rows], numbers[rows] = _parse_ipv4(data, offsets[rows.start : rows.stop + 1])
    return found & strings.is_valid().to_numpy(zero_copy_only=False), numbers


def _parse_ipv4(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.bool_], U64]:
    """Read dotted quads: find all dots of the chunk at once, then the at most three digits before each octet's end."""
    base = offsets[0]
    # zeros around, so that the digits before an octet's end and after its begin can be asked for anywhere
    text = np.concatenate([np.zeros(2, np.uint8), data[base : offsets[-1]], np.zeros(1, np.uint8)])
    starts, stops = (offsets[:-1] - base + 2).astype(np.int32), (offsets[1:] - base + 2).astype(np.int32)
    digits = text - np.uint8(48)  # what is no digit wraps to 10 and above
    is_dot = text == _DOT
    strange = np.flatnonzero((digits > 9) & ~is_dot).astype(np.int32)
    dots = np.flatnonzero(is_dot).astype(np.int32)
    first = np.searchsorted(dots, starts).astype(np.int32)
    valid = (np.searchsorted(dots, stops) - first == 3) & (stops - starts <= _LONGEST_IPV4)
    if len(strange) > 3:  # more than the zeros around
        valid &= np.searchsorted(strange, starts) == np.searchsorted(strange, stops)
    rows = np.flatnonzero(valid)
    number, fits = _quads(digits, starts[rows], stops[rows], dots[first[rows, None] + np.arange(3, dtype=np.int32)])
    valid[rows] = fits
    numbers = np.zeros(len(starts), np.uint64)
    numbers[rows[fits]] = number[fits]
    return valid, numbers


def _quads(
    digits: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int32],
    stops: npt.NDArray[np.int32],
    dots: npt.NDArray[np.int32],
) -> tuple[U64, npt.NDArray[np.bool_]]:
    """Return the number between `starts` and `stops`, three `dots` a row, and whether each octet is one."""
    fits = np.ones(len(starts), bool)
    number = np.zeros(len(starts), np.uint64)
    begins = (starts, dots[:, 0] + 1, dots[:, 1] + 1, dots[:, 2] + 1)
    for begin, end in zip(begins, (dots[:, 0], dots[:, 1], dots[:, 2], stops), strict=True):
        length = end - begin
        octet = digits[end - 1].astype(np.uint16)
        octet += np.where(length > 1, digits[end - 2] * np.uint16(10), np.uint16(0))
        octet += np.where(length > 2, digits[end - 3] * np.uint16(100), np.uint16(0))
        has_leading_zero = (length > 1) & (digits[begin] == 0)
        fits &= (length >= 1) & (length <= 3) & (octet <= 255) & ~has_leading_zero
        number = (number << np.uint64(8)) | octet
    return number, fits


def prefixes(addresses: Addresses, *, four: int | None, six: int) -> pa.DictionaryArray:
    """Return the network of each address, as ``192.0.2.0/24`` or ``2001:db8::/64``.

    Parameters
    ----------
    addresses : Addresses
    four : int or None
        Prefix length for IPv4; None gives null.
    six : int
        Prefix length for IPv6, at most 64.

    Returns
    -------
    DictionaryArray, null where there is no address
    """
    is_four, is_six = addresses.version == 4, addresses.version == 6
    indices = np.full(len(addresses), -1, np.int32)
    networks = pa.array([], pa.string())
    if four is not None:
        numbers, places = np.unique(addresses.low[is_four] >> np.uint64(32 - four), return_inverse=True)
        indices[is_four] = places
        networks = _ipv4_networks(numbers << np.uint64(32 - four), four)
    numbers, places = np.unique(addresses.high[is_six] >> np.uint64(64 - six), return_inverse=True)
    indices[is_six] = places + len(networks)
    sixes = pa.array([_ipv6_network(number, six) for number in numbers.tolist()], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), pa.concat_arrays([networks, sixes]))


def format_addresses(addresses: Addresses) -> pa.Array:
    """Return addresses as strings, null where there is none.

    Examples
    --------
    >>> format_addresses(parse_addresses(pa.array(["192.0.2.7", "2001:DB8:0::1", None]))).to_pylist()
    ['192.0.2.7', '2001:db8::1', None]
    """
    is_six = addresses.version == 6
    sixes = format_hextets(addresses.high[is_six], addresses.low[is_six])
    if is_six.all():
        return sixes
    fours = pc.replace_with_mask(_dotted(np.where(is_six, np.uint64(0), addresses.low)), pa.array(is_six), sixes)
    return pc.if_else(pa.array(addresses.version > 0), fours, pa.scalar(None, pa.string()))


def _dotted(numbers: U64) -> pa.Array:
    octets = pa.array([str(octet) for octet in range(256)])
    parts = [octets.take(pa.array((numbers >> np.uint64(shift)) & np.uint64(255))) for shift in (24, 16, 8, 0)]
    return pc.binary_join_element_wise(*parts, ".")


def _ipv4_networks(numbers: U64, length: int) -> pa.Array:
    return pc.binary_join_element_wise(_dotted(numbers), str(length), "/")


def _ipv6_network(number: int, length: int) -> str:
    return f"{socket.inet_ntop(socket.AF_INET6, (number << (128 - length)).to_bytes(16, 'big'))}/{length}"
