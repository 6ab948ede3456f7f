"""Which decisions act on what: joined with their sessions, and those put aside that must not act."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Final

import pandas as pd
import pyarrow.compute as pc

from fraudlog.deciding.decision import VERDICTS
from fraudlog.deciding.exports.networks import never_exported, parse_allowed
from fraudlog.errors import ConfigError, SchemaError
from fraudlog.privacy.revealing import KEY_MARK
from fraudlog.schema import DECISIONS, require_columns, to_arrow

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from fraudlog.deciding.exports.networks import Network
    from fraudlog.privacy.revealing import Reidentifier

__all__ = [
    "LEFT_OUT",
    "NETWORK_SCOPES",
    "UNNAMED",
    "ListRules",
    "acting",
    "check_mark",
    "codes_of",
    "mark_of",
    "why_not",
]

LEFT_OUT: Final = {
    "milder": "the verdict is milder than the list carries",
    "expired": "the verdict has ended",
    "scope": "the verdict holds for an account or profile, which no list of addresses can hold",
    "no_session": "the session is not in the table of sessions",
    "no_address": "the session has no address",
    "shared": "more of the network's sessions are allowed than the rules let pass",
    "internal": "the address is the machine's or the network's own",
    "allowed": "the network lies in the allow list",
}
"""Why a decision is on no list."""

_CODE: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
UNNAMED: Final = "unnamed"
"""What stands for a reason's code that could not be one of fraudlog's."""

NETWORK_SCOPES: Final = ("session", "prefix")
"""Scopes that a network can stand for: a session for its address."""


@dataclass(frozen=True, slots=True)
class ListRules:
    """What may stand on a list.

    Parameters
    ----------
    at_least : str, default "deny"
        Mildest verdict to hand out. A server that can only block blocks the challenged too if this says "challenge".
    allow : sequence of str
        Addresses and CIDR blocks that are never on a list, whatever was decided.
    most_bystanders : float, default 0.5
        Largest share of a network's sessions that may be allowed ones. Above it the network is taken for shared (an
        office, a carrier) and left out; 1 lets all pass.
    internal : bool, default False
        Whether private networks (RFC 1918 and the like) may be listed. Loopback, link-local, multicast and translated
        ones never are.
    """

    at_least: str = "deny"
    allow: Sequence[str] = ()
    most_bystanders: float = 0.5
    internal: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.at_least not in VERDICTS[1:]:
            raise ConfigError(f"at_least knows {', '.join(VERDICTS[1:])}", parameter="at_least")
        if not 0 <= self.most_bystanders <= 1:
            raise ConfigError("most_bystanders is a share from 0 to 1", parameter="most_bystanders")
        parse_allowed(self.allow)


def mark_of(frame: pd.DataFrame) -> str | None:
    """Return the id of the key that made a table's pseudonyms, None if it holds plain addresses."""
    mark = frame.attrs.get(KEY_MARK)
    return None if mark is None else str(mark)


def check_mark(sessions: pd.DataFrame, reveal: Reidentifier | None) -> None:
    """Refuse pseudonyms that nobody can turn back: one looks like an address, maybe of someone who did nothing.

    Raises
    ------
    ConfigError
        If `sessions` holds pseudonyms and `reveal` is missing or has another key.
    """
    mark = mark_of(sessions)
    if reveal is not None:
        reveal.check(mark)
    elif mark is not None:
        raise ConfigError(
            "these tables hold pseudonyms, not addresses; give reveal=Reidentifier(key, purpose, audit)",
            parameter="reveal",
        )


def codes_of(decisions: pd.DataFrame) -> list[list[str]]:
    """Return the codes of each decision's reasons, heaviest first; what is no code of fraudlog's is called unnamed."""
    if decisions.empty:  # pandas knows no type for it
        return []
    reasons = to_arrow(decisions[["reasons"]], DECISIONS).column("reasons").combine_chunks()
    codes: list[list[str]] = [[] for _ in range(len(reasons))]
    named = pc.struct_field(reasons.flatten(), "code").to_pylist()
    for row, code in zip(pc.list_parent_indices(reasons).to_pylist(), named, strict=True):
        codes[row].append(code if code and _CODE.fullmatch(code) else UNNAMED)
    return codes


def acting(
    decisions: pd.DataFrame, sessions: pd.DataFrame, rules: ListRules, at: pd.Timestamp, left_out: Counter[str]
) -> pd.DataFrame:
    """Return the decisions that act at a moment, and count why others do not; the first reason counts.

    Parameters
    ----------
    decisions, sessions : DataFrame
    rules : ListRules
    at : Timestamp
    left_out : Counter of str
        Counted up by the codes of `LEFT_OUT`.

    Returns
    -------
    DataFrame of shape (n_acting, n_columns)
        With ``row`` (place in `decisions`), ``level``, ``scope``, ``expires``, ``target`` (address, or prefix of an
        IPv6 one; null for accounts and profiles) and ``bystanders`` (share of allowed sessions there).
    """
    require_columns(decisions, ["session_id", "verdict", "scope", "expires", "reasons"], table="decisions")
    require_columns(sessions, ["session_id", "client_ip", "ip_prefix"], table="sessions")
    table = _placed(decisions, sessions)
    is_network = table["scope"].isin(list(NETWORK_SCOPES))
    tests = {
        "milder": table["level"] < VERDICTS.index(rules.at_least),
        "expired": ~(table["expires"] > at),
        "no_session": table["known"] != "both",
        "no_address": is_network & table["target"].isna(),
    }
    kept = table["level"] > 0
    for reason, fails in tests.items():
        left_out[reason] += int((kept & fails).sum())
        kept &= ~fails
    return table[kept]


def _placed(decisions: pd.DataFrame, sessions: pd.DataFrame) -> pd.DataFrame:
    level = decisions["verdict"].map({verdict: i for i, verdict in enumerate(VERDICTS)})
    if level.isna().any():
        row = int(level.isna().to_numpy().argmax())
        raise SchemaError(f"decisions: row {row} has an unknown verdict; there are {', '.join(VERDICTS)}")
    table = pd.DataFrame(
        {
            "row": range(len(decisions)),
            "session_id": decisions["session_id"].astype("str").to_numpy(),
            "level": level.to_numpy("int8"),
            "scope": decisions["scope"].astype("str").to_numpy(),
            "expires": pd.to_datetime(decisions["expires"], utc=True).array,
        }
    )
    where = sessions[["session_id", "client_ip", "ip_prefix"]].astype("str").drop_duplicates("session_id")
    table = table.merge(where, "left", "session_id", indicator="known", validate="many_to_one")
    # One device has a whole /64 of IPv6. An IPv4 address inside an IPv6 one has an IPv4 prefix, which is others' too.
    is_ipv6 = table["client_ip"].str.contains(":", na=False) & table["ip_prefix"].str.contains(":", na=False)
    address = table["client_ip"].mask(is_ipv6, table["ip_prefix"])
    is_prefix, is_allowed = table["scope"] == "prefix", table["level"] == 0
    share = is_allowed.groupby(address).transform("mean")
    share_of_prefix = is_allowed.groupby(table["ip_prefix"]).transform("mean")
    return table.assign(
        target=address.mask(is_prefix, table["ip_prefix"]).where(table["scope"].isin(list(NETWORK_SCOPES))),
        bystanders=share.mask(is_prefix, share_of_prefix),
    )


def why_not(network: Network | None, allowed: Sequence[Network], *, internal: bool) -> str:
    """Return the code of `LEFT_OUT` why a network may not be handed out, or nothing."""
    if network is None:
        return "no_address"
    if never_exported(network, internal=internal):
        return "internal"
    return "allowed" if any(_lies_in(network, other) for other in allowed) else ""


def _lies_in(network: Network, other: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(other, IPv4Network) and network.subnet_of(other)
    return isinstance(other, IPv6Network) and network.subnet_of(other)
