"""Serving: the session behind a request, scored and decided on inside a service."""

from fraudlog.serving.live import LiveSessions
from fraudlog.serving.state import LocalState, State

__all__ = ["LiveSessions", "LocalState", "State"]
