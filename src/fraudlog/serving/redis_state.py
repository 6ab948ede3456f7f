"""`RedisState`: sessions, windows and verdicts that several workers share, in two round trips an event.

What lies in Redis is sealed (AES-GCM) or hashed under keys derived from that of the sessions: no address, account or
path in it can be read. Where Redis does not answer, each decision is the policy's fallback and says so, and Redis is
asked again a second later.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fraudlog.errors import ConfigError, SchemaError
from fraudlog.schema import DERIVED, EVENTS
from fraudlog.serving.memory import BYSTANDERS_MS, DAY_US, Notes, Settled, Target, settle
from fraudlog.serving.redis_client import asking_once
from fraudlog.serving.redis_memory import Fetched, text_of
from fraudlog.serving.redis_scripts import COMMIT, FETCH
from fraudlog.serving.sizes import Size, tables_of
from fraudlog.serving.snapshot import notes_of, plain_notes
from fraudlog.serving.state import Seen, seen_in, targets_of
from fraudlog.sessions import LiveFeatures, LiveSession
from fraudlog.sessions.live_saving import Saver
from fraudlog.sessions.window_live import speed_between
from fraudlog.sessions.windows import APPROACHES, BEAT_US

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.deciding import Policy
    from fraudlog.deciding.scoping import Ruling
    from fraudlog.serving.state import Admits
    from fraudlog.sessions import Definition, Population
    from fraudlog.sessions.windows import Window

__all__ = ["RedisState"]

_KEPT: Final = frozenset(column.name for column in (*EVENTS, *DERIVED))
_NONCE_BYTES: Final = 12
_MARK_MS: Final = 30 * 86_400_000


_UNTIL_ANSWERED: Final = {"distinct": (0, 0), "count": 0, "speed": None, **dict.fromkeys(APPROACHES, (None, None))}
"""What a window says while it is only noted what is asked of it."""


class _SharedWindow:
    """Stands in for a window: notes what is asked of it, or gives the answer that came from Redis."""

    def __init__(self, window: Window, most: int | None = None, most_values: int | None = None) -> None:
        self.window = window
        self.most_values = most_values or most or 1 << 30
        self.asked: list[str] | None = None
        self.answer: list[Any] = []

    def see(self, key: object, value: object, time_us: int, *way: object) -> Any:  # noqa: ANN401 -- as the windows it stands for
        """Take one event in."""
        if self.asked is not None:
            self.asked[:] = [str(key), str(time_us), self._approach(value, *way) if way else str(value)]
            return _UNTIL_ANSWERED[self.window.kind]
        if self.window.kind == "distinct":
            return int(self.answer[0]), int(self.answer[1])
        if self.window.kind in APPROACHES:
            return tuple(None if int(count) < 0 else int(count) for count in self.answer)
        if self.window.kind == "count":
            return int(self.answer[0])
        country, _, then = text_of(self.answer[0]).partition(":")
        return speed_between(country, int(then), str(value), time_us, self.window.window_us) if country else None

    def _approach(self, shape: object, network: object, is_at_door: object, is_step: object) -> str:
        """Write down what the script asks for: door or not, step or not, memory, length of a step, and the codes."""
        flags = f"{int(bool(is_at_door))}:{int(bool(is_step))}"
        beat_us = BEAT_US if self.window.kind == "rhythm" else 0
        return f"{flags}:{self.window.memory_us}:{beat_us}:{shape}:{network}"


class _Open:
    """A session between its two round trips."""

    def __init__(self, actor: tuple[Any, ...], version: str, taken: int, item: bytes, memory: Fetched) -> None:
        self.actor = actor
        self.version = version
        self.taken = taken
        self.item = item
        self.memory = memory
        self.state: list[Any] = []


class RedisState:
    """Open sessions in Redis.

    Parameters
    ----------
    client : redis.Redis
        A client with a ``socket_timeout``: that is the longest a request waits. `FraudlogASGI` asks it from threads; in
        an event loop of your own do likewise: ``await asyncio.to_thread(live.observe, event)``. It is asked once,
        whatever retries it was told; give a client of a cluster ``retry=Retry(NoBackoff(), 0)``. Of a cluster one node
        holds it all, since the two calls of an event touch sessions, networks and accounts at once.
    key : bytes
        Key of the session ids, the same in all workers; codes and seals are derived from it.
    definition, population, exact_values, on_end
        As `LocalState`. Sessions that end by silence expire in Redis and are not given out.
    name : str, default "fraudlog"
        What all keys begin with.
    retry_s : float, default 1
        How long Redis is left alone after it did not answer.

    Attributes
    ----------
    n_conflicts : int
        Events that met another worker's on the same session, and were left for the next one to take in.

    Raises
    ------
    ConfigError
        If there is no key.
    """

    waits = True

    def __init__(
        self,
        client: Any,  # noqa: ANN401 -- redis ships as an extra
        *,
        key: bytes,
        definition: Definition | None = None,
        population: Population | None = None,
        exact_values: int | None = 1024,
        on_end: Callable[[LiveSession], None] | None = None,
        name: str = "fraudlog",
        retry_s: float = 1.0,
    ) -> None:
        if not key:
            raise ConfigError("a shared state needs a key, the same in all workers", parameter="key")
        from redis.exceptions import RedisError  # noqa: PLC0415 -- an extra

        self._error: type[Exception] = RedisError
        self._client = client = asking_once(client)
        self._fetch, self._commit = (client.register_script(script) for script in (FETCH, COMMIT))
        self.live = LiveFeatures(
            definition,
            key=key,
            population=population,
            exact_values=exact_values,
            on_end=on_end or _forget,
            make_window=_SharedWindow,
            is_compiled=False,  # a state is read and written for every event, which costs more than is saved
        )
        self._saver = Saver(self.live)
        self._seal = AESGCM(hashlib.blake2b(b"state", key=key, digest_size=32, person=b"fraudlog seal").digest())
        self._name = f"{{{name}:{self._saver.digest[:8]}}}"  # one hash tag: a cluster keeps all in one slot
        self._lock = threading.Lock()
        self._retry_s = retry_s
        self._down_until = 0.0
        self._idle_ms = self.live.definition.session_gap_us // 1000 + 1
        self.n_conflicts = 0

    def begin(self, event: Mapping[str, Any]) -> Seen:
        """Take an event, with its derived columns, into its session: the first round trip."""
        with self._lock:
            actor, asked, alone = self._ask(event)
        targets = list(targets_of(alone.entities, self.live.code).values())
        today = alone.end_us // DAY_US
        days = [today, today - 1]  # a session of yesterday may still be open
        if time.monotonic() < self._down_until:
            return self._without(alone)
        try:
            answer = self._fetch(*self._question(actor, asked, targets, days))
        except self._error:
            self._down_until = time.monotonic() + self._retry_s
            return self._without(alone)
        return self._take(event, actor, asked, targets, days, answer)

    def peek(self, key: str | Mapping[str, Any]) -> Seen | None:
        """Return an open session by an event of its client; by its id none is found here."""
        if isinstance(key, str):
            return None
        with self._lock:
            actor = self.live.actor_of(key)
        try:
            sealed = self._client.hget(self._key("s", actor), "s")
        except self._error:
            return None
        with self._lock:
            state = self._opened(actor, sealed)
            return (
                None
                if state is None
                else seen_in(LiveSession(self.live, state, "open"), self.live.values(state), self.live.code)
            )

    def _ask(self, event: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, list[str]], LiveSession]:
        """Run the event through an empty twin: whose it is, and what it asks of which window."""
        self.live.clear()
        asked: dict[str, list[str]] = {}
        for name, window in self.live.windows.items():
            asked[name] = window.asked = []
        self.live.observe(event)
        for window in self.live.windows.values():
            window.asked = None
        actor = self.live.actors()[0]
        return actor, {name: parts for name, parts in asked.items() if parts}, self.live.current

    def _question(
        self, actor: tuple[Any, ...], asked: Mapping[str, list[str]], targets: list[Target], days: list[int]
    ) -> tuple[list[str], list[Any]]:
        keys = [self._key("s", actor), self._key("p", actor)]
        arguments: list[Any] = [len(asked), len(targets), len(days)]
        for name, (key, now, value) in asked.items():
            window = self.live.windows[name]
            keys.append(f"{self._name}:w:{name}:{key}")
            arguments += [window.window.kind, now, window.window.window_us, value, window.most_values]
        for target in targets:
            keys += [self._target_key("m", target), self._target_key("n", target)]
        return keys + [self._day_key(day) for day in days], arguments

    def _take(
        self,
        event: Mapping[str, Any],
        actor: tuple[Any, ...],
        asked: Mapping[str, list[str]],
        targets: list[Target],
        days: list[int],
        answer: list[Any],
    ) -> Seen:
        (version, sealed), pending = answer[0], answer[1]
        answers = dict(zip(asked, answer[2 : 2 + len(asked)], strict=True))
        rest = answer[2 + len(asked) :]
        counted = {
            day: (int(one or 0), int(two or 0)) for day, (one, two) in zip(days, rest[len(targets) :], strict=True)
        }
        memory = Fetched(targets, rest[: len(targets)], counted)
        item = self._sealed({"event": _plain(event), "windows": {n: _plain_answer(a) for n, a in answers.items()}})
        opened = _Open(actor, text_of(version) or "0", len(pending), item, memory)
        with self._lock:
            self._opened(actor, sealed)
            for late in pending:
                self._again(late)
            self._answer(answers)
            values = self.live.observe(event)
            opened.state = self.live.state_of(actor) or []
            return seen_in(LiveSession(self.live, opened.state, "open"), values, self.live.code, opened)

    def _opened(self, actor: tuple[Any, ...], sealed: bytes | None) -> list[Any] | None:
        """Put the stored session into the empty twin; one that can't be read is begun anew."""
        self.live.clear()
        if sealed is None:
            return None
        try:
            row = self._unsealed(sealed)
            known, state = self._saver.load(row, are_entities_plain=True)
            LiveSession(self.live, state, "open").notes = notes_of(row.get("notes"))
        except SchemaError:
            return None
        if known != actor:
            return None
        self.live.put(actor, state)
        return state

    def _again(self, late: bytes) -> None:
        """Take in an event that another worker had to leave."""
        try:
            row = self._unsealed(late)
        except SchemaError:
            return
        self._answer(row["windows"])
        self.live.observe(row["event"])

    def _answer(self, answers: Mapping[str, list[Any]]) -> None:
        for name, answer in answers.items():
            self.live.windows[name].answer = answer

    def _without(self, alone: LiveSession) -> Seen:
        """Return the event as a session of its own, which says that there was no state."""
        alone.notes = Notes()
        values = np.array(list(alone.features.values()))
        span = (alone.start_us, alone.end_us)
        return Seen(alone.session_id, values, *span, alone.entities, {}, alone.notes, fallback="no_state")

    def settle(self, seen: Seen, ruling: Ruling, policy: Policy, *, is_human: bool, admits: Admits = None) -> Settled:
        """Remember what was ruled: the second round trip."""
        opened: _Open | None = seen.slot
        memory = Fetched([], [], {}) if opened is None else opened.memory
        span = (seen.start_us, seen.end_us)
        settled = settle(ruling, seen.targets, seen.notes, span, policy, memory, is_human=is_human, admits=admits)
        self.keep(seen)
        return settled

    def keep(self, seen: Seen) -> None:
        """Put the session back."""
        opened: _Open | None = seen.slot
        if opened is None:
            return
        row = self._saver.dump_state(opened.actor, opened.state)
        sealed = self._sealed(row | {"notes": plain_notes(seen.notes)})
        keys = [self._key("s", opened.actor), self._key("p", opened.actor)]
        arguments: list[Any] = [opened.version, sealed, opened.item, opened.taken, self._idle_ms]
        for kind, target, one, other in opened.memory.changes:
            keys.append(self._target_key("m" if kind == "mark" else "n", target))
            arguments += [kind, one, other, _MARK_MS if kind == "mark" else BYSTANDERS_MS]
        for day, n_seen, n_spent in opened.memory.spent:
            keys.append(self._day_key(day))
            arguments += ["today", n_seen, n_spent, 3 * DAY_US // 1000]
        try:
            took = self._commit(keys, arguments)
        except self._error:
            self._down_until = time.monotonic() + self._retry_s
            seen.fallback = "no_state"
            return
        self.n_conflicts += not took

    def close(self) -> None:
        """Let go; the sessions stay in Redis for the other workers."""
        with self._lock:
            self.live.clear()
        self._client.close()

    def use(self, population: Population | None) -> None:
        """Take the rarities of another model."""
        with self._lock:
            self.live.use(population)

    def sizes(self) -> dict[str, Size]:
        """Return how full each table in this process is; sessions, windows and verdicts lie in Redis."""
        with self._lock:
            return tables_of(self.live)

    def _key(self, kind: str, actor: tuple[Any, ...]) -> str:
        return f"{self._name}:{kind}:{'.'.join(map(str, actor))}"

    def _day_key(self, day: int) -> str:
        return f"{self._name}:r:{day}"

    def _target_key(self, kind: str, target: Target) -> str:
        return f"{self._name}:{kind}:{target[0]}:{target[1]}"

    def _sealed(self, row: Mapping[str, Any]) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._seal.encrypt(nonce, json.dumps(row).encode(), None)

    def _unsealed(self, data: bytes) -> dict[str, Any]:
        try:
            row = json.loads(self._seal.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None))
        except (InvalidTag, ValueError, TypeError):
            raise SchemaError("what lies in Redis was not sealed with this key") from None
        if not isinstance(row, dict):
            raise SchemaError("what lies in Redis is no session")
        return row


def _forget(session: LiveSession) -> None:
    """Let an ended session go."""


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an event a session reads, as JSON holds it."""
    row = {name: value for name, value in event.items() if name in _KEPT and value is not None}
    moment = row["timestamp"]
    if isinstance(moment, datetime):
        row["timestamp"] = int(moment.timestamp()) * 1_000_000 + moment.microsecond
    return row


def _plain_answer(answer: list[Any]) -> list[Any]:
    return [text_of(part) if isinstance(part, bytes) else part for part in answer]
