"""The configuration's own model, which may have learnt from the person too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fraudlog.detecting import Detector
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from fraudlog.subjects.persons import Person

__all__ = ["forget_in_model"]

_OWNERS = ("user", "client_ip")


def forget_in_model(path: Path, person: Person, sessions: Collection[str]) -> tuple[int, tuple[str, ...]]:
    """Let the model in a file forget a person, and write it anew if it knew them.

    Models that the job made itself are learnt anew by the replay.

    Parameters
    ----------
    path : Path
    person : Person
    sessions : collection of str
        Their sessions.

    Returns
    -------
    n_rows : int
        Rows that were theirs; -1 if the file keeps none, so that nobody can tell.
    notes : tuple of str
        What is left to do by hand.
    """
    detector = Detector.load(path)
    owners = [name for column in _OWNERS for name in sorted(person.pseudonyms.get(column, ()))]
    try:
        n_rows = detector.forget(*owners, session_ids=sorted(sessions))
    except ConfigError:
        return -1, (
            f"{path.name} was saved without the sessions it learnt from: if the person was among them, fit it anew",
        )
    if n_rows:
        detector.save(path, training=True)
    return n_rows, ()
