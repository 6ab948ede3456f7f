"""Reading: log bytes into events and rejects."""

from fraudlog.reading.formats import FORMATS, LogFormat
from fraudlog.reading.log import LogSummary, ParsedLog, read_log
from fraudlog.reading.sources import read_lines

__all__ = ["FORMATS", "LogFormat", "LogSummary", "ParsedLog", "read_lines", "read_log"]
