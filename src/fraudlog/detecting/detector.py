"""`Detector`: learns what is usual on a site, and scores sessions with reasons."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from fraudlog import __version__
from fraudlog.detecting.evidence import EVIDENCE, fired, presumed_human, verified_crawler
from fraudlog.detecting.inputs import feature_matrix, transforms_of, usable_features
from fraudlog.detecting.model_file import read_model, write_model
from fraudlog.detecting.reasons import UNUSUAL, Reason
from fraudlog.detecting.scorer import ForestScorer
from fraudlog.errors import ConfigError, ModelError, NotFittedError
from fraudlog.schema import SCORES, require_columns
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    import os

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.model_file import SigningKey, VerifyingKey

    Floats = NDArray[np.float64]

__all__ = ["Detector"]

_MIN_REFERENCE: Final = 50
_GRID: Final = 1001
_FOREST_WEIGHT: Final = 0.45
"""The most risk that oddness alone gives a session: below the 0.5 of a challenge, for rare is not abusive."""
_NAMED_FEATURES: Final = 4


class Detector:
    """Scores sessions: an isolation forest for what is odd, evidence for what is abusive, one risk of both.

    The forest learns from the sessions no evidence speaks against, so that its idea of usual is not set by the abusers.
    Its score becomes a voice beside the evidence: the rarer a score among those sessions, the louder, up to 0.45.
    Voices combine as independent chances do: ``risk = 1 - prod(1 - weight)``.

    Parameters
    ----------
    n_estimators : int, default 200
        Trees.
    max_samples : int or "auto", default "auto"
        Sessions each tree is built on, as `fraudlog.detecting.SessionForest` takes it.
    random_state : int, default 0
        Seed; the same sessions and seed give the same bits.

    Attributes
    ----------
    features_ : list of str
        Features the forest sees.
    reference_size_ : int
        Presumed-human sessions it learnt from.
    sessions_seen_ : int
        Sessions in the frame it was fitted on.
    window_ : tuple of str
        Start of the first and end of the last of those, in ISO 8601.

    Examples
    --------
    >>> import fraudlog as fl
    >>> sessions = fl.build_sessions(fl.read_log("data/sample/access.log.gz").events)
    >>> scores = fl.Detector().fit(sessions).score(sessions)
    >>> bool(scores.risk.between(0, 1).all())
    True
    """

    def __init__(self, *, n_estimators: int = 200, max_samples: int | str = "auto", random_state: int = 0) -> None:
        for name, value, least in (("n_estimators", n_estimators, 1), ("max_samples", max_samples, 2)):
            if isinstance(value, int) and value < least:
                raise ConfigError(f"{name} is too small; 200 trees of 64 to 1,024 rows are usual", parameter=name)
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.random_state = random_state
        self._forest: ForestScorer | None = None

    def fit(self, sessions: pd.DataFrame) -> Self:
        """Learn what is usual.

        Parameters
        ----------
        sessions : DataFrame of shape (n_sessions, n_columns)
            As from `fraudlog.build_sessions`; best another period than the one to be scored. With ``asof=True`` there
            it learns from sessions as they were after 1, 2, 3, 5 ... events, which is what a service will ask about.

        Raises
        ------
        ConfigError
            If fewer than 50 sessions are presumed human: no idea of usual can come of so few.
        """
        require_columns(sessions, ["session_id", "start", "end"], table="sessions")
        human = presumed_human(sessions)
        finished = _is_finished(sessions)
        reference_size, n_sessions = int((human & finished).sum()), int(finished.sum())
        if "checkpoint" in sessions.columns:  # what a session shows in the end speaks against its beginning too
            human &= sessions["session_id"].isin(sessions.loc[human & finished, "session_id"]).to_numpy()
        if reference_size < _MIN_REFERENCE:
            raise ConfigError(
                f"{reference_size} of {n_sessions} sessions are presumed human; fit on a longer period, "
                f"with at least {_MIN_REFERENCE}",
                parameter="sessions",
            )
        self.features_ = usable_features(sessions[human])
        values = feature_matrix(sessions, self.features_)
        self._forest = self._fit_forest(sessions[human], values[human])
        self._calibration = np.sort(self._forest.anomaly_score(values[human]))
        self._population = _quantiles(sessions)
        self.reference_size_ = reference_size
        self.sessions_seen_ = n_sessions
        self.window_ = (sessions["start"].min().isoformat(), sessions["end"].max().isoformat())
        return self

    def _fit_forest(self, sessions: pd.DataFrame, values: Floats) -> ForestScorer:
        """Grow the trees; no prefix fills one, and a session's owner is its account, or else its address."""
        from fraudlog.detecting.forest import SessionForest  # noqa: PLC0415 -- scoring must not import scikit-learn

        columns = {name: sessions[name] if name in sessions.columns else None for name in _WHOSE}
        users, addresses = columns["user"], columns["client_ip"]
        owners = addresses if users is None else users if addresses is None else users.fillna(addresses)
        forest = SessionForest(
            self.n_estimators,
            max_samples=self.max_samples,
            transforms=transforms_of(self.features_),
            random_state=self.random_state,
        )
        ids = sessions["session_id"]
        if "checkpoint" in sessions.columns:
            ids = ids + ":" + sessions["checkpoint"].astype("str")
        forest.fit(values, owners=owners, ids=ids, sources=columns["ip_prefix"])
        return forest.scorer_

    def score(self, sessions: pd.DataFrame) -> pd.DataFrame:
        """Score sessions.

        Parameters
        ----------
        sessions : DataFrame of shape (n_sessions, n_columns)
            As from `fraudlog.build_sessions`.

        Returns
        -------
        DataFrame of shape (n_sessions, 7)
            `fraudlog.schema.SCORES`, in the order of `sessions`. ``reasons`` add up to ``risk``.

        Raises
        ------
        NotFittedError
            If called before `fit` or `load`.
        SchemaError
            If a feature that it learnt from is missing.
        """
        forest = self._fitted()
        require_columns(sessions, ["session_id", "start", "end"], table="sessions")
        values = feature_matrix(sessions, self.features_)
        anomaly = forest.anomaly_score(values)
        hits = fired(sessions)
        voice = np.where(verified_crawler(sessions), 0.0, self._voice(anomaly))
        weights = np.column_stack([hits * _WEIGHTS, voice])
        risk = 1 - np.prod(1 - weights, axis=1)
        columns = {
            "session_id": sessions["session_id"],
            "start": sessions["start"],
            "end": sessions["end"],
            "anomaly_score": anomaly,
            "risk": risk,
            "confidence": _confidence(sessions),
            "reasons": self._reasons(sessions, values, _parts(weights, risk)),
        }
        return _frame(columns)

    def save(
        self, path: str | os.PathLike[str], *, key: SigningKey | None = None, policy_version: str | None = None
    ) -> None:
        """Write the fitted detector to `path`: plain arrays and a manifest, no pickle.

        Parameters
        ----------
        path : path-like
        key : bytes, Ed25519PrivateKey or None
            Seals the file; `load` then needs it, or the public key of it.
        policy_version : str, optional
            The policy in force, noted in the manifest.
        """
        arrays = self._fitted().to_arrays()
        arrays |= {f"population.{name}": array for name, array in self._population.items()}
        arrays |= {"calibration": self._calibration}
        write_model(path, arrays, self._manifest() | {"policy_version": policy_version}, key=key)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, key: VerifyingKey | None = None) -> Self:
        """Read a detector that `save` wrote; with a key, only one that was sealed with it.

        Raises
        ------
        ModelError
            If the file is missing, damaged or hostile, or learnt from other definitions of features or evidence.
        """
        arrays, manifest = read_model(path, key=key)
        if manifest.get("definitions") != _definitions():
            raise ModelError(
                f"{path}: learnt from other features or evidence than this version has; fit it anew", path=path
            )
        try:
            detector = cls(**manifest["parameters"])
            detector.features_ = [str(name) for name in manifest["features"]]
            detector.reference_size_, detector.sessions_seen_ = manifest["reference_size"], manifest["sessions_seen"]
            detector.window_ = tuple(manifest["window"])
            detector._population = {
                name.removeprefix("population."): array
                for name, array in arrays.items()
                if name.startswith("population.")
            }
            detector._calibration = arrays["calibration"]
        except (KeyError, TypeError, ValueError):
            raise ModelError(f"{path}: the model's manifest is incomplete; save it again", path=path) from None
        detector._forest = ForestScorer.from_arrays(arrays)
        if detector._forest.n_features != len(detector.features_) or not set(detector.features_) <= _KNOWN:
            raise ModelError(f"{path}: the model's arrays do not fit its features; save it again", path=path)
        return detector

    def _fitted(self) -> ForestScorer:
        if self._forest is None:
            raise NotFittedError("the detector has not learnt yet: call fit(sessions), or Detector.load(path)")
        return self._forest

    def _voice(self, anomaly: Floats) -> Floats:
        """Return the forest's weight: 0 for the usual nine tenths, towards 0.45 where one in 1,000 people is as odd."""
        size = len(self._calibration)
        odder = size - np.searchsorted(self._calibration, anomaly, side="left")
        p_value = (odder + 1) / (size + 1)
        return _FOREST_WEIGHT * np.clip((-np.log10(p_value) - 1) / 2, 0, 1)

    def _reasons(self, sessions: pd.DataFrame, values: Floats, parts: Floats) -> list[list[Reason]]:
        forest, odd = self._fitted(), np.flatnonzero(parts[:, -1] > 0)
        credit = np.zeros_like(values)
        credit[odd] = forest.contributions(values[odd])[1]
        order = forest.reason_order(values, credit)
        feature = [row.conditions[0].feature for row in EVIDENCE]
        shown = {name: sessions[name].to_numpy(np.float64) for name in {*feature} if name in sessions.columns}
        result = []
        for i, part in enumerate(parts):
            reasons = [
                self._reason(row.code, part[j], feature[j], shown[feature[j]][i], row.oat)
                for j, row in enumerate(EVIDENCE)
                if part[j] > 0
            ]
            if part[-1] > 0:
                reasons += self._oddness(values[i], credit[i], order[i], part[-1])
            result.append(sorted(reasons, key=lambda reason: (reason["code"] == _OTHER, -reason["contribution"])))
        return result

    def _oddness(self, values: Floats, credit: Floats, order: NDArray[np.intp], part: float) -> list[Reason]:
        """Share the forest's part of the risk out over the features that make the session odd."""
        # What raises the score counts; the few that also stand out by themselves are named, the rest lumped.
        shares = np.maximum(credit, 0.0)
        shares = shares / shares.sum() if shares.sum() > 0 else shares
        named = [j for j in order if shares[j] > 0][:_NAMED_FEATURES]
        reasons = [
            self._reason(UNUSUAL + self.features_[j].upper(), part * shares[j], self.features_[j], values[j], None)
            for j in named
        ]
        rest = part * (1 - shares[named].sum())
        if rest > part * 1e-9:
            reasons.append(Reason(code=_OTHER, contribution=rest, value=None, percentile=None, oat=None))
        return reasons

    def _reason(self, code: str, part: float, feature: str, value: float, oat: str | None) -> Reason:
        grid = self._population.get(feature)
        known = not np.isnan(value)
        percentile = (
            float(np.searchsorted(grid, value, side="right") / len(grid)) if known and grid is not None else None
        )
        return Reason(
            code=code, contribution=float(part), value=float(value) if known else None, percentile=percentile, oat=oat
        )

    def _manifest(self) -> dict[str, Any]:
        return {
            "definitions": _definitions(),
            "features": self.features_,
            "transforms": dict(zip(self.features_, transforms_of(self.features_).values(), strict=True)),
            "purposes": ["essential.fraud_detection"],
            "parameters": {name: getattr(self, name) for name in ("n_estimators", "max_samples", "random_state")},
            "reference_size": self.reference_size_,
            "sessions_seen": self.sessions_seen_,
            "window": list(self.window_),
            "versions": {"python": platform.python_version(), "fraudlog": __version__}
            | {name: version(name) for name in ("numpy", "scikit-learn")},
        }


_OTHER: Final = UNUSUAL + "OTHER"
_WHOSE: Final = ("user", "client_ip", "ip_prefix")
_WEIGHTS: Final = np.array([row.weight for row in EVIDENCE])
_KNOWN: Final = {row.name for row in FEATURES}


def _is_finished(sessions: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which rows are whole sessions, and not one as of an earlier event."""
    if "is_last" not in sessions.columns:
        return np.ones(len(sessions), bool)
    finished: NDArray[np.bool_] = sessions["is_last"].to_numpy(bool)
    return finished


def _parts(weights: Floats, risk: Floats) -> Floats:
    """Share each risk out over the voices that made it, in proportion to the logarithm of what each left over."""
    logs = -np.log1p(-weights)
    total = logs.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(logs, total, out=np.zeros_like(logs), where=total > 0)
    return shares * risk[:, None]


def _confidence(sessions: pd.DataFrame) -> Floats:
    """Return how much there was to judge by: more requests and more known features, more confidence."""
    requests = sessions["requests"].to_numpy(np.float64)
    known = sessions[[name for name in sessions.columns if name in _KNOWN]].notna().to_numpy().mean(axis=1)
    confidence: Floats = requests / (requests + 2) * known
    return confidence


def _quantiles(sessions: pd.DataFrame) -> dict[str, Floats]:
    """Return at most 1,001 quantiles of each feature over all sessions, abusive ones too."""
    grids = {}
    for name in (name for name in sessions.columns if name in _KNOWN):
        known = sessions[name].dropna().to_numpy(np.float64)
        if len(known):
            grids[name] = np.quantile(known, np.linspace(0, 1, min(_GRID, len(known))), method="inverted_cdf")
    return grids


def _definitions() -> str:
    """Return a digest of all features and evidence: a model is only good for the definitions it learnt from."""
    return hashlib.sha256(repr((FEATURES, EVIDENCE)).encode()).hexdigest()


def _frame(columns: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 -- loading a model does not need it

    names = [column.name for column in SCORES]
    return pd.DataFrame({name: columns[name] for name in names}).reset_index(drop=True)
