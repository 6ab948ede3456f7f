"""Events as the kernel needs them: times, codes, numbers and the mask of early atoms; nothing else is carried along."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.sessions import values
from fraudlog.sessions.columns import (
    NULL,
    Text,
    accelerator,
    combine,
    concatenated,
    gathered,
    joined,
    looked_up,
    repeated,
    text_of,
)
from fraudlog.sessions.fields import FIELDS
from fraudlog.sessions.language import Compare, Known, Missing
from fraudlog.sessions.places import offset_minutes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.plan import Atom, Plan
    from fraudlog.sessions.population import Population

__all__ = ["ACTOR", "Encoder", "Facts", "answer", "compare", "encode", "kept_fields", "read_by_kernel"]

ACTOR: Final = ("session_token", "user", "ip_prefix", "user_agent", "language")
_CLIENT: Final = ("browser", "browser_version", "os", "device_class", "language_primary", "country", "asn")
_ENTITIES: Final = ("client_ip", "profile", "source", *_CLIENT)
_OF_TIME: Final = ("time_ms", "utc_hour", "coarseness")
_SMALL_BITS: Final = 12
_WORD: Final = 64


@dataclass
class Facts:
    """A batch of events, column by column.

    Attributes
    ----------
    time : ndarray of int64, shape (n_events,)
        Microseconds since 1970.
    line : ndarray of int64
        Line number; -1 if not known.
    text : dict of str to Text
        Fields of text that a scan, a window or the table of sessions needs.
    numbers : dict of str to ndarray of int64
        Fields of numbers that a scan or a late atom needs.
    words : list of ndarray of uint64
        The early atoms, 64 a word.
    """

    time: NDArray[np.int64]
    line: NDArray[np.int64]
    text: dict[str, Text] = field(default_factory=dict)
    numbers: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    words: list[NDArray[np.uint64]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[Any], *, keep_values: bool = False) -> Facts:
        """Return some events, with only the values they have (or all, for use within one step)."""
        text = {name: Text(gathered(column.codes, rows), column.values) for name, column in self.text.items()}
        if not keep_values:
            text = {name: column.compacted() for name, column in text.items()}
        numbers = {name: gathered(column, rows) for name, column in self.numbers.items()}
        words = [gathered(word, rows) for word in self.words]
        return Facts(gathered(self.time, rows), gathered(self.line, rows), text, numbers, words)

    def part(self, first: int, end: int) -> Facts:
        """Return a run of events, sharing memory."""
        rows = slice(first, end)
        return Facts(
            self.time[rows],
            self.line[rows],
            {name: Text(column.codes[rows], column.values) for name, column in self.text.items()},
            {name: column[rows] for name, column in self.numbers.items()},
            [word[rows] for word in self.words],
        )

    def narrowed(self, names: Collection[str]) -> Facts:
        """Return the events with some of their fields, sharing memory, and without their lines."""
        text = {name: column for name, column in self.text.items() if name in names}
        numbers = {name: column for name, column in self.numbers.items() if name in names}
        return Facts(self.time, repeated(NULL, len(self)), text, numbers, self.words)

    def sorted(self) -> Facts:
        """Return the events in total order: time, then source and line; those without either keep their order."""
        return self if self._is_sorted() else self.take(self.total_order(), keep_values=True)

    def total_order(self) -> NDArray[np.int64]:
        """Return where each event stands in total order."""
        return np.lexsort((self.line, self._source_rank(), self.time))

    def _is_sorted(self) -> bool:
        if np.any(self.time[1:] < self.time[:-1]):
            return False
        ties = np.flatnonzero(self.time[1:] == self.time[:-1])
        rank = self._source_rank()
        before, after = rank[ties], rank[ties + 1]
        return bool(np.all((before < after) | ((before == after) & (self.line[ties] <= self.line[ties + 1]))))

    def _source_rank(self) -> NDArray[np.int64]:
        codes, names = self.text["source"]
        rank = np.empty(len(names) + 1, np.int64)
        rank[pc.array_sort_indices(names).to_numpy()] = np.arange(len(names))
        rank[-1] = NULL
        return looked_up(rank, codes)

    @classmethod
    def concatenate(cls, parts: Sequence[Facts]) -> Facts:
        """Join batches one below the other; all were made by the same plan."""
        filled = [part for part in parts if len(part)] or [parts[0]]
        first = filled[0]
        if len(filled) == 1:
            return first
        return cls(
            joined([part.time for part in filled]),
            joined([part.line for part in filled]),
            {name: concatenated([part.text[name] for part in filled]) for name in first.text},
            {name: joined([part.numbers[name] for part in filled]) for name in first.numbers},
            [joined(words) for words in zip(*(part.words for part in filled), strict=True)],
        )


def kept_fields(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields of text and of numbers that outlive encoding, for a plan."""
    wanted = [*ACTOR, *_ENTITIES, *read_by_kernel(plan)]
    for window in plan.windows:
        wanted += window.reads
    unique = dict.fromkeys(wanted)
    text = tuple(name for name in unique if name == "source" or not FIELDS[name].is_number)
    numbers = tuple(
        name
        for name in unique
        if name != "source" and FIELDS[name].is_number and not FIELDS[name].is_sequential and name not in _OF_TIME
    )
    return text, numbers


def read_by_kernel(plan: Plan) -> tuple[str, ...]:
    """Return the fields that the kernel reads row by row, for a plan."""
    wanted = [scan.reference.field.name for scan in plan.scans if scan.reference is not None]
    wanted += [atom.reference.field.name for atom in plan.late]
    return (*wanted, "endpoint") if "page_gap_ms" in wanted else tuple(wanted)


class Encoder:
    """Reads the fields of one batch from its columns, each once."""

    def __init__(self, table: pa.Table, definition: Definition, population: Population | None) -> None:
        self.table = table
        self.own_statuses = definition.own_statuses
        self.population = population
        self.columns = set(table.column_names)
        self.time = table.column("timestamp").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        self._text: dict[str, Text] = {}
        self._numbers: dict[str, NDArray[np.int64]] = {}

    def text(self, name: str) -> Text:
        """Return a field of text."""
        if name not in self._text:
            self._text[name] = self._read_text(name)
        return self._text[name]

    def number(self, name: str) -> NDArray[np.int64]:
        """Return a field of numbers."""
        if name not in self._numbers:
            self._numbers[name] = self._read_number(name)
        return self._numbers[name]

    def _read_text(self, name: str) -> Text:
        if name in values.TEXTS_OF_TEXT:
            source, derive = values.TEXTS_OF_TEXT[name]
            text = self.text(source)
            return text.mapped(derive(text.values))
        if name == "profile":
            return self._joined(("os", "browser", "language_primary"))
        if name == "manner":
            return self._joined(("user_agent", "language", "protocol", "tls_fingerprint"))
        if name == "shape":
            return self._joined(("method", "endpoint", "status", "action", "outcome"))
        if name == "device":
            return self._first_known("device_id", self._joined(("os", "browser", "device_class")))
        if name == "country_language":
            return self._joined(("country", "language_primary"), needs_all=True)
        if name == "ip_prefix" and name in self.columns and self.table.column(name).null_count:
            return self._first_known(name, self.text("client_ip"))
        if name == "ip_prefix" and name not in self.columns:
            return self.text("client_ip")
        if name in self.columns:
            return text_of(self.table.column(name))
        return Text(repeated(NULL, len(self.time), np.int32), pa.array([], pa.string()))

    def _joined(self, names: tuple[str, ...], *, needs_all: bool = False) -> Text:
        texts = [self.text(name) for name in names]
        codes, parts = combine(texts)
        columns = [
            [None if code == NULL else value for code, value in zip(part, _taken(text.values, part), strict=True)]
            for text, part in zip(texts, parts, strict=True)
        ]
        rows = zip(*columns, strict=True)
        joined = [None if needs_all and None in row else values.profile_of(*row) for row in rows]
        return Text(codes, pa.array(range(len(joined)), pa.int32())).mapped(pa.array(joined, pa.string()))

    def _first_known(self, name: str, other: Text) -> Text:
        own = text_of(self.table.column(name)) if name in self.columns else None
        if own is None:
            return other
        shifted = np.where(other.codes == NULL, NULL, other.codes + len(own.values))
        codes = np.where(own.codes == NULL, shifted, own.codes).astype(np.int32)
        joined = pa.concat_arrays([own.values, other.values])
        return Text(codes, joined).mapped(joined).compacted()

    def _read_number(self, name: str) -> NDArray[np.int64]:
        if name in values.NUMBERS_OF_TEXT:
            source, derive = values.NUMBERS_OF_TEXT[name]
            text = self.text(source)
            return text.numbers(derive(text.values))
        if name in _OF_TIME:
            return values.of_time(self.time, name)
        if name == "bytes_log2":
            return values.bit_length(self.number("bytes_sent"))
        if name == "local_hour":
            return self._local_hour()
        if FIELDS[name].origin == "population":
            return self._rarity(name)
        if name == "duration_ms":
            return self._duration()
        return self._column(name)

    def _column(self, name: str) -> NDArray[np.int64]:
        if name not in self.columns:
            return repeated(NULL, len(self.time))
        column = self.table.column(name)
        if column.null_count or not pa.types.is_integer(column.type):
            column = pc.fill_null(column.cast(pa.int64()), NULL)
        numbers = values.clamped(column.to_numpy(), name)
        if name == "status" and self.own_statuses:
            return np.where(np.isin(numbers, list(self.own_statuses)), NULL, numbers)
        return numbers

    def _duration(self) -> NDArray[np.int64]:
        if "duration_s" not in self.columns:
            return repeated(NULL, len(self.time))
        seconds = pc.fill_null(self.table.column("duration_s").cast(pa.float64()), -1.0).to_numpy()
        most = (1 << FIELDS["duration_ms"].bits) - 1
        return np.where(seconds >= 0, np.minimum(np.nan_to_num(seconds, nan=0.0) * 1000.0, most), NULL).astype(np.int64)

    def _local_hour(self) -> NDArray[np.int64]:
        country = self.text("country")
        offsets = [offset_minutes(value) for value in country.values.to_pylist()]
        unknown = -(1 << 40)
        minutes = np.array([unknown if o is None else o for o in offsets] + [unknown], np.int64)[country.codes]
        return np.where(minutes == unknown, NULL, (self.time + minutes * 60_000_000) // 3_600_000_000 % 24)

    def _rarity(self, name: str) -> NDArray[np.int64]:
        if self.population is None:
            return repeated(NULL, len(self.time))
        text = self.text(self.population.column_of(name))
        return text.numbers(np.array(self.population.rarities(name, text.values.to_pylist()), np.int64))

    def words(self, atoms: Sequence[Atom]) -> list[NDArray[np.uint64]]:
        """Return the mask of early atoms of each event."""
        words = [np.zeros(len(self.time), np.uint64) for _ in range(0, len(atoms), _WORD)]
        by_field: dict[str, list[tuple[int, Atom]]] = {}
        for bit, atom in enumerate(atoms):
            by_field.setdefault(atom.reference.field.name, []).append((bit, atom))
        for name, asked in by_field.items():
            self._answer(name, asked, words)
        return words

    def _answer(self, name: str, asked: list[tuple[int, Atom]], words: list[NDArray[np.uint64]]) -> None:
        """Set the bits of all atoms on one field: on its distinct values where it has few, else row by row."""
        domain: Any
        if FIELDS[name].bits > _SMALL_BITS:
            domain = self.number(name)
            for bit, atom in asked:
                answers = domain < 0 if isinstance(atom, Missing) and name in self.columns else answer(atom, domain)
                words[bit // _WORD] |= answers.astype(np.uint64) << np.uint64(bit % _WORD)
            return
        index: NDArray[Any]
        if FIELDS[name].is_number:
            index, domain = self.number(name), np.arange(1 << FIELDS[name].bits)
        else:
            index, domain = self.text(name)
        for word in {bit // _WORD for bit, _ in asked}:
            bits = np.zeros(len(domain) + 1, np.uint64)
            for bit, atom in asked:
                if bit // _WORD == word:
                    bits[:-1] |= answer(atom, domain).astype(np.uint64) << np.uint64(bit % _WORD)
                    if isinstance(atom, Missing) and name in self.columns:
                        bits[-1] |= np.uint64(1) << np.uint64(bit % _WORD)
            _add_bits(words[word], bits, index)


def _add_bits(word: NDArray[np.uint64], bits: NDArray[np.uint64], index: NDArray[Any]) -> None:
    """Set the bits that stand for each code, in place."""
    compiled = accelerator(len(word))
    if compiled is None or index.strides == (0,):
        word |= looked_up(bits, index)
    else:
        compiled.add_bits(word, bits, index)


def _taken(array: pa.Array, codes: NDArray[np.int32]) -> list[str | None]:
    taken: list[str | None] = array.take(pa.array(codes, mask=codes == NULL)).to_pylist()
    return taken


def answer(atom: Atom, domain: Any) -> NDArray[np.bool_]:  # noqa: ANN401 -- Arrow text or an array of numbers
    """Answer one atom for each value of a domain; a number below 0 is null, to which every answer is no."""
    if isinstance(atom, Missing):
        return np.zeros(len(domain), bool)
    if isinstance(domain, np.ndarray):
        known: NDArray[np.bool_] = domain >= 0
        return known if isinstance(atom, Known) else known & compare(atom, domain)
    return np.ones(len(domain), bool) if isinstance(atom, Known) else _look(atom, domain)


def compare(atom: Compare, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Compare numbers with the atom's constants."""
    operators: dict[str, Any] = {
        "==": np.equal,
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
    }
    if atom.operator == "in":
        found: NDArray[np.bool_] = np.isin(numbers, np.array(atom.constants, np.int64))
        return found
    compared: NDArray[np.bool_] = operators[atom.operator](numbers, atom.constants[0])
    return compared


def _look(atom: Compare, domain: pa.Array) -> NDArray[np.bool_]:
    constant = str(atom.constants[0])
    looks: dict[str, Any] = {
        "startswith": lambda: pc.starts_with(domain, constant),
        "endswith": lambda: pc.ends_with(domain, constant),
        "contains": lambda: pc.match_substring(domain, constant),
    }
    if atom.operator in looks:
        found = looks[atom.operator]()
    else:
        found = pc.is_in(domain, value_set=pa.array(atom.constants, pa.string()))
    answers: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return answers


def encode(table: pa.Table, definition: Definition, population: Population | None = None) -> Facts:
    """Turn events into facts.

    Parameters
    ----------
    table : pyarrow.Table of shape (n_events, n_columns)
        With the columns of `schema.EVENTS` and `schema.DERIVED` that the log has.
    definition : Definition
        Says what is needed.
    population : Population, optional
        Says how rare values are; without it their rarity is null.
    """
    plan = definition.plan
    encoder = Encoder(table, definition, population)
    text, numbers = kept_fields(plan)
    line = repeated(NULL, len(table))
    if "line_number" in encoder.columns:
        line = pc.fill_null(table.column("line_number").cast(pa.int64()), NULL).to_numpy()
    return Facts(
        encoder.time,
        line,
        {name: encoder.text(name) for name in text},
        {name: encoder.number(name) for name in numbers},
        encoder.words(plan.early),
    )
