"""What a forest keeps of its training so that it can forget: the rows, whose they are, and which tree holds which.

A forest that keeps this holds personal data: it belongs under the same retention as the sessions themselves. Saved
without it, a forest scores and explains, but can't forget.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.detecting.drawing import Pool, draw, full_size, tree_seed
from fraudlog.detecting.growing import Grown, assemble, cut_apart, grow_tree, tree_depth
from fraudlog.detecting.population import Population
from fraudlog.detecting.scorer import ForestScorer
from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fraudlog.detecting.transforms import Transform
    from fraudlog.detecting.trees import FlatForest

__all__ = ["Recipe", "Training", "joined"]

_POPULATION_ROWS: Final = 1 << 13
"""Rows that percentiles are taken from: those of the first trees, so drawn and capped as the trees are."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How trees are grown.

    Parameters
    ----------
    key : bytes
    n_trees : int
    sizes : tuple of int
        Most rows of a tree; the trees take them in turn.
    cap : int or None
        Most rows of one source in a tree.
    n_columns : int
        How many features a tree may ask for.
    transforms : tuple of Transform
    """

    key: bytes
    n_trees: int
    sizes: tuple[int, ...]
    cap: int | None
    n_columns: int
    transforms: tuple[Transform, ...]


@dataclass(eq=False)
class Training:
    """Training rows with their owners, and the trees grown from them.

    Parameters
    ----------
    recipe : Recipe
    rows : float32 array of shape (n_rows, n_features)
        A copy of its own: forgetting overwrites it.
    owners : uint64 array of shape (n_rows,)
        Token of each row's owner.
    pool : Pool
    drawn : dict of int to int64 array
        Rows of each tree.
    trees : dict of int to Grown
    """

    recipe: Recipe
    rows: NDArray[np.float32]
    owners: NDArray[np.uint64]
    pool: Pool
    drawn: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    trees: dict[int, Grown] = field(default_factory=dict)
    known: Mapping[tuple[int, bytes], Grown] = field(default_factory=dict)
    """Trees that an earlier training grew of the same rows, by tree and tokens of its rows: not grown again."""

    @property
    def rows_per_tree(self) -> list[int]:
        """How many rows each tree is grown from, given who is present."""
        full = [full_size(self.pool, self.recipe.cap, size) for size in self.recipe.sizes]
        return [full[tree % len(full)] for tree in range(self.recipe.n_trees)]

    def grow(self, wanted: Iterable[int]) -> ForestScorer:
        """Grow the wanted trees from the rows present, and return the whole forest."""
        n_rows, recipe = self.rows_per_tree, self.recipe
        for tree in wanted:
            drawn = draw(self.pool, tree_seed(recipe.key, tree, "draw"), n_rows[tree], recipe.cap)
            self.drawn[tree] = drawn
            if (known := self.known.get((tree, self.pool.tokens[drawn].tobytes()))) is not None:
                self.trees[tree] = known
                continue
            seed = tree_seed(recipe.key, tree, "grow")
            transforms = [transform.of_turn(tree // len(recipe.sizes)) for transform in recipe.transforms]
            self.trees[tree] = grow_tree(self.rows[drawn], transforms, recipe.n_columns, seed)
        return self._laid_out()

    def _laid_out(self) -> ForestScorer:
        return joined([self])

    def grown(self) -> dict[tuple[int, bytes], Grown]:
        """Return the trees as a later training of some of the same rows takes them for `known`."""
        return {(tree, self.pool.tokens[drawn].tobytes()): self.trees[tree] for tree, drawn in self.drawn.items()}

    def forget(self, gone: NDArray[np.intp]) -> tuple[int, ForestScorer | None]:
        """Overwrite the rows `gone` and grow each tree that held one anew.

        Returns
        -------
        n_grown : int
        scorer : ForestScorer or None
            The new forest; None if no tree held any of the rows.
        """
        self.pool.present[gone] = False
        self.rows[gone] = np.nan
        self.owners[gone] = 0
        held = [tree for tree, drawn in self.drawn.items() if not self.pool.present[drawn].all()]
        return len(held), self.grow(held) if held else None

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_arrays` takes, without the key and without the forest itself."""
        pool = {"training.tokens": self.pool.tokens, "training.present": self.pool.present}
        if self.pool.sources is not None:
            pool["training.sources"] = self.pool.sources
        drawn = np.concatenate([self.drawn[tree] for tree in range(self.recipe.n_trees)])
        return pool | {"training.rows": self.rows, "training.owners": self.owners, "training.drawn": drawn}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], recipe: Recipe, forest: FlatForest) -> Training:
        """Build from arrays that may come from anywhere; the trees are cut out of `forest`.

        Raises
        ------
        ModelError
            If an array is missing, misshapen, or does not fit the forest and the recipe.
        """
        if "training.rows" not in arrays or arrays["training.rows"].ndim != 2:
            raise ModelError("the model's training.rows is missing or misshapen: was it saved with its training rows?")
        n_rows = len(arrays["training.rows"])
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {
            "training.rows": ("f4", (n_rows, forest.n_features)),
            "training.owners": ("u8", (n_rows,)),
            "training.tokens": ("u8", (n_rows,)),
            "training.present": ("b1", (n_rows,)),
        } | ({"training.sources": ("i8", (n_rows,))} if "training.sources" in arrays else {})
        for name, (kind, shape) in shapes.items():
            found = arrays.get(name)
            if found is None or found.dtype.str[1:] != kind or found.shape != shape:
                raise ModelError(f"the model's {name} is missing or misshapen: was it saved with its training rows?")
        sources = arrays.get("training.sources")
        if sources is not None and not ((sources >= 0) & (sources < 2 * n_rows)).all():
            raise ModelError("the model's training.sources holds a number out of range: it is damaged")
        pool = Pool(
            arrays["training.tokens"], None if sources is None else sources.copy(), arrays["training.present"].copy()
        )
        training = cls(recipe, arrays["training.rows"].copy(), arrays["training.owners"].copy(), pool)
        training.restore(arrays.get("training.drawn"), forest)
        return training

    def restore(self, drawn: NDArray[np.int64] | None, forest: FlatForest) -> None:
        """Take over which tree holds which rows, unless no fit with this recipe can have left it so.

        Raises
        ------
        ModelError
        """
        n_rows = self.rows_per_tree
        depths = [tree_depth(size) for size in n_rows]
        holds = (
            self.recipe.n_trees == forest.n_trees
            and len(self.recipe.transforms) == forest.n_features
            and forest.depth == max(depths)
            and drawn is not None
            and drawn.dtype.str[1:] == "i8"
            and drawn.shape == (sum(n_rows),)
            and bool(((drawn >= 0) & (drawn < len(self.rows))).all())
            and bool(self.pool.present[drawn].all())
        )
        if not holds or drawn is None:
            raise ModelError("the model's training rows do not fit its forest: give the parameters it was fitted with")
        self.drawn = dict(enumerate(np.split(drawn, np.cumsum(n_rows)[:-1])))
        self.trees = dict(enumerate(cut_apart(forest, depths)))


def joined(trainings: Sequence[Training]) -> ForestScorer:
    """Put the trees of several trainings on the same features together into one forest.

    Percentiles come from the rows of the first trees of each, so drawn and capped as the trees are.
    """
    rows, grown = [], []
    for training in trainings:
        trees = range(training.recipe.n_trees)
        seen = np.concatenate([training.drawn[tree] for tree in trees])[: _POPULATION_ROWS // len(trainings)]
        rows.append(training.rows[seen])
        grown += [training.trees[tree] for tree in trees]
    sides = [transform.side for transform in trainings[0].recipe.transforms]
    return ForestScorer(assemble(grown, rows[0].shape[1]), Population.of(np.concatenate(rows), sides))
