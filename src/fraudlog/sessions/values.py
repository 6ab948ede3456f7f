"""Fields computed from one value: here for a whole column of distinct values, below for one value of a live event.

Both forms of a field stand together, so that who changes one sees the other; the parity tests hold them equal.
"""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.sessions.columns import NULL
from fraudlog.sessions.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["LIVE", "NUMBERS_OF_TEXT", "TEXTS_OF_TEXT", "bit_length", "clamped", "of_time", "profile_of"]

_UNKNOWN: Final = "?"
_SLASH: Final = ord("/")
_DAY_HOURS: Final = 24
_HOUR_US: Final = 3_600_000_000
_MINUTE_US: Final = 60_000_000
_SECOND_US: Final = 1_000_000

_LAST_NUMBER: Final = re.compile(r"([0-9]{1,13})[^0-9]*\Z")
_SECTION: Final = re.compile(r"/([^/]*)")
_SMALL: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
_DIRECTORY: Final = re.compile(r"(?s).*/")


def clamped(values: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Cut numbers to the field's bits; negative ones, which no field has, become null."""
    most = (1 << FIELDS[name].bits) - 1
    cut: NDArray[np.int64] = np.clip(values.astype(np.int64, copy=False), NULL, most)
    return cut


def bit_length(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many bits each number has, as ``int.bit_length``; null stays null. Exact below 2**53."""
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    return np.where(values < 0, NULL, bits)


def _numbers(array: pa.Array, name: str) -> NDArray[np.int64]:
    return clamped(pc.fill_null(array.cast(pa.int64()), NULL).to_numpy(zero_copy_only=False), name)


def _depth(paths: pa.Array) -> NDArray[np.int64]:
    """Count the parts of each path, byte by byte: one begins where no slash follows a slash or the path's start."""
    _, places, data = paths.buffers()
    bounds = np.frombuffer(places, np.int32)[paths.offset : paths.offset + len(paths) + 1]
    letters = np.frombuffer(data or b"", np.uint8)[bounds[0] : bounds[-1]]
    bounds = bounds - bounds[0]
    is_part = letters != _SLASH
    begins = is_part.copy()
    begins[1:] &= ~is_part[:-1]
    starts = bounds[:-1][bounds[:-1] < len(letters)]
    begins[starts] = is_part[starts]
    before = np.append(0, np.cumsum(begins))
    counts = (before[bounds[1:]] - before[bounds[:-1]]).astype(np.int64)
    if paths.null_count:
        counts[paths.is_null().to_numpy(zero_copy_only=False)] = NULL
    return clamped(counts, "depth")


def _last_number(paths: pa.Array) -> NDArray[np.int64]:
    found = pc.extract_regex(paths, r"(?P<n>[0-9]{1,13})[^0-9]*\z").field("n")
    valid = pc.fill_null(pc.greater(pc.utf8_length(found), 0), fill_value=False)
    return _numbers(pc.if_else(valid, found, None).cast(pa.int64()), "path_number")


def _null_without_match(array: pa.Array, pattern: str, group: str) -> pa.Array:
    """Extract one group; null where the pattern is not found (Arrow's struct is null there, its children are not)."""
    found = pc.extract_regex(array, pattern)
    return pc.if_else(pc.is_valid(found), found.field(group), None)


NUMBERS_OF_TEXT: Final[dict[str, tuple[str, Callable[[pa.Array], NDArray[np.int64]]]]] = {
    "depth": ("path", _depth),
    "path_length": ("path", lambda v: _numbers(pc.utf8_length(v), "path_length")),
    "path_number": ("path", _last_number),
    "query_length": ("query", lambda v: _numbers(pc.utf8_length(v), "query_length")),
}
"""Numbers read from one column of text: which, and how, for its distinct values."""

TEXTS_OF_TEXT: Final[dict[str, tuple[str, Callable[[pa.Array], pa.Array]]]] = {
    "section": ("path", lambda v: _null_without_match(v, r"\A/(?P<s>[^/]*)", "s")),
    "directory": ("path", lambda v: _null_without_match(v, r"(?s)\A(?P<d>.*/)", "d")),
    "file": ("path", lambda v: pc.ascii_lower(_null_without_match(v, r"/(?P<f>[^/]*)\z", "f"))),
}
"""Texts read from one column of text."""


def profile_of(*parts: str | None) -> str | None:
    """Join the parts of a profile; null if none is known.

    >>> profile_of("Windows", "Firefox", None)
    'Windows Firefox ?'
    """
    return " ".join(part or _UNKNOWN for part in parts) if any(parts) else None


def of_time(time_us: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    """Return ``time_ms``, ``utc_hour`` or ``coarseness`` of moments in microseconds."""
    if name == "time_ms":
        return clamped(time_us // 1000, name)
    if name == "utc_hour":
        hours: NDArray[np.int64] = time_us // _HOUR_US % _DAY_HOURS
        return hours
    coarseness: NDArray[np.int64] = (time_us % _SECOND_US == 0).astype(np.int64) + (time_us % _MINUTE_US == 0)
    return coarseness


def _section(path: str) -> str | None:
    match = _SECTION.match(path)
    return match[1] if match else None


def _directory(path: str) -> str | None:
    match = _DIRECTORY.match(path)
    return match[0] if match else None


def _file(path: str) -> str | None:
    _, slash, name = path.rpartition("/")
    return name.translate(_SMALL) if slash else None


def _number(path: str) -> int | None:
    match = _LAST_NUMBER.search(path)
    return int(match[1]) if match else None


LIVE: Final[dict[str, Callable[..., Any]]] = {
    "depth": lambda path: min(sum(1 for part in path.split("/") if part), (1 << FIELDS["depth"].bits) - 1),
    "path_length": lambda path: min(len(path), (1 << FIELDS["path_length"].bits) - 1),
    "path_number": _number,
    "query_length": lambda query: min(len(query), (1 << FIELDS["query_length"].bits) - 1),
    "section": _section,
    "directory": _directory,
    "file": _file,
}
"""The same for one value of a live event; times are worked out by the code of `fraudlog.sessions.live_layout`."""
