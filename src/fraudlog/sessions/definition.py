"""What a session is and which features it has: the one thing that every evaluator reads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from fraudlog.errors import ConfigError
from fraudlog.sessions.fields import FIELDS
from fraudlog.sessions.language import parse
from fraudlog.sessions.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["CHECKPOINTS", "Definition", "Feature", "microseconds"]

Transform = Literal["log1p", "identity", "rank"]
Direction = Literal["high", "low", "both"]

CHECKPOINTS: Final = (1, 2, 3, 5, 10, 20, 50)
"""Events after which an as-of row is taken, besides the last."""

_MOST_EVENTS: Final = 65_535


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a session.

    Parameters
    ----------
    name : str
        Column name.
    expression : str
        How it is computed, in the language of `fraudlog.sessions.language`; empty if `function` says it.
    unit : str
        Unit of the value.
    family : str
        volume, tempo, mix, navigation, errors, identity, population, endpoints, cross, threats or own.
    meaning : str
        One phrase for a person.
    misses : str
        What it can't see, or takes for abuse wrongly.
    oat : tuple of str
        OWASP Automated Threats it speaks to.
    source : str
        Paper or standard it is taken from.
    spoofable : bool
        Whether a client can choose it freely.
    transform : str
        What a forest sees: ``log1p``, ``identity`` or ``rank``.
    suspicious : str
        Which end is odd: ``high``, ``low`` or ``both``.
    in_forest : bool
        Whether a forest sees it at all; what an agent merely claims is left to evidence.
    resolution_s : int
        Coarsest resolution of timestamps that carries it: 0 (finer than a second), 1 or 60 seconds.
    function : callable, optional
        Instead of an expression: takes the table of sessions with the features before it, gives one number a row.
    is_batch_only : bool
        Must be set with `function`: a live session can't call it, and says so.

    Examples
    --------
    >>> Feature("carts", "count(path.startswith('/cart'))", "requests", "own", "requests to the cart").needs
    ('path',)
    """

    name: str
    expression: str = ""
    unit: str = ""
    family: str = "own"
    meaning: str = ""
    misses: str = ""
    oat: tuple[str, ...] = ()
    source: str = ""
    spoofable: bool = False
    transform: Transform = "log1p"
    suspicious: Direction = "both"
    in_forest: bool = True
    resolution_s: Literal[0, 1, 60] = 60
    function: Callable[[pa.Table], NDArray[np.float64]] | None = field(default=None, repr=False)
    is_batch_only: bool = False

    def __post_init__(self) -> None:
        if bool(self.expression) == (self.function is not None):
            raise ConfigError(f"feature {self.name}: give an expression or a function, not both", parameter=self.name)
        if (self.function is not None) != self.is_batch_only:
            raise ConfigError(
                f"feature {self.name}: is_batch_only=True goes with a function, and with nothing else",
                parameter=self.name,
            )
        if self.resolution_s not in (0, 1, 60):
            raise ConfigError(f"feature {self.name}: resolution_s is 0, 1 or 60", parameter=self.name)
        if self.expression:
            parse(self.expression, name=f"feature {self.name}")

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of the events without which it is null, besides the time and the address."""
        words = "".join(c if c.isalnum() or c == "_" else " " for c in _without_text(self.expression)).split()
        columns = [column for word in words if word in FIELDS for column in FIELDS[word].needs]
        return tuple(dict.fromkeys(columns))


def _without_text(expression: str) -> str:
    """Blank out constants in quotes, whose words are no fields."""
    return "".join(part for i, part in enumerate(expression.replace('"', "'").split("'")) if i % 2 == 0)


def microseconds(value: pd.Timedelta | timedelta | str | float, parameter: str) -> int:
    """Read a length of time given as text (``30min``), timedelta or seconds.

    Raises
    ------
    ConfigError
        If it is none of these, or not above 0.
    """
    import pandas as pd  # noqa: PLC0415 -- only for its reading of text

    try:
        seconds = timedelta(seconds=value) if isinstance(value, (int, float)) else value
        parsed = pd.Timedelta(seconds)
    except ValueError:
        raise ConfigError(f"{parameter}: {value!r} is no length of time; 30min is one", parameter=parameter) from None
    us: int = parsed.value // 1000
    if us <= 0:
        raise ConfigError(f"{parameter} must be above 0; 30min is usual", parameter=parameter)
    return us


@dataclass(frozen=True)
class Definition:
    """Limits of a session, and its features.

    Parameters
    ----------
    features : tuple of Feature
        In the order of their columns.
    session_gap_us : int
        Longest silence inside a session.
    max_duration_us : int
        Longest session; the next event opens another, with ``piece`` one higher.
    max_events : int
        Most events of a session, at most 65,535; what follows opens another. Bounds memory and skew.
    own_statuses : frozenset of int
        Answers the service's own defence gives (403, 429, a challenge): no evidence, so their status reads as null.

    Examples
    --------
    >>> Definition((Feature("hits", "count()"),)).names
    ('hits',)
    """

    features: tuple[Feature, ...]
    session_gap_us: int = 30 * 60 * 1_000_000
    max_duration_us: int = 12 * 3600 * 1_000_000
    max_events: int = 10_000
    own_statuses: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"features {', '.join(sorted(twice))} stand twice", parameter="features")
        if not 1 <= self.max_events <= _MOST_EVENTS:
            raise ConfigError(f"max_events must be 1 to {_MOST_EVENTS:,}", parameter="max_events")
        if not self.session_gap_us <= self.max_duration_us < 1 << 41:
            raise ConfigError("max_duration must be at least session_gap and under 25 days", parameter="max_duration")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def plan(self) -> Plan:
        """What the evaluators have to do."""
        return Plan.of([(row.name, row.expression, row.resolution_s) for row in self.features if row.expression])

    @cached_property
    def digest(self) -> str:
        """Digest of all that changes a value; a model keeps it, and a service refuses another."""
        rows: list[Any] = [[row.name, row.expression, row.resolution_s] for row in self.features]
        limits = [self.session_gap_us, self.max_duration_us, self.max_events, sorted(self.own_statuses)]
        return hashlib.sha256(json.dumps(["fraudlog features 1", limits, rows]).encode()).hexdigest()

    def with_features(self, features: Iterable[Feature]) -> Definition:
        """Return the same with more features; one of a known name takes its place."""
        rows = {row.name: row for row in self.features} | {row.name: row for row in features}
        return replace(self, features=tuple(rows.values()))

    def only(self, names: Iterable[str]) -> Definition:
        """Return the same with the features of these names.

        Raises
        ------
        ConfigError
            If there is none of such a name.
        """
        rows = {row.name: row for row in self.features}
        if unknown := [name for name in names if name not in rows]:
            raise ConfigError(f"no features {', '.join(unknown)}; there are {', '.join(rows)}", parameter="features")
        return replace(self, features=tuple(rows[name] for name in names))
