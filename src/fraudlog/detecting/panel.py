"""The panel: which voices `Detector` hears, and how far each is believed. A new voice is a new entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fraudlog.detecting.accounts import Accounts
from fraudlog.detecting.baselines import Baselines
from fraudlog.detecting.coordination import Coordination
from fraudlog.detecting.facts import Facts
from fraudlog.detecting.feedback import Examples, Feedback
from fraudlog.detecting.fusion import ODDNESS, Calibration, Stated, odds_of_risk
from fraudlog.detecting.labels import Labelled
from fraudlog.detecting.likeness import Likeness
from fraudlog.detecting.oddness import Oddness
from fraudlog.detecting.reference import Reference, capped, suspects, trimmed
from fraudlog.detecting.voices import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.voices import Parameters, Voice

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

__all__ = ["PANEL", "RARITIES", "Seat", "scale_from", "scales_of", "settled"]


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
    is_oddness : bool
        Whether it only says that a session is rare. All such voices together stay below `ODDNESS`.
    """

    make: Callable[[Parameters], Voice]
    belief: float | None
    ceiling: float
    is_oddness: bool = False


# Rare is not abusive: oddness alone stays below the 0.5 of a challenge, and a session among its own kind far below.
PANEL: Final[dict[str, Seat]] = {
    Labelled.name: Seat(Labelled, belief=None, ceiling=0.95),
    Facts.name: Seat(Facts, belief=None, ceiling=0.999),
    Oddness.name: Seat(Oddness, belief=odds_of_risk(ODDNESS), ceiling=ODDNESS, is_oddness=True),
    Accounts.name: Seat(Accounts, belief=1.0, ceiling=0.9),
    Baselines.name: Seat(Baselines, belief=odds_of_risk(0.1), ceiling=0.1, is_oddness=True),
    Coordination.name: Seat(Coordination, belief=1.0, ceiling=0.9),
    Likeness.name: Seat(Likeness, belief=odds_of_risk(ODDNESS), ceiling=ODDNESS, is_oddness=True),
    Feedback.name: Seat(Feedback, belief=9.0, ceiling=0.9),
}
"""The voices by name, in the order in which they are heard."""

RARITIES: Final = frozenset(name for name, seat in PANEL.items() if seat.is_oddness)
"""Voices that say no more than that a session is rare."""


_HEARD_TWICE: Final = 0.02
"""What a voice taught by people may lack in AUROC on a few labels and still lead."""


def scales_of(
    voices: Mapping[str, Voice], sessions: pd.DataFrame, human: Bools, key: bytes, examples: Examples
) -> tuple[dict[str, Calibration | Stated], dict[str, Floats]]:
    """Return what turns each voice's strengths into odds, and what each says of people it did not learn from.

    Voices are measured against the presumed-human sessions, at most a few of a source; the one that best tells the
    suspects from those leads, or, where there are enough labels, the one that best tells these apart; the first of the
    panel where there are neither.

    Parameters
    ----------
    voices : mapping of str to Voice
        Fitted on `sessions` and `human`.
    sessions : DataFrame of shape (n_sessions, n_columns)
    human : bool array of shape (n_sessions,)
    key : bytes
    examples : Examples
        Labelled sessions.
    """
    people, doubtful = capped(sessions, human, key), capped(sessions, suspects(sessions), key)
    measured = {name: seat.belief for name, seat in PANEL.items() if seat.belief is not None}
    held_out = {name: voice.held_out(sessions, people) for name, voice in voices.items()}
    if examples.are_enough:
        trust = {name: _trust_by_labels(voices[name], examples) for name in measured}
    else:
        trust = {
            name: Calibration.of(held_out[name], belief, 0.0).trust(voices[name].held_out(sessions, doubtful))
            for name, belief in measured.items()
        }
    leader = max(trust, key=lambda name: trust[name] + (_HEARD_TWICE if name == Feedback.name else 0.0))
    stated: dict[str, Calibration | Stated] = {
        name: Stated(seat.ceiling) for name, seat in PANEL.items() if seat.belief is None
    }
    calibrated = {
        name: Calibration.of(held_out[name], belief, PANEL[name].ceiling, leads=name == leader)
        for name, belief in measured.items()
    }
    return stated | calibrated, held_out


def _trust_by_labels(voice: Voice, examples: Examples) -> float:
    if isinstance(voice, Feedback):
        said = voice.cross_validated(examples)
    else:
        said = np.array([voice.judge_one(Row(values, {})).strength for values in examples.rows])
    fine = np.nan_to_num(said[~examples.is_abusive], nan=-np.inf)
    return Calibration.of(fine, 1.0, 0.0).trust(said[examples.is_abusive])


def scale_from(seat: Seat, arrays: Mapping[str, NDArray[Any]]) -> Calibration | Stated:
    """Build what `scales_of` gives one voice, from arrays that may come from anywhere.

    Raises
    ------
    ModelError
    """
    if seat.belief is None:
        return Stated(seat.ceiling)
    return Calibration.from_arrays(arrays, seat.belief, seat.ceiling)


def settled(sessions: pd.DataFrame, parameters: Parameters, doubted: Bools) -> Reference:
    """Return whom to learn from: presumed human at first sight, less those who look like suspects at the second.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
    parameters : Parameters
    doubted : bool array of shape (n_sessions,)
        Rows that were flagged before or labelled abusive: they are not learnt as usual.

    Raises
    ------
    ConfigError
        If too few are left.
    """
    sighted = Reference.of(sessions)
    first = sighted.without(sessions, doubted)
    first.check()
    people, likeness = Oddness(parameters), Likeness(parameters)
    people.fit(sessions, first.human)
    likeness.after({people.name: people})
    likeness.fit(sessions, first.human)
    every = np.ones(len(sessions), bool)
    second = first.without(sessions, trimmed(first, suspects(sessions), likeness.held_out(sessions, every)))
    second.check()
    return second
