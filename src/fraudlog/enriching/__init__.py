"""Enriching: one value into more columns, each distinct value once."""

from fraudlog.enriching.enrich import enrich, enrich_table

__all__ = ["enrich", "enrich_table"]
