"""Keyed pseudonyms: what stands in place of an address, an account or a session token."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import ConfigError
from fraudlog.privacy.addresses import Addresses, format_addresses, parse_addresses
from fraudlog.privacy.ipcrypt import PrefixCipher
from fraudlog.privacy.tokens import token_array, tokens_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["IP_MODES", "IpMode", "Pseudonyms", "derive_key", "encrypt_addresses"]

IpMode = Literal["pfx", "opaque", "truncate", "drop"]
"""What becomes of an address: ``pfx`` encrypts it and keeps who shares a prefix with whom (ipcrypt-pfx); ``opaque``
gives address and prefix a token each; ``truncate`` keeps /24 and /48 in the clear; ``drop`` keeps nothing."""

IP_MODES: Final[tuple[IpMode, ...]] = get_args(IpMode)
_TRUNCATED: Final = {4: 24, 6: 48}
_TOKEN_BYTES: Final = 16
_MARK_BYTES: Final = 8


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
    """
    found: list[str] = format_addresses(
        PrefixCipher(key).encrypt(parse_addresses(pa.array(addresses, pa.string())))
    ).to_pylist()
    return found


class Pseudonyms:
    """The pseudonyms of one key.

    Parameters
    ----------
    key : bytes
        The secret, 32 bytes.
    ip_mode : str, default "pfx"
        One of `IP_MODES`.
    epoch : int, default 1
        Number of the key in its ring.

    Examples
    --------
    >>> names = Pseudonyms(bytes(range(32)))
    >>> one, other = names.addresses(["203.0.113.9", "203.0.113.200"])
    >>> one.rpartition(".")[0] == other.rpartition(".")[0]
    True
    >>> names.reveal([one])
    ['203.0.113.9']
    >>> names.tokens(["alice"], "user") == names.tokens(["alice"], "session_token")
    False
    """

    def __init__(self, key: bytes, ip_mode: IpMode = "pfx", epoch: int = 1) -> None:
        if ip_mode not in IP_MODES:
            raise ConfigError(f"ip_mode knows {', '.join(IP_MODES)}", parameter="ip_mode")
        self.key = key
        self.ip_mode = ip_mode
        self.epoch = epoch
        self._cipher = PrefixCipher(derive_key(key, "ip"))

    @property
    def key_id(self) -> str:
        """Name of the key, which tells nothing of it: what a manifest holds."""
        return derive_key(self.key, "key id", 8).hex()

    @property
    def manifest(self) -> dict[str, Any]:
        """What a manifest says of the key: epoch, id and what became of addresses."""
        return {"epoch": self.epoch, "key_id": self.key_id, "ip_mode": self.ip_mode}

    @property
    def note(self) -> str:
        """What a table says of its pseudonyms: the key's id, and `ip_mode` where addresses can't be turned back."""
        return self.key_id if self.ip_mode == "pfx" else f"{self.key_id}/{self.ip_mode}"

    @property
    def session_key(self) -> bytes:
        """Key of session ids, for `fraudlog.build_sessions`."""
        return derive_key(self.key, "session_id")

    def addresses(self, values: Sequence[str], kind: str = "client_ip") -> list[str | None]:
        """Return the pseudonym of each address or network (``203.0.113.0/24``), as `ip_mode` says.

        Parameters
        ----------
        values : sequence of str
            What is no address becomes a token.
        kind : str
            Column they are of; tokens of different columns can't be compared.
        """
        found: list[str | None] = self.address_array(pa.array(values, pa.string()), kind).to_pylist()
        return found

    def address_array(self, values: pa.Array, kind: str = "client_ip") -> pa.Array:
        """Do what `addresses` does for an array of string, a million a second; null stays null."""
        if self.ip_mode == "drop":
            return pa.nulls(len(values), pa.string())
        if self.ip_mode == "opaque":
            return self.token_array(values, kind)
        is_network = pc.match_substring(values, "/")
        if pc.any(is_network).as_py():
            networks = self._networks(values.filter(is_network), kind)
            rest = self.address_array(pc.if_else(is_network, pa.scalar(None, pa.string()), values), kind)
            return pc.replace_with_mask(rest, pc.fill_null(is_network, fill_value=False), networks)
        parsed = parse_addresses(values)
        hidden = format_addresses(self._hide(parsed))
        if (parsed.version == 0).sum() > values.null_count:  # no address: still nothing may pass
            hidden = pc.coalesce(hidden, self.token_array(values, kind))
        return hidden

    def _hide(self, parsed: Addresses) -> Addresses:
        if self.ip_mode == "pfx":
            return self._cipher.encrypt(parsed)
        is_four = parsed.version == 4
        low = np.where(is_four, parsed.low & np.uint64(0xFFFFFF00), np.uint64(0))
        return Addresses(parsed.version, parsed.high & np.uint64(0xFFFF_FFFF_FFFF_0000), low)

    def _networks(self, values: pa.Array, kind: str) -> pa.Array:
        parts = [value.partition("/") for value in values.to_pylist()]
        lengths = np.array([int(length) if length.isdigit() else 128 for _, _, length in parts])
        parsed = parse_addresses(pa.array([address for address, _, _ in parts], pa.string()))
        if self.ip_mode == "truncate":
            lengths = np.minimum(lengths, np.where(parsed.version == 4, *_TRUNCATED.values()))
        hidden = format_addresses(_masked(self._hide(parsed), lengths))
        texts = pc.binary_join_element_wise(hidden, pa.array(lengths).cast(pa.string()), "/")
        return pc.coalesce(texts, self.token_array(values, kind))

    def reveal(self, pseudonyms: Sequence[str]) -> list[str]:
        """Return the addresses behind pseudonyms; `fraudlog.privacy.audit` says who may ask, and remembers it.

        Raises
        ------
        ConfigError
            If `ip_mode` is another than ``pfx``: what was not encrypted can't be decrypted.
        """
        if self.ip_mode != "pfx":
            raise ConfigError(f"addresses of ip_mode {self.ip_mode} can't be turned back", parameter="ip_mode")
        parsed = parse_addresses(pa.array(pseudonyms, pa.string()))
        plain: list[str] = format_addresses(self._cipher.decrypt(parsed)).to_pylist()
        return plain

    def tokens(self, values: Sequence[str], kind: str) -> list[str]:
        """Return a token of 26 characters for each value; equal values of one kind have equal tokens."""
        return tokens_of(values, derive_key(self.key, kind), _TOKEN_BYTES)

    def mark(self, value: str, kind: str = "text") -> str:
        """Return a short token that stands inside a text: a tilde and 13 characters."""
        return "~" + tokens_of([value], derive_key(self.key, kind), _MARK_BYTES)[0]

    def token_array(self, values: pa.Array, kind: str) -> pa.Array:
        """Do what `tokens` does for an array of string, a million a second; null stays null."""
        return token_array(values, derive_key(self.key, kind), _TOKEN_BYTES)


def _masked(addresses: Addresses, lengths: NDArray[np.int64]) -> Addresses:
    """Set the bits behind each prefix to zero."""
    is_four = addresses.version == 4
    low_zeros = np.where(is_four, 32 - lengths, np.minimum(128 - lengths, 64)).clip(0, 64).astype(np.uint64)
    high_zeros = np.where(is_four, 0, 64 - lengths).clip(0, 64).astype(np.uint64)
    return Addresses(addresses.version, _cleared(addresses.high, high_zeros), _cleared(addresses.low, low_zeros))


def _cleared(words: NDArray[np.uint64], zeros: NDArray[np.uint64]) -> NDArray[np.uint64]:
    shift = np.minimum(zeros, np.uint64(63))
    return np.where(zeros == 64, np.uint64(0), words >> shift << shift)
