"""The compiled live twin's engine: its tables, its states, and both forms of a state.

Needs numba (extra ``fast``). A state is either *plain*, the list that `fraudlog.sessions.live_slots` lays out, or
*flat*: the same list's head, with an array of words in the place of its counts. Snapshots, halves of sessions from
different processes and sessions with very many values are plain; `Engine.plain` and `Engine.make_flat` turn one into
the other.
"""

from __future__ import annotations

import secrets
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.sessions.live_fast import take
from fraudlog.sessions.live_fast_blocks import LINEAR, compacted, free_place, room_for
from fraudlog.sessions.live_fast_masks import learn
from fraudlog.sessions.live_fast_read import read
from fraudlog.sessions.live_program import WORD_BITS, Program
from fraudlog.sessions.live_slots import HEAD
from fraudlog.sessions.live_words import BLOCK, COUNTS, EVENT, FIRST_HEAP, FIRST_SLOT, HEAP, NONE, Part, Reply, Value
from fraudlog.sessions.window_compiled import CompiledWindow, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.live_layout import Layout
    from fraudlog.sessions.live_slots import Slots
    from fraudlog.sessions.windows import Window

__all__ = ["Engine"]

_LANES: Final = HEAD.index("LANES")
_HEAD_WORDS: Final = 64
_MOST_MASKS: Final = 1 << 15
_SPARE_WORDS: Final = 48
_NO_LIMIT: Final = 1 << 62


class Engine:
    """Tables and loops for one definition.

    Parameters
    ----------
    definition : Definition
    layout : Layout
        Its look-ups.
    slots : Slots
        Its plain state.
    weights : ndarray of int64
        Weight of each count in an entropy.
    lanes_of : callable
        Works out which lanes an unknown mask counts in, and which conditions hold.
    exact_values : int, optional
        Most distinct values of a field in a flat state; with as many it becomes plain.
    most_entries : int
        Most entries of one look-up.
    watched : tuple of Window
        Windows over other sessions that are compiled too.
    most : int, optional
        Most keys of one of them.

    Attributes
    ----------
    registers : ndarray of float64
        The first of them are the features, after each event.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- all a definition comes to
        self,
        definition: Definition,
        layout: Layout,
        slots: Slots,
        weights: NDArray[np.int64],
        lanes_of: Callable[[int], tuple[int, int]],
        exact_values: int | None,
        most_entries: int,
        watched: tuple[Window, ...] = (),
        most: int | None = None,
    ) -> None:
        limit = exact_values or _NO_LIMIT
        self.program = program = Program(definition, layout, slots, watched=watched, most_values=max(limit, 2))
        self.pool = Pool(watched, most, secrets.randbits(62))
        self.slots = slots
        self.lanes_of = lanes_of
        self.most_entries = most_entries
        self.n_features = len(definition.plan.outcomes)
        self._lay_out(weights)
        event = int(self.words[EVENT])
        self.event = self.words[event : event + program.n_values]
        self.event[:] = NONE
        self.event[[Value.IS_PAGE, Value.IS_FULL, Value.NEEDED, Value.RULES]] = 0
        self.event[Value.PAGE_SLOT] = program.page_slot
        self.event[Value.MOST_VALUES] = exact_values or _NO_LIMIT
        self.event[Value.SEED] = secrets.randbits(62)
        self.registers = np.zeros(max(program.n_registers, 1))
        for register, value in program.constants.items():
            self.registers[register] = value
        self.row = self.registers[: self.n_features]
        self._widths = [len(names) + program.n_mask_words for names in program.fields]
        self._used = [0] * len(program.fields)
        self._n_masks = 0
        self._held = [
            (key[1], slots[key] - len(HEAD)) for key in slots.keys if isinstance(key, tuple) and key[0] == "held"
        ]
        self._times = [slots[key] - len(HEAD) for key in slots.keys if isinstance(key, tuple) and key[0] == "times"]
        self._counted = {key[1] for key in slots.keys if isinstance(key, tuple) and key[0] == "weights"}
        self.initial = self._initial()

    def _lay_out(self, weights: NDArray[np.int64]) -> None:
        """Put the program, and room for all tables, into one array; pages of it that are not used take no memory."""
        program = self.program
        n_mask, n_lane = program.n_mask_words, program.n_lane_words
        sizes: dict[Part, tuple[int, int]] = {
            part: (sum(map(len, rows)), len(rows)) for part, rows in program.parts.items()
        }
        sizes[Part.MASK] = (n_mask, n_mask)
        sizes[Part.KNOWN_MASKS] = (2 * _MOST_MASKS * (n_mask + 1), 2 * _MOST_MASKS)
        sizes[Part.LANES] = (_MOST_MASKS * (n_lane + 1), n_lane)
        sizes[Part.WEIGHTS] = (len(weights), len(weights))
        begins, at = {}, _HEAD_WORDS
        for part, (n_words, _) in sizes.items():
            begins[part] = at
            at += n_words
        event = at
        at += program.n_values
        self._entries: list[int] = []
        for names in program.fields:
            self._entries.append(at)
            at += (len(names) + n_mask) * self.most_entries
        self.words = words = np.zeros(at, np.int64)
        for part, (_, count) in sizes.items():
            words[2 * part], words[2 * part + 1] = begins[part], count
        words[2 * Part.GIVEN] = min(program.given.values(), default=0)
        words[2 * Part.GIVEN + 1] = len(program.given)
        words[FIRST_SLOT], words[EVENT] = program.first_slot, event
        words[FIRST_HEAP] = program.first_slot + len(self.slots.keys)
        rows = program.parts
        ops, windows = begins[Part.OPS], begins[Part.WINDOWS]
        rows[Part.RUNS] = [(op, ops + 4 * first, ops + 4 * end) for op, first, end in rows[Part.RUNS]]
        rows[Part.BURSTS] = [(*row[:4], windows + 3 * row[4], row[5]) for row in rows[Part.BURSTS]]
        for part, written in rows.items():
            flat = [word for row in written for word in row]
            words[begins[part] : begins[part] + len(flat)] = flat
        words[begins[Part.WEIGHTS] : begins[Part.WEIGHTS] + len(weights)] = weights
        self._mask, self._known_masks, self._lanes = (
            begins[part] for part in (Part.MASK, Part.KNOWN_MASKS, Part.LANES)
        )

    def _initial(self) -> NDArray[np.int64]:
        """Return the state of a session without an event."""
        end = int(self.words[FIRST_HEAP])
        state = np.zeros(end + _SPARE_WORDS, np.int64)
        state[HEAP] = end
        values: list[Any] = self.slots.initial[len(HEAD) :]
        state[self.program.first_slot : end] = [NONE if value is None else value for value in values]
        for place in (*(place for _, place in self._held), *self._times):
            state[self.program.first_slot + place] = 0
        return state

    # --- what the code of an event calls -----------------------------------------------------------------------------
    def names(self) -> dict[str, Any]:
        """Return what the code of an event needs: where its values go, and how they are taken in."""
        given = Struct(f"{9 + len(self.program.entries)}q")
        view = memoryview(self.event)  # type: ignore[arg-type] # NumPy says so in no stub
        buffer = memoryview(self.event[Value.COUNT :])  # type: ignore[arg-type] # as above

        return {
            "pack": given.pack_into,
            "buffer": buffer,
            "event_words": view,
            "NONE": NONE,
            "words": self.words,
            "registers": self.registers,
            "take": take,
            "again": self.again,
            "pools": self.pool.words_now,
        }

    def again(self, state: list[Any], reply: int) -> None:
        """Go on where the compiled update stopped: at a mask not met before, or for want of room."""
        while reply:
            if reply == Reply.FULL:
                self.make_plain(state)
                return
            if reply == Reply.UNKNOWN_MASK:
                self._learn()
            elif reply == Reply.POOL_FULL:
                self.pool.grow()
                reply = 0
            else:
                needed = int(self.event[Value.NEEDED]) + _SPARE_WORDS
                state[_LANES] = compacted(self.words, state[_LANES], needed)
            reply = take(self.words, state[_LANES], self.registers, self.pool.words, reply)

    def _learn(self) -> None:
        """Note what a mask counts; with too many, all are forgotten first."""
        n_words, n_lane = self.program.n_mask_words, self.program.n_lane_words
        words = self.words[self._mask : self._mask + n_words].tolist()
        if self._n_masks >= _MOST_MASKS:
            self.words[self._known_masks : self._known_masks + 2 * _MOST_MASKS * (n_words + 1)] = 0
            self._n_masks = 0
        counted, where = self.lanes_of(sum(word << WORD_BITS * n for n, word in enumerate(words)))
        at = self._lanes + self._n_masks * (n_lane + 1)
        self.words[at : at + n_lane] = np.frombuffer(counted.to_bytes(8 * n_lane, "little"), np.int64)
        self.words[at + n_lane] = where
        self._n_masks += 1
        learn(self.words, at)

    def entry(self, group: int, mask: int, values: dict[str, Any]) -> int:
        """Keep what a look-up found; returns where it stands."""
        at = self._entries[group] + self._used[group] * self._widths[group]
        self._used[group] += 1
        n_words = self.program.n_mask_words
        row = [mask >> WORD_BITS * n & (1 << WORD_BITS) - 1 for n in range(n_words)]
        row += [NONE if values[name] is None else values[name] for name in self.program.fields[group]]
        self.words[at : at + len(row)] = row
        return at

    def drop_entries(self, group: int) -> None:
        """Forget what one look-up found."""
        self._used[group] = 0

    def windows(self) -> dict[str, CompiledWindow]:
        """Return the windows that are compiled, as their callers see them."""
        limit = None if self.program.most_values == _NO_LIMIT else self.program.most_values
        return {
            window.name: CompiledWindow(window, place, self.pool, limit)
            for place, window in enumerate(self.program.watched)
        }

    # --- both forms of a state ---------------------------------------------------------------------------------------
    def values(self, state: Sequence[Any]) -> NDArray[np.float64]:
        """Return the features of a flat state."""
        read(self.words, state[_LANES], self.registers, state[2])
        return self.row.copy()

    def plain(self, state: list[Any]) -> list[Any]:
        """Return a flat state as a plain one; a plain one as it is."""
        if isinstance(state[_LANES], int):
            return state
        words: NDArray[np.int64] = state[_LANES]
        first = self.program.first_slot
        numbers = words[first : int(self.words[FIRST_HEAP])].tolist()
        values = [None if number == NONE else number for number in numbers]
        for key, place in self._held:
            values[place] = self._distinct(words, numbers[place], is_counted=key in self._counted)
        for place in self._times:
            block = numbers[place]
            held = int(words[block + 1]) if block else 0
            values[place] = words[block + BLOCK : block + BLOCK + held].tolist() if held else None
        lanes = int.from_bytes(words[COUNTS:first].tobytes(), "little")
        return [*state[:_LANES], lanes, *state[_LANES + 1 : len(HEAD)], *values]

    def make_plain(self, state: list[Any]) -> None:
        """Turn a state into a plain one where it stands."""
        state[:] = self.plain(state)

    @staticmethod
    def _distinct(words: NDArray[np.int64], block: int, *, is_counted: bool) -> Any:  # noqa: ANN401 -- as the slot has it
        if block == 0:
            return None
        room = int(words[block])
        values = words[block + BLOCK : block + BLOCK + room].tolist()
        if not is_counted:
            return {value for value in values if value != NONE}
        counts = words[block + BLOCK + room : block + BLOCK + 2 * room].tolist()
        return {value: count for value, count in zip(values, counts, strict=True) if value != NONE}

    def make_flat(self, state: list[Any]) -> None:
        """Turn a plain state into a flat one where it stands; one that keeps a sample of values stays plain."""
        limit = int(self.event[Value.MOST_VALUES])
        held = [(place, state[len(HEAD) + place], key in self._counted) for key, place in self._held]
        if any(
            values is not None and (not isinstance(values, (set, dict)) or len(values) >= limit)
            for _, values, _ in held
        ):
            return
        first = self.program.first_slot
        words = self.initial[: int(self.words[FIRST_HEAP])].copy()
        n_lane = 8 * self.program.n_lane_words
        words[COUNTS:first] = np.frombuffer(state[_LANES].to_bytes(n_lane, "little"), np.int64)
        blocks: list[int] = []
        special = {place for place, _, _ in held} | set(self._times)
        for place, value in enumerate(state[len(HEAD) :]):
            if place not in special:
                words[first + place] = NONE if value is None or isinstance(value, tuple) else value
        for place, values, is_counted in held:
            if values:
                words[first + place] = len(words) + len(blocks)
                blocks += self._block(values, is_counted=is_counted)
        for place in self._times:
            times = state[len(HEAD) + place]
            if times:
                words[first + place] = len(words) + len(blocks)
                blocks += [len(times), len(times), *times]
        words = np.append(words, np.array(blocks, np.int64))
        words[HEAP] = len(words)
        state[_LANES] = words
        del state[len(HEAD) :]

    def _block(self, values: Any, *, is_counted: bool) -> list[int]:  # noqa: ANN401 -- a set or counts
        """Lay values out as the compiled loops look for them."""
        room = room_for(len(values))
        places: list[int] = [NONE] * room
        counts = [0] * room
        for n, value in enumerate(values):
            put = n if room <= LINEAR else free_place(np.array(places), value, self.event[Value.SEED])
            places[put] = value
            counts[put] = values[value] if is_counted else 0
        return [room, len(values), *places, *(counts if is_counted else ())]
