"""fraudlog: flags abusive sessions in access logs, says why, and keeps the privacy promise.

The public names are imported on first use, so that ``import fraudlog`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fraudlog.deciding import Policy
    from fraudlog.detecting import Detector, describe_reasons
    from fraudlog.enriching import enrich
    from fraudlog.errors import FraudlogError
    from fraudlog.reading import ParsedLog, iter_log, read_log
    from fraudlog.serving import LiveSessions
    from fraudlog.sessions import build_sessions, sessionize

__version__ = "0.1.0"
__all__ = [
    "Detector",
    "FraudlogError",
    "LiveSessions",
    "ParsedLog",
    "Policy",
    "build_sessions",
    "describe_reasons",
    "enrich",
    "iter_log",
    "read_log",
    "sessionize",
]

_ROOMS = {
    "Detector": "detecting",
    "FraudlogError": "errors",
    "LiveSessions": "serving",
    "ParsedLog": "reading",
    "Policy": "deciding",
    "build_sessions": "sessions",
    "describe_reasons": "detecting",
    "enrich": "enriching",
    "iter_log": "reading",
    "read_log": "reading",
    "sessionize": "sessions",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'fraudlog' has no attribute {name!r}; it has {', '.join(__all__)}")
    value: object = getattr(import_module(f"fraudlog.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
