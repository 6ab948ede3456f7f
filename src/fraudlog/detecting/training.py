"""What a forest keeps of its training so that it can forget: the rows, whose they are, and which tree holds which.

A forest that keeps this holds personal data: it belongs under the same retention as the sessions themselves. Saved
without it, a forest scores and explains, but can't forget.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.detecting.drawing import Pool, draw, full_size, tree_seed
from fraudlog.detecting.growing import Grown, assemble, grow_tree, tree_depth
from fraudlog.detecting.population import Population
from fraudlog.detecting.scorer import ForestScorer
from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from fraudlog.detecting.transforms import Transform
    from fraudlog.detecting.trees import FlatForest

__all__ = ["Recipe", "Training"]

_POPULATION_ROWS: Final = 1 << 14
"""Rows that percentiles are taken from: those of the first trees, so drawn and capped as the trees are."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How trees are grown.

    Parameters
    ----------
    key : bytes
    n_trees : int
    max_rows : int
        Most rows of a tree.
    cap : int or None
        Most rows of one source in a tree.
    n_columns : int
        How many features a tree may ask for.
    transforms : tuple of Transform
    """

    key: bytes
    n_trees: int
    max_rows: int
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

    @property
    def rows_per_tree(self) -> int:
        """How many rows each tree is grown from, given who is present."""
        return full_size(self.pool, self.recipe.cap, self.recipe.max_rows)

    def grow(self, wanted: Iterable[int]) -> ForestScorer:
        """Grow the wanted trees from the rows present, and return the whole forest."""
        n_rows, key = self.rows_per_tree, self.recipe.key
        for tree in wanted:
            self.drawn[tree] = draw(self.pool, tree_seed(key, tree, "draw"), n_rows, self.recipe.cap)
            self.trees[tree] = grow_tree(
                self.rows[self.drawn[tree]],
                self.recipe.transforms,
                self.recipe.n_columns,
                tree_depth(n_rows),
                tree_seed(key, tree, "grow"),
            )
        return self._laid_out(n_rows)

    def _laid_out(self, n_rows: int) -> ForestScorer:
        trees = [self.trees[tree] for tree in range(self.recipe.n_trees)]
        forest = assemble(trees, tree_depth(n_rows), self.rows.shape[1], n_rows)
        first = range(min(self.recipe.n_trees, max(1, _POPULATION_ROWS // n_rows)))
        seen = np.concatenate([self.drawn[tree] for tree in first])
        sides = [transform.side for transform in self.recipe.transforms]
        return ForestScorer(forest, Population.of(self.rows[seen], sides))

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
        drawn = np.stack([self.drawn[tree] for tree in range(self.recipe.n_trees)])
        return pool | {"training.rows": self.rows, "training.owners": self.owners, "training.drawn": drawn}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], recipe: Recipe, forest: FlatForest) -> Training:
        """Build from arrays that may come from anywhere; the trees are cut out of `forest`.

        Raises
        ------
        ModelError
            If an array is missing, misshapen, or does not fit the forest and the recipe.
        """
        n_rows = arrays["training.rows"].shape[0] if "training.rows" in arrays else 0
        shapes = {
            "training.rows": ("f4", (n_rows, forest.n_features)),
            "training.owners": ("u8", (n_rows,)),
            "training.tokens": ("u8", (n_rows,)),
            "training.present": ("b1", (n_rows,)),
            "training.drawn": ("i8", (forest.n_trees, arrays["training.drawn"].shape[-1] if n_rows else 0)),
        } | ({"training.sources": ("i8", (n_rows,))} if "training.sources" in arrays else {})
        for name, (kind, shape) in shapes.items():
            found = arrays.get(name)
            if found is None or found.dtype.str[1:] != kind or found.shape != shape:
                raise ModelError(f"the model's {name} is missing or misshapen: was it saved with its training rows?")
        sources = arrays.get("training.sources")
        pool = Pool(
            arrays["training.tokens"], None if sources is None else sources.copy(), arrays["training.present"].copy()
        )
        training = cls(recipe, arrays["training.rows"].copy(), arrays["training.owners"].copy(), pool)
        training.drawn = dict(enumerate(arrays["training.drawn"]))
        training.trees = dict(enumerate(_cut_apart(forest)))
        training.check(forest)
        return training

    def check(self, forest: FlatForest) -> None:
        """Refuse what no fit with this recipe can have left.

        Raises
        ------
        ModelError
        """
        drawn = np.stack(list(self.drawn.values()))
        sources = self.pool.sources
        holds = (
            self.recipe.n_trees == forest.n_trees
            and len(self.recipe.transforms) == forest.n_features
            and bool(((drawn >= 0) & (drawn < len(self.rows))).all())
            and bool(self.pool.present[drawn].all())
            and (sources is None or bool(((sources >= 0) & (sources < 2 * len(self.rows))).all()))
            and drawn.shape[1] == self.rows_per_tree
            and forest.depth == tree_depth(self.rows_per_tree)
        )
        if not holds:
            raise ModelError("the model's training rows do not fit its forest: give the parameters it was fitted with")


def _cut_apart(forest: FlatForest) -> Iterable[Grown]:
    """Cut a forest into its trees, the inverse of `fraudlog.detecting.growing.assemble`."""
    levels = [forest.level_slice(level) for level in range(forest.depth)]

    def inner(array: NDArray[Any]) -> list[NDArray[Any]]:
        by_level = [array[level].reshape(forest.n_trees, -1) for level in levels]
        return list(np.concatenate(by_level, axis=1))

    return map(
        Grown,
        inner(forest.feature.astype(np.uint16)),
        inner(forest.threshold),
        inner(forest.share),
        list(forest.leaf.reshape(forest.n_trees, -1)),
    )
