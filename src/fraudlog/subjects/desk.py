"""`Desk`: where the requests of people are answered, over the store, the models, the lists and the reports of a job."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import ConfigError, PrivacyError
from fraudlog.jobs.carried import Carried
from fraudlog.jobs.forgetting import finish_forgetting, note_forgetting
from fraudlog.jobs.line import settings_of
from fraudlog.jobs.run import republish
from fraudlog.privacy import REQUESTS, Chain, Holds, Keyring, Pseudonyms, Withheld
from fraudlog.schema import EVENTS, to_pandas
from fraudlog.store import open_store
from fraudlog.subjects.aside import add_aside, aside_rows, edit_aside, take_aside
from fraudlog.subjects.edits import Edit, Gone
from fraudlog.subjects.leaving import leave_out
from fraudlog.subjects.models import Forgotten, forget_in_models, models_know
from fraudlog.subjects.persons import READ_COLUMNS, Person, find_person
from fraudlog.subjects.pieces import Pieces
from fraudlog.subjects.relearning import Relearner
from fraudlog.subjects.replay import Replayed, replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fraudlog.jobs.config import JobConfig
    from fraudlog.privacy import Why
    from fraudlog.store import Store, Transaction
    from fraudlog.subjects.pieces import Rows

__all__ = ["Answer", "Desk"]

_MINOR_FOR: Final = timedelta(days=365)
_MEASURED: Final = (
    *("timestamp", "source", "line_number", "method", "protocol", "host", "status", "bytes_sent", "duration_s"),
    *("is_truncated", "notice"),
)
"""What the server itself measured or noted, which nobody's word changes."""
_RECTIFIABLE: Final = frozenset(
    column.name for column in EVENTS if column.treatment == "keep" and column.name not in _MEASURED
)


@dataclass(frozen=True)
class Answer:
    """What came of a request: numbers alone, fit for a log.

    Attributes
    ----------
    what : str
    events : int
        Events of theirs that were found.
    held : int
        Those of them that stay under a hold.
    sessions_rescored : int
        Sessions of anybody that were judged anew, because a neighbour was.
    model_rows : int
        Rows and labels of theirs that given models forgot, or learnt anew; -1 if the configuration's keeps none.
    """

    what: str
    events: int = 0
    held: int = 0
    sessions_rescored: int = 0
    model_rows: int = 0
    notes: tuple[str, ...] = field(default=())


class Desk:
    """Answers requests of people about a job's store.

    Parameters
    ----------
    config : JobConfig
    ring : Keyring
        All keys, so that a request reaches what was stored under an older one.
    now : datetime, optional
    """

    def __init__(self, config: JobConfig, ring: Keyring, now: datetime | None = None) -> None:
        self.config, self.ring = config, ring
        self.now = now or datetime.now(UTC)
        self.path = config["store.path"]
        self.ledger = self.path / "ledger"
        self.audit = Chain(self.ledger / "audit.jsonl")

    # --- requests ----------------------------------------------------------------------------------------------------

    def erase(self, values: Mapping[str, str], *, minor: bool = False, reference: str = "") -> Answer:
        """Take a person out, so that the store is as if they had never come.

        Parameters
        ----------
        values : mapping of str to str
            Raw identifiers by column, as ``{"user": "alice"}``.
        minor : bool, default False
            The person is a child: holds do not count, and for a year they can't come back in.
        reference : str
            Of the request, for the audit trail; never an identifier.
        """
        with self._changing("erase") as (store, change):
            person = self._person(values, store)
            held = Holds() if minor else self._holds()
            gone = Gone(person, _lines_of(store, held.sessions(self.now)))
            answer = self._without(store, change, gone, "erase minor" if minor else "erase")
            answer = replace(answer, events=answer.events + len(take_aside(store, change, person.mask)))
            if minor:
                self._withhold(person, "minor", self.now + _MINOR_FOR)
        self._tidy_holds(gone.sessions)
        self._record(answer, reference)
        return answer

    def restrict(self, values: Mapping[str, str], *, why: Why = "restriction", reference: str = "") -> Answer:
        """Put a person's events aside, where nobody works with them, and take no further ones in.

        `lift` brings them back. Given models forget the person for good, as by `erase`.
        """
        with self._changing("restrict") as (store, change):
            person = self._person(values, store)
            gone = Gone(person, _lines_of(store, self._holds().sessions(self.now)), keeps=True)
            answer = self._without(store, change, gone, why)
            add_aside(store, change, self._mark(values), gone.rows)
            self._withhold(person, why)
        self._record(answer, reference)
        return answer

    def object(self, values: Mapping[str, str], *, reference: str = "") -> Answer:
        """Stop working with a person's data (Art. 21): put aside what is there, take no further in.

        What a reviewer holds as evidence of fraud, under a written ground, stays.
        """
        return self.restrict(values, why="objection", reference=reference)

    def lift(self, values: Mapping[str, str], *, why: Why = "restriction", reference: str = "") -> Answer:
        """Bring back what `restrict` or `object` put aside, as if it had never been away.

        What was put aside for two reasons comes back when neither stands any more.

        Raises
        ------
        ConfigError
            If nothing of the person was put aside for this reason.
        """
        withheld, keys = Withheld.load(self.ledger / "withheld.json"), tuple(self.ring.keys.values())
        left = withheld
        for column, value in values.items():
            left = left.lifting(value, column, keys, why)
        if len(left) == len(withheld):
            raise ConfigError(f"nothing of this person was put aside for that: no {why} stands", parameter="person")
        answer = Answer("lift")
        with self._changing("lift") as (store, change):
            person = self._person(values, store)

            def is_free(rows: pa.Table) -> NDArray[np.bool_]:
                return person.mask(rows) & ~left.mask_stored(rows, keys, self.now)

            rows = take_aside(store, change, is_free)
            if len(rows):
                first_us = pc.min(rows["timestamp"].cast(pa.int64())).as_py()
                done = replay(self.config, store, change, self.ring, lambda table: table, first_us=first_us, more=rows)
                _recount(store, change, -len(rows))
                answer = Answer("lift", len(rows), 0, done.rescored)
        left.save(self.ledger / "withheld.json")
        self._record(answer, reference)
        return answer

    def rectify(
        self, values: Mapping[str, str], corrected: Mapping[str, Any], *, session: str = "", reference: str = ""
    ) -> Answer:
        """Correct what is stored of a person, and judge anew what follows from it.

        Parameters
        ----------
        values : mapping of str to str
        corrected : mapping of str to value
            Column of events to what it should have been.
        session : str
            Only the events of this session.
        reference : str

        Raises
        ------
        ConfigError
            If a column can't be corrected: what the server itself measured, or a pseudonym.
        """
        if not corrected or (wrong := set(corrected) - _RECTIFIABLE):
            raise ConfigError(
                f"{', '.join(sorted(wrong)) if corrected else 'nothing'} can be corrected; "
                f"{', '.join(sorted(_RECTIFIABLE))} can"
            )
        with self._changing("rectify") as (store, change):
            person = self._person(values, store)
            of_session = _lines_of(store, {session}) if session else None
            edit = Edit(person, dict(corrected), of_session)
            answer = self._corrected(store, change, edit, self._models_put_right(store, edit))
            aside = edit_aside(store, change, edit.mask, edit)
            answer = replace(answer, events=answer.events + aside)
        self._record(answer, reference, columns=sorted(corrected))
        return answer

    # --- what they share ---------------------------------------------------------------------------------------------

    def _without(self, store: Store, change: Transaction, gone: Gone, what: str) -> Answer:
        pieces = self._pieces(store)
        found = pieces.search(gone.columns, gone.mask)
        sessions = gone.note_sessions(pieces)
        models = forget_in_models(self.config["model.path"], store, gone.person, sessions)
        done = self._done(store, change, gone, models, pieces, found)
        _recount(store, change, len(found))
        self._note_models(store, change, models)
        return Answer(what, len(found) + gone.n_held, gone.n_held, done.rescored, models.n_rows, models.notes)

    def _done(
        self, store: Store, change: Transaction, gone: Gone, models: Forgotten, pieces: Pieces, found: Rows
    ) -> Replayed:
        """Leave events out by what stands near them; where that is not enough, by a replay."""
        whole = (self.config, store, change, self.ring, gone)
        relearner = self._models(store, models.replaced)
        if not models.exact:
            relearner.put_replaced(change)
            done = leave_out(*whole, models=relearner, pieces=pieces, found=found) if len(found) else Replayed()
            if done is not None:
                return done
        return replay(*whole, first_us=found.first_us, models=models)

    def _corrected(self, store: Store, change: Transaction, edit: Edit, models: Forgotten) -> Answer:
        first_us, count = _first(store, self.config, self.ring, edit.mask)
        whole = (self.config, store, change, self.ring, edit)
        done = replay(*whole, first_us=first_us, models=models)
        self._note_models(store, change, models)
        return Answer("rectify", count, 0, done.rescored, models.n_rows, models.notes)

    def _models_put_right(self, store: Store, edit: Edit) -> Forgotten:
        """Let given models learn what is corrected; what they can't put right they forget."""
        if not models_know(self._models(store).all(), edit.person):
            return Forgotten()
        sessions = Gone(edit.person, frozenset()).note_sessions(self._pieces(store))
        draft = store.transaction("rectify")
        try:
            first_us, _ = _first(store, self.config, self.ring, edit.mask)
            replay(self.config, store, draft, self.ring, edit, first_us=first_us)
            right = _sessions_of(draft, edit.person)
        finally:
            draft.drop()
        sessions |= set(right["session_id"].to_pylist())
        return forget_in_models(self.config["model.path"], store, edit.person, sessions, to_pandas(right))

    def _note_models(self, store: Store, change: Transaction, models: Forgotten) -> None:
        """Lay the configuration's model beside the one that it is to replace, if it is another now."""
        path = self.config["model.path"]
        after = models.replaced.get(sha256(path.read_bytes()).hexdigest())
        if after is not None:
            change.position = (change.position or store.position) | note_forgetting(path, after)

    def _pieces(self, store: Store) -> Pieces:
        return Pieces(store, Carried.load(store, settings_of(self.config, Pseudonyms(self.ring.key)).definition))

    def _models(self, store: Store, replaced: Mapping[str, bytes] = MappingProxyType({})) -> Relearner:
        return Relearner(self.config, store, list(self.ring.derived("models").values()), replaced)

    @contextmanager
    def _changing(self, what: str) -> Iterator[tuple[Store, Transaction]]:
        """Open the store for a change; nothing is changed while the audit trail is broken."""
        verdict = self.audit.verify()
        if not verdict.is_whole:
            raise PrivacyError(f"the audit trail is broken ({verdict.problem}); nothing is done without it")
        with open_store(self.path, purpose=REQUESTS, mode="write") as store:
            finish_forgetting(self.config["model.path"], store)
            with store.transaction(what) as change:
                yield store, change
            finish_forgetting(self.config["model.path"], store)
            republish(self.config, store, self.ring)

    def _person(self, values: Mapping[str, str], store: Store) -> Person:
        person = Person.of(values, self.ring, self.config["privacy.ip_mode"])
        known = self._pieces(store).tables(["user", "session_token"])
        return find_person(person, [*known, *(rows for _, rows in aside_rows(store))])

    def _mark(self, values: Mapping[str, str]) -> str:
        """Return a keyed mark of who a person is."""
        names = Pseudonyms(self.ring.keys[min(self.ring.keys)])
        return names.tokens([repr(sorted(values.items()))], "aside")[0] or ""

    def _holds(self) -> Holds:
        return Holds.load(self.ledger / "holds.json")

    def _tidy_holds(self, sessions: frozenset[str]) -> None:
        """Take sessions that are gone out of the list of holds, which must not remember them."""
        holds = self._holds()
        left = holds.without(sessions, self.now)
        if left.holds != holds.holds:
            left.save(self.ledger / "holds.json")

    def _withhold(self, person: Person, why: Why, until: datetime | None = None) -> None:
        withheld = Withheld.load(self.ledger / "withheld.json")
        for column, value in person.values.items():
            withheld = withheld.adding(value, column, self.ring.key, why, self.now, until, person.pseudonyms)
        withheld.save(self.ledger / "withheld.json")

    def _record(self, answer: Answer, reference: str, **facts: Any) -> None:  # noqa: ANN401 -- what JSON can hold
        self.audit.append(
            {
                "event": answer.what,
                "at": self.now.isoformat(timespec="seconds"),
                "purpose": REQUESTS,
                "reference": reference,
                "events": answer.events,
                "held": answer.held,
            }
            | facts
        )


def _recount(store: Store, change: Transaction, n_fewer: int) -> None:
    """Count what was taken in as if the lines of some events had been blank; reports say these numbers."""
    place = store.position
    if "counts" not in place:
        return
    counts = dict(place["counts"])
    counts["events"] -= n_fewer
    counts["blank"] += n_fewer
    for name in ("late", "sessions"):
        counts[name] += sum(part.rows for part in change.after.of(name))
        counts[name] -= sum(part.rows for part in change.before.of(name))
    change.position = place | {"counts": counts}


def _lines_of(store: Store, sessions: frozenset[str] | set[str]) -> frozenset[tuple[str, int]]:
    """Return where the events of some sessions stand in the log."""
    if not sessions:
        return frozenset()
    wanted = pa.array(sorted(sessions), pa.string())
    found: set[tuple[str, int]] = set()
    for part in store.manifest.of("events"):
        rows = store.load(part, store.path / part.path, ["session_id", "source", "line_number"])
        chosen = rows.filter(pc.is_in(rows["session_id"], value_set=wanted))
        found |= set(zip(chosen["source"].to_pylist(), chosen["line_number"].to_pylist(), strict=True))
    return frozenset(found)


def _sessions_of(change: Transaction, person: Person) -> pa.Table:
    """Return a person's sessions, as a change leaves them so far."""
    found = [change.read("sessions", days=())]
    for day in change.after.days("events"):
        events = change.read("events", days=[day])
        ids = events.filter(pa.array(person.mask(events)))["session_id"].combine_chunks().unique()
        if len(ids):
            sessions = change.read("sessions", days=[day])
            found.append(sessions.filter(pc.is_in(sessions["session_id"], value_set=ids)))
    return pa.concat_tables(found, promote_options="default")


def _stored_events(store: Store, config: JobConfig, ring: Keyring) -> Iterator[pa.Table]:
    """Yield all events of a store, part by part, with `READ_COLUMNS` alone."""
    for table in ("events", "late"):
        for part in store.manifest.of(table):
            yield store.load(part, store.path / part.path, list(READ_COLUMNS))
    carried = Carried.load(store, settings_of(config, Pseudonyms(ring.key)).definition)
    yield from (rows.select(list(READ_COLUMNS)) for rows in (carried.events, carried.held_events))


def _first(store: Store, config: JobConfig, ring: Keyring, mask: Any) -> tuple[int, int]:  # noqa: ANN401 -- a method
    """Return the time of the first event that a mask takes, and how many it takes."""
    first_us, count = 1 << 62, 0
    for rows in _stored_events(store, config, ring):
        found = mask(rows)
        if found.any():
            times = rows["timestamp"].cast(pa.int64()).to_numpy()[found]
            first_us, count = min(first_us, int(times.min())), count + int(found.sum())
    return first_us, count
