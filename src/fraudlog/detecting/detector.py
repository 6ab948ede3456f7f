"""`Detector`: learns what is usual on a site, and scores sessions with reasons."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from fraudlog import __version__
from fraudlog.detecting.entities import entity_token, entity_tokens, owner_tokens, secret
from fraudlog.detecting.evidence import EVIDENCE
from fraudlog.detecting.hearing import Hearing
from fraudlog.detecting.inputs import transforms_of
from fraudlog.detecting.learnt import kept, table_from_arrays, table_to_arrays
from fraudlog.detecting.model_file import read_model, write_model
from fraudlog.detecting.panel import PANEL, RARITIES, scale_from, scales_of, settled
from fraudlog.detecting.voices import PLACES, Parameters, Row, Voice
from fraudlog.errors import ConfigError, ModelError, NotFittedError
from fraudlog.schema import SCORES, require_columns
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.hearing import RowScore
    from fraudlog.detecting.model_file import SigningKey, VerifyingKey
    from fraudlog.sessions import Population

    Floats = NDArray[np.float64]

__all__ = ["Detector"]

_GRID: Final = 1001
_BLOCK: Final = 1 << 16
"""Sessions scored at a time: bounds the memory of the feature matrices."""


class Detector:
    """Scores sessions: several voices, one risk of all.

    An isolation forest says what is odd, evidence what is abusive, and the others of `fraudlog.detecting.panel.PANEL`
    what they know. Each is heard as far as it finds a session more striking than it finds people; see
    `fraudlog.detecting.fusion`. They learn from the sessions no evidence speaks against, so that their idea of usual
    is not set by the abusers.

    Parameters
    ----------
    n_estimators : int, default 100
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
    reference_warning_ : str or None
        What a person should know where few of the sessions are presumed human.
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
        n_estimators: int = 100,
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
        self._hearing: Hearing | None = None

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
        self._hearing = None
        self._learn(kept(sessions), {name: seat.make(self._parameters) for name, seat in PANEL.items()})
        return self

    def _learn(self, sessions: pd.DataFrame, voices: dict[str, Voice]) -> None:
        """Fit everything: a function of the rows and the parameters alone."""
        reference = settled(sessions, self._parameters)
        human = reference.human
        for voice in voices.values():
            voice.after(voices)
        for voice in voices.values():
            voice.fit(sessions, human)
        scales = scales_of(voices, sessions, human, secret(self._parameters))
        self.reference_size_ = reference.size
        self.sessions_seen_ = reference.seen
        self.reference_warning_ = reference.warning
        self.window_ = (sessions["start"].min().isoformat(), sessions["end"].max().isoformat())
        self._learnt: pd.DataFrame | None = sessions
        self._hear(Hearing(voices, scales, _quantiles(sessions[reference.finished]), RARITIES))

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
        hearing = self._fitted()
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
            self._learn(self._learnt[~gone], hearing.voices)
        return int(gone.sum())

    @property
    def _parameters(self) -> Parameters:
        return Parameters(self.n_estimators, self.max_samples, self.random_state, self.key)

    def _hear(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self.features_: list[str] = list(getattr(hearing.voices["forest"], "features_", []))

    @property
    def population_(self) -> Population:
        """How rare agents, languages and profiles were when it learnt: for `build_sessions` and for services."""
        counts: Population = self._fitted().voices["population"].counts  # type: ignore[attr-defined] # this one has
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
        hearing = self._fitted()
        require_columns(sessions, ["session_id", "start", "end", "requests"], table="sessions")
        starts = range(0, max(len(sessions), 1), _BLOCK)
        blocks = [hearing.of_block(sessions.iloc[start : start + _BLOCK]) for start in starts]
        anomaly, risk, confidence = (np.concatenate([block[place] for block in blocks]) for place in range(3))
        return _frame(
            {
                "session_id": sessions["session_id"].to_numpy(),
                "start": sessions["start"].array,
                "end": sessions["end"].array,
                "anomaly_score": anomaly,
                "risk": risk,
                "confidence": confidence,
                "reasons": [reasons for block in blocks for reasons in block.reasons],
            }
        )

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
        return self._fitted().of_one(_row(row, entities))

    def prepare(self) -> Self:
        """Make `score_one` as fast as it can be, to the same bits: call it once when a service starts.

        Where the extra ``fast`` is installed the forest's walk is compiled; that takes a second or so.
        """
        self._fitted().prepare()
        return self

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
        arrays = self._fitted().to_arrays()
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
            detector.reference_warning_ = manifest["reference_warning"]
        except (KeyError, TypeError, ValueError):
            raise ModelError(f"{path}: the model's manifest is incomplete; save it again", path=path) from None
        population = _under("population.", arrays)
        if not population.keys() <= PLACES.keys() or any(grid.dtype != np.float64 for grid in population.values()):
            raise ModelError(f"{path}: the model's arrays do not fit its features; save it again", path=path)
        voices: dict[str, Voice] = {}
        for name, seat in PANEL.items():
            fresh = seat.make(detector._parameters)
            voices[name] = type(fresh).from_arrays(_under(f"voice.{name}.", arrays), detector._parameters)
        for voice in voices.values():
            voice.after(voices)
        scales = {name: scale_from(seat, _under(f"calibration.{name}.", arrays)) for name, seat in PANEL.items()}
        learnt = _under("learnt.", arrays)
        detector._learnt = table_from_arrays(learnt) if learnt else None
        detector._hear(Hearing(voices, scales, population, RARITIES))
        return detector

    def _fitted(self) -> Hearing:
        if self._hearing is None:
            raise NotFittedError("the detector has not learnt yet: call fit(sessions), or Detector.load(path)")
        return self._hearing

    def _manifest(self) -> dict[str, Any]:
        return {
            "definitions": _definitions(),
            "features": self.features_,
            "transforms": dict(zip(self.features_, transforms_of(self.features_).values(), strict=True)),
            "purposes": ["essential.fraud_detection"],
            "parameters": {name: getattr(self, name) for name in ("n_estimators", "max_samples", "random_state")},
            "reference_size": self.reference_size_,
            "reference_warning": self.reference_warning_,
            "sessions_seen": self.sessions_seen_,
            "window": list(self.window_),
            "versions": {"python": platform.python_version(), "fraudlog": __version__}
            | {name: version(name) for name in ("numpy", "scikit-learn")},
        }


def _row(row: Mapping[str, Any] | Sequence[float], entities: Mapping[str, Any] | None) -> Row:
    """Put what a caller has into the order of the catalogue."""
    if isinstance(row, Mapping):
        values = np.array([row.get(name, np.nan) for name in PLACES], dtype=np.float64)
        return Row(values, row if entities is None else entities)
    values = np.array(row, dtype=np.float64)
    if values.shape != (len(PLACES),):
        raise ConfigError(f"the row has shape {values.shape}; it needs {len(PLACES)} features", parameter="row")
    return Row(values, entities or {})


def _quantiles(sessions: pd.DataFrame) -> dict[str, Floats]:
    """Return at most 1,001 quantiles of each feature over all sessions, abusive ones too."""
    grids = {}
    for name in (name for name in sessions.columns if name in PLACES):
        known = sessions[name].dropna().to_numpy(np.float64)
        if len(known):
            grids[name] = np.quantile(known, np.linspace(0, 1, min(_GRID, len(known))), method="inverted_cdf")
    return grids


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _definitions() -> str:
    """Return a digest of all features and evidence: a model is only good for the definitions it learnt from."""
    return hashlib.sha256(repr((FEATURES, EVIDENCE)).encode()).hexdigest()


def _frame(columns: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 -- loading a model does not need it

    return pd.DataFrame({column.name: columns[column.name] for column in SCORES})
