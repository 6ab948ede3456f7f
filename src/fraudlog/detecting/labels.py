"""What people said of sessions: a book of labels, and the voice that speaks of what a label names itself.

A label names a session, an account, a prefix or a profile, says whether it is abusive, who said so, and until when it
holds. It never becomes a feature. What is merely like labelled sessions is for `fraudlog.detecting.feedback`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, Self

import numpy as np

from fraudlog.detecting.entities import entity_token, entity_tokens, secret
from fraudlog.detecting.voices import Cause, Judgement, Opinion, Parameters, Row
from fraudlog.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["COLUMNS", "Label", "LabelBook", "Labelled"]

Kind = Literal["session", "user", "prefix", "profile"]

COLUMNS: Final[dict[str, str]] = {
    "session": "session_id",
    "user": "user",
    "prefix": "ip_prefix",
    "profile": "profile",
}
"""The column of sessions that each kind of label names a value of; the narrowest first, which wins over wider ones."""

_KINDS: Final[tuple[Kind, ...]] = tuple(COLUMNS)  # type: ignore[arg-type] # its keys are these
_NEVER: Final = np.iinfo(np.int64).max
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CODE: Final = "LABELLED_ABUSIVE"
_STATED: Final = 0.9


@dataclass(frozen=True, slots=True)
class Label:
    """What a person said.

    Parameters
    ----------
    kind : {"session", "user", "prefix", "profile"}
    value : str
        Which one, as it stands in the table of sessions.
    is_abusive : bool
        False: it is fine, and nothing is to be held against it.
    origin : str
        Who says so, or by what process; not a name of a person labelled.
    expires : datetime, optional
        Sessions that start later are not touched by it; aware.
    """

    kind: Kind
    value: str
    is_abusive: bool
    origin: str = ""
    expires: datetime | None = None

    def __post_init__(self) -> None:
        if self.kind not in COLUMNS:
            raise ConfigError(f"a label's kind is one of {', '.join(COLUMNS)}", parameter="labels")
        if self.expires is not None and self.expires.tzinfo is None:
            raise ConfigError("a label's expires needs a time zone", parameter="labels")


class _Entry(NamedTuple):
    """A label without what it names."""

    is_abusive: bool
    expires_us: int
    origin: str


@dataclass(eq=False)
class LabelBook:
    """Labels by kind and keyed token; of several on one thing the last counts."""

    key: bytes
    entries: dict[tuple[int, int], _Entry] = field(default_factory=dict)

    def add(self, labels: Iterable[Label]) -> None:
        """Take labels in.

        Raises
        ------
        ConfigError
            If one of them is no label; then none is taken in.
        """
        labels = list(labels)
        if strange := [type(label).__name__ for label in labels if not isinstance(label, Label)]:
            raise ConfigError(f"labels holds a {strange[0]}, not a Label", parameter="labels")
        for label in labels:
            expires = _NEVER if label.expires is None else int((label.expires - _EPOCH).total_seconds() * 1e6)
            place = self._place(label)
            self.entries.pop(place, None)
            self.entries[place] = _Entry(label.is_abusive, expires, label.origin)

    def remove(self, labels: Iterable[Label]) -> int:
        """Take labels back; returns how many were there."""
        return sum(self.entries.pop(self._place(label), None) is not None for label in labels)

    def _place(self, label: Label) -> tuple[int, int]:
        return _KINDS.index(label.kind), entity_token(label.value, self.key)

    def drop(self, tokens: Iterable[int]) -> None:
        """Forget all that was said of these sessions and accounts."""
        for token in tokens:
            for kind in range(len(_KINDS)):
                self.entries.pop((kind, int(token)), None)

    def of(self, tokens: Iterable[int]) -> list[tuple[Kind, _Entry]]:
        """Return what was said of these sessions and accounts."""
        places = [(kind, int(token)) for token in tokens for kind in range(len(_KINDS))]
        return [(_KINDS[place[0]], self.entries[place]) for place in places if place in self.entries]

    def expire(self, now: datetime) -> None:
        """Drop labels whose time is over."""
        limit = int((now - _EPOCH).total_seconds() * 1e6)
        self.entries = {place: entry for place, entry in self.entries.items() if entry.expires_us > limit}

    def verdicts(self, sessions: pd.DataFrame) -> NDArray[np.int8]:
        """Return, for each session, 1 where a label says abusive, -1 where it says fine, 0 where nobody said."""
        result = np.zeros(len(sessions), dtype=np.int8)
        if not self.entries:
            return result
        starts = sessions["start"].astype("datetime64[us, UTC]").astype("int64").to_numpy()
        for kind in sorted({kind for kind, _ in self.entries}, reverse=True):
            tokens = entity_tokens(sessions, COLUMNS[_KINDS[kind]], self.key)
            named = np.array([token for place, token in self.entries if place == kind], dtype=np.uint64)
            for row in np.flatnonzero(np.isin(tokens, named)).tolist():
                entry = self.entries[kind, int(tokens[row])]
                if starts[row] < entry.expires_us:
                    result[row] = 1 if entry.is_abusive else -1
        return result

    def verdict(self, row: Row) -> int:
        """Do what `verdicts` does for one."""
        if not self.entries:
            return 0
        for kind in sorted({kind for kind, _ in self.entries}):
            entry = self.entries.get((kind, entity_token(row.entities.get(COLUMNS[_KINDS[kind]]), self.key)))
            if entry is not None and _start_us(row) < entry.expires_us:
                return 1 if entry.is_abusive else -1
        return 0

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the labels as arrays of numbers; origins are written as text in bytes."""
        origins = "\n".join(entry.origin.replace("\n", " ") for entry in self.entries.values())
        return {
            "kind": np.array([kind for kind, _ in self.entries], dtype=np.uint8),
            "token": np.array([token for _, token in self.entries], dtype=np.uint64),
            "abusive": np.array([entry.is_abusive for entry in self.entries.values()], dtype=np.bool_),
            "expires": np.array([entry.expires_us for entry in self.entries.values()], dtype=np.int64),
            "origins": np.frombuffer(origins.encode(), dtype=np.uint8),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], key: bytes) -> LabelBook:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
        """
        kinds = {"kind": "u1", "token": "u8", "abusive": "b1", "expires": "i8", "origins": "u1"}
        shape = arrays["kind"].shape if "kind" in arrays else (-1,)
        for name, kind in kinds.items():
            array = arrays.get(name)
            if array is None or array.dtype.str[1:] != kind or (name != "origins" and array.shape != shape):
                raise ModelError(f"the model's labels.{name} is missing or misshapen: it is damaged")
        if (arrays["kind"] >= len(_KINDS)).any():
            raise ModelError("the model's labels.kind is out of range: it is damaged")
        origins = arrays["origins"].tobytes().decode("utf-8", "replace").split("\n")
        columns = (arrays[name].tolist() for name in ("kind", "token", "abusive", "expires"))
        rows = zip(*columns, strict=True)
        if len(origins) != max(1, len(arrays["kind"])):
            raise ModelError("the model's labels.origins does not fit: it is damaged")
        found = zip(rows, origins, strict=False)
        return cls(key, {(kind, token): _Entry(bad, until, origin) for (kind, token, bad, until), origin in found})


def _start_us(row: Row) -> int:
    """Return when a row's session started; what is not known is taken for long ago, so that a label holds."""
    start = row.entities.get("start")
    if start is None:
        return -_NEVER
    return int(start) if isinstance(start, int) else int((start - _EPOCH).total_seconds() * 1e6)


class Labelled:
    """What labels name themselves, as a voice that states a risk."""

    name: ClassVar[str] = "labels"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self.book = LabelBook(secret(self.parameters))

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Need none."""

    def fit(self, sessions: pd.DataFrame, human: Bools) -> Self:  # noqa: ARG002 -- the book is all there is
        """Learn nothing: labels come by themselves."""
        return self

    def held_out(self, sessions: pd.DataFrame, rows: Bools) -> Floats:  # noqa: ARG002 -- as above
        """Return 0: of a session nobody labelled, this voice knows nothing."""
        return np.zeros(int(rows.sum()))

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Return the risk stated of each session that a label calls abusive, else 0."""
        strength = np.where(self.book.verdicts(sessions) > 0, _STATED, 0.0)
        return Judgement(strength, _causes)

    def pardons(self, sessions: pd.DataFrame) -> Bools:
        """Say which sessions a label calls fine: no voice is heard against them."""
        return self.book.verdicts(sessions) < 0

    def pardons_one(self, row: Row) -> bool:
        """Do what `pardons` does for one."""
        return self.book.verdict(row) < 0

    def prepare(self) -> None:
        """Have nothing to prepare."""

    def judge_one(self, row: Row) -> Opinion:
        """Judge one session as `judge` does."""
        strength = _STATED if self.book.verdict(row) > 0 else 0.0
        return Opinion(strength, lambda: [Cause(_CODE, 1.0)])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the book."""
        return self.book.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range.
        """
        voice = cls(parameters)
        voice.book = LabelBook.from_arrays(arrays, voice.book.key)
        return voice


def _causes(rows: Sequence[int]) -> list[list[Cause]]:
    return [[Cause(_CODE, 1.0)] for _ in rows]
