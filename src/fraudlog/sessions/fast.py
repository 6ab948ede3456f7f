"""Compiled twins of the loops that NumPy needs many passes for; used where numba is installed (extra ``fast``).

The NumPy forms in `fraudlog.sessions.columns` and `fraudlog.sessions.sheet` are the reference; these give the same
integers, which the tests check. The path of a live event uses neither.
"""

from fraudlog.sessions.fast_columns import add_bits, dense, gathered, looked_up, mark, runs, stable_order
from fraudlog.sessions.fast_reducers import bursts, counts, gaps, grouped, reduced, switches

__all__ = [
    "add_bits",
    "bursts",
    "counts",
    "dense",
    "gaps",
    "gathered",
    "grouped",
    "looked_up",
    "mark",
    "reduced",
    "runs",
    "stable_order",
    "switches",
]
