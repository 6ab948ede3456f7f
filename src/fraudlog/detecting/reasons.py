"""Reasons: what a risk is made of, in codes for machines and in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from fraudlog.detecting.accounts import ACCOUNT_CODES
from fraudlog.detecting.baselines import PEER_SENTENCES
from fraudlog.detecting.coordination import DOORS
from fraudlog.detecting.evidence import EVIDENCE
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["LABELLED", "LIKE", "OTHER", "UNUSUAL", "Reason", "describe_reasons", "feature_of"]

UNUSUAL: Final = "UNUSUAL_"
"""Prefix of the codes of features that the forest finds odd."""

OTHER: Final = UNUSUAL + "OTHER"
"""Code of what is too small to be named."""

LIKE: Final = "LIKE_SUSPECTS_"
"""Prefix of the codes of features in which a session is more like those evidence speaks against than like people's."""

LABELLED: Final = "LIKE_LABELLED_"
"""Prefix of the codes of features in which a session is like those that people called abusive."""

_LEADS: Final = {UNUSUAL: "unusual", LIKE: "like known programs", LABELLED: "like what was labelled abusive"}

_SENTENCES: Final[dict[str, str]] = (
    {row.code: row.sentence for row in EVIDENCE}
    | {door.code: door.sentence for door in DOORS}
    | ACCOUNT_CODES
    | PEER_SENTENCES
    | {"LABELLED_ABUSIVE": "was labelled abusive"}
)
_MEANINGS: Final = {prefix + row.name.upper(): row for row in FEATURES for prefix in _LEADS}
_FEATURES: Final = {row.code: row.conditions[0].feature for row in EVIDENCE} | {door.code: door.own for door in DOORS}
_UNITS: Final = {"s", "bytes", "bit"}
"""Units that a number needs beside it; the meaning of the others names them already."""


class Reason(TypedDict):
    """One part of a risk.

    ``code`` is stable; ``contribution`` is its part of the risk, and all parts add up to it; ``value`` is the feature
    behind it; ``percentile`` the share of sessions, 0..1, with at most that value when the detector learnt; ``oat`` the
    OWASP Automated Threat, or None.
    """

    code: str
    contribution: float
    value: float | None
    percentile: float | None
    oat: str | None


def feature_of(code: str) -> str | None:
    """Return the feature behind a code, if there is one.

    >>> feature_of("PROBE_PATHS"), feature_of("UNUSUAL_NOT_FOUND"), feature_of("UNUSUAL_OTHER")
    ('probe_requests', 'not_found', None)
    """
    if code in _MEANINGS:
        return _MEANINGS[code].name
    return _FEATURES.get(code)


def describe_reasons(reasons: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each reason, in the order given.

    >>> describe_reasons([{"code": "PROBE_PATHS", "contribution": 0.6, "value": 8.0, "percentile": 1.0, "oat": None}])
    ['asked for paths that only scanners ask for (8)']
    """
    return [_sentence(reason) for reason in reasons]


def _sentence(reason: Mapping[str, Any]) -> str:
    code, value = reason["code"], reason["value"]
    if code in _SENTENCES:
        return _SENTENCES[code].format(value=_number(value), percent=_percent(value))
    feature = _MEANINGS.get(code)
    if feature is None or value is None:
        return "odd in several small ways"
    shown = (
        _percent(value) if feature.unit == "share" else _number(value) + (" " + feature.unit) * (feature.unit in _UNITS)
    )
    lead = next(words for prefix, words in _LEADS.items() if code.startswith(prefix))
    return f"{lead}: {feature.meaning.partition(';')[0]} ({shown}){_rank(reason['percentile'])}"


def _rank(percentile: float | None) -> str:
    if percentile is None:
        return ""
    if percentile >= 0.9:
        return f", more than {_percent(min(percentile, 0.999), 1)} of sessions"
    if percentile <= 0.1:
        return f", as little as {_percent(max(percentile, 0.001), 1)} of sessions"
    return ""


def _number(value: float | None) -> str:
    if value is None:
        return "some"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.2g}"


def _percent(share: float | None, digits: int = 0) -> str:
    if share is None:
        return "some"
    return f"{share:.{digits}%}".replace("%", " %")
