"""What a voice is: one of the judges whose opinions `Detector` fuses into a risk.

A voice learns from a table of sessions and then says of any session how much it speaks against it, or abstains. Its
opinion of a row depends on that row and on what was learnt alone, never on the other rows of the frame: so a service
that asks about one row and a job that asks about a million get the same bits. A new voice is a class with these
methods and one entry in `fraudlog.detecting.panel.PANEL`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol, Self

from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["PLACES", "Cause", "Judgement", "Opinion", "Parameters", "Row", "Voice"]

PLACES: Final[dict[str, int]] = {row.name: place for place, row in enumerate(FEATURES)}
"""Where each feature of the catalogue stands in `Row.features`."""


@dataclass(slots=True)
class Row:
    """One session, as a service has it.

    Parameters
    ----------
    features : float64 array of shape (len(FEATURES),)
        Features in the order of the catalogue, NaN where unknown; `PLACES` says which is where.
    entities : mapping of str to object
        What else is known, by the columns of `fraudlog.schema.SESSIONS`: user, ip_prefix, profile ... None is null.
    memo : dict
        What voices have found out of this row, for those after them.
    """

    features: Floats
    entities: Mapping[str, Any]
    memo: dict[str, Any] = field(default_factory=dict)


class Cause(NamedTuple):
    """One part of what a voice says of one session.

    Parameters
    ----------
    code : str
        Stable code.
    share : float
        Its share of the voice's strength; the causes of one session add up to 1.
    feature : str or None
        Feature a reader should look at.
    value : float
        What that feature is; NaN where unknown.
    oat : str or None
        OWASP Automated Threat.
    """

    code: str
    share: float
    feature: str | None = None
    value: float = float("nan")
    oat: str | None = None


class Judgement(NamedTuple):
    """What a voice says of the sessions of a frame.

    Parameters
    ----------
    strength : float64 array of shape (n_sessions,)
        Higher is more suspicious; NaN where the voice abstains.
    causes : callable
        Takes positions of rows and returns the causes of each, heaviest first. Asked only for rows the voice is
        heard on, so it may be dear.
    certainty : float64 array of shape (n_sessions,), optional
        Factor 0..1 on the confidence, as where many people stand behind one address.
    """

    strength: Floats
    causes: Callable[[Sequence[int]], list[list[Cause]]]
    certainty: Floats | None = None


class Opinion(NamedTuple):
    """What a voice says of one session: `Judgement` for one row."""

    strength: float
    causes: Callable[[], list[Cause]]
    certainty: float = 1.0


class Parameters(NamedTuple):
    """What `Detector` was told; every voice takes from it what it needs.

    Parameters
    ----------
    n_estimators : int
    max_samples : int or str
    random_state : int
    key : bytes or None
        Secret of the operator, at most 64 bytes: under it owners become tokens and rows are drawn.
    min_reference : int
        Presumed-human sessions without which nothing is learnt.
    """

    n_estimators: int = 200
    max_samples: int | str = "auto"
    random_state: int = 0
    key: bytes | None = None
    min_reference: int = 50


class Voice(Protocol):
    """One judge."""

    name: ClassVar[str]
    """Short, lower case: names its arrays in the model file."""

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Take what it needs of the voices before it on the panel: called before `fit`, and after `from_arrays`."""
        ...

    def fit(self, sessions: pd.DataFrame, human: Bools) -> Self:
        """Learn from all sessions, knowing which are presumed human; the same rows give the same bits.

        Parameters
        ----------
        sessions : DataFrame of shape (n_sessions, n_columns)
            As from `fraudlog.build_sessions`; with ``checkpoint`` and ``is_last`` where rows are as of an event.
        human : bool array of shape (n_sessions,)
        """
        ...

    def held_out(self, sessions: pd.DataFrame, rows: Bools) -> Floats:
        """Return the strength of some rows, as said by a voice that did not learn from their owners.

        Called after `fit`, with the same sessions. A voice that learns nothing of single rows gives `judge`.

        Returns
        -------
        float64 array of shape (rows.sum(),)
            NaN where it abstains.
        """
        ...

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Judge every session of a frame."""
        ...

    def prepare(self) -> None:
        """Make ready to judge single rows as fast as can be: called once when a service starts."""
        ...

    def judge_one(self, row: Row) -> Opinion:
        """Judge one session, bit for bit as `judge` does, without pandas."""
        ...

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learnt as arrays of numbers, by lower-case names with dots between."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range.
        """
        ...
