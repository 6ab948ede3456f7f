"""Deciding: scores into verdicts."""

from fraudlog.deciding.allowing import AllowList
from fraudlog.deciding.decision import FALLBACKS, SCOPES, VERDICTS, Decision, Scope, Verdict
from fraudlog.deciding.policy import Policy
from fraudlog.deciding.rules import Rule

__all__ = ["FALLBACKS", "SCOPES", "VERDICTS", "AllowList", "Decision", "Policy", "Rule", "Scope", "Verdict"]
