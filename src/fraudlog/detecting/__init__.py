"""Sessions to scores with reasons: the forest, its file, and the voices beside it.

The names are imported on first use: a service that loads a model and scores needs NumPy alone, while `SessionForest`
is a scikit-learn estimator and brings scikit-learn along.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fraudlog.detecting.detector import Detector
    from fraudlog.detecting.evidence import EVIDENCE, Evidence, presumed_human
    from fraudlog.detecting.forest import SessionForest
    from fraudlog.detecting.hearing import RowScore
    from fraudlog.detecting.labels import Label
    from fraudlog.detecting.model_file import read_model, write_model
    from fraudlog.detecting.reasons import Reason, describe_reasons, feature_of
    from fraudlog.detecting.scorer import ForestScorer

__all__ = [
    "EVIDENCE",
    "Detector",
    "Evidence",
    "ForestScorer",
    "Label",
    "Reason",
    "RowScore",
    "SessionForest",
    "describe_reasons",
    "feature_of",
    "presumed_human",
    "read_model",
    "write_model",
]

_HOMES = {
    "detector": ("Detector",),
    "evidence": ("EVIDENCE", "Evidence", "presumed_human"),
    "forest": ("SessionForest",),
    "hearing": ("RowScore",),
    "labels": ("Label",),
    "model_file": ("read_model", "write_model"),
    "reasons": ("Reason", "describe_reasons", "feature_of"),
    "scorer": ("ForestScorer",),
}
_MODULES = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- a module's attribute may be anything
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
