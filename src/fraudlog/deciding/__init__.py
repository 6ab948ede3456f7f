"""Deciding: scores into verdicts."""

from fraudlog.deciding.policy import VERDICTS, Policy

__all__ = ["VERDICTS", "Policy"]
