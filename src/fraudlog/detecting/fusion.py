"""Fusion: many voices, one risk.

Each measured voice becomes a conformal p-value: the share of held-out presumed-human sessions that it finds at least as
suspicious [1]_. With n of them no p-value is below 1 / (n + 1): beyond what was seen nothing is claimed. A p-value
becomes a bet against the session being human, ``(1 / sqrt(p) - 1) / 2``: a calibrator from p-values to e-values [2]_,
less what it gives a session that nothing speaks against. Bets are averaged; the arithmetic mean is, in essence, the
only way to merge e-values that holds however the voices depend on each other [2]_. The factor in front is the odds
at which each voice is believed, so the weighted sum is the odds of abuse, and ``risk = odds / (1 + odds)``.

So a voice's part of the risk is its part of the odds, and the parts add up.

A sum is only as good as the worst of its parts, so one voice leads: the one that best tells the sessions evidence
speaks against from people, both unseen by it. It is heard over its whole range; the others only where they find a
session more striking than 99 in 100 people, so that none of them can blur the order the leader gives to the rest.

References
----------
.. [1] Vovk, Gammerman, Shafer: "Algorithmic Learning in a Random World", 2005; for anomalies Laxhammar, Falkman 2010.
.. [2] Vovk, Wang: "E-values: calibration, combination and applications", Annals of Statistics 49 (2021), 1736-1754.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import isnan, sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np

from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["ODDNESS", "Calibration", "Stated", "odds_of_risk"]

ODDNESS: Final = 0.45
"""Most risk of oddness alone, below the 0.5 of a challenge: rare is not abusive."""

_ANY: Final = 5e-324
"""The least odds there are."""

_RARE: Final = (1000.0**0.5 - 1.0) / 2.0
"""The bet at p = 1 / 1,000, where a voice's belief is stated."""

_STRIKING: Final = (10.0**0.5 - 1.0) / 2.0
"""The bet at p = 1 / 10."""

_LOUD: Final = (100.0**0.5 - 1.0) / 2.0
"""The bet at p = 1 / 100."""


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
    belief : float
        Odds at p = 1 / 1,000.
    ceiling : float
        Most odds.
    leads : bool
        Whether it is heard over its whole range, or only above the bet at p = 1 / 100.
    levels : list of float
        `ordered` for single look-ups.
    worth_naming : float
        Odds from which on it is explained: what is less striking than p = 1 / 10 is shared by too many to be a reason.
    silent : float
        The bet up to which it is not heard.
    """

    ordered: Floats
    belief: float
    ceiling: float
    leads: bool
    levels: list[float]
    worth_naming: float
    silent: float

    @classmethod
    def of(cls, held_out: Floats, belief: float, ceiling: float, *, leads: bool = True) -> Calibration:
        """Take what a voice said of held-out people; where it abstained it says nothing here either."""
        ordered = np.sort(held_out[~np.isnan(held_out)])
        silent = 0.0 if leads else _LOUD
        naming = belief * _STRIKING / _RARE if leads else _ANY
        return cls(ordered, belief, odds_of_risk(ceiling), leads, ordered.tolist(), naming, silent)

    def trust(self, suspects: Floats) -> float:
        """Return how well the voice tells suspects from people: the AUROC, 0..1; an abstention is no suspicion."""
        if not len(suspects) or not len(self.ordered):
            return 0.0
        said = np.where(np.isnan(suspects), -np.inf, suspects)
        below = np.searchsorted(self.ordered, said, side="left") + np.searchsorted(self.ordered, said, side="right")
        return float(below.mean() / (2.0 * len(self.ordered)))

    def p_values(self, strength: Floats) -> Floats:
        """Return the share of people at least as suspicious, 1 where the voice abstains."""
        size = len(self.ordered)
        at_least = size - np.searchsorted(self.ordered, strength, side="left")
        return np.where(np.isnan(strength), 1.0, (at_least + 1.0) / (size + 1.0))

    def p_value(self, strength: float) -> float:
        """Do what `p_values` does for one."""
        size = len(self.levels)
        return 1.0 if isnan(strength) else (size - bisect_left(self.levels, strength) + 1.0) / (size + 1.0)

    def odds(self, strength: Floats) -> Floats:
        """Return the odds of abuse that the voice gives each session."""
        bet = (1.0 / np.sqrt(self.p_values(strength)) - 1.0) / 2.0
        return np.minimum(self.belief * np.maximum(bet - self.silent, 0.0) / _RARE, self.ceiling)

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays that `from_arrays` takes."""
        return {"ordered": self.ordered, "leads": np.array([self.leads])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], belief: float, ceiling: float) -> Calibration:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or not in order.
        """
        ordered, leads = arrays.get("ordered"), arrays.get("leads")
        fits = ordered is not None and ordered.dtype == np.float64 and ordered.ndim == 1
        if not fits or ordered is None or leads is None or leads.dtype != np.bool_ or leads.shape != (1,):
            raise ModelError("a calibration is missing or misshapen: the model is damaged")
        if np.isnan(ordered).any() or not (np.diff(ordered) >= 0).all():
            raise ModelError("a calibration is out of order: the model is damaged")
        return cls.of(ordered, belief, ceiling, leads=bool(leads[0]))

    def odds_one(self, strength: float) -> float:
        """Do what `odds` does for one, to the same bits."""
        bet = (1.0 / sqrt(self.p_value(strength)) - 1.0) / 2.0
        return min(self.belief * max(bet - self.silent, 0.0) / _RARE, self.ceiling)


@dataclass(frozen=True, slots=True)
class Stated:
    """A voice whose strengths are risks already, by a table.

    Parameters
    ----------
    most : float
        Most risk it can give alone.
    """

    most: float

    worth_naming: ClassVar[float] = _ANY
    """Whatever it says is a reason."""

    def odds(self, strength: Floats) -> Floats:
        """Return the odds of abuse that the voice gives each session."""
        risk = np.minimum(np.where(np.isnan(strength), 0.0, strength), self.most)
        return risk / (1.0 - risk)

    def odds_one(self, strength: float) -> float:
        """Do what `odds` does for one, to the same bits."""
        return odds_of_risk(min(0.0 if isnan(strength) else strength, self.most))

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return nothing: its ceiling stands in the panel."""
        return {}
