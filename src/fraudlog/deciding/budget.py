"""Budgets: "200 reviews a day" or "0.5 % of presumed humans" turned into a threshold, with an interval.

A threshold for humans is a conformal quantile of the risks of people the detector did not learn from: the share of
further people above it is on average at most what was asked, whatever the risks are distributed like [1]_. A threshold
for reviews is a quantile of past days; how many a coming day brings follows their spread. Neither asks what share of
the traffic is abusive, which nobody knows.

A day that is not like the past is met by pacing: `ReviewPace` knows how the volume of a day runs and gives out what is
left of the budget over what is left of the day. `Today` says how far a day has come.

References
----------
.. [1] V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", 2005, proposition 4.1.
"""

from __future__ import annotations

from dataclasses import replace
from math import floor
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fraudlog.errors import ConfigError
from fraudlog.schema import require_columns

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from fraudlog.deciding.policy import Policy

    Floats = NDArray[np.float64]

__all__ = ["Budget", "ReviewPace", "Today", "human_budget", "on_budget", "review_budget", "wilson"]

_LOOSEST: Final = 1.5
"""How much of the usual volume a pace may catch up with: beyond it, an empty day is not filled with the harmless."""

_OWN: Final = 0.1
"""Share of a day's volume by which the day's own level is told from the usual one."""


class Budget(NamedTuple):
    """A threshold, and what to expect of it.

    Parameters
    ----------
    risk : float
        Sessions of at least this risk are flagged; above 1 if the budget is too small for any.
    expected, low, high : float
        Flagged share of presumed humans, or reviews a day: the mean, and an interval (of Wilson for a
        share, by the past days' spread for reviews).
    unit : str
        What those are: ``share of presumed humans`` or ``reviews a day``.
    """

    risk: float
    expected: float
    low: float
    high: float
    unit: str


class Today(NamedTuple):
    """What of a day (UTC) has passed.

    Parameters
    ----------
    seen : int
        Sessions that began.
    spent : int
        Those of them that are reviewed.
    """

    seen: int = 0
    spent: int = 0


def human_budget(risks: ArrayLike, share: float, *, confidence: float = 0.9) -> Budget:
    """Return the lowest threshold that flags at most a share of people.

    Parameters
    ----------
    risks : array-like of shape (n_people,)
        Risks of presumed humans that the detector did not learn from, as ``Detector.human_risk_``.
    share : float
        Most people to flag, 0..1. Below ``1 / (n_people + 1)`` nothing can be promised and nobody is flagged.
    confidence : float, default 0.9
        Of the interval.

    Raises
    ------
    ConfigError
        If a number is out of range, or there is nobody to measure by.

    Examples
    --------
    >>> budget = human_budget(np.linspace(0, 0.5, 999), 0.01)
    >>> round(budget.risk, 3), round(budget.expected, 3), budget.low < 0.01 < budget.high
    (0.495, 0.009, True)
    """
    if not 0 <= share < 1 or not 0 < confidence < 1:
        raise ConfigError("share and confidence must lie between 0 and 1; 0.005 is 0.5 %", parameter="human_share")
    ordered = np.sort(np.asarray(risks, dtype=np.float64))
    if not len(ordered):
        raise ConfigError("there are no presumed humans to measure by; fit the detector anew", parameter="human_share")
    above = floor(share * (len(ordered) + 1))
    if not above:
        return Budget(2.0, 0.0, 0.0, 0.0, "share of presumed humans")
    risk = np.nextafter(ordered[-above], np.inf)
    flagged = int((ordered >= risk).sum())
    low, high = wilson(flagged, len(ordered), confidence)
    return Budget(float(risk), flagged / len(ordered), low, high, "share of presumed humans")


def review_budget(scores: pd.DataFrame, daily_reviews: int, *, confidence: float = 0.9) -> Budget:
    """Return the threshold that past days say gives so many reviews a day.

    Parameters
    ----------
    scores : DataFrame of shape (n_sessions, n_columns)
        Past scores, of whole days; needs ``start`` and ``risk``.
    daily_reviews : int
    confidence : float, default 0.9
        Of the interval of a coming day's reviews: normal, with the past days' mean and spread, no less than chance has.

    Raises
    ------
    ConfigError
        If `daily_reviews` is below 0.
    SchemaError
        If a column is missing.
    """
    require_columns(scores, ["start", "risk"], table="scores")
    if daily_reviews < 0:
        raise ConfigError("daily_reviews is below 0", parameter="daily_reviews")
    days, risks = _days_of(scores), np.sort(scores["risk"].to_numpy(np.float64))
    n_days = int(days.max() - days.min()) + 1 if len(days) else 0
    wanted = min(daily_reviews * n_days, len(risks))
    if not wanted:
        return Budget(2.0, 0.0, 0.0, 0.0, "reviews a day")
    risk = risks[-wanted]
    counts = np.bincount(days[scores["risk"].to_numpy() >= risk] - days.min(), minlength=n_days)
    mean = float(counts.mean())
    spread = float(max(counts.var(ddof=1), mean)) if n_days > 1 else mean
    reach = _deviations(confidence) * spread**0.5
    return Budget(float(risk), mean, max(0.0, mean - reach), mean + reach, "reviews a day")


def wilson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share, of Wilson: "Probable inference", JASA 22 (1927), 209-212.

    >>> [round(bound, 3) for bound in wilson(0, 100)], [round(bound, 3) for bound in wilson(50, 100)]
    ([0.0, 0.037], [0.404, 0.596])
    """
    if not n:
        return 0.0, 1.0
    z, share = _deviations(confidence), hits / n
    middle = share + z * z / (2 * n)
    reach = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    scale = 1 + z * z / n
    return max(0.0, min(share, (middle - reach) / scale)), min(1.0, max(share, (middle + reach) / scale))


def _deviations(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def on_budget(policy: Policy, budget: Budget) -> Policy:
    """Return the policy that challenges from the budget's risk on.

    Examples
    --------
    >>> from fraudlog.deciding import Policy
    >>> on_budget(Policy(), human_budget(np.linspace(0, 0.2, 999), 0.005)).challenge_at
    0.1991983967935872
    """
    at = min(budget.risk, 1.0)
    deny_at = None if policy.deny_at is None else max(policy.deny_at, at)
    return replace(policy, challenge_at=at, observe_at=min(policy.observe_at, at), deny_at=deny_at)


class ReviewPace:
    """Gives out a day's reviews as the day goes, so that a service comes out at its budget.

    The threshold at any moment is the risk that past sessions exceeded as often as the reviews left are to the
    sessions still to come. Those are the past's volume by hour of the week, times how busy this day is so far.

    Parameters
    ----------
    daily_reviews : int
        At most so many a day (UTC).
    scores : DataFrame of shape (n_sessions, n_columns)
        Past scores, best of whole weeks; needs ``start`` and ``risk``.

    Raises
    ------
    ConfigError
        If there are no past scores, or `daily_reviews` is below 0.
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> start = pd.date_range("2026-03-02", periods=7 * 1440, freq="min", tz="UTC")
    >>> past = pd.DataFrame({"start": start, "risk": np.random.default_rng(0).random(len(start))})
    >>> pace = ReviewPace(20, past)
    >>> chance = np.random.default_rng(1)
    >>> moments = [int(moment.timestamp() * 1_000_000) for moment in start[:1440]]
    >>> 17 <= sum(pace.admit(chance.random(), moment) for moment in moments) <= 20
    True
    """

    def __init__(self, daily_reviews: int, scores: pd.DataFrame) -> None:
        require_columns(scores, ["start", "risk"], table="scores")
        if daily_reviews < 0 or not len(scores):
            raise ConfigError(
                "a pace needs 0 or more daily_reviews, and past scores to go by", parameter="daily_reviews"
            )
        self.daily_reviews = daily_reviews
        self._risks = np.sort(scores["risk"].to_numpy(np.float64))
        self._left = _left_of_day(scores)
        self._day, self._today = -1, Today()

    def admit(self, risk: float, start_us: int) -> bool:
        """Say whether a session is reviewed, and count it.

        Parameters
        ----------
        risk : float
        start_us : int
            Microseconds since 1970; sessions come in about this order, and one of an earlier day counts for today.
        """
        day = start_us // 86_400_000_000
        if day > self._day:
            self._day, self._today = day, Today()
        self._today = self._today._replace(seen=self._today.seen + 1)
        is_reviewed = self.would_admit(risk, start_us, self._today)
        self._today = self._today._replace(spent=self._today.spent + is_reviewed)
        return is_reviewed

    def would_admit(self, risk: float, start_us: int, today: Today) -> bool:
        """Say whether a session is reviewed, given what of its day has passed, itself included; counts nothing.

        Parameters
        ----------
        risk : float
        start_us : int
            Microseconds since 1970.
        today : Today
        """
        return today.spent < self.daily_reviews and risk >= self._threshold(start_us, today)

    def _threshold(self, start_us: int, today: Today) -> float:
        day, hour = divmod(int(start_us // 3_600_000_000), 24)
        weekday, part = (day + 3) % 7, (start_us % 3_600_000_000) / 3_600_000_000  # 1970-01-01 was a Thursday
        whole, here, later = (float(self._left[weekday, at]) for at in (0, hour, hour + 1))
        left = here + (later - here) * part
        level = (today.seen + _OWN * whole) / (whole - left + _OWN * whole) if whole else 1.0
        to_come = max(left * level, 1.0)
        share = min(
            (self.daily_reviews - today.spent) / to_come, _LOOSEST * self.daily_reviews / max(whole * level, 1.0)
        )
        rank = len(self._risks) - share * len(self._risks)
        return -1.0 if rank <= 0 else float(self._risks[min(int(rank), len(self._risks) - 1)])


def _days_of(scores: pd.DataFrame) -> NDArray[np.int64]:
    """Return days since 1970."""
    return np.asarray(_hours_of(scores) // 24, dtype=np.int64)


def _hours_of(scores: pd.DataFrame) -> NDArray[np.int64]:
    moments = scores["start"].astype("datetime64[us, UTC]").astype("int64").to_numpy(np.int64)
    return np.asarray(moments // 3_600_000_000, dtype=np.int64)


def _left_of_day(scores: pd.DataFrame) -> Floats:
    """Return the sessions to expect from each hour of each weekday on, shape (7, 25); a weekday unseen is average."""
    hours = _hours_of(scores)
    days = np.arange(int(hours.min()) // 24, int(hours.max()) // 24 + 1, dtype=np.int64)
    counts = np.bincount(hours - days[0] * 24, minlength=24 * len(days)).reshape(-1, 24).astype(np.float64)
    weekdays: Any = (days + 3) % 7
    mean = counts.mean(axis=0)
    profile = np.stack([counts[weekdays == one].mean(axis=0) if (weekdays == one).any() else mean for one in range(7)])
    return np.concatenate([np.cumsum(profile[:, ::-1], axis=1)[:, ::-1], np.zeros((7, 1))], axis=1)
