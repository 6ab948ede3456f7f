"""`fraudlog explain`: why one session was flagged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import fraudlog as fl
from fraudlog.cli.options import Format, Gap, IpMode, KeyFile, Model
from fraudlog.cli.scoring import pseudonyms, score_logs
from fraudlog.cli.terminal import open_console, progress
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from fraudlog.cli.scoring import Scored

__all__ = ["explain"]


def explain(
    arguments: Annotated[
        list[str], typer.Argument(metavar="LOG... SESSION_ID", help="The logs scored, then the id, or its beginning.")
    ],
    model: Model = None,
    *,
    log_format: Format = "auto",
    session_gap: Gap = "30min",
    key_file: KeyFile = None,
    ip_mode: IpMode = "pfx",
) -> None:
    """Say why one session was flagged, and print its lines.

    Reads LOG again, since no raw line is stored anywhere else; give the options that `score` was given.

    Example: fraudlog explain access.log.gz 3f9c20b1aa
    """
    *logs, session_id = arguments
    if not logs:
        raise ConfigError("name the log, then the session: fraudlog explain LOG SESSION_ID", parameter="session_id")
    names = pseudonyms(key_file, None, ip_mode)
    with progress() as step:
        scored = score_logs([Path(log) for log in logs], model, log_format, session_gap, names, step)
        row = _one_session(scored.scores, session_id)
    _print_explanation(scored, row)


def _one_session(scores: pd.DataFrame, session_id: str) -> int:
    rows = scores.index[scores["session_id"].str.startswith(session_id.lower())]
    if len(rows) != 1:
        problem = "is not in this log (same log, key and --session-gap?)" if not len(rows) else "begins several ids"
        raise ConfigError(f"session {session_id[:24]!r} {problem}", parameter="session_id")
    return int(rows[0])


def _print_explanation(scored: Scored, row: int) -> None:
    from rich.text import Text

    from fraudlog.reading import read_lines
    from fraudlog.reporting import line_ranges, reason_lines, safe_text

    found = scored.scores.loc[row]
    console = open_console()
    console.print(
        f"session {found['session_id']}: risk {found['risk']:.2f}, anomaly score {found['anomaly_score']:.2f}, "
        f"confidence {found['confidence']:.2f}",
        highlight=False,
    )
    own = scored.events[scored.events["session_id"] == found["session_id"]].sort_values(["timestamp", "line_number"])
    reasons: list[Any] = list(found["reasons"])
    texts, lines_of = fl.describe_reasons(reasons), reason_lines(reasons, own)
    for reason, text, counting in zip(reasons, texts, lines_of, strict=True):
        where = safe_text(line_ranges(counting), 200)
        console.print(Text(f"  +{reason['contribution']:.3f}  {text}  [{reason['code']}]  {where}"), soft_wrap=True)
    for source in own["source"].unique():
        wanted = {int(number) for number in own.loc[own["source"] == source, "line_number"]}
        lines = {n: line for n, line in enumerate(read_lines(Path(source)), start=1) if n in wanted}
        for number in own.loc[own["source"] == source, "line_number"]:
            text = lines[int(number)].decode("utf-8", "backslashreplace")
            console.print(Text(f"{safe_text(source)}:{number}: {safe_text(text, 2000)}"), soft_wrap=True)
