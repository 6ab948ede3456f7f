"""Detecting: sessions into scores with reasons."""

from fraudlog.detecting.detector import Detector
from fraudlog.detecting.evidence import EVIDENCE, Evidence, presumed_human
from fraudlog.detecting.reasons import Reason, describe_reasons

__all__ = ["EVIDENCE", "Detector", "Evidence", "Reason", "describe_reasons", "presumed_human"]
