"""Drift: how far a window of sessions has moved from those a detector learnt from, and whether to fit anew.

Each feature, and the score, has its quantiles in the model. Against them stand two measures: the population stability
index over ten equal parts (0.1 is a stir, 0.25 a shift, as credit scoring has it) and the largest distance of the two
distributions, with the p-value of Kolmogorov and Smirnov. A p-value counts after Holm's correction for the number of
features, and only where the distance is large enough to matter: with many sessions any difference is significant.

Sessions are compared as if they were independent. What one counter gives to all of them is not: how many networks came
to the login today is one number, however many sessions tell it. Such features are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["ADVICE", "COMPARED", "Drift", "drift_of"]

_PARTS: Final = 10
_SHIFT: Final = 0.25
_FAR: Final = 0.05
_ALPHA: Final = 0.01
_MANY: Final = 0.1
_FEWEST: Final = 100
_GRID: Final = 1001

COMPARED: Final = frozenset(row.name for row in FEATURES if row.in_forest or row.family != "cross")
"""Features of which each session tells its own value."""

ADVICE: Final = {
    "few": "too few sessions to tell: take a longer window",
    "fit": "fit anew: what is usual has changed",
    "look": "look at the features named; fit anew if the change is here to stay",
    "keep": "keep the model",
}
"""What to do, by code."""


class Drift(NamedTuple):
    """What changed.

    Parameters
    ----------
    table : DataFrame of shape (n_features, 6)
        ``name``, ``psi``, ``distance``, ``p_value`` (Holm's), ``moved`` (up, down or apart) and ``is_drifted``; the
        furthest first. ``anomaly_score`` and ``risk`` are among the names.
    advice : str
        A code of `ADVICE`.
    """

    table: pd.DataFrame
    advice: str


def drift_of(model: Mapping[str, Floats], n_model: int, window: Mapping[str, Floats]) -> Drift:
    """Compare a window with a model.

    Parameters
    ----------
    model : mapping of str to float64 array
        Quantiles of each column at even ranks, rising; with fewer than 1,001, all its known values.
    n_model : int
        Sessions they come from.
    window : mapping of str to float64 array
        Values of the same columns, NaN where unknown.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> grid = np.quantile(rng.normal(size=5000), np.linspace(0, 1, 1001))
    >>> found = drift_of({"a": grid}, 5000, {"a": rng.normal(0.5, 1, size=1000)})
    >>> bool(found.table.is_drifted.iloc[0]), found.table.moved.iloc[0], found.advice
    (True, 'up', 'fit')
    """
    import pandas as pd  # noqa: PLC0415 -- loading a model does not need it

    rows = [
        _compared(name, model[name], values[~np.isnan(values)], n_model)
        for name, values in window.items()
        if name in model
    ]
    table = pd.DataFrame(rows, columns=["name", "psi", "distance", "p_value", "moved", "n"])
    table["p_value"] = _holm(table["p_value"].to_numpy(np.float64))
    table["is_drifted"] = (table["p_value"] < _ALPHA) & (table["distance"] >= _FAR)
    table = table.sort_values("distance", ascending=False, kind="stable", ignore_index=True)
    return Drift(table.drop(columns="n"), _advice(table, max((len(values) for values in window.values()), default=0)))


def _advice(table: pd.DataFrame, n_window: int) -> str:
    if n_window < _FEWEST:
        return "few"
    drifted = table[table["is_drifted"]]
    scores = drifted["name"].isin(["anomaly_score", "risk"]).any()
    if scores or len(drifted) > _MANY * len(table) or (drifted["psi"] >= _SHIFT).any():
        return "fit"
    return "look" if len(drifted) else "keep"


def _compared(name: str, grid: Floats, values: Floats, n_model: int) -> tuple[str, float, float, float, str, int]:
    if not len(values):
        return name, 0.0, 0.0, 1.0, "", 0
    n_model = len(grid) if len(grid) < _GRID else n_model
    points, ordered = np.unique(grid), np.sort(values)
    before = np.searchsorted(grid, points, side="right") / len(grid)
    after = np.searchsorted(ordered, points, side="right") / len(ordered)
    apart = before - after  # above 0 where the window has less up to here: its values lie higher
    up, down = float(max(apart.max(), 0.0)), float(max(-apart.min(), 0.0))
    distance = max(up, down)
    moved = "up" if up > 2 * down else "down" if down > 2 * up else "apart"
    return name, _psi(grid, ordered), distance, _p_value(distance, n_model, len(values)), moved, len(values)


def _psi(grid: Floats, ordered: Floats) -> float:
    """Return the index over parts that hold equal shares of the model's sessions, as far as ties let them."""
    edges = np.unique(np.quantile(grid, np.linspace(0, 1, _PARTS + 1)[1:-1], method="inverted_cdf"))
    shares = []
    for values in (grid, ordered):
        up_to = np.r_[0, np.searchsorted(values, edges, side="right"), len(values)]
        shares.append((np.diff(up_to) + 0.5) / (len(values) + 0.5 * (len(edges) + 1)))
    before, after = shares
    return float(((after - before) * np.log(after / before)).sum())


def _p_value(distance: float, n: int, m: int) -> float:
    """Return the chance of such a distance between samples of one population (Smirnov 1948, the asymptotic series)."""
    scaled = distance * (n * m / (n + m)) ** 0.5
    if scaled < 0.2:
        return 1.0
    terms = np.arange(1, 101)
    return float(np.clip(2 * ((-1.0) ** (terms - 1) * np.exp(-2 * terms**2 * scaled**2)).sum(), 0.0, 1.0))


def _holm(p_values: Floats) -> Floats:
    """Return p-values corrected for their number (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factor = np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factor), 1.0)
    return corrected
