"""The panel: which voices `Detector` hears, and how far each is believed. A new voice is a new entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fraudlog.detecting.accounts import Accounts
from fraudlog.detecting.coordination import Coordination
from fraudlog.detecting.facts import Facts
from fraudlog.detecting.fusion import Calibration, Stated
from fraudlog.detecting.likeness import Likeness
from fraudlog.detecting.oddness import Oddness
from fraudlog.detecting.reference import Reference, suspects, trimmed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.voices import Parameters, Voice

    Floats = NDArray[np.float64]

__all__ = ["PANEL", "Seat", "scale_from", "scale_of", "settled"]


class Seat(NamedTuple):
    """A voice's place on the panel.

    Parameters
    ----------
    make : callable
        Makes the voice, not yet fitted, of the detector's parameters.
    belief : float or None
        Odds of abuse that it gives a session as striking as one presumed human in 1,000. None: its strengths are
        risks already, stated by a table, and need no calibration.
    ceiling : float
        Most risk it can give alone.
    """

    make: Callable[[Parameters], Voice]
    belief: float | None
    ceiling: float


# Rare is not abusive: oddness alone stays below the 0.5 of a challenge.
PANEL: Final[dict[str, Seat]] = {
    Facts.name: Seat(Facts, belief=None, ceiling=0.999),
    Oddness.name: Seat(Oddness, belief=0.45 / 0.55, ceiling=0.45),
    Accounts.name: Seat(Accounts, belief=1.0, ceiling=0.9),
    Coordination.name: Seat(Coordination, belief=1.0, ceiling=0.9),
    Likeness.name: Seat(Likeness, belief=0.45 / 0.55, ceiling=0.45),
}
"""The voices by name, in the order in which they are heard."""


def scale_of(seat: Seat, held_out: Floats) -> Calibration | Stated:
    """Return what turns a voice's strengths into odds, given what it says of people it did not learn from."""
    return Stated(seat.ceiling) if seat.belief is None else Calibration.of(held_out, seat.belief, seat.ceiling)


def scale_from(seat: Seat, arrays: Mapping[str, NDArray[Any]]) -> Calibration | Stated:
    """Build it from arrays that may come from anywhere.

    Raises
    ------
    ModelError
    """
    return Stated(seat.ceiling) if seat.belief is None else Calibration.from_arrays(arrays, seat.ceiling)


def settled(sessions: pd.DataFrame, parameters: Parameters) -> Reference:
    """Return whom to learn from: presumed human at first sight, less those who look like suspects at the second.

    Raises
    ------
    ConfigError
        If too few are left.
    """
    first = Reference.of(sessions)
    first.check()
    people, likeness = Oddness(parameters), Likeness(parameters)
    people.fit(sessions, first.human)
    likeness.after({people.name: people})
    likeness.fit(sessions, first.human)
    second = first.without(sessions, trimmed(first, suspects(sessions), likeness.unseen(sessions)))
    second.check()
    return second
