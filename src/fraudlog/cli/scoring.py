"""From logs to scores, as `score` and `explain` both do it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import fraudlog as fl
from fraudlog.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from fraudlog.enriching import Shield
    from fraudlog.privacy import IpMode, Pseudonyms

__all__ = ["Scored", "budget_of", "budget_text", "pseudonyms", "read_logs", "score_logs", "warn"]


@dataclass(frozen=True)
class Scored:
    """Logs read and scored: every table, in memory, with pseudonyms in place of identifiers."""

    log: fl.ParsedLog
    events: pd.DataFrame
    sessions: pd.DataFrame
    scores: pd.DataFrame
    summary: dict[str, Any]
    detector: fl.Detector


def score_logs(
    logs: list[Path],
    model: Path | None,
    log_format: str,
    gap: str,
    names: Pseudonyms,
    step: Callable[[str], None],
    max_reject_share: float | None = None,
) -> Scored:
    """Read, build sessions, learn or load, and score; `step` is told what is being done."""
    from fraudlog.enriching import Shield

    step("reading")
    log = read_logs(logs, log_format, Shield(names), max_reject_share)
    given = None if model is None else fl.Detector.load(model)
    step("building sessions")
    rows = fl.build_sessions(
        log.table,
        session_gap=gap,
        key=names.session_key,
        population="fit" if given is None else given.population_,
        asof=given is None,
    )
    events = fl.sessionize(log.events, session_gap=gap, key=names.session_key)
    step("learning" if given is None else "loading")
    detector = given or fl.Detector(min_reference=1).fit(rows)
    warn(detector)
    sessions = rows if given is not None else _finished(rows)
    step("scoring")
    summary = {
        "fraudlog": fl.__version__,
        "log": log.summary.to_dict(),
        "key": names.manifest,
        "model": {
            "origin": "fitted on this very log" if model is None else f"detector {model.name}",
            "reference_size": detector.reference_size_,
            "sessions_seen": detector.sessions_seen_,
            "warning": detector.reference_warning_,
            "window": list(detector.window_),
        },
    }
    return Scored(log, events, sessions, detector.score(sessions), summary, detector)


def _finished(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each session once, as of its last event."""
    return rows[rows["is_last"]].drop(columns=["checkpoint", "is_last"]).reset_index(drop=True)


def read_logs(
    logs: list[Path], log_format: str, shield: Shield | None, max_reject_share: float | None = None
) -> fl.ParsedLog:
    """Read the logs, identifiers taken out if there is a shield; what was wrong with a whole file goes to stderr.

    Raises
    ------
    InputError
        If they can't be read, or hold no event.
    """
    log = fl.read_log(logs, log_format, max_reject_share=max_reject_share, privacy=shield)
    for problem in log.summary.problems.items():
        sys.stderr.write("fraudlog: {}: {}\n".format(*problem))
    if not log.summary.events:
        raise InputError(f"{logs[0]}: holds no event of a session", source=logs[0])
    return log


def pseudonyms(key_file: Path | None, out: Path | None, ip_mode: str = "pfx") -> Pseudonyms:
    """Return the pseudonyms of the key; one that lies inside `out` is refused."""
    from fraudlog.privacy import load_keyring

    return load_keyring(key_file, outside=out).current(cast("IpMode", ip_mode))


def warn(detector: fl.Detector) -> None:
    """Say on stderr what a person should know of whom the detector learnt from."""
    if detector.reference_warning_ is not None:
        sys.stderr.write(f"fraudlog: {detector.reference_warning_}\n")


def budget_of(detector: fl.Detector, human_share: float | None) -> dict[str, Any] | None:
    """Return what a share of presumed humans comes to with a detector, as JSON holds it; None without a share."""
    from fraudlog.deciding import human_budget

    return None if human_share is None else human_budget(detector.human_risk_, human_share)._asdict()


def budget_text(budget: dict[str, Any]) -> str:
    """Say for a person what a budget comes to."""
    return (
        f"challenged from risk {budget['risk']:.3f} on: {budget['expected']:.2%} of presumed humans "
        f"({budget['low']:.2%} to {budget['high']:.2%})"
    )
