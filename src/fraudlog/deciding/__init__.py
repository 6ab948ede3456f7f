"""Deciding: scores into verdicts."""

from fraudlog.deciding.allowing import AllowList
from fraudlog.deciding.budget import Budget, ReviewPace, Today, human_budget, on_budget, review_budget
from fraudlog.deciding.decision import FALLBACKS, SCOPES, VERDICTS, Decision, Scope, Verdict
from fraudlog.deciding.policy import Policy
from fraudlog.deciding.rules import Rule

__all__ = [
    "FALLBACKS",
    "SCOPES",
    "VERDICTS",
    "AllowList",
    "Budget",
    "Decision",
    "Policy",
    "ReviewPace",
    "Rule",
    "Scope",
    "Today",
    "Verdict",
    "human_budget",
    "on_budget",
    "review_budget",
]
