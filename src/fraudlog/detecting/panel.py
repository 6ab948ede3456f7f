"""The panel: which voices `Detector` hears, and how far each is believed. A new voice is a new entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fraudlog.detecting.accounts import Accounts
from fraudlog.detecting.baselines import Baselines
from fraudlog.detecting.coordination import Coordination
from fraudlog.detecting.facts import Facts
from fraudlog.detecting.feedback import Examples, Feedback
from fraudlog.detecting.fusion import Calibration, Chorus, Lead, Stated
from fraudlog.detecting.labels import Labelled
from fraudlog.detecting.likeness import Likeness
from fraudlog.detecting.oddness import Oddness
from fraudlog.detecting.reference import Reference, capped, suspects, trimmed
from fraudlog.detecting.voices import Row
from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.voices import Parameters, Voice

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

__all__ = ["CHORUS", "LEAD", "PANEL", "RARITIES", "Scales", "Seat", "scales_from", "scales_of", "settled"]

CHORUS: Final = "all"
"""Names the arrays of the voices together in the model file."""
LEAD: Final = "lead"
"""Names those of the voices that lead."""


class Seat(NamedTuple):
    """A voice's place on the panel.

    Parameters
    ----------
    make : callable
        Makes the voice, not yet fitted, of the detector's parameters.
    states : float or None
        Most risk it can give alone, where its strengths are risks already, stated by a table. None: they are measured
        against people's.
    is_oddness : bool
        Whether it only says that a session is rare. All such voices together stay below `ODDNESS`.
    """

    make: Callable[[Parameters], Voice]
    states: float | None = None
    is_oddness: bool = False


# Rare is not abusive: oddness alone stays below the 0.5 of a challenge.
PANEL: Final[dict[str, Seat]] = {
    Labelled.name: Seat(Labelled, states=0.95),
    Facts.name: Seat(Facts, states=0.999),
    Oddness.name: Seat(Oddness, is_oddness=True),
    Accounts.name: Seat(Accounts),
    Baselines.name: Seat(Baselines, is_oddness=True),
    Coordination.name: Seat(Coordination),
    Likeness.name: Seat(Likeness, is_oddness=True),
    Feedback.name: Seat(Feedback),
}
"""The voices by name, in the order in which they are heard."""

RARITIES: Final = frozenset(name for name, seat in PANEL.items() if seat.is_oddness)
"""Voices that say no more than that a session is rare."""

_OF_PEOPLE: Final = frozenset({Oddness.name, Baselines.name})
"""What is rare among people: these lead together where neither suspects nor labels can teach better."""
_HEARD_TWICE: Final = 0.02
"""What a voice taught by people may lack in AUROC on a few labels and still lead."""
_FEW: Final = 0.04
"""Share of suspects below which they are a few odd people rather than a sort of their own."""


class Scales(NamedTuple):
    """How loud each voice is heard, and all together.

    Parameters
    ----------
    of : dict of str to Calibration or Stated
    chorus : Chorus
        All measured voices together.
    lead : Lead
        Those that lead.
    """

    of: dict[str, Calibration | Stated]
    chorus: Chorus
    lead: Lead


def scales_of(
    voices: Mapping[str, Voice],
    sessions: pd.DataFrame,
    human: Bools,
    key: bytes,
    examples: Examples,
    *,
    likeness_leads: bool,
) -> tuple[Scales, dict[str, Floats]]:
    """Return what turns the voices' strengths into odds, and what each says of people it did not learn from.

    Voices are measured against the presumed-human sessions, at most a few of a source. Likeness leads where suspects
    are a sort of their own, else what is rare among people; and what people taught, where there are enough labels and
    it tells these apart as well.

    Parameters
    ----------
    voices : mapping of str to Voice
        Fitted on `sessions` and `human`.
    sessions : DataFrame of shape (n_sessions, n_columns)
    human : bool array of shape (n_sessions,)
    key : bytes
    examples : Examples
        Labelled sessions.
    likeness_leads : bool
        As `settled` says.
    """
    people = capped(sessions, human, key)
    held_out = {name: voice.held_out(sessions, people) for name, voice in voices.items()}
    leaders = _leaders(voices, examples, likeness_leads=likeness_leads)
    scales = {name: _scale(name, seat, held_out[name], leaders) for name, seat in PANEL.items()}
    own = {name: scale.heard_of_own(held_out[name]) for name, scale in scales.items() if isinstance(scale, Calibration)}
    lead = Lead.of(np.add.reduce([heard for name, heard in own.items() if name in leaders]))
    return Scales(scales, Chorus.of(np.add.reduce(list(own.values()))), lead), held_out


def _leaders(voices: Mapping[str, Voice], examples: Examples, *, likeness_leads: bool) -> frozenset[str]:
    if examples.are_enough:
        trust = {name: _trust_by_labels(voices[name], examples) for name in (*RARITIES, Feedback.name)}
        if max(trust.values()) <= trust[Feedback.name] + _HEARD_TWICE:
            return frozenset({Feedback.name})
    return frozenset({Likeness.name}) if likeness_leads else _OF_PEOPLE


def _scale(name: str, seat: Seat, held_out: Floats, leaders: frozenset[str]) -> Calibration | Stated:
    if seat.states is not None:
        return Stated(seat.states)
    if name in leaders or not seat.is_oddness:
        return Calibration.of(held_out, leads=name in leaders)
    return Calibration.following(held_out)


def _trust_by_labels(voice: Voice, examples: Examples) -> float:
    if isinstance(voice, Feedback):
        said = voice.cross_validated(examples)
    else:
        said = np.array([voice.judge_one(Row(values, {})).strength for values in examples.rows])
    fine = np.nan_to_num(said[~examples.is_abusive], nan=-np.inf)
    return Calibration.of(fine).trust(said[examples.is_abusive])


def scales_from(arrays: Mapping[str, Mapping[str, NDArray[Any]]]) -> Scales:
    """Build what `scales_of` gives, from arrays by voice that may come from anywhere.

    Raises
    ------
    ModelError
    """
    scales: dict[str, Calibration | Stated] = {
        name: Calibration.from_arrays(arrays[name]) if seat.states is None else Stated(seat.states)
        for name, seat in PANEL.items()
    }
    if not any(scale.leads for scale in scales.values() if isinstance(scale, Calibration)):
        raise ModelError("no voice leads: the model is damaged")
    return Scales(scales, Chorus.from_arrays(arrays[CHORUS]), Lead.from_arrays(arrays[LEAD]))


def settled(sessions: pd.DataFrame, parameters: Parameters, doubted: Bools) -> tuple[Reference, bool]:
    """Return whom to learn from: presumed human at first sight, less those who look like suspects at the second.

    With it comes whether there was a second look: whether suspects are a sort of their own, and not a few odd people,
    and enough for likeness to speak.

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
    first.check(parameters.min_reference)
    suspected = suspects(sessions)
    if suspected.sum() < _FEW * (suspected | first.human).sum():
        return first, False
    people, likeness = Oddness(parameters), Likeness(parameters)
    people.fit(sessions, first.human)
    likeness.after({people.name: people})
    likeness.fit(sessions, first.human)
    if likeness.abstains:
        return first, False
    every = np.ones(len(sessions), bool)
    second = first.without(sessions, trimmed(first, suspected, likeness.held_out(sessions, every)))
    second.check(parameters.min_reference)
    return second, True
