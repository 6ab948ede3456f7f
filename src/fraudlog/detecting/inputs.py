"""What the forest sees of a session: the catalogue's features, and the scale each row names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fraudlog.schema import require_columns
from fraudlog.sessions import FEATURES, transforms

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["feature_matrix", "transforms_of", "usable_features"]

_TRANSFORMS = {name: curve if side == "both" else f"{curve}:{side}" for name, (curve, side) in transforms().items()}


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


def transforms_of(names: Sequence[str]) -> dict[str, str]:
    """Return the scale and the suspicious side of each feature by its position, as `SessionForest` takes them."""
    return {str(place): _TRANSFORMS[name] for place, name in enumerate(names)}
