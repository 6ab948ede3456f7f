"""Sessions: what a session is, and every feature of it, defined once."""

from fraudlog.sessions.build import SessionStream, build_sessions, build_sessions_table, define, sessionize
from fraudlog.sessions.catalogue import DEFAULT, FEATURES, feature_names, transforms
from fraudlog.sessions.definition import CHECKPOINTS, Definition, Feature
from fraudlog.sessions.document import features_as_dicts, features_page
from fraudlog.sessions.live import LiveFeatures, LiveSession
from fraudlog.sessions.population import Population
from fraudlog.sessions.stream import Settings, State, Traced, finish, step, traced_step

__all__ = [
    "CHECKPOINTS",
    "DEFAULT",
    "FEATURES",
    "Definition",
    "Feature",
    "LiveFeatures",
    "LiveSession",
    "Population",
    "SessionStream",
    "Settings",
    "State",
    "Traced",
    "build_sessions",
    "build_sessions_table",
    "define",
    "feature_names",
    "features_as_dicts",
    "features_page",
    "finish",
    "sessionize",
    "step",
    "traced_step",
    "transforms",
]
