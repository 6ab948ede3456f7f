"""What the forest sees of a session: the catalogue's features, on the scale each row names, without gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fraudlog.schema import require_columns
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["feature_matrix", "scale", "usable_features"]

_TRANSFORMS = {row.name: row.transform for row in FEATURES}


def usable_features(sessions: pd.DataFrame) -> list[str]:
    """Return the forest's features that `sessions` knows at least one value of."""
    names = [row.name for row in FEATURES if row.in_forest and row.name in sessions.columns]
    return [name for name in names if sessions[name].notna().any()]


def feature_matrix(sessions: pd.DataFrame, names: Sequence[str]) -> Floats:
    """Return the raw values of the features `names`.

    Returns
    -------
    ndarray of float64, shape (n_sessions, len(names))
        NaN where unknown.

    Raises
    ------
    SchemaError
        If a feature is missing.
    """
    require_columns(sessions, names, table="sessions")
    return sessions[list(names)].to_numpy(np.float64)


def scale(values: Floats, names: Sequence[str], fill: Floats) -> Floats:
    """Put each feature on the forest's scale; a null takes the reference's median, so that it speaks for nothing.

    Parameters
    ----------
    values : ndarray of float64, shape (n_sessions, n_features)
    names : sequence of str, length n_features
    fill : ndarray of float64, shape (n_features,)
    """
    filled = np.where(np.isnan(values), fill, values)
    is_log = np.array([_TRANSFORMS[name] == "log1p" for name in names])
    return np.where(is_log, np.log1p(np.maximum(filled, 0.0)), filled)
