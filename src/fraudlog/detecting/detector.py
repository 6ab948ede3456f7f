"""`Detector`: learns what is usual on a site, and scores sessions with reasons."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

import numpy as np

from fraudlog import __version__
from fraudlog.detecting.drift import drift_of
from fraudlog.detecting.entities import entity_token, entity_tokens, owner_tokens, secret
from fraudlog.detecting.evidence import EVIDENCE
from fraudlog.detecting.feedback import Examples, Feedback
from fraudlog.detecting.hearing import Hearing
from fraudlog.detecting.inputs import transforms_of
from fraudlog.detecting.labels import LabelBook, Labelled
from fraudlog.detecting.learnt import kept, table_from_arrays, table_to_arrays
from fraudlog.detecting.model_file import read_model, write_model
from fraudlog.detecting.oddness import Oddness
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

    from fraudlog.detecting.drift import Drift
    from fraudlog.detecting.hearing import RowScore
    from fraudlog.detecting.labels import Label
    from fraudlog.detecting.model_file import SigningKey, VerifyingKey
    from fraudlog.sessions import Population

    Floats = NDArray[np.float64]

__all__ = ["Detector"]

_GRID: Final = 1001
_Kind = TypeVar("_Kind", Labelled, Feedback)
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
    human_risk_ : float64 array
        Risks of presumed-human sessions by voices that did not learn from them, rising: for `deciding.human_budget`.
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
        self._book = LabelBook(secret(self._parameters))
        self._examples: pd.DataFrame | None = None
        self._flagged = np.zeros(0, np.uint64)

    def fit(self, sessions: pd.DataFrame, *, flagged: Iterable[str] = ()) -> Self:
        """Learn what is usual; labels given before stay.

        Parameters
        ----------
        sessions : DataFrame of shape (n_sessions, n_columns)
            As from `fraudlog.build_sessions`; best another period than the one to be scored. With ``asof=True`` there
            it learns from sessions as they were after 1, 2, 3, 5 ... events, which is what a service will ask about.
        flagged : iterable of str, optional
            Ids of sessions that an earlier detector flagged: they are not learnt as usual.

        Raises
        ------
        ConfigError
            If fewer than 50 sessions are presumed human: no idea of usual can come of so few.
        """
        require_columns(sessions, ["session_id", "start", "end"], table="sessions")
        self._hearing = None
        self._flagged = np.array([entity_token(one, secret(self._parameters)) for one in flagged], dtype=np.uint64)
        self._learn(kept(sessions), {name: seat.make(self._parameters) for name, seat in PANEL.items()})
        return self

    def _learn(self, sessions: pd.DataFrame, voices: dict[str, Voice]) -> None:
        """Fit everything: a function of the rows and the parameters alone."""
        key = secret(self._parameters)
        doubted = self._book.verdicts(sessions) > 0
        doubted |= np.isin(entity_tokens(sessions, "session_id", key), self._flagged)
        reference = settled(sessions, self._parameters, doubted)
        human, examples = reference.human, self._labelled_examples()
        _named(voices, Labelled).book = self._book
        for voice in voices.values():
            voice.after(voices)
        for voice in voices.values():
            voice.fit(sessions, human)
        _named(voices, Feedback).learn(examples)
        scales, held_out = scales_of(voices, sessions, human, key, examples)
        self.reference_size_ = reference.size
        self.sessions_seen_ = reference.seen
        self.reference_warning_ = reference.warning
        self.window_ = (sessions["start"].min().isoformat(), sessions["end"].max().isoformat())
        self._learnt: pd.DataFrame | None = sessions
        hearing = Hearing(voices, scales, _quantiles(sessions[reference.finished]), RARITIES)
        self.human_risk_ = np.sort(hearing.risk(held_out))
        unseen = {name: voice.held_out(sessions, reference.finished) for name, voice in voices.items()}
        scores = {"anomaly_score": unseen[Oddness.name], "risk": hearing.risk(unseen)}
        self._score_grids = {name: _grid(values) for name, values in scores.items()}
        self._hear(hearing)

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
        learnt = self._training("owners")
        key = secret(self._parameters)
        tokens = [entity_token(owner, key) for owner in owners]
        ids = [entity_token(one, key) for one in session_ids]
        gone = _is_theirs(learnt, tokens, ids, key)
        self._book.drop([*tokens, *ids])
        if self._examples is not None:
            self._examples = self._examples[~_is_theirs(self._examples, tokens, ids, key)]
        if gone.any():
            self._learn(learnt[~gone], self._fitted().voices)
        return int(gone.sum())

    def learn(
        self, labels: Iterable[Label], sessions: pd.DataFrame | None = None, *, now: datetime | None = None
    ) -> Self:
        """Take labels in: what they name is judged by them, and what is like it by its likeness.

        Five labelled sessions a class are the least to learn likeness from. Labels are no features, and sessions that
        one calls abusive are not learnt as usual. A label whose time is over is dropped here.

        Parameters
        ----------
        labels : iterable of Label
        sessions : DataFrame of shape (n_sessions, n_columns), optional
            Where the labelled sessions are; those it learnt from, if none are given.
        now : datetime, optional
            Aware; this moment, if not given.

        Raises
        ------
        ConfigError
            If it was loaded without what it learnt from.
        """
        learnt = self._training("labels")
        self._book.add(labels)
        self._book.expire(now or datetime.now(UTC))
        table = kept(learnt if sessions is None else sessions)
        self._examples = _merged(self._examples, table[self._book.verdicts(table) != 0])
        self._learn(learnt, self._fitted().voices)
        return self

    def unlearn(self, labels: Iterable[Label]) -> int:
        """Take labels back; returns how many were there. The detector is then as if they had never been given."""
        learnt = self._training("labels")
        removed = self._book.remove(labels)
        if self._examples is not None:
            self._examples = self._examples[self._book.verdicts(self._examples) != 0]
        self._learn(learnt, self._fitted().voices)
        return removed

    def _labelled_examples(self) -> Examples:
        if self._examples is None:
            return Examples(np.zeros((0, len(PLACES))), np.zeros(0, np.bool_))
        verdicts = self._book.verdicts(self._examples)
        values = self._examples.reindex(columns=list(PLACES)).to_numpy(np.float64)
        return Examples(values[verdicts != 0], verdicts[verdicts != 0] > 0)

    def _training(self, parameter: str) -> pd.DataFrame:
        self._fitted()
        if self._learnt is None:
            raise ConfigError(
                "this detector was saved without the sessions it learnt from: save it with training=True, or fit it "
                "anew",
                parameter=parameter,
            )
        return self._learnt

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
        self, row: Mapping[str, Any] | Sequence[float] | Floats, entities: Mapping[str, Any] | None = None
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

    def drift(self, sessions: pd.DataFrame) -> Drift:
        """Say how far a window of sessions has moved from those it learnt from, and whether to fit anew.

        Parameters
        ----------
        sessions : DataFrame of shape (n_sessions, n_columns)
            As from `fraudlog.build_sessions`, built as those it learnt from were; a day's worth will do.

        Returns
        -------
        Drift
            Of every feature, of the anomaly score and of the risk.
        """
        hearing = self._fitted()
        window = {name: sessions[name].to_numpy(np.float64) for name in hearing.population if name in sessions.columns}
        strengths = {name: voice.judge(sessions).strength for name, voice in hearing.voices.items()}
        window |= {"anomaly_score": strengths[Oddness.name], "risk": hearing.risk(strengths)}
        return drift_of(hearing.population | self._score_grids, self.sessions_seen_, window)

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
        arrays = self._fitted().to_arrays() | {"human_risk": self.human_risk_}
        arrays |= {f"scores.{name}": grid for name, grid in self._score_grids.items()}
        if training:
            table = table_to_arrays(self._training("training"), secret(self._parameters))
            arrays |= {f"learnt.{name}": array for name, array in table.items()} | {"flagged": self._flagged}
            if self._examples is not None:
                table = table_to_arrays(self._examples, secret(self._parameters))
                arrays |= {f"examples.{name}": array for name, array in table.items()}
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
        detector.human_risk_ = arrays.get("human_risk", np.zeros(0))
        if detector.human_risk_.dtype != np.float64 or detector.human_risk_.ndim != 1:
            raise ModelError(f"{path}: the risks of people are misshapen; save it again", path=path)
        detector._score_grids = _under("scores.", arrays)
        learnt = _under("learnt.", arrays)
        detector._learnt = table_from_arrays(learnt) if learnt else None
        examples = _under("examples.", arrays)
        detector._examples = table_from_arrays(examples) if examples else None
        detector._flagged = arrays.get("flagged", detector._flagged)
        detector._book = _named(voices, Labelled).book
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


def _named(voices: Mapping[str, Voice], kind: type[_Kind]) -> _Kind:
    return cast("_Kind", voices[kind.name])


def _is_theirs(sessions: pd.DataFrame, owners: list[int], ids: list[int], key: bytes) -> NDArray[np.bool_]:
    """Say which rows belong to one of these owners or are one of these sessions."""
    theirs: NDArray[np.bool_] = np.isin(owner_tokens(sessions, key), np.array(owners, dtype=np.uint64))
    return theirs | np.isin(entity_tokens(sessions, "session_id", key), np.array(ids, dtype=np.uint64))


def _merged(earlier: pd.DataFrame | None, later: pd.DataFrame) -> pd.DataFrame:
    """Put labelled sessions together; of a session given twice the later row counts."""
    import pandas as pd  # noqa: PLC0415 -- loading a model does not need it

    if earlier is None or not len(earlier):
        return later
    keys = [name for name in ("session_id", "checkpoint") if name in later.columns]
    return pd.concat([earlier, later], ignore_index=True).drop_duplicates(keys, keep="last")


def _row(row: Mapping[str, Any] | Sequence[float] | Floats, entities: Mapping[str, Any] | None) -> Row:
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
            grids[name] = _grid(known)
    return grids


def _grid(values: Floats) -> Floats:
    ranks = np.linspace(0, 1, min(_GRID, len(values)))
    grid: Floats = np.quantile(values, ranks, method="inverted_cdf")
    return grid


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _definitions() -> str:
    """Return a digest of all features and evidence: a model is only good for the definitions it learnt from."""
    return hashlib.sha256(repr((FEATURES, EVIDENCE)).encode()).hexdigest()


def _frame(columns: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 -- loading a model does not need it

    return pd.DataFrame({column.name: columns[column.name] for column in SCORES})
