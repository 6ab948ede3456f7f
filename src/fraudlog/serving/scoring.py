"""One row's score for a service: `Detector.score_one`, with what a decision needs beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fraudlog.deciding.scoping import SHARED_BY
from fraudlog.detecting.evidence import EVIDENCE
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fraudlog.detecting import Detector, Reason

__all__ = ["PLACES", "OneScore", "is_presumed_human", "is_verified_crawler", "score_one", "sharing"]

PLACES: Final = {row.name: place for place, row in enumerate(FEATURES)}
"""Where each feature stands in a row."""

_CODES: Final = frozenset(row.code for row in EVIDENCE)
_AUTOMATION: Final = PLACES["automation_share"]
_REQUESTS: Final = PLACES["requests"]
_VERIFIED: Final = PLACES["verified_crawler_requests"]
_SHARED: Final = tuple(PLACES[name] for name in SHARED_BY)


class OneScore(NamedTuple):
    """What a detector says of one session."""

    anomaly_score: float
    risk: float
    confidence: float
    reasons: list[Reason]


def score_one(detector: Detector, values: Sequence[float], entities: Mapping[str, Any]) -> OneScore:
    """Score one session as `Detector.score` scores it in a table."""
    import pandas as pd  # noqa: PLC0415 -- for one row, until the detector does without

    times = {name: pd.Timestamp(0, tz="UTC") for name in ("start", "end")}
    row = dict(zip(PLACES, values, strict=True)) | {"session_id": ""} | times | dict(entities)
    scores = detector.score(pd.DataFrame([row]))
    first = scores.iloc[0]
    return OneScore(float(first["anomaly_score"]), float(first["risk"]), float(first["confidence"]), first["reasons"])


def is_presumed_human(values: Sequence[float], reasons: Sequence[Reason]) -> bool:
    """Say what `fraudlog.detecting.presumed_human` says of a session of a table."""
    return not values[_AUTOMATION] > 0 and not any(reason["code"] in _CODES for reason in reasons)


def is_verified_crawler(values: Sequence[float]) -> bool:
    """Say whether a session is wholly that of a crawler whose address confirms its name."""
    return values[_VERIFIED] == values[_REQUESTS]


def sharing(values: Sequence[float]) -> tuple[float, float]:
    """Return how many accounts and agents share the session's network."""
    users, agents = _SHARED
    return values[users], values[agents]
