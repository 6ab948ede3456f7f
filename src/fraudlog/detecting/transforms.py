"""Input transforms: the scale on which a tree draws its random thresholds.

An isolation tree cuts uniformly between the smallest and the largest value it sees, so the scale decides what is
isolated: on raw counts one giant session takes all cuts, on logs it does not. All transforms are monotone. Each tree
learns its own from its own rows and gives its thresholds back in raw values, so that

- a saved forest compares raw values, and scoring has no transform to compute (nor a logarithm to disagree on);
- taking a person out of the training rows leaves every tree that did not hold them untouched.

The names are a small language: a curve, and the side that is suspicious.

=================  ====================================================================================
``auto``           ``identity`` and ``symlog`` in turn, tree by tree; what a feature without a name gets
``identity``       the values as they are
``log1p``          sign(x) log(1 + abs(x)): counts, sizes, durations
``symlog``         sign(z) log(1 + abs(z)) with z the distance from the tree's median in mean absolute deviations / 4
``rank``           position among the tree's rows: heavy tails of unknown shape
``<curve>:high``   only high values are suspicious: all below the tree's median are one value
``<curve>:low``    only low values are suspicious: all above the tree's median are one value
=================  ====================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Transform", "forward", "parse_transforms", "round_down", "thresholds_in_raw_values"]


class Transform(NamedTuple):
    """A curve and the side that is suspicious."""

    curve: str = "auto"
    side: str = "both"

    @property
    def is_plain(self) -> bool:
        """Whether values stay as they are."""
        return self == ("identity", "both")

    def of_turn(self, turn: int) -> Transform:
        """Return what the trees of a turn use: ``auto`` changes with it.

        >>> Transform("auto", "high").of_turn(1)
        Transform(curve='symlog', side='high')
        """
        return Transform(_TURNS[turn % len(_TURNS)], self.side) if self.curve == "auto" else self


def _identity(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values


def _log1p(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.copysign(np.log1p(np.abs(values)), values)


def _symlog(values: NDArray[np.float64]) -> NDArray[np.float64]:
    distance = values - np.median(values, axis=0)
    typical = np.abs(distance).mean(axis=0)
    return _log1p(4.0 * distance / np.where(typical > 0, typical, 1.0))


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks = np.empty_like(values)
    for place, column in enumerate(values.T):
        ordered = np.sort(column)
        ranks[:, place] = ordered.searchsorted(column, "left") + ordered.searchsorted(column, "right")
    return ranks / (2.0 * len(values))


_CURVES: Final[dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "identity": _identity,
    "log1p": _log1p,
    "symlog": _symlog,
    "rank": _rank,
}

_TURNS: Final = ("identity", "symlog")

_SIDES: Final[dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]]] = {
    "high": np.maximum,
    "low": np.minimum,
}


def parse_transforms(names: Mapping[str, str] | None, columns: Sequence[str]) -> tuple[Transform, ...]:
    """Return the transform of each of `columns`, ``auto`` for one without a name.

    Raises
    ------
    ConfigError
        If a name is not in the language, or names a column that is not there.

    Examples
    --------
    >>> parse_transforms({"b": "log1p:high"}, ["a", "b"])
    (Transform(curve='auto', side='both'), Transform(curve='log1p', side='high'))
    """
    names = names or {}
    unknown = sorted(set(names) - set(columns))
    if unknown:
        raise ConfigError(
            f"transforms names the columns {', '.join(unknown)}, which are not among those fitted on",
            parameter="transforms",
        )
    return tuple(_parse(column, names.get(column, "auto")) for column in columns)


def _parse(column: str, name: str) -> Transform:
    curve, _, side = str(name).partition(":")
    if curve not in ("auto", *_CURVES) or (side or "high") not in _SIDES:
        raise ConfigError(
            f"transforms gives {column!r} the transform {name!r}; a transform is one of auto, {', '.join(_CURVES)}, "
            "with :high or :low where only that side is suspicious",
            parameter="transforms",
        )
    return Transform(curve, side or "both")


def forward(values: NDArray[np.float32], transform: Transform) -> NDArray[np.float32]:
    """Return one tree's values of some features on the scale they are to be cut on.

    Parameters
    ----------
    values : float32 array of shape (n_rows, n_features)
        Finite.
    transform : Transform

    Returns
    -------
    float32 array of shape (n_rows, n_features)
        In the order of `values`; never decreasing where they increase.
    """
    raw = values.astype(np.float64)
    sided = raw if transform.side == "both" else _SIDES[transform.side](raw, np.median(raw, axis=0))
    return _CURVES[transform.curve](sided).astype(np.float32)


def thresholds_in_raw_values(
    cuts: NDArray[np.float64], raw: NDArray[np.float32], scaled: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Translate thresholds on the cut scale into raw values, so that the tree's own rows part as they did.

    Between its two neighbours among the tree's rows a cut keeps its relative place; any other raw value in that gap
    falls to the side it would by linear interpolation.

    Parameters
    ----------
    cuts : float64 array of shape (n_cuts,)
        Each not below the smallest of `scaled` and below the largest.
    raw, scaled : float32 arrays of shape (n_rows,)
        One feature of the tree's rows before and after `forward`.

    Returns
    -------
    float32 array of shape (n_cuts,)
    """
    order = np.argsort(raw, kind="stable")
    raw, scaled = raw[order].astype(np.float64), scaled[order].astype(np.float64)
    above = np.clip(scaled.searchsorted(cuts, "right"), 1, len(raw) - 1)
    low, high = raw[above - 1], raw[above]
    width = scaled[above] - scaled[above - 1]
    place = np.divide(cuts - scaled[above - 1], width, out=np.zeros_like(cuts), where=width > 0)
    cut = round_down(low + np.clip(place, 0.0, 1.0) * (high - low))
    below_high = np.nextafter(high.astype(np.float32), np.float32(-np.inf))
    return np.clip(cut, low.astype(np.float32), below_high)


def round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 that is not above each value.

    A float32 compares with it as it does with the float64 value itself.

    >>> round_down(np.array([0.1])) <= 0.1
    array([ True])
    """
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)
