"""A snapshot of open sessions, windows and verdicts: one sealed file that survives a restart and names nobody.

What a session counted stands there as keyed codes and numbers. The columns that say whose it is are keyed pseudonyms,
or are left out where there is no key for them. The file is that of `fraudlog.detecting.model_file`: a zip of plain
bytes and a manifest under a keyed seal, in which nothing can run; it is only read with the key it was written with, and
everything in it is checked before any of it is taken in.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.detecting import read_model, write_model
from fraudlog.errors import ConfigError, InputError, ModelError, SchemaError
from fraudlog.serving.memory import UNSEEN, Mark, Notes, Target
from fraudlog.sessions.live_saving import ENTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fraudlog.privacy import Pseudonyms
    from fraudlog.serving.state import LocalState

__all__ = ["notes_of", "plain_notes", "read_snapshot", "write_snapshot"]

_KIND: Final = "live sessions"
_VERSION: Final = 2
_AT_ONCE: Final = 64
_HIDDEN: Final = {"client_ip": "ip", "ip_prefix": "ip", "user": "token"}
"""Entity columns that name a person, and how they are hidden, as `fraudlog.schema.SESSIONS` says."""


def write_snapshot(
    state: LocalState, path: str | os.PathLike[str], *, pseudonyms: Pseudonyms | None = None
) -> dict[str, int]:
    """Write what a state holds to one file, whole or not at all.

    The state is locked for a few sessions at a time, so that requests go on; each session is whole, and as of a moment
    during the call.

    Parameters
    ----------
    state : LocalState
        With a key: without one its codes could be guessed.
    path : path-like
    pseudonyms : Pseudonyms, optional
        Hides whose session it is; without it that is left out until the client comes again.

    Returns
    -------
    dict of str to int
        How many sessions, keys of windows and targets were written.

    Raises
    ------
    ConfigError
        If the state has no key.
    OutputError
        If the file can't be written.
    """
    if not state.live.key:
        raise ConfigError("a snapshot needs a key: pass key= or pseudonyms= to LiveSessions", parameter="key")
    with state.lock:
        actors, windows = state.live.actors(), state.saver.windows()
        targets = state.memory.targets()
        days = [[day, *counts] for day, counts in state.memory.days.items()]
    sessions = _chunked(state, actors, lambda actor: _dumped(state, actor))
    parts = {"sessions": _hidden(sessions, pseudonyms), "targets": _chunked(state, targets, state.memory.dump)}
    parts["days"] = days
    for name, keys in windows.items():
        rows = _chunked(state, keys, lambda key, name=name: state.saver.dump_window(name, key))  # type: ignore[misc] # mypy can't see a default
        parts[f"window.{name}"] = rows
    arrays = {name: np.frombuffer(json.dumps(rows).encode(), np.uint8) for name, rows in parts.items()}
    manifest = {"kind": _KIND, "version": _VERSION, "digest": state.saver.digest}
    write_model(path, arrays, manifest, key=_seal_key(state))
    n_keys = sum(len(rows) for name, rows in parts.items() if name.startswith("window."))
    return {"sessions": len(parts["sessions"]), "window_keys": n_keys, "targets": len(parts["targets"])}


def read_snapshot(state: LocalState, path: str | os.PathLike[str]) -> dict[str, int]:
    """Put what a snapshot holds into a state, beside what is there.

    Returns
    -------
    dict of str to int
        As `write_snapshot`.

    Raises
    ------
    InputError
        If there is no such file.
    SchemaError
        If it is damaged, was sealed with another key, or is of another definition of sessions; nothing is taken in.
    """
    name = Path(path).name
    if not Path(path).exists():
        raise InputError(f"{name}: there is no such snapshot", source=os.fspath(path))
    try:
        arrays, manifest = read_model(path, key=_seal_key(state))
    except ModelError as error:
        why = str(error).removeprefix(f"{os.fspath(path)}: ")
        raise SchemaError(f"{name}: the snapshot can't be trusted: {why}") from None
    if manifest.get("kind") != _KIND or manifest.get("version") != _VERSION:
        raise SchemaError(f"{name}: is no snapshot that this version reads")
    if manifest.get("digest") != state.saver.digest:
        raise SchemaError(f"{name}: was taken with other features or limits of a session; start without it")
    rows = {part: _rows(array, part) for part, array in arrays.items()}
    sessions = [(*state.saver.load(row), notes_of(row.get("notes"))) for row in rows.pop("sessions", [])]
    targets = [read_target(row) for row in rows.pop("targets", [])]
    days = [_day(row) for row in rows.pop("days", [])]
    for start in range(0, len(sessions), _AT_ONCE):
        with state.lock:
            for actor, one, notes in sessions[start : start + _AT_ONCE]:
                state.add(actor, one, notes)
    with state.lock:
        state.memory.join_all(targets, days)
    for part, keys in rows.items():
        for start in range(0, len(keys), _AT_ONCE):
            with state.lock:
                state.saver.join_window(part.removeprefix("window."), keys[start : start + _AT_ONCE])
    return {"sessions": len(sessions), "window_keys": sum(map(len, rows.values())), "targets": len(targets)}


def _seal_key(state: LocalState) -> bytes:
    """Derive the key of the seal from that of the sessions."""
    return hashlib.blake2b(b"snapshot", key=state.live.key, digest_size=32, person=b"fraudlog seal").digest()


def _chunked(state: LocalState, keys: list[Any], dump: Callable[[Any], Any]) -> list[Any]:
    """Dump a few at a time under the lock; what is gone by then is left out."""
    rows = []
    for start in range(0, len(keys), _AT_ONCE):
        with state.lock:
            rows += [dump(key) for key in keys[start : start + _AT_ONCE]]
    return [row for row in rows if row is not None]


def _dumped(state: LocalState, actor: tuple[Any, ...]) -> dict[str, Any] | None:
    row = state.saver.dump(actor)
    return None if row is None else row | {"notes": plain_notes(row["notes"])}


def plain_notes(notes: Notes | None) -> list[Any]:
    """Return notes as JSON holds them."""
    if notes is None:
        return [False, [], UNSEEN]
    return [notes.is_counted, [[*target, strikes] for target, strikes in (notes.struck or {}).items()], notes.review]


def notes_of(saved: Any) -> Notes:  # noqa: ANN401 -- anything a file may hold
    """Return what `plain_notes` gave.

    Raises
    ------
    SchemaError
        If it is none.
    """
    match saved:
        case [bool(is_counted), list(struck), (0 | 1 | 2) as review]:
            strikes = {_target(row[:2]): int(row[2]) for row in struck if len(row) == 3}
            return Notes(strikes, is_counted=is_counted, review=review)
    raise SchemaError("a saved session has notes that are none")


def _target(parts: Any) -> Target:  # noqa: ANN401 -- as above
    match parts:
        case ["user" | "prefix" | "profile" as scope, int(code)]:
            return scope, code
    raise SchemaError("a saved verdict names no account, network or profile")


def _hidden(sessions: list[dict[str, Any]], pseudonyms: Pseudonyms | None) -> list[dict[str, Any]]:
    """Put pseudonyms in place of what names a person, each distinct value once."""
    for name, kind in _HIDDEN.items():
        plain = sorted({row["entities"][name] for row in sessions if name in row["entities"]})
        if pseudonyms is None:
            known: Mapping[str, str | None] = dict.fromkeys(plain)
        else:
            shown = _addresses(plain, pseudonyms) if kind == "ip" else pseudonyms.tokens(plain, name)
            known = dict(zip(plain, shown, strict=True))
        for row in sessions:
            if name in row["entities"]:
                row["entities"][name] = known[row["entities"][name]]
    _scrub(sessions, (lambda _: "~") if pseudonyms is None else pseudonyms.mark)
    kept = set(ENTITIES) - {"source", "first_line"}
    for row in sessions:
        row["entities"] = {name: value for name, value in row["entities"].items() if name in kept and value is not None}
    return sessions


def _scrub(sessions: list[dict[str, Any]], mark: Callable[[str], str]) -> None:
    """Put marks in place of e-mail addresses and tokens in what clients say of themselves, each distinct text once."""
    import pyarrow as pa  # noqa: PLC0415 -- a service that takes no snapshot does without

    from fraudlog.privacy.texts import scrub_texts  # noqa: PLC0415 -- the same

    texts = sorted(
        {
            value
            for row in sessions
            for name, value in row["entities"].items()
            if isinstance(value, str) and name not in _HIDDEN
        }
    )
    shown = dict(zip(texts, scrub_texts(pa.array(texts, pa.string()), mark).to_pylist(), strict=True))
    for row in sessions:
        told = row["entities"]
        row["entities"] = {name: value if name in _HIDDEN else shown.get(value, value) for name, value in told.items()}


def _addresses(plain: Iterable[str], pseudonyms: Pseudonyms) -> list[str | None]:
    """Return the pseudonyms of addresses; what is none is left out."""
    from ipaddress import ip_network  # noqa: PLC0415 -- only here

    def is_address(text: str) -> bool:
        try:
            ip_network(text, strict=False)
        except ValueError:
            return False
        return True

    listed = list(plain)
    good = [text for text in listed if is_address(text)]
    shown = dict(zip(good, pseudonyms.addresses(good), strict=True))
    return [shown.get(text) for text in listed]


def _rows(array: Any, part: str) -> list[Any]:  # noqa: ANN401 -- an array of bytes
    try:
        rows = json.loads(array.tobytes())
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list):
        raise SchemaError(f"the snapshot's {part.partition('.')[0]} are no list")
    return rows


def _day(row: Any) -> tuple[int, int, int]:  # noqa: ANN401 -- as above
    match row:
        case [int(day), int(seen), int(spent)]:
            return day, seen, spent
    raise SchemaError("a saved day has reviews that are none")


def read_target(row: Any) -> tuple[Target, Mark | None, dict[int, int]]:  # noqa: ANN401 -- as above
    """Return a saved target with its mark and its people by day.

    Raises
    ------
    SchemaError
        If it is none.
    """
    match row:
        case [scope, code, (None | [int(), int(), int(), int()]) as mark, list(days)]:
            target = _target([scope, code])
            if all(isinstance(day, list) and [type(part) for part in day] == [int, int] for day in days):
                return target, None if mark is None else Mark(*mark), dict(days)
    raise SchemaError("a saved verdict is none")
