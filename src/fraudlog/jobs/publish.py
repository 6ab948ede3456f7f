"""What people look at: the report of the last days, each file replaced in one step."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from fraudlog.deciding.exports import EXPORTS, ListRules, block_list
from fraudlog.errors import ConfigError
from fraudlog.privacy import Chain, Reidentifier
from fraudlog.privacy.revealing import KEY_MARK
from fraudlog.reporting import render_report, staged
from fraudlog.schema import to_pandas

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fraudlog.jobs.config import JobConfig
    from fraudlog.privacy import Pseudonyms
    from fraudlog.store import Store

__all__ = ["key_id_of", "publish", "verdicts_held", "write_exports"]

_LONGEST_VERDICT: Final = timedelta(days=30)
_NAMES: Final = ("session_id", "client_ip", "ip_prefix", "user", "profile")


def publish(store: Store, folder: Path, n_days: int, summary: Mapping[str, Any]) -> None:
    """Write ``report.html`` and ``summary.json`` of the last days of a store.

    Parameters
    ----------
    store : Store
    folder : Path
    n_days : int
        Days up to the newest one that the store holds.
    summary : mapping
        As `fraudlog.reporting.render_report` takes it, but for the span of time, which is added.
    """
    days = store.days("sessions")
    wanted = [day for day in days if day > days[-1] - timedelta(days=n_days)] if days else []
    sessions, scores, decisions = (
        to_pandas(store.read(table, days=wanted)) for table in ("sessions", "scores", "decisions")
    )
    span = {"first": None, "last": None}
    if len(sessions):
        span = {"first": sessions["start"].min().isoformat(), "last": sessions["end"].max().isoformat()}
    full = {**summary, "log": summary["log"] | span}
    with staged(folder) as draft:
        if len(sessions):
            (draft / "report.html").write_text(render_report(full, sessions, scores, decisions), encoding="utf-8")
        (draft / "summary.json").write_text(json.dumps(full, indent=1), encoding="utf-8")


def write_exports(config: JobConfig, store: Store, names: Pseudonyms, at: pd.Timestamp | None = None) -> None:
    """Write the verdicts that hold now as each format that ``publish.exports`` names.

    Addresses are turned back with the key, which the store's audit trail notes; the files are their owner's alone.
    Sessions that began under a key before it are left out: with this one they would turn into addresses of strangers.

    Parameters
    ----------
    config : JobConfig
    store : Store
    names : Pseudonyms
    at : Timestamp, optional
        Now, if not given.

    Raises
    ------
    ConfigError
        If a format is none that there is.
    """
    wanted: dict[str, str] = config["publish.exports"]
    if unknown := set(wanted) - set(EXPORTS):
        raise ConfigError(
            f"publish.exports knows {', '.join(EXPORTS)}, not {', '.join(sorted(unknown))}", parameter="publish.exports"
        )
    moment = at or pd.Timestamp.now("UTC")
    decisions, sessions = verdicts_held(store, names.key_id, moment)
    trail = Chain(store.path / "ledger" / "audit.jsonl")
    with staged(config["publish.folder"]) as draft:
        for name, file in wanted.items():
            mildest = config["publish.export_verdict"] or EXPORTS[name].at_least
            rules = ListRules(mildest, config["publish.export_allow"])
            reveal = Reidentifier(names, f"export as {name}", trail.append)
            text = EXPORTS[name].render(block_list(decisions, sessions, rules, at=moment, reveal=reveal))
            (draft / file).touch(0o600)
            (draft / file).write_text(text, encoding="ascii")


def key_id_of(store: Store) -> str | None:
    """Return the id of the key that the newest rows of a store were written with, None before the first run."""
    place = store.position
    found: str | None = place.get("written_with", place).get("key_id")
    return found


def verdicts_held(store: Store, key_id: str, at: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return decisions that may hold at a moment and their sessions, as lists are made of them.

    Sessions that hold pseudonyms of another key are left out: this one would make addresses of strangers of them.

    Parameters
    ----------
    store : Store
    key_id : str
        As of `Pseudonyms.key_id`; noted in the tables' ``attrs``.
    at : Timestamp
    """
    days = [day for day in store.days("decisions") if day >= (at - _LONGEST_VERDICT).date()]
    decisions = to_pandas(store.read("decisions", days=days))
    sessions = to_pandas(store.read("sessions", columns=["start", *_NAMES], days=days))
    sessions = sessions[_is_under(key_id, store, sessions["start"])].drop(columns="start")
    decisions = decisions[decisions["session_id"].isin(sessions["session_id"])]
    for frame in (decisions, sessions):
        frame.attrs[KEY_MARK] = key_id
    return decisions, sessions


def _is_under(key_id: str, store: Store, starts: pd.Series[pd.Timestamp]) -> pd.Series[bool]:
    """Say which sessions hold pseudonyms of this key alone: those begun after the last event under another."""
    written = store.position.get("written_with", {"key_id": key_id, "after_us": -1})
    if written["key_id"] != key_id:
        return starts.isna()
    return starts > pd.Timestamp(written["after_us"], unit="us", tz="UTC")
