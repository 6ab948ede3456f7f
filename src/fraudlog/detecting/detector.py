"""`Detector`: learns what is usual on a site, and scores sessions with reasons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from fraudlog.detecting.ageing import without_before
from fraudlog.detecting.drift import COMPARED, drift_of
from fraudlog.detecting.entities import entity_token, secret
from fraudlog.detecting.fitting import Fitted, Told, fit_voices
from fraudlog.detecting.forgetting import Whom, disowned, known_of, without
from fraudlog.detecting.labels import LabelBook
from fraudlog.detecting.learnt import kept
from fraudlog.detecting.model_file import name_of, read_model, write_model
from fraudlog.detecting.oddness import Oddness
from fraudlog.detecting.panel import PANEL
from fraudlog.detecting.saving import (
    fitted_from,
    fitted_to_arrays,
    incomplete,
    manifest_of,
    parameters_in,
    told_from,
    training_to_arrays,
)
from fraudlog.detecting.voices import PLACES, Parameters, Row, Voice
from fraudlog.errors import ConfigError, NotFittedError
from fraudlog.schema import SCORES, require_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.drift import Drift
    from fraudlog.detecting.hearing import Hearing, RowScore
    from fraudlog.detecting.labels import Label
    from fraudlog.detecting.model_file import ModelFile, SigningKey, VerifyingKey
    from fraudlog.sessions import Population

    Floats = NDArray[np.float64]

__all__ = ["Detector"]

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
    min_reference : int, default 50
        Presumed-human sessions without which it refuses to learn. With fewer it can do little but read evidence: of n
        people no p-value is below 1 / (n + 1), so nothing is claimed of what is odd.

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
    policy_version_ : str or None
        The policy that the file it was loaded from names.

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
        min_reference: int = 50,
    ) -> None:
        for name, value in (("n_estimators", n_estimators), ("max_samples", max_samples)):
            if isinstance(value, int) and value < 2:
                raise ConfigError(f"{name} is too small; 200 trees of 64 to 1,024 rows are usual", parameter=name)
        if key is not None and not (isinstance(key, bytes) and 16 <= len(key) <= 64):
            raise ConfigError("key must be 16 to 64 bytes: take them from a secret store", parameter="key")
        if min_reference < 1:
            raise ConfigError("min_reference is below 1; 50 is usual", parameter="min_reference")
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.random_state = random_state
        self.key = key
        self.policy_version_: str | None = None
        self.min_reference = min_reference
        self._known: Fitted | None = None
        self._told = Told(LabelBook(secret(self._parameters)), np.zeros(0, np.uint64))

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
            If fewer than `min_reference` sessions are presumed human: no idea of usual can come of so few.
        """
        require_columns(sessions, ["session_id", "start", "end"], table="sessions")
        self._known = None
        self._told.flagged = np.array([entity_token(one, secret(self._parameters)) for one in flagged], dtype=np.uint64)
        self._learn(kept(sessions), {name: seat.make(self._parameters) for name, seat in PANEL.items()})
        return self

    def _learn(self, sessions: pd.DataFrame, voices: dict[str, Voice]) -> None:
        self._take(fit_voices(sessions, voices, self._parameters, self._told))

    def _take(self, known: Fitted) -> None:
        self._known = known
        self.features_: list[str] = list(getattr(known.hearing.voices["forest"], "features_", []))
        self.reference_size_ = known.reference_size
        self.sessions_seen_ = known.sessions_seen
        self.reference_warning_ = known.reference_warning
        self.window_ = known.window
        self.human_risk_ = known.human_risk

    def forget(self, *owners: object, session_ids: Iterable[str] = (), instead: pd.DataFrame | None = None) -> int:
        """Take people out, as if the detector had never seen them; or put right what it learnt of them.

        All it learnt is learnt anew from the other sessions, bit for bit as `fit` does on them; trees that held none of
        theirs are taken over.

        Parameters
        ----------
        *owners : object
            Accounts; for sessions without one, addresses. As they stood in the table given to `fit`.
        session_ids : iterable of str, optional
            Single sessions.
        instead : DataFrame of shape (n_sessions, n_columns), optional
            Sessions of theirs as they should have been: each is learnt in place of the one with its id. Labels stay.

        Returns
        -------
        int
            How many of its rows, and of its labels, were theirs; unknown ones are no error.

        Raises
        ------
        ConfigError
            If it was loaded without what it learnt from, or too few people would remain to learn from.
        """
        whom = Whom.of(owners, session_ids, secret(self._parameters))
        left, count = without(self._training("owners"), self._told, whom, instead)
        if count:
            self._learn(left, self._hearing.voices)
        return count

    def disown(self, *owners: object, session_ids: Iterable[str] = (), labels: bool = True) -> int:
        """Take out what it holds under somebody's name: how their account logs in, and labels; returns how many.

        For a detector that was loaded without what it learnt from. What it learnt of everybody together stays.

        Parameters
        ----------
        *owners, session_ids
            As of `forget`.
        labels : bool, default True
            Take out labels too.
        """
        whom = Whom.of(owners, session_ids, secret(self._parameters))
        return disowned(self._hearing.voices, self._told, whom, labels=labels)

    def known_of(self, *owners: object, session_ids: Iterable[str] = ()) -> dict[str, Any]:
        """Return what it knows of somebody.

        Parameters
        ----------
        *owners, session_ids
            As of `forget`.

        Returns
        -------
        dict
            ``sessions_learnt``, None if it was loaded without them; ``logins_counted``; ``labels``.
        """
        whom = Whom.of(owners, session_ids, secret(self._parameters))
        return known_of(self._fitted.sessions, self._hearing.voices, self._told, whom)

    def forget_before(self, day: date) -> int:
        """Take out what it remembers of single accounts and sessions from before a day.

        How accounts logged in is kept by week: a week goes once its first day is before `day`. Of what `forget` needs
        those sessions go that ended before. Forest, quantiles and how far each voice is heard stay: they are numbers,
        and nobody's.

        Parameters
        ----------
        day : date

        Returns
        -------
        int
            How many logins and sessions went.
        """
        left, n_gone = without_before(day, self._fitted, self._told, secret(self._parameters))
        self._take(left)
        return n_gone

    @property
    def can_forget(self) -> bool:
        """Whether the sessions it learnt from are there, so that it can forget people, and be saved with them."""
        return self._fitted.sessions is not None

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
        self._told.book.add(labels)
        self._told.book.expire(now or datetime.now(UTC))
        self._told.add_examples(kept(learnt if sessions is None else sessions))
        self._learn(learnt, self._hearing.voices)
        return self

    def unlearn(self, labels: Iterable[Label]) -> int:
        """Take labels back; returns how many were there. The detector is then as if they had never been given."""
        learnt = self._training("labels")
        removed = self._told.book.remove(labels)
        if self._told.examples is not None:
            self._told.examples = self._told.examples[self._told.book.verdicts(self._told.examples) != 0]
        self._learn(learnt, self._hearing.voices)
        return removed

    def _training(self, parameter: str) -> pd.DataFrame:
        sessions = self._fitted.sessions
        if sessions is None:
            raise ConfigError(
                "this detector was saved without the sessions it learnt from: save it with training=True, or fit it "
                "anew",
                parameter=parameter,
            )
        return sessions

    @property
    def _parameters(self) -> Parameters:
        return Parameters(self.n_estimators, self.max_samples, self.random_state, self.key, self.min_reference)

    @property
    def population_(self) -> Population:
        """How rare agents, languages and profiles were when it learnt: for `build_sessions` and for services."""
        counts: Population = self._hearing.voices["population"].counts  # type: ignore[attr-defined] # this one has
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
        hearing = self._hearing
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
        return self._hearing.of_one(_row(row, entities))

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
        hearing = self._hearing
        names = [name for name in hearing.population if name in COMPARED and name in sessions.columns]
        window = {name: sessions[name].to_numpy(np.float64) for name in names}
        everybody = np.ones(len(sessions), bool)  # by trees that did not learn from them, as the model's own were
        strengths = {name: voice.held_out(sessions, everybody) for name, voice in hearing.voices.items()}
        window |= {"anomaly_score": strengths[Oddness.name], "risk": hearing.risk(strengths)}
        return drift_of(hearing.population | self._fitted.grids, self.sessions_seen_, window)

    def prepare(self) -> Self:
        """Make `score_one` as fast as it can be, to the same bits: call it once when a service starts.

        Where the extra ``fast`` is installed the forest's walk is compiled; that takes a second or so.
        """
        self._hearing.prepare()
        return self

    def save(
        self,
        path: ModelFile,
        *,
        key: SigningKey | None = None,
        policy_version: str | None = None,
        training: bool = False,
    ) -> None:
        """Write the fitted detector to `path`: plain arrays and a manifest, no pickle.

        Parameters
        ----------
        path : path-like or binary file
        key : bytes, Ed25519PrivateKey or None
            Seals the file; `load` then needs it, or the public key of it.
        policy_version : str, optional
            The policy in force, noted in the manifest; by default the one it was loaded with.
        training : bool, default False
            Whether to keep what `forget` needs: the features of the sessions it learnt from, and keyed tokens of
            whose they are. Personal data, under the sessions' own retention. The key itself is never saved.

        Raises
        ------
        ConfigError
            If `training` is asked of a detector that was loaded without.
        """
        arrays = fitted_to_arrays(self._fitted)
        if training:
            self._training("training")
            arrays |= training_to_arrays(self._fitted, self._told, self._parameters)
        manifest = manifest_of(self._fitted, self.features_, self._parameters)
        version = self.policy_version_ if policy_version is None else policy_version
        write_model(path, arrays, manifest | {"policy_version": version}, key=key)

    @classmethod
    def load(cls, path: ModelFile, *, key: VerifyingKey | None = None, secret: bytes | None = None) -> Self:
        """Read a detector that `save` wrote; with a key, only one that was sealed with it.

        Parameters
        ----------
        path : path-like or binary file
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
        name = name_of(path)
        try:
            detector = cls(**parameters_in(manifest, name), key=secret)
        except (TypeError, ValueError):
            raise incomplete(name) from None
        detector._take(fitted_from(arrays, manifest, detector._parameters, name))
        detector._told = told_from(arrays, detector._fitted)
        detector.policy_version_ = manifest.get("policy_version")
        return detector

    @property
    def _fitted(self) -> Fitted:
        if self._known is None:
            raise NotFittedError("the detector has not learnt yet: call fit(sessions), or Detector.load(path)")
        return self._known

    @property
    def _hearing(self) -> Hearing:
        return self._fitted.hearing


def _row(row: Mapping[str, Any] | Sequence[float] | Floats, entities: Mapping[str, Any] | None) -> Row:
    """Put what a caller has into the order of the catalogue."""
    if isinstance(row, Mapping):
        values = np.array([row.get(name, np.nan) for name in PLACES], dtype=np.float64)
        return Row(values, row if entities is None else entities)
    values = np.array(row, dtype=np.float64)
    if values.shape != (len(PLACES),):
        raise ConfigError(f"the row has shape {values.shape}; it needs {len(PLACES)} features", parameter="row")
    return Row(values, entities or {})


def _frame(columns: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 -- loading a model does not need it

    return pd.DataFrame({column.name: columns[column.name] for column in SCORES})
