r"""Match lines of a layout in which values could end in several places, in time that grows with the line alone.

One regular expression with a lazy group for each such value tries every way to share the separators of a line out among
them: 40 values and 80 blanks are more ways than there are seconds. Here the layout is cut behind each loose value into
units (the value and what is fixed behind it), which are matched one behind the other. Where no way leads on from a
place, it is remembered: nor does one from any place that the value could have reached from there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from fraudlog.reading.layout import Layout

__all__ = ["MOST_TRIES", "Fit", "Matcher", "Unit", "make_matcher"]

MOST_TRIES: Final = 20_000
"""Places tried in one line. An honest line takes two or three for each value; what takes more is read in no way."""

_BLANKS: Final = b" \t\n\r\f\v"


@dataclass(frozen=True, slots=True)
class Unit:
    """A loose value, the first group, and what is fixed behind it.

    Parameters
    ----------
    pattern : re.Pattern of bytes
    is_plain : bool
        Whether nothing but plain bytes, without quotes and backslashes, is fixed behind the value.
    """

    pattern: re.Pattern[bytes]
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Fit:
    """How a line fits a layout: its values, and the place behind the last of them."""

    groups: tuple[bytes | None, ...]
    end: int


class _TooManyError(Exception):
    """More places were tried than `MOST_TRIES`."""


@lru_cache(maxsize=256)
def make_matcher(layout: Layout, *, is_whole: bool = True) -> Matcher:
    """Return what matches lines of a layout.

    Parameters
    ----------
    layout : Layout
    is_whole : bool, default True
        Whether lines must end where the layout does; otherwise they may go on.
    """
    if not layout.has_free_bare:
        return _Tight(layout, is_whole=is_whole)
    if layout.n_required:
        return _Optional(layout, is_whole=is_whole)
    return _Loose(layout, is_whole=is_whole)


class Matcher(Protocol):
    """What matches lines of a layout."""

    def match(self, line: bytes) -> Fit | str | None:
        """Return how a line fits; None if it does not, ``"ambiguous"`` if in more than one way, or hard to tell."""

    def first(self, line: bytes) -> Fit | None:
        """Return the first way in which a line fits, with the shortest values; None too where it is hard to tell."""


class _Tight:
    """A layout in which every value ends in one place alone."""

    def __init__(self, layout: Layout, *, is_whole: bool) -> None:
        self.n_values = len(layout.parts)
        self.fits = layout.regex().fullmatch if is_whole else layout.regex(is_whole=False).match

    def first(self, line: bytes) -> Fit | None:
        match = self.fits(line)
        return None if match is None else Fit(match.groups(), match.end(self.n_values))

    match = first


class _Optional:
    """A layout with loose values, of which the last may be missing."""

    def __init__(self, layout: Layout, *, is_whole: bool) -> None:
        self.n_values = len(layout.parts)
        fewer = [
            replace(layout, parts=layout.parts[:count], n_required=0)
            for count in range(self.n_values, layout.n_required - 1, -1)
        ]
        self.matchers = [make_matcher(one, is_whole=is_whole) for one in fewer]
        self.closed = [make_matcher(replace(one, is_open=False)) for one in fewer[1:]]

    def match(self, line: bytes) -> Fit | str | None:
        for count, matcher in enumerate(self.matchers):
            fit = matcher.match(line)
            if isinstance(fit, Fit):
                return "ambiguous" if self._is_unsure(line, fit, count) else self._padded(fit)
            if fit is not None:
                return fit
        return None

    def _is_unsure(self, line: bytes, fit: Fit, count: int) -> bool:
        """Say whether a value that is there may be the end of the one before, or what is read over."""
        shorter = (one.first(line) for one in self.matchers[count + 1 :])
        is_other = any(one is not None and one.groups != fit.groups[: len(one.groups)] for one in shorter)
        return is_other or any(one.match(line) is not None for one in self.closed[count:])

    def first(self, line: bytes) -> Fit | None:
        found = (matcher.first(line) for matcher in self.matchers)
        return next((self._padded(fit) for fit in found if fit is not None), None)

    def _padded(self, fit: Fit) -> Fit:
        return Fit((*fit.groups, *[None] * (self.n_values - len(fit.groups))), fit.end)


class _Loose:
    """A layout with loose values."""

    def __init__(self, layout: Layout, *, is_whole: bool) -> None:
        self.starts, self.units = layout.units(is_whole=is_whole)
        self.is_dotted = layout.escapes == "none"
        token = rb"." if self.is_dotted else rb'[^"\\]|\\.'
        self.token = re.compile(token, re.DOTALL)
        self.run = re.compile(b"(?:" + token + b")*+", re.DOTALL)
        self.strips = not layout.tail[-1:].isspace()

    def match(self, line: bytes) -> Fit | str | None:
        end = len(line.rstrip(_BLANKS)) if self.strips else len(line)
        try:
            return self._search(line, end, is_sure=True)
        except _TooManyError:
            return "ambiguous"

    def first(self, line: bytes) -> Fit | None:
        try:
            fit = self._search(line, len(line), is_sure=False)
        except _TooManyError:
            return None
        return fit if isinstance(fit, Fit) else None

    def _search(self, line: bytes, end: int, *, is_sure: bool) -> Fit | str | None:
        search = _Search(self, line, end)
        for start in self.starts:
            first = start.match(line, 0, end)
            way = None if first is None else search.first(0, first.end())
            if first is not None and way is not None:
                is_other = is_sure and search.has_other(way)
                return "ambiguous" if is_other else _fit(line, first, way)
        return None


def _fit(line: bytes, first: re.Match[bytes], way: list[re.Match[bytes]]) -> Fit:
    groups, begin = list(first.groups()), first.end()
    for unit in way:
        groups += [line[begin : unit.end(1)], *unit.groups()[1:]]
        begin = unit.end()
    return Fit(tuple(groups), way[-1].end(len(way[-1].groups())))


class _Search:
    """The search through one line."""

    def __init__(self, matcher: _Loose, line: bytes, end: int) -> None:
        self.matcher, self.units, self.line, self.end = matcher, matcher.units, line, end
        self.n_tries = 0
        self.dead = [(end + 1, end)] * len(self.units)
        """For each value a place from which no way leads on, and how far the value could reach from there."""

    def first(self, n: int, at: int) -> list[re.Match[bytes]] | None:
        """Return the first way on from unit `n`, whose value began at or before `at` and does not end before."""
        unit, place = self.units[n], at
        while place >= 0:
            self.n_tries += 1
            if self.n_tries > MOST_TRIES:
                raise _TooManyError
            match = unit.pattern.match(self.line, place, self.end)
            if match is None:
                return None
            if n + 1 == len(self.units):
                return [match]
            if not self._is_dead(n + 1, match.end()):
                rest = self.first(n + 1, match.end())
                if rest is not None:
                    return [match, *rest]
                self.dead[n + 1] = match.end(), self._reach(match.end())
            if unit.is_plain:  # all places further on can be reached from the one that leads nowhere
                return None
            place = self._behind(match.end(1))
        return None

    def has_other(self, way: list[re.Match[bytes]]) -> bool:
        """Say whether there is another way than the first: one that leaves it at some value, which ends later."""
        for n in reversed(range(len(way))):
            place = self._behind(way[n].end(1))
            if place >= 0 and self.first(n, place) is not None:
                return True
        return False

    def _behind(self, place: int) -> int:
        """Return the next place at which a value could end; -1 if none is left."""
        token = self.matcher.token.match(self.line, place, self.end)
        return -1 if token is None else token.end()

    def _reach(self, place: int) -> int:
        if self.matcher.is_dotted:
            return self.end
        run = self.matcher.run.match(self.line, place, self.end)
        return place if run is None else run.end()

    def _is_dead(self, n: int, place: int) -> bool:
        """Say whether a value could have come here from a place that leads nowhere: into no middle of an escape."""
        begin, end = self.dead[n]
        if not begin <= place <= end:
            return False
        if self.matcher.is_dotted:
            return True
        before = self.line[begin:place]
        return (len(before) - len(before.rstrip(b"\\"))) % 2 == 0
