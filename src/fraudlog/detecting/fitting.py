"""What a detector knows once it has learnt, and the learning: a function of the rows and the parameters alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

import numpy as np

from fraudlog.detecting.entities import entity_tokens, secret
from fraudlog.detecting.facts import Facts
from fraudlog.detecting.feedback import Examples, Feedback
from fraudlog.detecting.hearing import Hearing
from fraudlog.detecting.labels import Labelled
from fraudlog.detecting.oddness import Oddness
from fraudlog.detecting.panel import scales_of, settled
from fraudlog.detecting.voices import PLACES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.labels import LabelBook
    from fraudlog.detecting.voices import Parameters, Voice

    Floats = NDArray[np.float64]

__all__ = ["Fitted", "Told", "fit_voices", "voice_of"]

_GRID: Final = 1001
_Kind = TypeVar("_Kind", Labelled, Feedback, Facts)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What fitting gives.

    Attributes
    ----------
    hearing : Hearing
        The voices and how far each is heard.
    reference_size, sessions_seen : int
        Presumed-human sessions it learnt from, and all there were.
    reference_warning : str or None
        What a person should know where few are presumed human.
    window : tuple of str
        Start of the first and end of the last session, in ISO 8601.
    human_risk : float64 array
        Risks of presumed-human sessions by voices that did not learn from them, rising.
    grids : dict of str to float64 array
        Quantiles of anomaly score and risk, for drift.
    sessions : DataFrame or None
        What it learnt from; none, if it was saved without.
    """

    hearing: Hearing
    reference_size: int
    sessions_seen: int
    reference_warning: str | None
    window: tuple[str, str]
    human_risk: Floats
    grids: dict[str, Floats]
    sessions: pd.DataFrame | None


@dataclass(slots=True)
class Told:
    """What people told a detector: labels, the labelled sessions, and keyed tokens of sessions flagged before."""

    book: LabelBook
    flagged: NDArray[np.uint64]
    examples: pd.DataFrame | None = None

    def lessons(self) -> Examples:
        """Return the labelled sessions as the voice of feedback takes them."""
        if self.examples is None:
            return Examples(np.zeros((0, len(PLACES))), np.zeros(0, np.bool_))
        verdicts = self.book.verdicts(self.examples)
        values = self.examples.reindex(columns=list(PLACES)).to_numpy(np.float64)
        return Examples(values[verdicts != 0], verdicts[verdicts != 0] > 0)

    def add_examples(self, later: pd.DataFrame) -> None:
        """Take the labelled ones among these sessions in; of a session given twice the later row counts."""
        import pandas as pd  # noqa: PLC0415 -- loading a model does not need it

        labelled = later[self.book.verdicts(later) != 0]
        if self.examples is not None and len(self.examples):
            keys = [name for name in ("session_id", "checkpoint") if name in labelled.columns]
            both = pd.concat([self.examples, labelled], ignore_index=True)
            labelled = both.drop_duplicates(keys, keep="last")
        self.examples = labelled


def fit_voices(sessions: pd.DataFrame, voices: dict[str, Voice], parameters: Parameters, told: Told) -> Fitted:
    """Fit every voice to the presumed-human sessions, and how far each is to be heard.

    Raises
    ------
    ConfigError
        If fewer than `Parameters.min_reference` sessions are presumed human.
    """
    key = secret(parameters)
    doubted = told.book.verdicts(sessions) > 0
    doubted |= np.isin(entity_tokens(sessions, "session_id", key), told.flagged)
    reference, likeness_leads = settled(sessions, parameters, doubted)
    human, lessons = reference.human, told.lessons()
    voice_of(voices, Labelled).book = told.book
    voice_of(voices, Facts).doubted = doubted
    for voice in voices.values():
        voice.after(voices)
    for voice in voices.values():
        voice.fit(sessions, human)
    voice_of(voices, Feedback).learn(lessons)
    scales, held_out = scales_of(voices, sessions, human, key, lessons, likeness_leads=likeness_leads)
    hearing = Hearing(voices, scales, _quantiles(sessions[reference.finished]))
    unseen = {name: voice.held_out(sessions, reference.finished) for name, voice in voices.items()}
    return Fitted(
        hearing=hearing,
        reference_size=reference.size,
        sessions_seen=reference.seen,
        reference_warning=reference.warning,
        window=(sessions["start"].min().isoformat(), sessions["end"].max().isoformat()),
        human_risk=np.sort(hearing.risk_of_own(held_out)),
        grids={"anomaly_score": _grid(unseen[Oddness.name]), "risk": _grid(hearing.risk(unseen))},
        sessions=sessions,
    )


def voice_of(voices: Mapping[str, Voice], kind: type[_Kind]) -> _Kind:
    """Return the voice of this kind."""
    return cast("_Kind", voices[kind.name])


def _quantiles(sessions: pd.DataFrame) -> dict[str, Floats]:
    """Return at most 1,001 quantiles of each feature over all sessions, abusive ones too."""
    grids = {}
    for name in (name for name in sessions.columns if name in PLACES):
        known = sessions[name].dropna().to_numpy(np.float64)
        if len(known):
            grids[name] = _grid(known)
    return grids


def _grid(values: Floats) -> Floats:
    ranks = np.linspace(0, 1, min(_GRID, len(values)))
    grid: Floats = np.quantile(values, ranks, method="inverted_cdf")
    return grid
