"""Which model speaks for which sessions, and when another learns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from fraudlog.detecting import Detector
from fraudlog.errors import ConfigError, ModelError
from fraudlog.jobs.gates import flag_rate_gate, told, too_far
from fraudlog.jobs.model_files import INDEX, Entry, aged, bytes_of, dumped, entries_of, loaded, saved
from fraudlog.schema import to_pandas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fraudlog.jobs.config import JobConfig
    from fraudlog.store import Store, Transaction

__all__ = ["Models"]

_CONFIGURED: Final = "the configuration's"
_DAY_US: Final = 86_400_000_000
_FIRST: Final = -(1 << 62)


class Models:
    """The models of a store.

    Parameters
    ----------
    config : JobConfig
    store : Store
    seals : sequence of bytes
        Keys that models made here are sealed with: new ones with the first, older ones with any.
    replaced : mapping of str to bytes, optional
        By the digest of a given model: what it is to become, as one that forgets somebody.
    """

    def __init__(
        self,
        config: JobConfig,
        store: Store,
        seals: Sequence[bytes],
        replaced: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self.store = store
        self.seals = seals
        self.keep = config["retrain.keep"]
        self.every_us = config["retrain.every_days"] * _DAY_US
        self.window_days = config["retrain.window_days"]
        self.gate = flag_rate_gate(config["retrain.max_flag_ratio"])
        self.max_drift: float = config["retrain.max_drift"]
        self.news: list[str] = []
        given = bytes_of(config["model.path"])
        given = replaced.get(sha256(given).hexdigest(), given)
        self._given, self._given_digest = loaded(given, config["model.path"]), sha256(given).hexdigest()
        self._detectors: dict[str, Detector] = {}
        self._data: dict[str, bytes] = {}
        self._fresh = given
        self.entries = [self._replaced(entry, replaced) for entry in entries_of(store)]

    def _replaced(self, entry: Entry, by: Mapping[str, bytes]) -> Entry:
        data = by.get(entry.sha256)
        if data is None:
            return entry
        if entry.name is not None:
            self._data[entry.name] = data
        return replace(entry, sha256=sha256(data).hexdigest())

    def put_replaced(self, change: Transaction) -> None:
        """Put models that were replaced into a change; called before anything is learnt."""
        for name, data in self._data.items():
            change.put(name, data)
        if self._data:
            change.put(INDEX, dumped(self.entries))

    def put_all(self, change: Transaction) -> None:
        """Make a change's models those that are named here, and no others."""
        named = {entry.name: entry for entry in self.entries if entry.name is not None}
        for entry in entries_of(self.store):
            if entry.name is not None and entry.name not in named:
                change.remove(entry.name)
        for name, entry in named.items():
            if name not in change.after.documents and entry.sha256 == self._given_digest:
                change.put(name, self._fresh)
        if self.entries:
            change.put(INDEX, dumped(self.entries))
        else:
            change.remove(INDEX)

    def score(self, sessions: pa.Table, change: Transaction) -> pd.DataFrame:
        """Score sessions in the order of their ends, each by the model of its period; learn at each new period.

        Parameters
        ----------
        sessions : pyarrow.Table
            In the order of their ends; in the store of `change` already, with all that ended before them.
        change : Transaction
            Gets models that were made on the way.
        """
        ends = sessions.column("end").cast(pa.int64()).to_numpy()
        self._adopt_given(int(ends[0]), change)
        periods = ends // self.every_us if self.every_us else np.zeros(len(ends), np.int64)
        parts = []
        for period in np.unique(periods).tolist():
            if self.every_us:
                self._learn(period * self.every_us, change)
            rows = np.flatnonzero(periods == period)
            frame = to_pandas(sessions.slice(int(rows[0]), len(rows)))
            parts.append(self._current().score(frame))
        return pd.concat(parts, ignore_index=True)

    def on(self, day: date) -> Detector:
        """Return the model that spoke at the end of a day; the oldest that is kept, of a day before it."""
        until_us = int(datetime.combine(day, time.max, UTC).timestamp() * 1e6)
        named = [entry for entry in self.entries if entry.name is not None]
        spoke = [entry for entry in named if entry.since_us <= until_us] or named[:1]
        return self._detector(spoke[-1].name or "")

    def score_again(self, sessions: pa.Table) -> pd.DataFrame:
        """Score sessions each by the model that spoke for it.

        Raises
        ------
        ModelError
            If that is gone from the store.
        """
        ends = sessions.column("end").cast(pa.int64()).to_numpy()
        speaks = np.full(len(ends), -1)
        for place, entry in enumerate(self.entries):
            if entry.name is not None:
                speaks[ends >= entry.since_us] = place
        parts = []
        for place in np.unique(speaks).tolist():
            if place < 0:
                raise ModelError("the model that spoke for a session is gone from the store", path=Path(INDEX))
            rows = np.flatnonzero(speaks == place)
            scored = self._detector(self.entries[place].name or "").score(to_pandas(sessions.take(pa.array(rows))))
            parts.append(scored.set_index(rows))
        return pd.concat(parts).sort_index() if parts else pd.DataFrame()

    def has_learnt(self) -> bool:
        """Say whether models were made here, of sessions of the store, or tried."""
        return any(entry.why != "given" for entry in self.entries)

    def begin_later(self, gone_ends: NDArray[np.int64], change: Transaction) -> None:
        """Let a given model speak from the first session on that is left, where the one it was taken in for is gone."""
        before = self.entries
        self.entries = [
            replace(one, since_us=_first_end(change, one.since_us))
            if one.why == "given" and one.since_us in gone_ends
            else one
            for one in before
        ]
        if self.entries != before:
            change.put(INDEX, dumped(self.entries))

    def _current(self) -> Detector:
        return self._detector(next(entry.name for entry in reversed(self.entries) if entry.name is not None))

    def _detector(self, name: str) -> Detector:
        if name not in self._detectors:
            seals = (None,) if name.startswith("models/given") else self.seals
            self._detectors[name] = loaded(self._bytes(name), Path(name), seals)
        return self._detectors[name]

    def _bytes(self, name: str) -> bytes:
        data = self._data.get(name) or self.store.document(name)
        if data is None:
            raise ModelError(f"{name}: is gone from the store; restore it from a copy", path=name)
        return data

    def _adopt_given(self, since_us: int, change: Transaction) -> None:
        """Take the configuration's model in if it is another than those taken in before."""
        if any(entry.sha256 == self._given_digest for entry in self.entries):
            return
        n_given = sum(entry.why == "given" for entry in self.entries)
        name = f"models/given-{n_given + 1}.fraudlog"
        self._detectors[name] = self._given
        self._note(Entry(since_us, name, self._given_digest, "given"), self._fresh, change)

    def _learn(self, since_us: int, change: Transaction) -> None:
        """Learn from the sessions that ended in the window before, unless this was done or tried already."""
        last = max((entry.since_us for entry in self.entries if entry.why != "given"), default=_FIRST)
        first_end = self.entries[0].since_us
        if since_us <= last or since_us <= first_end:
            return
        start, end = (datetime.fromtimestamp(us / 1e6, UTC) for us in (since_us, since_us))
        start -= timedelta(days=self.window_days)
        days = [start.date() + timedelta(days=n) for n in range((end - start).days + 1)]
        sessions = to_pandas(change.read("sessions", days=days))
        sessions = sessions[(sessions["end"] >= start) & (sessions["end"] < end)].reset_index(drop=True)
        name = f"models/{end:%Y-%m-%d}.fraudlog"
        try:
            made = Detector().fit(sessions)
        except ConfigError as error:
            self._note(Entry(since_us, None, "", f"not learnt: {error}"), b"", change)
            return
        drift = self._current().drift(sessions)
        refused = self.gate(self._current(), made, sessions) or too_far(drift, self.max_drift)
        if refused:
            self._note(Entry(since_us, None, "", f"refused: {refused}"), b"", change)
            self.news.append(told(drift))
            return
        data = saved(made, self.seals[0])
        self._detectors[name] = made
        self._note(
            Entry(since_us, name, sha256(data).hexdigest(), f"learnt from {len(sessions)} sessions"), data, change
        )
        self.news.append(told(drift))

    def all(self) -> Iterator[tuple[str, Detector]]:
        """Yield the configuration's model and all that the store keeps, each with its name."""
        yield _CONFIGURED, self._given
        for entry in self.entries:
            if entry.name is not None and entry.sha256 != self._given_digest:
                yield entry.name, self._detector(entry.name)

    def description(self) -> dict[str, Any]:
        """Return what a report says of the model that speaks now."""
        detector = self._current() if self.entries else self._given
        last = self.entries[-1] if self.entries else None
        origin = _CONFIGURED if last is None or last.why == "given" else f"of the store: {last.why}"
        return {
            "origin": origin,
            "reference_size": detector.reference_size_,
            "sessions_seen": detector.sessions_seen_,
            "warning": detector.reference_warning_,
            "window": list(detector.window_),
        }

    def _note(self, entry: Entry, data: bytes, change: Transaction) -> None:
        self.entries.append(entry)
        self.news.append(f"{entry.name or 'none'}: {entry.why}")
        if entry.name is not None:
            self._data[entry.name] = data
            change.put(entry.name, data)
        named = [one.name for one in self.entries if one.name is not None]
        self._drop(named[: -self.keep], change)

    def _drop(self, names: Sequence[str], change: Transaction) -> None:
        """Let models go; a given one is remembered, lest the configuration's file be taken for a new one."""
        for name in names:
            change.remove(name)
        kept = [replace(one, name=None) if one.name in names else one for one in self.entries]
        self.entries = [
            one for one, before in zip(kept, self.entries, strict=True) if one == before or one.why == "given"
        ]
        change.put(INDEX, dumped(self.entries))

    def drop_before(self, first_day: date, change: Transaction) -> list[str]:
        """Let models go that spoke only for sessions that ended before a day; returns their names."""
        first_us = int(datetime.combine(first_day, datetime.min.time(), UTC).timestamp()) * 1_000_000
        named = [one for one in self.entries if one.name is not None]
        gone = [one.name or "" for one, after in pairwise(named) if after.since_us <= first_us]
        if gone:
            self._drop(gone, change)
        return gone

    def forget_before(
        self, first_day: date, change: Transaction, *, with_given: bool = True
    ) -> tuple[int, bytes | None]:
        """Take out of the models that are kept what they remember of accounts and sessions from before a day.

        Scores that stand stay as they were given.

        Parameters
        ----------
        first_day : date
        change : Transaction
        with_given : bool, default True
            Of the configuration's model too, whose file the caller then replaces.

        Returns
        -------
        n_gone : int
            Logins and sessions that went.
        given : bytes or None
            What the configuration's model is to become, if it remembered any of them.
        """
        n_of_given, given = aged(self._given, self._fresh, first_day, None)
        digests = {}
        if n_of_given and with_given:
            digests[self._given_digest] = sha256(given).hexdigest()
        n_gone = n_of_given if digests else 0
        for entry in [one for one in self.entries if one.name is not None]:
            name, is_given = entry.name or "", entry.sha256 == self._given_digest
            seal = None if entry.why == "given" else self.seals[0]
            n_of_it, data = aged(self._detector(name), self._bytes(name), first_day, seal)
            if n_of_it and (with_given or not is_given):
                n_gone += 0 if is_given else n_of_it
                digests[entry.sha256] = sha256(data).hexdigest()
                change.put(name, data)
        if digests:
            self.entries = [replace(one, sha256=digests.get(one.sha256, one.sha256)) for one in self.entries]
            change.put(INDEX, dumped(self.entries))
        return n_gone, given if n_of_given else None

    def notes_before(self, first_day: date) -> list[str]:
        """Say whether the model that speaks learnt only from what happened before a day."""
        detector = self._current() if self.entries else self._given
        last = pd.Timestamp(detector.window_[1]) if detector.window_[1] else None
        if last is None or last.date() >= first_day:
            return []
        return [f"the model learnt from sessions until {last.date()}, which are over their time: fit it anew"]


def _first_end(change: Transaction, since_us: int) -> int:
    """Return the first end of a session from a time on; that time if there is none."""
    since = datetime.fromtimestamp(since_us / 1e6, UTC).date()
    for day in change.after.days("sessions"):
        if day >= since:
            ends: NDArray[np.int64] = change.read("sessions", days=[day])["end"].cast(pa.int64()).to_numpy()
            if (ends >= since_us).any():
                return int(ends[ends >= since_us].min())
    return since_us
