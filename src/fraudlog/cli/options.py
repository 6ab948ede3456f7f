"""Options that several verbs share, and what each says in `--help`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Format", "Gap", "IpMode", "Json", "KeyFile", "Logs", "Model", "Out", "RejectShare"]

Logs = Annotated[
    list[Path],
    typer.Argument(help="Access logs: files (plain or packed), folders, or - for standard input.", show_default=False),
]
Out = Annotated[Path, typer.Option(help="Folder for the tables and the report; made if it is not there.")]
Model = Annotated[
    Path | None, typer.Option(help="Detector from `fraudlog fit`; without one it learns from LOG itself.")
]
Format = Annotated[
    str, typer.Option("--format", help="Name of a log format, or the server's log_format string; auto detects it.")
]
RejectShare = Annotated[
    float | None,
    typer.Option(
        "--max-reject-share", help="Exit with 3 if more than this share of the lines is rejected.", min=0, max=1
    ),
]
Gap = Annotated[str, typer.Option("--session-gap", help="Longest silence inside a session.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="Key of the pseudonyms; by default FRAUDLOG_KEY, or a file made in your configuration folder."),
]
IpMode = Annotated[
    str,
    typer.Option(help="What becomes of addresses: pfx (encrypted; /24 and /64 still group), opaque, truncate, drop."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
