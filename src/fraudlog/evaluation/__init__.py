"""How well abuse would be found: made-up traffic, benign and abusive, and the figures that tell the two apart."""

from __future__ import annotations

from fraudlog.evaluation.benign import benign_events
from fraudlog.evaluation.findings import labelled_findings, render_findings, stress_findings
from fraudlog.evaluation.injection import Campaign, Injected, inject, pick_kinds
from fraudlog.evaluation.kinds import KINDS, kind_names
from fraudlog.evaluation.labelled import label_sessions, read_labels
from fraudlog.evaluation.leaks import scan_leaks
from fraudlog.evaluation.metrics import (
    Interval,
    auroc,
    average_precision,
    bootstrap,
    precision_at_k,
    recall_at_budget,
    recall_at_fpr,
    threshold_at_fpr,
)
from fraudlog.evaluation.splits import Split, entity_split, time_split
from fraudlog.evaluation.stress import DISCLAIMER, Design, Stress, Trial, risk_of, stress_test, trial

__all__ = [
    "DISCLAIMER",
    "KINDS",
    "Campaign",
    "Design",
    "Injected",
    "Interval",
    "Split",
    "Stress",
    "Trial",
    "auroc",
    "average_precision",
    "benign_events",
    "bootstrap",
    "entity_split",
    "inject",
    "kind_names",
    "label_sessions",
    "labelled_findings",
    "pick_kinds",
    "precision_at_k",
    "read_labels",
    "recall_at_budget",
    "recall_at_fpr",
    "render_findings",
    "risk_of",
    "scan_leaks",
    "stress_findings",
    "stress_test",
    "threshold_at_fpr",
    "time_split",
    "trial",
]
