"""When compiled code pays: where numba is installed (extra ``fast``) and there is enough to do to load it for."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.util import find_spec
from typing import Final

__all__ = ["is_worth_compiling"]

_WORTH: Final = 1 << 14
"""Addresses that take NumPy a few hundredths of a second; loading numba takes half of one."""


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None


def is_worth_compiling(n: int) -> bool:
    """Say whether to take compiled code for so many rows; never with ``FRAUDLOG_FAST`` 0."""
    return (n >= _WORTH or "numba" in sys.modules) and _has_numba() and os.environ.get("FRAUDLOG_FAST", "1") != "0"
