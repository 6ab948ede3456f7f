"""Which events belong together: actors, sessions, their limits and their ids."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.sessions.columns import NULL, accelerator, combine, stable_order
from fraudlog.sessions.facts import ACTOR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.facts import Facts

__all__ = ["Segments", "actor_text", "segment", "session_id"]

PIECE: Final = "_piece"
"""Carried beside the numbers: how often the session an open event belongs to was split before."""

_PERSON: Final = b"fraudlog.session"
_DIGEST_BYTES: Final = 16
_NONE: Final = "-"


def actor_text(token: str | None, user: str | None, client: Iterable[str | None]) -> str:
    """Write an actor as text: the first of session token, user and (prefix, agent, language) that is known.

    Lengths stand before the parts, so that no value can be chosen to look like two.

    >>> actor_text(None, None, ("203.0.113.0/24", "curl/8.5.0", None))
    'c14:203.0.113.0/2410:curl/8.5.0-'
    """
    if token is not None:
        return f"t{len(token)}:{token}"
    if user is not None:
        return f"u{len(user)}:{user}"
    return "c" + "".join([_NONE if part is None else f"{len(part)}:{part}" for part in client])


def session_id(actor: str, start_us: int, piece: int, key: bytes) -> str:
    """Return the id of a session: BLAKE2b, keyed if there is a key, of its actor, its start and its piece."""
    text = f"{start_us} {piece} {actor}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES, key=key, person=_PERSON).hexdigest()


@dataclass
class Segments:
    """Events of one batch in the order of their actors, cut into sessions.

    Attributes
    ----------
    order : ndarray of int64, shape (n_events,)
        Position of each event in the batch.
    starts, ends : ndarray of int64, shape (n_sessions,)
        First event of each session, and the one behind its last, in that order.
    piece : ndarray of int64, shape (n_sessions,)
        How many sessions of the same run a limit cut off before.
    is_last : ndarray of bool, shape (n_sessions,)
        Whether no later session of the same actor is in the batch.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    piece: NDArray[np.int64]
    is_last: NDArray[np.bool_]

    def ids(self, facts: Facts, sessions: NDArray[np.int64], key: bytes) -> pa.StringArray:
        """Return the ids of some sessions of `facts`."""
        rows = self.order[self.starts[sessions]]
        starts = pa.array(facts.time[rows]).cast(pa.string())
        pieces = pa.array(self.piece[sessions]).cast(pa.string())
        return _hashed(pc.binary_join_element_wise(starts, pieces, _actor_texts(facts, rows), " "), key)


def _hashed(texts: pa.StringArray, key: bytes) -> pa.StringArray:
    """Hash texts as `session_id` does: one hash is set up and copied, and hex is written for all at once."""
    fresh = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=key, person=_PERSON).copy
    digests = []
    for text in texts.cast(pa.binary()).to_pylist():
        hashed = fresh()
        hashed.update(text)
        digests.append(hashed.digest())
    letters = b"".join(digests).hex().encode()
    bounds = np.arange(len(texts) + 1, dtype=np.int32) * np.int32(2 * _DIGEST_BYTES)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(bounds), pa.py_buffer(letters))


def _actor_texts(facts: Facts, rows: NDArray[np.int64]) -> pa.StringArray:
    """Write the actors of some events as `actor_text` does, each distinct value once."""
    token, user, *client = (_parts_of(facts, name, rows) for name in ACTOR)
    texts = pc.binary_join_element_wise("c", *client, "")
    for kind, column in (("u", user), ("t", token)):
        is_none = pc.equal(column, _NONE)
        if not pc.all(is_none).as_py():
            texts = pc.if_else(is_none, texts, pc.binary_join_element_wise(kind, column, ""))
    return texts


def _parts_of(facts: Facts, name: str, rows: NDArray[np.int64]) -> pa.StringArray:
    """Write one column's values with their lengths before them."""
    used = facts.text[name].take(rows)
    lengths = pc.utf8_length(used.values).cast(pa.string())
    parts = pc.binary_join_element_wise(lengths, used.values, ":")
    parts = pa.concat_arrays([parts, pa.array([_NONE])])
    return parts.take(pa.array(np.where(used.codes == NULL, len(parts) - 1, used.codes)))


def actors(facts: Facts) -> tuple[NDArray[np.int64], int]:
    """Return a number for the actor of each event, and how many numbers there can be."""
    token, user = facts.text["session_token"], facts.text["user"]
    client, distinct = combine([facts.text[name] for name in ACTOR[2:]])
    n_tokens, n_users = len(token.values), len(user.values)
    numbers = client.astype(np.int64) + (n_tokens + n_users)
    if n_users:
        numbers = np.where(user.codes == NULL, numbers, n_tokens + user.codes)
    if n_tokens:
        numbers = np.where(token.codes == NULL, numbers, token.codes)
    return numbers, n_tokens + n_users + len(distinct[0])


def segment(facts: Facts, definition: Definition) -> Segments:
    """Cut events, given in total order, into sessions."""
    codes, n_actors = actors(facts)
    order = stable_order(codes, n_actors)
    runs, is_first = _runs(order, codes, facts.time, definition.session_gap_us)
    starts, run_of = _limited(runs, order, facts.time, definition)
    piece = np.arange(len(starts)) - np.searchsorted(run_of, np.arange(len(runs)))[run_of]
    carried = facts.numbers.get(PIECE)
    if carried is not None:
        piece += np.maximum(carried[order[runs]], 0)[run_of]
    is_last = np.ones(len(starts), bool)
    is_last[:-1] = is_first[run_of[1:]] & (run_of[1:] != run_of[:-1])
    return Segments(order, starts, np.append(starts[1:], len(order)), piece, is_last)


def _runs(
    order: NDArray[np.int64], codes: NDArray[np.int64], time: NDArray[np.int64], gap_us: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where runs of one actor without a longer silence begin, in order, and which are its first."""
    compiled = accelerator(len(order))
    if compiled is not None:
        found: tuple[NDArray[np.int64], NDArray[np.bool_]] = compiled.runs(order, codes, time, gap_us)
        return found
    actor = codes[order]
    is_other = np.ones(len(order), bool)
    is_other[1:] = actor[1:] != actor[:-1]
    is_start = is_other.copy()
    is_start[1:] |= np.diff(time[order]) > gap_us
    starts = np.flatnonzero(is_start)
    return starts, is_other[starts]


def _limited(
    runs: NDArray[np.int64], order: NDArray[np.int64], time: NDArray[np.int64], definition: Definition
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut runs that are longer than a session may be; returns starts and the run each came from."""
    ends = np.append(runs[1:], len(order))
    if not len(runs):
        return runs, runs
    is_long = time[order[ends - 1]] - time[order[runs]] > definition.max_duration_us
    starts, run_of = [runs], [np.arange(len(runs))]
    for run in np.flatnonzero((ends - runs > definition.max_events) | is_long):
        cuts = _cuts(int(runs[run]), time[order[runs[run] : ends[run]]], definition)
        starts.append(np.array(cuts, np.int64))
        run_of.append(np.full(len(cuts), run))
    all_starts, all_runs = np.concatenate(starts), np.concatenate(run_of)
    if len(starts) == 1:
        return all_starts, all_runs
    sorting = np.argsort(all_starts, kind="stable")
    return all_starts[sorting], all_runs[sorting]


def _cuts(first: int, time: NDArray[np.int64], definition: Definition) -> list[int]:
    """Return where one run is cut: each session as long as the limits allow."""
    cuts: list[int] = []
    start = 0
    while True:
        in_time = int(np.searchsorted(time[start:], time[start] + definition.max_duration_us, side="right"))
        start += min(in_time, definition.max_events)
        if start >= len(time):
            return cuts
        cuts.append(first + start)
