"""Reading: bytes of any common log to a table of events, with nothing lost.

`read_log` reads a whole log, `iter_log` in batches of bounded memory. Formats are rows of `formats.FORMATS`.
"""

from fraudlog.reading.client_ip import TrustedProxies
from fraudlog.reading.decompress import Caps
from fraudlog.reading.fieldmaps import Field
from fraudlog.reading.follow import Follower
from fraudlog.reading.following import follow_log
from fraudlog.reading.formats import FORMATS, Format, all_formats
from fraudlog.reading.log import iter_log, read_log, with_named_values
from fraudlog.reading.parsed import ParsedLog, Summary
from fraudlog.reading.reasons import REASONS
from fraudlog.reading.sources import read_lines

__all__ = [
    "FORMATS",
    "REASONS",
    "Caps",
    "Field",
    "Follower",
    "Format",
    "ParsedLog",
    "Summary",
    "TrustedProxies",
    "all_formats",
    "follow_log",
    "iter_log",
    "read_lines",
    "read_log",
    "with_named_values",
]
