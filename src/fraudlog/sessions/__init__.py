"""Sessions: what a session is, and every feature of it, defined once."""

from fraudlog.sessions.build import build_sessions, sessionize
from fraudlog.sessions.catalogue import FEATURES, feature_names
from fraudlog.sessions.definition import Feature

__all__ = ["FEATURES", "Feature", "build_sessions", "feature_names", "sessionize"]
