"""The models of a store once some of its sessions are others: learnt anew, and heard anew, as far as it matters."""

from __future__ import annotations

from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from fraudlog.jobs.models import Models
from fraudlog.schema import SCORES, to_arrow, to_pandas
from fraudlog.subjects.pieces import day_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.jobs.model_files import Entry
    from fraudlog.store import Transaction

__all__ = ["Relearner"]

_DAY_US: Final = 86_400_000_000
_EPOCH: Final = date(1970, 1, 1)
_GIVEN: Final = "given"


class Relearner(Models):
    """The models of a store, told which of its sessions changed.

    A model is learnt anew where a session of its window changed, or where the one it is compared with is another than
    it was. A session is scored anew where it changed, or where another model speaks.
    """

    def can_go_on_from(self, first_us: int) -> bool:
        """Say whether all models that spoke from a time on are kept, so that they can be told anew in their order."""
        is_spoken = any(entry.name is not None and entry.since_us <= first_us for entry in self.entries)
        is_in_order = all(one.since_us <= first_us for one in self.entries if one.why == _GIVEN)
        return not self.has_learnt() or (is_spoken and is_in_order)

    def hear_again(
        self, renewed: pa.Table, gone_ends: NDArray[np.int64], change: Transaction
    ) -> list[tuple[pa.Table, pa.Table]]:
        """Put the models of a change in order; return sessions that are to be scored anew, with their scores.

        Parameters
        ----------
        renewed : pyarrow.Table
            Sessions that changed, in the order of their ends; `change` holds them already.
        gone_ends : ndarray of int64
            Ends of sessions that went, in us.
        change : Transaction
        """
        self.begin_later(gone_ends, change)
        if not self.every_us or not len(renewed) + len(gone_ends):
            return [(renewed, to_arrow(self.score_again(renewed), SCORES))] if len(renewed) else []
        ends = _ends(renewed)
        changed = np.sort(np.concatenate([ends, gone_ends]))
        before, names = list(self.entries), {entry.name for entry in self.entries}
        self.entries = [one for one in before if one.why == _GIVEN or one.since_us <= changed[0]]
        heard = []
        days = [day for day in change.after.days("sessions") if day >= day_of(int(changed[0]))]
        for period, of_period in groupby(days, key=self._period_of):
            is_other = self._tell(period * self.every_us, before, changed, change)
            wanted = renewed.filter(pa.array(ends // self.every_us == period))
            if is_other:
                wanted = change.read("sessions", days=list(of_period))
            if len(wanted):
                wanted = wanted.sort_by([("end", "ascending"), ("session_id", "ascending")])
                heard.append((wanted, to_arrow(self._current().score(to_pandas(wanted)), SCORES)))
        if self.entries != before:
            for name in names - {entry.name for entry in self.entries} - {None}:
                change.remove(str(name))
            self._drop([], change)
        return heard

    def _period_of(self, day: date) -> int:
        period: int = (day - _EPOCH).days * _DAY_US // self.every_us
        return period

    def _tell(self, begin_us: int, before: list[Entry], changed: NDArray[np.int64], change: Transaction) -> bool:
        """Learn a period's model anew if need be, else take it over; says whether another speaks than before."""
        if begin_us > changed[0]:
            first_us = begin_us - self.window_days * _DAY_US
            is_touched = np.searchsorted(changed, first_us) < np.searchsorted(changed, begin_us)
            if is_touched or _speaking(self.entries, begin_us - 1) != _speaking(before, begin_us - 1):
                self._learn(begin_us, change)
            else:
                self.entries += [entry for entry in before if entry.since_us == begin_us and entry.why != _GIVEN]
        last_us = begin_us + self.every_us - 1
        return _speaking(self.entries, last_us) != _speaking(before, last_us)


def _speaking(entries: list[Entry], time_us: int) -> str:
    """Return the digest of the model that speaks for sessions which end at a time."""
    spoken = [entry.sha256 for entry in entries if entry.name is not None and entry.since_us <= time_us]
    return spoken[-1] if spoken else ""


def _ends(sessions: pa.Table) -> NDArray[np.int64]:
    ends: NDArray[np.int64] = sessions["end"].cast(pa.int64()).to_numpy()
    return ends
