"""`SessionForest`: an isolation forest that scores fast, explains itself and forgets."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fraudlog.detecting.drawing import Pool, mix, numbered, row_tokens, source_codes, text_tokens, tree_seed
from fraudlog.detecting.scorer import ForestScorer
from fraudlog.detecting.training import Recipe, Training
from fraudlog.detecting.transforms import parse_transforms
from fraudlog.detecting.trees import MAX_DEPTH
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["SessionForest"]

_AUTO: Final = (64, 1024)


class SessionForest(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Isolation forest over sessions.

    Trees are grown by scikit-learn, each from rows of its own drawn by keyed-hash rank with at most `cap_per_source`
    rows of one source, and scored from flat arrays. Missing values go down both branches, weighted by the share of
    training rows that went there.

    Parameters
    ----------
    n_trees : int, default 200
    max_samples : int, tuple of int or "auto", default "auto"
        Rows of a tree, or sizes that the trees take in turn; "auto" is ``(64, 1024)``: a small tree is not blinded by
        many alike, a large one tells the odd from the rare. Fewer if there are fewer.
    max_features : float or int, default 1.0
        Share or number of the features that a tree may ask for.
    cap_per_source : int or None, default 2
        Most rows of one source in a tree; None for no cap. Only acts if `fit` is told the sources.
    transforms : mapping of str to str, optional
        Transform of a feature by its name (by its position, as text, if the columns have no names); see
        `fraudlog.detecting.transforms`.
    random_state : int, RandomState or None, default None
        Makes the key if none is given.
    key : bytes or None, default None
        Secret that decides which rows are drawn, at most 64 bytes. Needed again to forget after loading.

    Attributes
    ----------
    scorer_ : ForestScorer
        The fitted forest without scikit-learn.
    offset_ : float
        -0.5, as in scikit-learn: ``decision_function`` is ``score_samples - offset_``.
    n_rows_ : int
        Rows the largest tree was grown from.
    n_features_in_ : int
    feature_names_in_ : array of str
        If the columns had names.

    Notes
    -----
    scikit-learn's methods keep scikit-learn's signs (`score_samples` and `decision_function`: low is odd; `predict`:
    -1 is odd); `anomaly_score` is 0..1 and high is odd.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(500, 2))
    >>> forest = SessionForest(random_state=0).fit(rows, owners=[f"user{n % 100}" for n in range(500)])
    >>> odd, usual = forest.anomaly_score([[5.0, 5.0], [0.0, 0.0]])
    >>> bool(odd > usual)
    True
    >>> forest.forget("user7") > 0
    True
    """

    def __init__(
        self,
        n_trees: int = 200,
        *,
        max_samples: int | tuple[int, ...] | str = "auto",
        max_features: float | int = 1.0,  # noqa: PYI041 -- 1.0 is all, 1 is one
        cap_per_source: int | None = 2,
        transforms: Mapping[str, str] | None = None,
        random_state: int | np.random.RandomState | None = None,
        key: bytes | None = None,
    ) -> None:
        self.n_trees = n_trees
        self.max_samples = max_samples
        self.max_features = max_features
        self.cap_per_source = cap_per_source
        self.transforms = transforms
        self.random_state = random_state
        self.key = key

    def fit(
        self,
        X: Any,  # noqa: ANN401, N803 -- scikit-learn's name, anything it reads
        y: object = None,  # noqa: ARG002 -- scikit-learn's signature
        *,
        owners: Any = None,  # noqa: ANN401 -- any array-like
        ids: Any = None,  # noqa: ANN401 -- any array-like
        sources: Any = None,  # noqa: ANN401 -- any array-like
    ) -> SessionForest:
        """Grow the trees.

        Parameters
        ----------
        X : array-like or frame of shape (n_rows, n_features)
            NaN or null where a value is missing.
        y : ignored
        owners : array-like of shape (n_rows,), optional
            Whose each row is, for `forget`; the row's position if not given.
        ids : array-like of shape (n_rows,), optional
            Tells an owner's rows apart; the row's position if not given. The same owner and id are drawn alike in
            whatever company and order they come.
        sources : array-like of shape (n_rows,), optional
            What `cap_per_source` counts, as an address prefix. A null source is a source of its own.

        Returns
        -------
        SessionForest

        Raises
        ------
        ConfigError
            If a parameter is out of range.
        """
        rows = validate_data(self, X, dtype=np.float32, order="C", ensure_all_finite="allow-nan")
        self._check_parameters()
        self.key_ = self.key if self.key is not None else check_random_state(self.random_state).bytes(32)
        owner_tokens = self._owner_tokens(len(rows), owners)
        ids = np.arange(len(rows)) if ids is None else _column(ids, len(rows), "ids")
        pool = Pool(
            tokens=row_tokens(owner_tokens, ids, self.key_),
            sources=None if sources is None else source_codes(_column(sources, len(rows), "sources")),
            present=np.ones(len(rows), dtype=np.bool_),
        )
        self.training_ = Training(self._recipe(rows.shape[1]), rows.copy(), owner_tokens, pool)
        self.scorer_ = self.training_.grow(range(self.n_trees))
        self.n_rows_ = max(self.training_.rows_per_tree)
        self.offset_ = -0.5
        return self

    def _sizes(self) -> tuple[int, ...]:
        asked = _AUTO if isinstance(self.max_samples, str) and self.max_samples == "auto" else self.max_samples
        sizes = tuple(asked) if isinstance(asked, (tuple, list)) else (asked,)
        for size in sizes:
            _require_whole("max_samples", size, 1, 1 << MAX_DEPTH)
        if not sizes:
            raise ConfigError("max_samples is empty: give a size, or sizes to take in turn", parameter="max_samples")
        return tuple(int(size) for size in sizes)

    def _recipe(self, n_features: int) -> Recipe:
        names = getattr(self, "feature_names_in_", range(n_features))
        return Recipe(
            key=self.key_,
            n_trees=self.n_trees,
            sizes=self._sizes(),
            cap=self.cap_per_source,
            n_columns=_count(self.max_features, n_features),
            transforms=parse_transforms(self.transforms, [str(name) for name in names]),
        )

    def _check_parameters(self) -> None:
        _require_whole("n_trees", self.n_trees, 1, 10_000)
        self._sizes()
        if self.cap_per_source is not None:
            _require_whole("cap_per_source", self.cap_per_source, 1, 1 << 31)
        if self.key is not None and not (isinstance(self.key, bytes) and 16 <= len(self.key) <= 64):
            raise ConfigError("key must be 16 to 64 bytes: take them from a secret store", parameter="key")

    def _owner_tokens(self, n_rows: int, owners: Any) -> NDArray[np.uint64]:  # noqa: ANN401 -- any array-like
        """Return a token for each row's owner; rows without one belong to their own position."""
        if owners is None:
            return mix(np.arange(n_rows, dtype=np.uint64), tree_seed(self.key_, 0, "positions"))
        code, texts = numbered(_column(owners, n_rows, "owners"))
        return np.append(text_tokens(texts, self.key_, "owners"), np.uint64(0))[code]

    def forget(self, *owners: object) -> int:
        """Take owners out, as if the forest had never seen them.

        The rows are overwritten, and each tree that held one is grown anew from the rows that rank next: bit for bit
        the forest that `fit` gives on the other rows with the same key, owners, ids and sources.

        Parameters
        ----------
        *owners : object
            As given to `fit`; row positions if it was given none. Unknown ones are no error.

        Returns
        -------
        int
            How many trees were grown anew.

        Raises
        ------
        ConfigError
            If nobody would be left.
        """
        check_is_fitted(self)
        training: Training | None = getattr(self, "training_", None)
        if training is None:
            raise ConfigError(
                "this forest was saved without its training rows, so it can't forget: save it with training=True",
                parameter="owners",
            )
        gone = np.flatnonzero(np.isin(training.owners, self._tokens_of(owners)) & training.pool.present)
        if not len(gone):
            return 0
        if len(gone) == training.pool.present.sum():
            raise ConfigError("forgetting these owners would leave no row to fit on", parameter="owners")
        n_grown, scorer = training.forget(gone)
        self.scorer_ = scorer or self.scorer_
        self.n_rows_ = max(training.rows_per_tree)
        return n_grown

    def _tokens_of(self, owners: tuple[object, ...]) -> NDArray[np.uint64]:
        """Return the tokens that `owners` may have: those of their texts, and of the positions they may name."""
        positions = np.asarray([owner for owner in owners if isinstance(owner, Integral)], dtype=np.uint64)
        texts = text_tokens([str(owner) for owner in owners], self.key_, "owners")
        return np.append(texts, mix(positions, tree_seed(self.key_, 0, "positions")))

    def to_arrays(self, *, training: bool = False) -> dict[str, NDArray[Any]]:
        """Return the fitted forest as arrays, for `fraudlog.detecting.write_model`.

        Parameters
        ----------
        training : bool, default False
            Whether to add what `forget` needs: the training rows themselves and keyed tokens of their owners, so
            personal data. The key is never among the arrays.
        """
        check_is_fitted(self)
        return self.scorer_.to_arrays() | (self.training_.to_arrays() if training else {})

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        *,
        feature_names: Sequence[str] | None = None,
        **parameters: Any,  # noqa: ANN401 -- whatever the constructor takes
    ) -> SessionForest:
        """Build a fitted forest from the arrays of `to_arrays`, which may come from anywhere.

        Parameters
        ----------
        arrays : mapping of str to array
        feature_names : sequence of str, optional
            Names of the columns it was fitted on.
        **parameters
            As for the constructor. To forget, they must be those of the fit, with the same key or random state.

        Raises
        ------
        ModelError
            If the arrays are not what `to_arrays` gives.
        """
        scorer = ForestScorer.from_arrays(arrays)
        forest = cls(**({"n_trees": scorer.forest.n_trees} | parameters))
        forest._check_parameters()
        forest.scorer_, forest.offset_, forest.n_features_in_ = scorer, -0.5, scorer.n_features
        if feature_names is not None:
            forest.feature_names_in_ = np.asarray(feature_names, dtype=object)
        if "training.rows" in arrays:
            forest.key_ = forest.key if forest.key is not None else check_random_state(forest.random_state).bytes(32)
            forest.training_ = Training.from_arrays(arrays, forest._recipe(scorer.n_features), scorer.forest)
            forest.n_rows_ = max(forest.training_.rows_per_tree)
        return forest

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:  # noqa: ANN401, N803 -- as above
        """Return the anomaly score of each row, 0..1; high is odd.

        Parameters
        ----------
        X : array-like or frame of shape (n_rows, n_features)

        Returns
        -------
        float64 array of shape (n_rows,)
        """
        rows = self._validated(X)
        return self.scorer_.anomaly_score(rows)

    def score_samples(self, X: Any) -> NDArray[np.float64]:  # noqa: ANN401, N803 -- as above
        """Return the anomaly score with scikit-learn's sign: low is odd."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: ANN401, N803 -- as above
        """Return `score_samples` above `offset_`: negative is odd."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:  # noqa: ANN401, N803 -- as above
        """Return -1 for odd rows and 1 for others; for real use let a budget set the threshold instead."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def contributions(self, X: Any) -> tuple[float, NDArray[np.float64]]:  # noqa: ANN401, N803 -- as above
        """Return the base score and what each feature adds to it; they add up to `anomaly_score`.

        Returns
        -------
        base : float
        contributions : float64 array of shape (n_rows, n_features)
        """
        rows = self._validated(X)
        return self.scorer_.contributions(rows)

    def reason_order(self, X: Any) -> NDArray[np.intp]:  # noqa: ANN401, N803 -- as above
        """Return the features of each row in the order to name them, shape (n_rows, n_features)."""
        rows = self._validated(X)
        return self.scorer_.reason_order(rows)

    def _validated(self, X: Any) -> NDArray[np.float32]:  # noqa: ANN401, N803 -- as above
        check_is_fitted(self)
        rows: NDArray[np.float32] = validate_data(
            self, X, dtype=np.float32, order="C", ensure_all_finite="allow-nan", reset=False
        )
        return rows

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "scorer_")

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 -- scikit-learn ships no types
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _require_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= high:
        raise ConfigError(f"{name} must be a whole number from {low} to {high}", parameter=name)


def _count(max_features: float | int, n_features: int) -> int:  # noqa: PYI041 -- as above
    if isinstance(max_features, float):
        count, fits = max(1, int(max_features * n_features)), 0.0 < max_features <= 1.0
    else:
        count, fits = int(max_features), 1 <= max_features <= n_features
    if not fits:
        raise ConfigError(
            f"max_features must be a share above 0 and up to 1.0, or a number from 1 to {n_features}",
            parameter="max_features",
        )
    return count


def _column(values: Any, n_rows: int, name: str) -> Any:  # noqa: ANN401 -- any array-like
    if len(values) != n_rows:
        raise ConfigError(f"{name} has {len(values)} values for {n_rows} rows", parameter=name)
    return values
