"""How well scores tell two classes apart: figures with intervals, of scikit-learn wherever it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fraudlog.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Metric = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]

__all__ = [
    "Interval",
    "auroc",
    "average_precision",
    "bootstrap",
    "precision_at_k",
    "recall_at_budget",
    "recall_at_fpr",
    "threshold_at_fpr",
]


class Interval(NamedTuple):
    """A figure and the range it may as well have had.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the chance that an abusive session scores above a benign one; ties count half.

    >>> auroc([0, 0, 1], [0.1, 0.3, 0.3])
    0.75
    """
    return float(roc_auc_score(*_pair(labels, scores)))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the precision averaged over recall: what a reviewer sees who goes down the list.

    >>> round(average_precision([0, 1, 0, 1], [0.1, 0.9, 0.5, 0.3]), 3)
    0.833
    """
    return float(average_precision_score(*_pair(labels, scores)))


def recall_at_fpr(labels: ArrayLike, scores: ArrayLike, fpr: float = 0.01) -> float:
    """Return the share of abusive sessions found where at most `fpr` of the benign ones are flagged.

    Sessions of one score are flagged together, or not at all.

    >>> recall_at_fpr([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.7, 0.9], fpr=0.0)
    0.5
    """
    positive, values = _pair(labels, scores)
    rates, recalls, _ = roc_curve(positive, values, drop_intermediate=False)
    return float(recalls[rates <= _share(fpr, "fpr")].max())


def threshold_at_fpr(benign: ArrayLike, fpr: float = 0.01) -> float:
    """Return the least score that at most `fpr` of the benign scores reach.

    >>> threshold_at_fpr([0.1, 0.2, 0.3, 0.4], fpr=0.25)
    0.4
    """
    values = np.sort(np.asarray(benign, np.float64))[::-1]
    allowed = int(_share(fpr, "fpr") * len(values))
    if allowed >= len(values):
        return float(values[-1])
    # All that tie with the first one not allowed stay out with it.
    reached = values[values > values[allowed]]
    return float(reached[-1]) if len(reached) else float(np.nextafter(values[allowed], np.inf))


def precision_at_k(labels: ArrayLike, scores: ArrayLike, k: int) -> float:
    """Return the share of abusive sessions among the `k` of highest score; among ties, the expected share.

    >>> precision_at_k([1, 0, 1, 0], [0.9, 0.8, 0.8, 0.1], k=2)
    0.75
    """
    positive, values = _pair(labels, scores)
    if not 1 <= k <= len(values):
        raise ConfigError(f"k must be 1 to the number of sessions, {len(values)}", parameter="k")
    edge = np.sort(values)[-k]
    above, tied = values > edge, values == edge
    return float((positive[above].sum() + positive[tied].mean() * (k - above.sum())) / k)


def recall_at_budget(labels: ArrayLike, scores: ArrayLike, days: ArrayLike, budget: int) -> float:
    """Return the share of abusive sessions among those that `budget` reviews a day look at, highest scores first.

    Ties that do not all fit into a day's budget are not looked at, so that the figure owes nothing to chance.

    >>> recall_at_budget([1, 0, 1, 1], [0.9, 0.2, 0.8, 0.7], ["mon", "mon", "tue", "tue"], budget=1)
    0.6666666666666666
    """
    positive, values = _pair(labels, scores)
    if budget < 1:
        raise ConfigError("budget must be at least 1", parameter="budget")
    rank = pd.Series(values).groupby(np.asarray(days)).rank(method="max", ascending=False).to_numpy()
    return float(positive[rank <= budget].sum() / positive.sum())


def bootstrap(
    metric: Metric,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    n_draws: int = 200,
    seed: int = 0,
) -> Interval:
    """Return a figure with its bootstrap interval.

    Parameters
    ----------
    metric : callable of (labels, scores)
    labels, scores : array-like of shape (n_sessions,)
    groups : array-like of shape (n_sessions,), optional
        Whose the sessions are: whole groups are drawn, since sessions of one campaign are no independent trials.
    level : float, default 0.95
    n_draws : int, default 200
    seed : int, default 0

    Returns
    -------
    Interval
        Between percentiles [1]_; draws without both classes are left out.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Examples
    --------
    >>> labels = [0] * 50 + [1] * 50
    >>> found = bootstrap(auroc, labels, list(range(100)))
    >>> found.low <= found.value == found.high
    True
    """
    positive, values = _pair(labels, scores)
    rng = np.random.default_rng(seed)
    owners = np.arange(len(values)) if groups is None else pd.factorize(np.asarray(groups, dtype=object))[0]
    members = [np.flatnonzero(owners == owner) for owner in range(owners.max() + 1)] if groups is not None else None
    drawn = []
    for _ in range(n_draws):
        picked = rng.integers(0, owners.max() + 1, owners.max() + 1)
        rows = picked if members is None else np.concatenate([members[owner] for owner in picked])
        if 0 < positive[rows].sum() < len(rows):
            drawn.append(metric(positive[rows], values[rows]))
    edge = (1 - _share(level, "level")) / 2
    low, high = np.quantile(drawn, [edge, 1 - edge]) if drawn else (np.nan, np.nan)
    return Interval(float(metric(positive, values)), float(low), float(high))


def _pair(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    positive, values = np.asarray(labels).astype(bool), np.asarray(scores, np.float64)
    if positive.shape != values.shape or positive.ndim != 1:
        raise ConfigError("labels and scores must be two columns of one length", parameter="scores")
    if not 0 < positive.sum() < len(positive):
        raise InputError("both classes are needed: at least one abusive and one benign session")
    return positive, values


def _share(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} must be in [0, 1]", parameter=name)
    return value
