"""`decision_records`: decisions as plain records for programs, whatever they hold for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from fraudlog.deciding.decision import VERDICTS
from fraudlog.deciding.exports.acting import ListRules, acting, check_mark, codes_of, why_not
from fraudlog.deciding.exports.networks import parse_allowed, target_network
from fraudlog.schema import require_columns

if TYPE_CHECKING:
    from fraudlog.privacy.revealing import Reidentifier

__all__ = ["decision_records"]


def decision_records(
    decisions: pd.DataFrame,
    sessions: pd.DataFrame,
    rules: ListRules | None = None,
    *,
    at: pd.Timestamp | None = None,
    reveal: Reidentifier | None = None,
) -> list[dict[str, Any]]:
    """Return the decisions that act, one record each, ready for JSON: what `Webhook` sends.

    Parameters
    ----------
    decisions, sessions, rules, at, reveal
        As of `fraudlog.deciding.exports.block_list`; `sessions` needs ``user`` and ``profile`` too. A shared network is
        no reason to leave a record out: the program that gets it can act on the session.

    Returns
    -------
    list of dict
        ``session_id``, ``verdict``, ``scope``, ``network``, ``user``, ``profile`` (the one the scope speaks of, the
        others None), ``expires`` (ISO 8601) and ``reasons`` (codes, heaviest first). From tables of a disk, ``user``
        is a token: ``Pseudonyms(key).tokens([account], "user")`` gives that of an account.

    Raises
    ------
    SchemaError, ConfigError
        As `fraudlog.deciding.exports.block_list`.
    """
    rules = rules or ListRules(at_least="challenge")
    require_columns(sessions, ["session_id", "user", "profile"], table="sessions")
    check_mark(sessions, reveal)
    moment = pd.Timestamp.now("UTC") if at is None else at
    found = acting(decisions, sessions, rules, moment, Counter())
    who = sessions[["session_id", "user", "profile"]].astype("str").drop_duplicates("session_id")
    found = found.merge(who, "left", "session_id")
    networks = _networks(found["target"].dropna().unique().tolist(), rules, reveal)
    is_out = found["target"].notna() & ~found["target"].isin(list(networks))
    found = found[~is_out]
    table = pd.DataFrame(
        {
            "session_id": found["session_id"],
            "verdict": found["level"].map(dict(enumerate(VERDICTS))),
            "scope": found["scope"],
            "network": found["target"].map(networks),
            "user": found["user"].where(found["scope"] == "user"),
            "profile": found["profile"].where(found["scope"] == "profile"),
            "expires": found["expires"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
    records: list[dict[Any, Any]] = table.astype(object).where(table.notna(), None).to_dict("records")
    codes = codes_of(decisions.iloc[found["row"]])
    return [{**record, "reasons": own} for record, own in zip(records, codes, strict=True)]


def _networks(targets: list[str], rules: ListRules, reveal: Reidentifier | None) -> dict[str, str]:
    """Return the network to hand out for each place, those left out that may not be."""
    plain = reveal(targets) if reveal is not None and targets else targets
    allowed = parse_allowed(rules.allow)
    networks = [target_network(text) for text in plain]
    return {
        target: str(network)
        for target, network in zip(targets, networks, strict=True)
        if not why_not(network, allowed, internal=rules.internal)
    }
