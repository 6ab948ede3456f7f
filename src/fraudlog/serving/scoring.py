"""What a decision asks of a session's features beside its score."""

from __future__ import annotations

from math import log1p
from typing import TYPE_CHECKING, Final

from fraudlog.deciding.scoping import SHARED_BY
from fraudlog.detecting.evidence import EVIDENCE, FAINT
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fraudlog.detecting import Reason

    Floats = NDArray[np.float64]

__all__ = ["PLACES", "is_presumed_human", "is_verified_crawler", "sharing"]

PLACES: Final = {row.name: place for place, row in enumerate(FEATURES)}
"""Where each feature stands in a row."""

_LOGS: Final = {row.code: -log1p(-row.weight) for row in EVIDENCE}
_FAINT: Final = -log1p(-FAINT)
_AUTOMATION: Final = PLACES["automation_share"]
_REQUESTS: Final = PLACES["requests"]
_VERIFIED: Final = PLACES["verified_crawler_requests"]
_SHARED: Final = tuple(PLACES[name] for name in SHARED_BY)


def is_presumed_human(values: Floats, reasons: Sequence[Reason]) -> bool:
    """Say what `fraudlog.detecting.presumed_human` says of a session of a table."""
    if values[_AUTOMATION] > 0:
        return False
    spoken = 0.0
    for reason in reasons:
        spoken += _LOGS.get(reason["code"], 0.0)
    return spoken < _FAINT


def is_verified_crawler(values: Floats) -> bool:
    """Say whether a session is wholly that of a crawler whose address confirms its name."""
    return bool(values[_VERIFIED] == values[_REQUESTS])


def sharing(values: Floats) -> tuple[float, float, float]:
    """Return how many accounts and agents share the session's network, and how many logins failed in it."""
    users, agents, failures = _SHARED
    return float(values[users]), float(values[agents]), float(values[failures])
