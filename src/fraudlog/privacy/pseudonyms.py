"""Keyed pseudonyms: what stands on disk in place of an address, an account or a session token."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

__all__ = ["Pseudonyms", "derive_key", "encrypt_addresses", "last_bits", "padded_prefix"]

_CHUNK: Final = 4096
_ONE: Final = np.uint64(1)


@lru_cache(maxsize=64)
def derive_key(key: bytes, purpose: str, size: int = 32) -> bytes:
    """Derive a key for one purpose, so that pseudonyms of different kinds can't be compared.

    Parameters
    ----------
    key : bytes
        The secret.
    purpose : str
        What it is for; other purposes give unrelated keys.
    size : int, default 32
        Bytes of the derived key, at most 64.
    """
    return hashlib.blake2b(purpose.encode(), key=key, digest_size=size, person=b"fraudlog key").digest()


def encrypt_addresses(addresses: Sequence[str], key: bytes) -> list[str]:
    """Encrypt IP addresses so that two that share a prefix of n bits share one of n bits afterwards, and none longer.

    Parameters
    ----------
    addresses : sequence of str
        IPv4 and IPv6 addresses; IPv4 stays IPv4.
    key : bytes
        32 bytes, the halves different.

    Returns
    -------
    list of str

    Raises
    ------
    ConfigError
        If the key is not of that form.

    Notes
    -----
    ipcrypt-pfx of draft-denis-ipcrypt: bit n is flipped by the XOR of AES under both halves of the key on the padded
    prefix of n bits. All bits of all addresses go through one call of AES.
    """
    if len(key) != 32 or key[:16] == key[16:]:
        raise ConfigError("the key for addresses must have 32 bytes and two different halves", parameter="key")
    parsed = [ip_address(address) for address in addresses]
    result: list[str] = [""] * len(parsed)
    for kind, first in ((IPv4Address, 96), (IPv6Address, 0)):
        rows = [row for row, address in enumerate(parsed) if isinstance(address, kind)]
        for begin in range(0, len(rows), _CHUNK):
            chunk = rows[begin : begin + _CHUNK]
            numbers = [int(parsed[row]) | (0xFFFF << 32 if first else 0) for row in chunk]
            high, low = _encrypt(numbers, first, key)
            for row, upper, lower in zip(chunk, high.tolist(), low.tolist(), strict=True):
                number = upper << 64 | lower
                result[row] = str(IPv4Address(number & 0xFFFFFFFF) if first else IPv6Address(number))
    return result


def _encrypt(numbers: Sequence[int], first: int, key: bytes) -> tuple[Words, Words]:
    high = np.array([number >> 64 for number in numbers], np.uint64)
    low = np.array([number & (1 << 64) - 1 for number in numbers], np.uint64)
    lengths = range(first, 128)
    blocks = np.empty((len(lengths), len(numbers), 2), ">u8")
    for row, length in enumerate(lengths):
        blocks[row, :, 0], blocks[row, :, 1] = padded_prefix(high, low, length)
    flips = last_bits(blocks, key[:16]) ^ last_bits(blocks, key[16:])
    for row, length in enumerate(lengths):
        bit = np.uint64((127 - length) % 64)
        if length < 64:
            high ^= flips[row] << bit
        else:
            low ^= flips[row] << bit
    return high, low


def padded_prefix(high: Words, low: Words, length: int) -> tuple[Words, Words]:
    """Return the first `length` bits of each address, right-aligned in 128 bits, with a 1 before them."""
    shift = 128 - length
    if shift == 128:
        upper, lower = np.zeros_like(high), np.zeros_like(low)
    elif shift >= 64:
        upper, lower = np.zeros_like(high), high >> np.uint64(shift - 64)
    else:
        upper = high >> np.uint64(shift)
        lower = high << np.uint64(64 - shift) | low >> np.uint64(shift)
    if length < 64:
        return upper, lower | _ONE << np.uint64(length)
    return upper | _ONE << np.uint64(length - 64), lower


def last_bits(blocks: NDArray[np.uint64], key: bytes) -> Words:
    """Return the last bit of each block's AES."""
    # ECB is right here: the draft asks for the bare block cipher, one block a prefix.
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    data = np.frombuffer(encryptor.update(blocks.tobytes()), np.uint8).reshape(*blocks.shape[:2], 16)
    return (data[..., 15] & 1).astype(np.uint64)


class Pseudonyms:
    """The pseudonyms of one key.

    Parameters
    ----------
    key : bytes
        The secret, 32 bytes.

    Examples
    --------
    >>> names = Pseudonyms(bytes(range(32)))
    >>> one, other = names.addresses(["203.0.113.9", "203.0.113.200"])
    >>> one.rpartition(".")[0] == other.rpartition(".")[0]
    True
    >>> names.tokens(["alice"], "user") == names.tokens(["alice"], "session_token")
    False
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def addresses(self, values: Sequence[str]) -> list[str]:
        """Return the pseudonym of each address or network (``203.0.113.0/24``), prefixes preserved."""
        parts = [value.partition("/") for value in values]
        hidden = encrypt_addresses([address for address, _, _ in parts], derive_key(self._key, "ip"))
        return [
            _network(address, length) if slash else address
            for address, (_, slash, length) in zip(hidden, parts, strict=True)
        ]

    def tokens(self, values: Sequence[str], kind: str) -> list[str]:
        """Return a token of 26 characters for each value; equal values of one kind have equal tokens."""
        key = derive_key(self._key, kind)
        return [
            base64.b32encode(
                hashlib.blake2b(value.encode("utf-8", "surrogateescape"), key=key, digest_size=16).digest()
            )
            .decode()
            .rstrip("=")
            .lower()
            for value in values
        ]

    @property
    def key_id(self) -> str:
        """What a table says about its key: 16 hex digits that tell keys apart, and nothing else."""
        return derive_key(self._key, "key id", 8).hex()

    @property
    def session_key(self) -> bytes:
        """Key of session ids, for `fraudlog.build_sessions`."""
        return derive_key(self._key, "session_id")


def _network(address: str, length: str) -> str:
    parsed = ip_address(address)
    keep = int(parsed) >> (parsed.max_prefixlen - int(length)) << (parsed.max_prefixlen - int(length))
    return f"{type(parsed)(keep)}/{length}"
