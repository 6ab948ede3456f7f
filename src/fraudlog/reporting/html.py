"""The report: one self-contained HTML page, without scripts or requests to anywhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jinja2
import numpy as np
import pandas as pd

from fraudlog.deciding import VERDICTS
from fraudlog.detecting import EVIDENCE, describe_reasons
from fraudlog.reporting.fairness import fairness
from fraudlog.reporting.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fraudlog.deciding import Verdict

__all__ = ["render_report"]

_TOP: Final = 50
_BINS: Final = 20
_HOURS: Final = 96


@dataclass(frozen=True, slots=True)
class _Bar:
    """A bar of a chart, in the chart's own units: a stack of (class, y, height)."""

    x: float
    width: float
    parts: tuple[tuple[str, float, float], ...]
    title: str


def render_report(
    summary: Mapping[str, Any], sessions: pd.DataFrame, scores: pd.DataFrame, decisions: pd.DataFrame
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    summary : mapping
        As ``summary.json``.
    sessions, scores, decisions : DataFrame of shape (n_sessions, ...)
        As `fraudlog.reporting.write_tables` wrote them, with pseudonyms in place of identifiers.

    Returns
    -------
    str
        Everything is inside; what came from the log is escaped.
    """
    everything = sessions.merge(scores.drop(columns=["start", "end"]), on="session_id").merge(
        decisions[["session_id", "verdict"]], on="session_id"
    )
    ranked = everything.sort_values(["risk", "requests"], ascending=False, kind="stable")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fraudlog.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"shown": safe_text, "percent": lambda share: f"{share:.1%}".replace("%", " %")}
    return environment.get_template("report.html.j2").render(
        summary=summary,
        verdicts={verdict: int((decisions["verdict"] == verdict).sum()) for verdict in VERDICTS},
        top=[_card(row) for row in ranked.head(_TOP).to_dict("records") if row["verdict"] != "allow"],
        evidence=_evidence(scores),
        risks=_risks(everything),
        hours=_hours(everything),
        groups=fairness(everything, ~everything["verdict"].isin(["allow", "observe"])),
    )


def _card(row: Mapping[Any, Any]) -> dict[str, Any]:
    reasons = row["reasons"]
    lines = zip(reasons, describe_reasons(reasons), strict=True)
    agent = row["user_agent"]
    return {
        "id": row["session_id"],
        "verdict": row["verdict"],
        "risk": row["risk"],
        "confidence": row["confidence"],
        "start": f"{row['start']:%Y-%m-%d %H:%M:%S}",
        "requests": int(row["requests"]),
        "agent": "no agent" if pd.isna(agent) else agent,
        "prefix": row["ip_prefix"],
        "place": f"{row['source']}, line {row['first_line']}",
        "reasons": [(reason["code"], reason["contribution"], text, reason["oat"]) for reason, text in lines],
    }


def _evidence(scores: pd.DataFrame) -> list[tuple[str, str, str, int]]:
    counts = Counter(reason["code"] for reasons in scores["reasons"] for reason in reasons)
    rows = [
        (row.code, row.sentence.replace(" ({value})", "").format(value="n", percent="most"), row.oat, counts[row.code])
        for row in EVIDENCE
    ]
    return sorted((row for row in rows if row[3]), key=lambda row: -row[3])


def _risks(everything: pd.DataFrame) -> list[_Bar]:
    """Bars of the risks above 0, on the square root of the count, so that a single session still shows."""
    risk, verdict = everything["risk"].to_numpy(), everything["verdict"].to_numpy()
    place = np.minimum((risk * _BINS).astype(int), _BINS - 1)
    counts = {name: np.bincount(place[(verdict == name) & (risk > 0)], minlength=_BINS) for name in VERDICTS}
    edges = [f"risk {i / _BINS:.2f} to {(i + 1) / _BINS:.2f}" for i in range(_BINS)]
    return _bars(counts, edges, root=True)


def _hours(everything: pd.DataFrame) -> list[_Bar]:
    start = everything["start"]
    span = start.max() - start.min()
    width = max(pd.Timedelta("1h"), (span / _HOURS).ceil("h"))
    slot = ((start - start.min().floor("h")) // width).astype(int).to_numpy()
    size = int(slot.max()) + 1
    verdict = everything["verdict"].to_numpy()
    counts = {name: np.bincount(slot[verdict == name], minlength=size) for name in VERDICTS}
    first = start.min().floor("h")
    return _bars(counts, [f"{first + i * width:%Y-%m-%d %H:%M}" for i in range(size)], root=False)


def _bars(counts: Mapping[Verdict, Any], titles: list[str], *, root: bool) -> list[_Bar]:
    total = np.sum(list(counts.values()), axis=0)
    height = np.sqrt(total) if root else total.astype(float)
    height = 100 * height / max(height.max(), 1)
    bars = []
    for i, title in enumerate(titles):
        base, parts = 100.0, []
        for name in VERDICTS:
            part = float(height[i] * counts[name][i] / total[i]) if total[i] else 0.0
            base -= part
            parts.append((name, base, part))
        split = ", ".join(f"{counts[name][i]} {name}" for name in VERDICTS if counts[name][i])
        bars.append(_Bar(i * 1000 / len(titles), 1000 / len(titles) - 2, tuple(parts), f"{title}: {split or 'none'}"))
    return bars
