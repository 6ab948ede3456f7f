"""`fraudlog fit`: learn from logs what is usual."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import fraudlog as fl
from fraudlog.cli.options import Format, Gap, IpMode, KeyFile, Logs, RejectShare
from fraudlog.cli.scoring import pseudonyms, read_logs, warn
from fraudlog.cli.terminal import progress

__all__ = ["fit"]


def fit(
    logs: Logs,
    model: Annotated[Path, typer.Option(help="File to write the detector to.")] = Path("model.fraudlog"),
    *,
    log_format: Format = "auto",
    max_reject_share: RejectShare = None,
    session_gap: Gap = "30min",
    key_file: KeyFile = None,
    ip_mode: IpMode = "pfx",
) -> None:
    """Learn from LOGS what is usual on a site, and write the detector to --model.

    Fit on one period and score another: a detector that has seen an attack takes it for more usual than it is.

    Example: fraudlog fit may.log.gz --model may.fraudlog && fraudlog score june.log.gz --model may.fraudlog --out june
    """
    from fraudlog.enriching import Shield

    names = pseudonyms(key_file, None, ip_mode)
    with progress() as step:
        step("reading")
        log = read_logs(logs, log_format, Shield(names), max_reject_share)
        step("building sessions")
        sessions = fl.build_sessions(log.table, session_gap=session_gap, asof=True, key=names.session_key)
        step("learning")
        detector = fl.Detector().fit(sessions)
        warn(detector)
        step("writing")
        detector.save(model)
    typer.echo(
        f"{model}: learnt from {detector.reference_size_:,} presumed-human of {detector.sessions_seen_:,} sessions, "
        f"{detector.window_[0]} to {detector.window_[1]}"
    )
