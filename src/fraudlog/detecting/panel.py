"""The panel: which voices `Detector` hears, and how far each is believed. A new voice is a new entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from fraudlog.detecting.accounts import Accounts
from fraudlog.detecting.baselines import Baselines
from fraudlog.detecting.coordination import Coordination
from fraudlog.detecting.facts import Facts
from fraudlog.detecting.oddness import Oddness

if TYPE_CHECKING:
    from collections.abc import Callable

    from fraudlog.detecting.voices import Parameters, Voice

__all__ = ["PANEL", "Seat"]


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


# Rare is not abusive: the two that call a session odd stay, even together, below the 0.5 of a challenge.
PANEL: Final[dict[str, Seat]] = {
    Facts.name: Seat(Facts, belief=None, ceiling=0.999),
    Oddness.name: Seat(Oddness, belief=0.45 / 0.55, ceiling=0.45),
    Accounts.name: Seat(Accounts, belief=1.0, ceiling=0.9),
    Baselines.name: Seat(Baselines, belief=0.15 / 0.85, ceiling=0.15),
    Coordination.name: Seat(Coordination, belief=1.0, ceiling=0.9),
}
"""The voices by name, in the order in which they are heard."""
