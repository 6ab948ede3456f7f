"""Serving: the session behind a request, scored and decided on inside a service."""

from fraudlog.serving.asgi import FraudlogASGI
from fraudlog.serving.events import EventReader
from fraudlog.serving.live import LiveSessions
from fraudlog.serving.redis_state import RedisState
from fraudlog.serving.state import LocalState, State
from fraudlog.serving.wsgi import FraudlogWSGI

__all__ = ["EventReader", "FraudlogASGI", "FraudlogWSGI", "LiveSessions", "LocalState", "RedisState", "State"]
