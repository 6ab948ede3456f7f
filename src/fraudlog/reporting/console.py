"""What the command prints: the sessions to look at first, with reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fraudlog.detecting import describe_reasons
from fraudlog.reporting.text import safe_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SHORT_ID", "top_sessions", "top_table"]

SHORT_ID = 10
"""Characters of a session id that a table shows; `fraudlog explain` takes them."""

_REASONS_SHOWN = 3


def top_sessions(sessions: pd.DataFrame, scores: pd.DataFrame, decisions: pd.DataFrame, n: int) -> list[dict[str, Any]]:
    """Return the `n` sessions of the highest risk that are not simply allowed, as JSON-ready rows."""
    together = scores.assign(
        verdict=decisions["verdict"], requests=sessions["requests"], user_agent=sessions["user_agent"]
    )
    together = together[together["verdict"] != "allow"]
    top = together.sort_values(["risk", "requests"], ascending=False, kind="stable").head(n)
    return [
        {
            "session_id": row["session_id"],
            "start": row["start"].isoformat(),
            "risk": round(row["risk"], 4),
            "confidence": round(row["confidence"], 4),
            "verdict": row["verdict"],
            "requests": int(row["requests"]),
            "user_agent": row["user_agent"] if isinstance(row["user_agent"], str) else None,
            "reasons": [
                {"code": reason["code"], "contribution": round(reason["contribution"], 4), "text": text}
                for reason, text in zip(row["reasons"], describe_reasons(row["reasons"]), strict=True)
            ],
        }
        for row in top.to_dict("records")
    ]


def top_table(top: list[dict[str, Any]]) -> Table:
    """Return the rows of `top_sessions` as a table for a terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, justify in (
        ("risk", "right"),
        ("session", "left"),
        ("requests", "right"),
        ("agent", "left"),
        ("why", "left"),
    ):
        table.add_column(name, justify=justify, overflow="fold", ratio=None)  # type: ignore[arg-type]
    for row in top:
        shown = row["reasons"][:_REASONS_SHOWN]
        more = len(row["reasons"]) - len(shown)
        why = [reason["text"] for reason in shown] + ([f"and {more} more"] if more else [])
        table.add_row(
            f"{row['risk']:.2f}",
            row["session_id"][:SHORT_ID],
            str(row["requests"]),
            Text(safe_text(row["user_agent"] or "no agent", 40)),
            Text("; ".join(why)),
        )
    return table
