"""`block_list`: from decisions to the networks that a firewall or a web server can act on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from fraudlog.deciding.exports.acting import UNNAMED, ListRules, acting, check_mark, codes_of, why_not
from fraudlog.deciding.exports.networks import Entry, disjoint, parse_allowed, target_network

if TYPE_CHECKING:
    from fraudlog.privacy.revealing import Reidentifier

__all__ = ["BlockList", "block_list"]


@dataclass(frozen=True, slots=True)
class BlockList:
    """Networks with their verdicts, as of one moment.

    Attributes
    ----------
    entries : list of Entry
        No two overlap; IPv4 first, in the order of addresses.
    at : int
        The moment, in seconds since 1970.
    left_out : Counter of str
        Decisions that are not in it, by the codes of `LEFT_OUT`.
    """

    entries: list[Entry]
    at: int
    left_out: Counter[str] = field(default_factory=Counter)


def block_list(
    decisions: pd.DataFrame,
    sessions: pd.DataFrame,
    rules: ListRules | None = None,
    *,
    at: pd.Timestamp | None = None,
    reveal: Reidentifier | None = None,
) -> BlockList:
    """Say which networks the decisions speak of, and what about each.

    A session's verdict stands for its address, or the /64 of an IPv6 one; a prefix's for the prefix. Verdicts of
    accounts and profiles are left out: hand those on by webhook.

    Parameters
    ----------
    decisions : DataFrame of shape (n_sessions, n_columns)
        As from `Policy.decide`.
    sessions : DataFrame of shape (n_sessions, n_columns)
        As from `build_sessions`; for ``session_id``, ``client_ip`` and ``ip_prefix``.
    rules : ListRules, optional
        By default denials alone.
    at : Timestamp, optional
        Verdicts that end then or before are left out; now, if not given.
    reveal : Reidentifier, optional
        Needed where the tables come from a disk and so hold pseudonyms. It is asked for the addresses to be listed,
        no others.

    Returns
    -------
    BlockList

    Raises
    ------
    SchemaError
        If a column is missing, or a verdict is none.
    ConfigError
        If the tables hold pseudonyms and `reveal` is missing or has another key: a pseudonym looks like an address,
        and may be that of someone who did nothing.

    Examples
    --------
    >>> sessions = pd.DataFrame({
    ...     "session_id": ["a", "b"], "client_ip": ["203.0.113.9", "2001:db8::1"],
    ...     "ip_prefix": ["203.0.113.0/24", "2001:db8::/64"],
    ... })
    >>> decisions = pd.DataFrame({
    ...     "session_id": ["a", "b"], "verdict": ["deny", "challenge"], "scope": "session", "reasons": [[], []],
    ...     "expires": pd.to_datetime(["2026-01-01T12:00Z"] * 2),
    ... })
    >>> found = block_list(decisions, sessions, at=pd.Timestamp("2026-01-01T11:00Z"))
    >>> [str(entry.network) for entry in found.entries], dict(found.left_out)
    (['203.0.113.9/32'], {'milder': 1})
    """
    rules = rules or ListRules()
    check_mark(sessions, reveal)
    moment = pd.Timestamp.now("UTC") if at is None else at
    left_out: Counter[str] = Counter()
    found = _on_networks(acting(decisions, sessions, rules, moment, left_out), rules, left_out)
    codes = codes_of(decisions.iloc[found["row"]])
    found = found.assign(code=[own[0] if own else UNNAMED for own in codes])
    entries = _entries(found, rules, reveal, left_out)
    return BlockList(disjoint(entries, parse_allowed(rules.allow)), int(moment.timestamp()), +left_out)


def _on_networks(found: pd.DataFrame, rules: ListRules, left_out: Counter[str]) -> pd.DataFrame:
    is_network = found["target"].notna()
    is_shared = is_network & (found["bystanders"] > rules.most_bystanders)
    left_out["scope"] += int((~is_network).sum())
    left_out["shared"] += int(is_shared.sum())
    return found[is_network & ~is_shared]


def _entries(found: pd.DataFrame, rules: ListRules, reveal: Reidentifier | None, left_out: Counter[str]) -> list[Entry]:
    """Return one entry for each place and level: the latest end, and the reason of the decision that ends then."""
    by_place = found.sort_values("expires", kind="stable").groupby(["target", "level"], sort=False)
    last = by_place.agg(expires=("expires", "last"), code=("code", "last"), rows=("code", "size")).reset_index()
    ends = last["expires"].dt.ceil("s").astype("datetime64[s, UTC]").astype("int64").tolist()
    texts = last["target"].tolist()
    plain = reveal(texts) if reveal is not None and texts else texts
    allowed = parse_allowed(rules.allow)
    entries = []
    for text, level, end, code, rows in zip(plain, last["level"], ends, last["code"], last["rows"], strict=True):
        network = target_network(text)
        reason = why_not(network, allowed, internal=rules.internal)
        left_out[reason] += rows if reason else 0
        if network is not None and not reason:
            entries.append(Entry(network, int(level), end, code))
    return entries
