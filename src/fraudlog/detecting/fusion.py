"""Fusion: many voices, one risk.

Each measured voice becomes a conformal p-value: the share of held-out presumed-human sessions that it finds at least as
suspicious [1]_. With n of them no p-value is below 1 / (n + 1): beyond what was seen nothing is claimed. What voices
say is added up as ``-ln p`` (Fisher [2]_), and the sum is measured against the sums of the same held-out people: a
p-value of its own. So nothing is assumed of how voices depend on each other; however much two of them repeat each
other, of people no larger share reaches a sum than did before.

That p-value becomes a bet against the session being human, ``1 / sqrt(p) - 1``, at most a calibrator from p-values to
e-values [3]_ doubled. The factor in front is the odds at which the bet is believed. What evidence and labels state is
added, the merge of e-values that holds under any dependence [3]_: the sum is the odds of abuse, and ``risk = odds /
(1 + odds)``. A voice's part of the risk is its part of the odds, and the parts add up.

A sum is only as good as the worst of its parts. So of the voices that say no more than that a session is rare some
lead, and are heard over their whole range; the others only where they find a session more striking than 49 in 50
people, so that none of them can blur the order the leaders give to the rest. A voice that knows more than that is
silent by itself about most people.

Where nothing is striking, for which no more is told against a session than is of 1 in 50 people, the leaders alone give
the order: from the typical person's p-value of 1/2 down to 1/10, where it becomes a reason, -ln p takes a session up to
the odds of that 1 in 50, and no further. So the order of the bulk, which is most of the AUROC, is that of whoever tells
suspects from people best, and never lifts a session over one that was found.

References
----------
.. [1] Vovk, Gammerman, Shafer: "Algorithmic Learning in a Random World", 2005; for anomalies Laxhammar, Falkman 2010.
.. [2] Fisher: "Statistical Methods for Research Workers", 4th ed., 1932, section 21.1.
.. [3] Vovk, Wang: "E-values: calibration, combination and applications", Annals of Statistics 49 (2021), 1736-1754.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import isnan, log
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np

from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["ODDNESS", "Calibration", "Chorus", "Lead", "Stated", "odds_of_risk"]

ODDNESS: Final = 0.45
"""Most risk of oddness alone, below the 0.5 of a challenge: rare is not abusive."""

_TOLD: Final = 0.1

_FEW: Final = 50.0
_FOLLOWS: Final = log(_FEW)
"""What a voice must say, as -ln p, to be heard where another leads."""

_STRIKING: Final = log(10.0)
"""What is less striking than p = 1 / 10 is shared by too many to be a reason."""

_ANY: Final = 5e-324
"""The least there is."""

_BELIEF: Final = 2.0
"""Odds of abuse of a session whose voices together are as striking as those of one presumed human in 1,000."""

_RARE: Final = 1000.0**0.5 - 1.0

_BULK: Final = _BELIEF * (_FEW**0.5 - 1.0) / _RARE
"""Odds of what 1 in 50 people reaches: what is not striking stays below, whoever leads."""

_USUAL: Final = log(2.0)
"""The typical person's -ln p; who is still more usual is no better than that."""

_LEFT: Final = 0.02
_ODD: Final = ODDNESS - 0.01
"""What is left of it for the grain."""

_MOST: Final = 9.0
"""Most odds of what is measured: a risk of 0.9."""

_GRAIN: Final = 0.001
"""Odds for each unit of what the leaders say: keeps the order of sessions that are as striking as can be."""


def odds_of_risk(risk: float) -> float:
    """Return ``risk / (1 - risk)``.

    >>> odds_of_risk(0.5)
    1.0
    """
    return risk / (1.0 - risk)


class Calibration(NamedTuple):
    """What a voice says of held-out people, and so how loud it is heard.

    Parameters
    ----------
    ordered : float64 array of shape (n,)
        Strengths of the presumed-human sessions, rising.
    leads : bool
        Whether it leads.
    silent : float
        What it says up to which it is not heard, as -ln p.
    levels : list of float
        `ordered` for single look-ups.
    said : float64 array of shape (n + 1,)
        What is heard of a session that k people are at least as suspicious as, by k.
    worth_naming : float
        What it must say to be explained.
    """

    ordered: Floats
    leads: bool
    silent: float
    levels: list[float]
    said: Floats
    worth_naming: float

    @property
    def told_from(self) -> float:
        """Risk from which on it is asked for its causes, which are dear: what is below is nobody's concern."""
        return _TOLD

    @classmethod
    def of(cls, held_out: Floats, *, leads: bool = True, silent: float = 0.0) -> Calibration:
        """Take what a voice said of held-out people; where it abstained it says nothing here either."""
        ordered = np.sort(held_out[~np.isnan(held_out)])
        size = len(ordered)
        said = -np.log(np.arange(1.0, size + 2.0) / (size + 1.0))
        heard = np.maximum(said - silent, 0.0)
        return cls(ordered, leads, silent, ordered.tolist(), heard, _STRIKING if leads else _ANY)

    @classmethod
    def following(cls, held_out: Floats) -> Calibration:
        """Do so for a voice that does not lead, and only says that a session is rare."""
        return cls.of(held_out, leads=False, silent=_FOLLOWS)

    def trust(self, suspects: Floats) -> float:
        """Return how well the voice tells suspects from people: the AUROC, 0..1; an abstention is no suspicion."""
        if not len(suspects) or not len(self.ordered):
            return 0.0
        said = np.where(np.isnan(suspects), -np.inf, suspects)
        below = np.searchsorted(self.ordered, said, side="left") + np.searchsorted(self.ordered, said, side="right")
        return float(below.mean() / (2.0 * len(self.ordered)))

    def p_values(self, strength: Floats) -> Floats:
        """Return the share of people at least as suspicious, 1 where the voice abstains."""
        p_values: Floats = (self._at_least(strength) + 1).astype(np.float64) / (len(self.levels) + 1.0)
        return p_values

    def _at_least(self, strength: Floats) -> NDArray[np.intp]:
        size = len(self.levels)
        return np.where(np.isnan(strength), size, size - np.searchsorted(self.ordered, strength, side="left"))

    def heard(self, strength: Floats) -> Floats:
        """Return what is heard of the voice, as -ln p; 0 where it abstains."""
        heard: Floats = self.said[self._at_least(strength)]
        return heard

    def heard_of_own(self, held_out: Floats) -> Floats:
        """Return what is heard of those it is calibrated on, each measured against the others alone."""
        heard: Floats = self.said[np.where(np.isnan(held_out), len(self.levels), self._at_least(held_out) - 1)]
        return heard

    def heard_one(self, strength: float) -> float:
        """Do what `heard` does for one, to the same bits."""
        size = len(self.levels)
        return float(self.said[size if isnan(strength) else size - bisect_left(self.levels, strength)])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_arrays` takes."""
        return {"ordered": self.ordered, "leads": np.array([self.leads]), "silent": np.array([self.silent])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Calibration:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or not in order.
        """
        leads, silent = arrays.get("leads"), arrays.get("silent")
        if leads is None or leads.dtype != np.bool_ or leads.shape != (1,):
            raise ModelError("a calibration is missing or misshapen: the model is damaged")
        if silent is None or silent.dtype != np.float64 or silent.shape != (1,) or not silent[0] >= 0:
            raise ModelError("a calibration is missing or misshapen: the model is damaged")
        return cls.of(_in_order(arrays), leads=bool(leads[0]), silent=float(silent[0]))


class Chorus(NamedTuple):
    """What the measured voices say together of held-out people, and so the odds they are worth.

    Parameters
    ----------
    ordered : float64 array of shape (n,)
        Sums over the voices of what is heard of each presumed-human session, rising.
    levels : list of float
        `ordered` for single look-ups.
    worth : float64 array of shape (n + 1,)
        Odds of a session that k people are at least as suspicious as, by k.
    """

    ordered: Floats
    levels: list[float]
    worth: Floats

    @classmethod
    def of(cls, sums: Floats) -> Chorus:
        """Take the sums of held-out people."""
        ordered, size = np.sort(sums), len(sums)
        p_values = np.arange(1.0, size + 2.0) / (size + 1.0)
        return cls(ordered, ordered.tolist(), _BELIEF * (1.0 / np.sqrt(p_values) - 1.0) / _RARE)

    def odds(self, together: Floats, known: Floats) -> Floats:
        """Return the odds of abuse.

        Parameters
        ----------
        together : float64 array of shape (n_sessions,)
            The sum over all voices.
        known : float64 array of shape (n_sessions,)
            The sum over those that say more than that a session is rare. What the others add to the odds of these
            stays below what oddness may be worth.
        """
        size = len(self.levels)
        both = self.worth[size - np.searchsorted(self.ordered, together, side="left")]
        alone = self.worth[size - np.searchsorted(self.ordered, known, side="left")]
        capped: Floats = np.minimum(np.minimum(both, alone + odds_of_risk(_ODD)), _MOST)
        return capped

    def odds_one(self, together: float, known: float) -> float:
        """Do what `odds` does for one, to the same bits."""
        size = len(self.levels)
        both = float(self.worth[size - bisect_left(self.levels, together)])
        alone = float(self.worth[size - bisect_left(self.levels, known)])
        return min(both, alone + odds_of_risk(_ODD), _MOST)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_arrays` takes."""
        return {"ordered": self.ordered}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Chorus:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If the array is missing, misshapen or not in order.
        """
        return cls.of(_in_order(arrays))


class Lead(NamedTuple):
    """What the leaders say together of held-out people, and so the order of the sessions of which nothing is striking.

    Parameters
    ----------
    ordered : float64 array of shape (n,)
        Sums over the leaders of what is heard of each presumed-human session, rising.
    levels : list of float
        `ordered` for single look-ups.
    bulk : float64 array of shape (n + 1,)
        Odds of a session that k people are at least as suspicious as, by k, where nothing about it is striking.
    """

    ordered: Floats
    levels: list[float]
    bulk: Floats

    @classmethod
    def of(cls, sums: Floats) -> Lead:
        """Take the sums of held-out people."""
        ordered, size = np.sort(sums), len(sums)
        said = -np.log(np.arange(1.0, size + 2.0) / (size + 1.0))
        bulk = _BULK * np.clip((said - _USUAL) / (_STRIKING - _USUAL), 0.0, 1.0)
        return cls(ordered, ordered.tolist(), bulk)

    def lifts(self, lead: Floats, told: Floats) -> Floats:
        """Return the odds that the order of the bulk adds to those of all that was told: at most up to `_BULK`."""
        size = len(self.levels)
        bulk = self.bulk[size - np.searchsorted(self.ordered, lead, side="left")]
        lifted: Floats = np.minimum(bulk, np.maximum(_BULK - told, 0.0)) + np.minimum(_GRAIN * lead, _LEFT)
        return lifted

    def lifts_one(self, lead: float, told: float) -> float:
        """Do what `lifts` does for one, to the same bits."""
        bulk = float(self.bulk[len(self.levels) - bisect_left(self.levels, lead)])
        return min(bulk, max(_BULK - told, 0.0)) + min(_GRAIN * lead, _LEFT)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_arrays` takes."""
        return {"ordered": self.ordered}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Lead:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If the array is missing, misshapen or not in order.
        """
        return cls.of(_in_order(arrays))


def _in_order(arrays: Mapping[str, NDArray[Any]]) -> Floats:
    ordered = arrays.get("ordered")
    if ordered is None or ordered.dtype != np.float64 or ordered.ndim != 1:
        raise ModelError("a calibration is missing or misshapen: the model is damaged")
    if np.isnan(ordered).any() or not (np.diff(ordered) >= 0).all():
        raise ModelError("a calibration is out of order: the model is damaged")
    return ordered


@dataclass(frozen=True, slots=True)
class Stated:
    """A voice whose strengths are risks already, by a table.

    Parameters
    ----------
    most : float
        Most risk it can give alone.
    """

    most: float

    worth_naming: ClassVar[float] = 0.0
    told_from: ClassVar[float] = 0.0
    """Whatever it says is a reason."""

    def heard(self, strength: Floats) -> Floats:
        """Return the odds of abuse that the voice states."""
        risk = np.minimum(np.where(np.isnan(strength), 0.0, strength), self.most)
        return risk / (1.0 - risk)

    def heard_of_own(self, held_out: Floats) -> Floats:
        """Do what `heard` does: nothing is measured."""
        return self.heard(held_out)

    def heard_one(self, strength: float) -> float:
        """Do what `heard` does for one, to the same bits."""
        return odds_of_risk(min(0.0 if isnan(strength) else strength, self.most))

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return nothing: its ceiling stands in the panel."""
        return {}
