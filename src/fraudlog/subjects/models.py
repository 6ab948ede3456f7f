"""The configuration's own model, which may have learnt from the person too."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from fraudlog.detecting import Detector
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from fraudlog.subjects.persons import Person

__all__ = ["Forgotten", "forget_in_model"]

_OWNERS = ("user", "client_ip")


@dataclass(frozen=True)
class Forgotten:
    """What came of it.

    Attributes
    ----------
    n_rows : int
        Rows that were the person's; -1 if the file keeps none, so that nobody can tell.
    notes : tuple of str
        What is left to do by hand.
    data : bytes or None
        The model without them, if it knew them.
    """

    n_rows: int
    notes: tuple[str, ...] = ()
    data: bytes | None = None


def forget_in_model(path: Path, person: Person, sessions: Collection[str]) -> Forgotten:
    """Let the model in a file forget a person; the file stays, for `fraudlog.jobs.forgetting` to replace.

    Models that the job made itself are learnt anew by the replay.

    Parameters
    ----------
    path : Path
    person : Person
    sessions : collection of str
        Their sessions.
    """
    detector = Detector.load(path)
    owners = [name for column in _OWNERS for name in sorted(person.pseudonyms.get(column, ()))]
    try:
        n_rows = detector.forget(*owners, session_ids=sorted(sessions))
    except ConfigError:
        return Forgotten(
            -1,
            (f"{path.name} was saved without the sessions it learnt from: if the person was among them, fit it anew",),
        )
    if not n_rows:
        return Forgotten(0)
    file = BytesIO()
    detector.save(file, training=True)
    return Forgotten(n_rows, data=file.getvalue())
