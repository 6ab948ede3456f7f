"""How well abuse would be found: made-up traffic, benign and abusive, and the figures that tell the two apart."""

from __future__ import annotations

from fraudlog.evaluation.benign import benign_events

__all__ = ["benign_events"]
