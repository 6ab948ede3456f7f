"""`Detector`: learns what is usual on a site, and scores sessions with reasons."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from fraudlog import __version__
from fraudlog.detecting.entities import entity_token, entity_tokens, owner_tokens, secret
from fraudlog.detecting.evidence import EVIDENCE, presumed_human, verified_crawler
from fraudlog.detecting.fusion import Calibration, fuse, odds_of_risk
from fraudlog.detecting.inputs import transforms_of
from fraudlog.detecting.learnt import kept, table_from_arrays, table_to_arrays
from fraudlog.detecting.model_file import read_model, write_model
from fraudlog.detecting.panel import PANEL
from fraudlog.detecting.reasons import OTHER, Reason
from fraudlog.detecting.voices import PLACES, Cause, Parameters, Row, Voice
from fraudlog.errors import ConfigError, ModelError, NotFittedError
from fraudlog.schema import SCORES, require_columns
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.model_file import SigningKey, VerifyingKey
    from fraudlog.detecting.voices import Judgement
    from fraudlog.sessions import Population

    Floats = NDArray[np.float64]

__all__ = ["Detector", "RowScore"]

_MIN_REFERENCE: Final = 50
_GRID: Final = 1001
_BLOCK: Final = 1 << 16
"""Sessions scored at a time: bounds the memory of the feature matrices."""


class RowScore(NamedTuple):
    """What `Detector.score_one` says of one session: a row of `fraudlog.schema.SCORES` without id and times."""

    anomaly_score: float
    risk: float
    confidence: float
    reasons: list[Reason]


class Detector:
    """Scores sessions: several voices, one risk of all.

    An isolation forest says what is odd, evidence what is abusive, and the others of `fraudlog.detecting.panel.PANEL`
    what they know. Each is heard as far as it finds a session more striking than it finds people; see
    `fraudlog.detecting.fusion`. They learn from the sessions no evidence speaks against, so that their idea of usual
    is not set by the abusers.

    Parameters
    ----------
    n_estimators : int, default 200
        Trees.
    max_samples : int or "auto", default "auto"
        Sessions each tree is built on, as `fraudlog.detecting.SessionForest` takes it.
    random_state : int, default 0
        Seed; the same sessions and seed give the same bits.
    key : bytes, optional
        Secret of the operator, 16 to 64 bytes: nobody who lacks it can arrange to be learnt from. Without one it comes
        of the seed.

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

    def __init__(
        self,
        *,
        n_estimators: int = 200,
        max_samples: int | str = "auto",
        random_state: int = 0,
        key: bytes | None = None,
    ) -> None:
        for name, value in (("n_estimators", n_estimators), ("max_samples", max_samples)):
            if isinstance(value, int) and value < 2:
                raise ConfigError(f"{name} is too small; 200 trees of 64 to 1,024 rows are usual", parameter=name)
        if key is not None and not (isinstance(key, bytes) and 16 <= len(key) <= 64):
            raise ConfigError("key must be 16 to 64 bytes: take them from a secret store", parameter="key")
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.random_state = random_state
        self.key = key
        self._voices: dict[str, Voice] = {}

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
        self._voices = {}
        self._learn(kept(sessions), {name: seat.make(self._parameters) for name, seat in PANEL.items()})
        return self

    def _learn(self, sessions: pd.DataFrame, voices: dict[str, Voice]) -> None:
        """Fit voices, calibrations and percentiles: a function of the rows and the parameters alone."""
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
        for voice in voices.values():
            voice.fit(sessions, human)
        self._calibrations = {
            name: Calibration.of(voices[name].held_out(sessions, human), seat.belief, seat.ceiling)
            for name, seat in PANEL.items()
            if seat.belief is not None
        }
        self._population = _quantiles(sessions[finished])
        self.reference_size_ = reference_size
        self.sessions_seen_ = n_sessions
        self.window_ = (sessions["start"].min().isoformat(), sessions["end"].max().isoformat())
        self._learnt: pd.DataFrame | None = sessions
        self._hear(voices)

    def forget(self, *owners: object, session_ids: Iterable[str] = ()) -> int:
        """Take people out, as if the detector had never seen them.

        All it learnt is learnt anew from the other sessions, bit for bit as `fit` does on them; trees that held none of
        theirs are taken over.

        Parameters
        ----------
        *owners : object
            Accounts; for sessions without one, addresses. As they stood in the table given to `fit`.
        session_ids : iterable of str, optional
            Single sessions.

        Returns
        -------
        int
            How many of its rows were theirs; unknown ones are no error.

        Raises
        ------
        ConfigError
            If it was loaded without what it learnt from, or too few people would remain to learn from.
        """
        self._fitted()
        if self._learnt is None:
            raise ConfigError(
                "this detector was saved without the sessions it learnt from, so it can't forget: save it with "
                "training=True, or fit it anew",
                parameter="owners",
            )
        key = secret(self._parameters)
        tokens = [entity_token(owner, key) for owner in owners]
        ids = [entity_token(one, key) for one in session_ids]
        gone = np.isin(owner_tokens(self._learnt, key), np.array(tokens, dtype=np.uint64))
        gone |= np.isin(entity_tokens(self._learnt, "session_id", key), np.array(ids, dtype=np.uint64))
        if gone.any():
            self._learn(self._learnt[~gone], self._voices)
        return int(gone.sum())

    @property
    def _parameters(self) -> Parameters:
        return Parameters(self.n_estimators, self.max_samples, self.random_state, self.key)

    def _hear(self, voices: dict[str, Voice]) -> None:
        self._voices = voices
        self.features_: list[str] = list(getattr(voices["forest"], "features_", []))

    @property
    def population_(self) -> Population:
        """How rare agents, languages and profiles were when it learnt: for `build_sessions` and for services."""
        self._fitted()
        counts: Population = getattr(self._voices["population"], "counts")  # noqa: B009 -- not every voice has it
        return counts

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
        self._fitted()
        require_columns(sessions, ["session_id", "start", "end", "requests"], table="sessions")
        starts = range(0, max(len(sessions), 1), _BLOCK)
        blocks = [self._score_block(sessions.iloc[start : start + _BLOCK]) for start in starts]
        anomaly, risk, confidence = (np.concatenate([block[place] for block in blocks]) for place in range(3))
        return _frame(
            {
                "session_id": sessions["session_id"].to_numpy(),
                "start": sessions["start"].array,
                "end": sessions["end"].array,
                "anomaly_score": anomaly,
                "risk": risk,
                "confidence": confidence,
                "reasons": [reasons for block in blocks for reasons in block[3]],
            }
        )

    def _score_block(self, sessions: pd.DataFrame) -> tuple[Floats, Floats, Floats, list[list[Reason]]]:
        judgements = {name: voice.judge(sessions) for name, voice in self._voices.items()}
        silenced = verified_crawler(sessions)
        odds = {
            name: np.where(silenced, 0.0, self._odds(name, judgement.strength))
            for name, judgement in judgements.items()
        }
        risk = fuse(list(odds.values()))
        certainty = [judgement.certainty for judgement in judgements.values() if judgement.certainty is not None]
        confidence = _confidence(sessions)
        for factor in certainty:
            confidence = confidence * factor
        return judgements["forest"].strength, risk, confidence, self._reasons_of_block(judgements, odds, risk)

    def _odds(self, name: str, strength: Floats) -> Floats:
        """Return the odds one voice gives each session."""
        if name in self._calibrations:
            return self._calibrations[name].odds(strength)
        stated = np.minimum(np.where(np.isnan(strength), 0.0, strength), PANEL[name].ceiling)
        return stated / (1.0 - stated)

    def _reasons_of_block(
        self, judgements: Mapping[str, Judgement], odds: Mapping[str, Floats], risk: Floats
    ) -> list[list[Reason]]:
        """Ask each voice only about the rows it is heard on."""
        said: list[list[tuple[float, list[Cause]]]] = [[] for _ in risk]
        for name, judgement in judgements.items():
            rows = np.flatnonzero(odds[name] >= self._worth_naming(name)).tolist()
            for row, causes in zip(rows, judgement.causes(rows), strict=True):
                said[row].append((float(odds[name][row]), causes))
        total = np.zeros(len(risk))
        for part in odds.values():
            total += part
        return [self._reasons(*row) for row in zip(said, total.tolist(), risk.tolist(), strict=True)]

    def _worth_naming(self, name: str) -> float:
        """Return the odds from which on a voice's part of a risk is explained; what is below goes under other."""
        calibration = self._calibrations.get(name)
        return np.finfo(np.float64).tiny if calibration is None else calibration.worth_naming

    def score_one(
        self, row: Mapping[str, Any] | Sequence[float], entities: Mapping[str, Any] | None = None
    ) -> RowScore:
        """Score one session, bit for bit as `score` scores it in a frame, and without pandas.

        Parameters
        ----------
        row : mapping, or sequence of float of shape (len(FEATURES),)
            Features in the order of the catalogue, as `fraudlog.sessions.LiveFeatures.observe` gives them; NaN is
            unknown. Or a row of the table of sessions, as `LiveSession.row`.
        entities : mapping, optional
            The other columns of the session that voices ask for: ``user``, ``ip_prefix``, ``profile`` ...; taken from
            `row` where that is a mapping.

        Raises
        ------
        NotFittedError
            If called before `fit` or `load`.

        Examples
        --------
        >>> import fraudlog as fl
        >>> from fraudlog.sessions import LiveFeatures
        >>> log = fl.read_log("data/sample/access.log.gz")
        >>> detector = fl.Detector().fit(fl.build_sessions(log.table))
        >>> live = LiveFeatures()
        >>> features = live.observe({"timestamp": 0, "client_ip": "203.0.113.9", "path": "/.env"})
        >>> 0 < detector.score_one(features).risk < 1
        True
        """
        self._fitted()
        asked = _row(row, entities)
        opinions = {name: voice.judge_one(asked) for name, voice in self._voices.items()}
        values = asked.features
        requests = float(values[_REQUESTS])
        odds = dict.fromkeys(opinions, 0.0)
        if requests != values[_VERIFIED]:
            odds = {name: self._odds_one(name, opinion.strength) for name, opinion in opinions.items()}
        total = 0.0
        for part in odds.values():
            total += part
        risk = total / (1.0 + total)
        confidence = requests / (requests + 2) * ((len(values) - int(np.isnan(values).sum())) / len(FEATURES))
        said = []
        for name, opinion in opinions.items():
            confidence *= opinion.certainty
            if odds[name] >= self._worth_naming(name):
                said.append((odds[name], opinion.causes()))
        return RowScore(opinions["forest"].strength, risk, confidence, self._reasons(said, total, risk))

    def _odds_one(self, name: str, strength: float) -> float:
        """Do what `_odds` does for one, to the same bits."""
        if name in self._calibrations:
            return self._calibrations[name].odds_one(strength)
        stated = min(0.0 if np.isnan(strength) else strength, PANEL[name].ceiling)
        return odds_of_risk(stated)

    def _reasons(self, said: list[tuple[float, list[Cause]]], total: float, risk: float) -> list[Reason]:
        """Share a risk out: each voice its part of the odds, each cause its part of the voice."""
        if total <= 0.0:
            return []
        lumped, reasons = total, []
        for part, causes in said:
            lumped -= part
            for cause in causes:
                contribution = risk * (part / total) * cause.share
                if cause.code == OTHER:
                    lumped += part * cause.share
                else:
                    reasons.append(self._reason(cause, contribution))
        reasons.sort(key=lambda reason: -reason["contribution"])
        if lumped > total * 1e-9:
            rest = Reason(code=OTHER, contribution=risk * (lumped / total), value=None, percentile=None, oat=None)
            reasons.append(rest)
        return reasons

    def _reason(self, cause: Cause, contribution: float) -> Reason:
        known = not np.isnan(cause.value)
        grid = self._population.get(cause.feature or "") if known else None
        percentile = None if grid is None else int(grid.searchsorted(cause.value, side="right")) / len(grid)
        return Reason(
            code=cause.code,
            contribution=contribution,
            value=cause.value if known else None,
            percentile=percentile,
            oat=cause.oat,
        )

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        key: SigningKey | None = None,
        policy_version: str | None = None,
        training: bool = False,
    ) -> None:
        """Write the fitted detector to `path`: plain arrays and a manifest, no pickle.

        Parameters
        ----------
        path : path-like
        key : bytes, Ed25519PrivateKey or None
            Seals the file; `load` then needs it, or the public key of it.
        policy_version : str, optional
            The policy in force, noted in the manifest.
        training : bool, default False
            Whether to keep what `forget` needs: the features of the sessions it learnt from, and keyed tokens of
            whose they are. Personal data, under the sessions' own retention. The key itself is never saved.

        Raises
        ------
        ConfigError
            If `training` is asked of a detector that was loaded without.
        """
        self._fitted()
        arrays = {f"population.{name}": array for name, array in self._population.items()}
        arrays |= {f"calibration.{name}": one.ordered for name, one in self._calibrations.items()}
        for name, voice in self._voices.items():
            arrays |= {f"voice.{name}.{part}": array for part, array in voice.to_arrays().items()}
        if training:
            if self._learnt is None:
                raise ConfigError("this detector was loaded without the sessions it learnt from", parameter="training")
            table = table_to_arrays(self._learnt, secret(self._parameters))
            arrays |= {f"learnt.{name}": array for name, array in table.items()}
        write_model(path, arrays, self._manifest() | {"policy_version": policy_version}, key=key)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, key: VerifyingKey | None = None, secret: bytes | None = None
    ) -> Self:
        """Read a detector that `save` wrote; with a key, only one that was sealed with it.

        Parameters
        ----------
        path : path-like
        key : bytes, Ed25519PublicKey or None
            What it was sealed with.
        secret : bytes, optional
            The ``key`` of the constructor, which the file does not hold: voices that remember people need it.

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
            detector = cls(**manifest["parameters"], key=secret)
            detector.reference_size_, detector.sessions_seen_ = manifest["reference_size"], manifest["sessions_seen"]
            detector.window_ = tuple(manifest["window"])
            detector._population = _under("population.", arrays)
            detector._calibrations = {
                name: Calibration.of(_numbers(arrays[f"calibration.{name}"]), seat.belief, seat.ceiling)
                for name, seat in PANEL.items()
                if seat.belief is not None
            }
            voices = {
                name: type(seat.make(detector._parameters)).from_arrays(
                    _under(f"voice.{name}.", arrays), detector._parameters
                )
                for name, seat in PANEL.items()
            }
        except (KeyError, TypeError, ValueError):
            raise ModelError(f"{path}: the model's manifest is incomplete; save it again", path=path) from None
        if not set(detector._population) <= PLACES.keys():
            raise ModelError(f"{path}: the model's arrays do not fit its features; save it again", path=path)
        learnt = _under("learnt.", arrays)
        detector._learnt = table_from_arrays(learnt) if learnt else None
        detector._hear(voices)
        return detector

    def _fitted(self) -> None:
        if not self._voices:
            raise NotFittedError("the detector has not learnt yet: call fit(sessions), or Detector.load(path)")

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


_REQUESTS: Final = PLACES["requests"]
_VERIFIED: Final = PLACES["verified_crawler_requests"]


def _row(row: Mapping[str, Any] | Sequence[float], entities: Mapping[str, Any] | None) -> Row:
    """Put what a caller has into the order of the catalogue."""
    if isinstance(row, Mapping):
        values = np.array([row.get(name, np.nan) for name in PLACES], dtype=np.float64)
        return Row(values, row if entities is None else entities)
    values = np.array(row, dtype=np.float64)
    if values.shape != (len(PLACES),):
        raise ConfigError(f"the row has shape {values.shape}; it needs {len(PLACES)} features", parameter="row")
    return Row(values, entities or {})


def _is_finished(sessions: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which rows are whole sessions, and not one as of an earlier event."""
    if "is_last" not in sessions.columns:
        return np.ones(len(sessions), bool)
    finished: NDArray[np.bool_] = sessions["is_last"].to_numpy(bool)
    return finished


def _confidence(sessions: pd.DataFrame) -> Floats:
    """Return how much there was to judge by: more requests and more known features, more confidence."""
    requests = sessions["requests"].to_numpy(np.float64)
    known = sessions[_known(sessions)].notna().to_numpy().sum(axis=1) / len(FEATURES)
    confidence: Floats = requests / (requests + 2) * known
    return confidence


def _known(sessions: pd.DataFrame) -> list[str]:
    return [name for name in sessions.columns if name in PLACES]


def _quantiles(sessions: pd.DataFrame) -> dict[str, Floats]:
    """Return at most 1,001 quantiles of each feature over all sessions, abusive ones too."""
    grids = {}
    for name in _known(sessions):
        known = sessions[name].dropna().to_numpy(np.float64)
        if len(known):
            grids[name] = np.quantile(known, np.linspace(0, 1, min(_GRID, len(known))), method="inverted_cdf")
    return grids


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _numbers(array: NDArray[Any]) -> Floats:
    if array.dtype != np.float64 or array.ndim != 1:
        raise ValueError("a calibration is a row of numbers")
    return array


def _definitions() -> str:
    """Return a digest of all features and evidence: a model is only good for the definitions it learnt from."""
    return hashlib.sha256(repr((FEATURES, EVIDENCE)).encode()).hexdigest()


def _frame(columns: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 -- loading a model does not need it

    return pd.DataFrame({column.name: columns[column.name] for column in SCORES})
