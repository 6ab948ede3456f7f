"""Reporting: tables on disk, the HTML report, and what the command prints."""

from fraudlog.reporting.console import SHORT_ID, top_sessions, top_table
from fraudlog.reporting.drafts import staged
from fraudlog.reporting.fairness import fairness
from fraudlog.reporting.html import render_report
from fraudlog.reporting.lines import line_ranges, reason_lines
from fraudlog.reporting.tables import TABLES, read_tables, write_tables
from fraudlog.reporting.text import safe_text

__all__ = [
    "SHORT_ID",
    "TABLES",
    "fairness",
    "line_ranges",
    "read_tables",
    "reason_lines",
    "render_report",
    "safe_text",
    "staged",
    "top_sessions",
    "top_table",
    "write_tables",
]
