"""A fitted detector as arrays and a manifest, and back."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from fraudlog import __version__
from fraudlog.detecting.entities import secret
from fraudlog.detecting.evidence import EVIDENCE
from fraudlog.detecting.fitting import Fitted, Told, voice_of
from fraudlog.detecting.hearing import Hearing
from fraudlog.detecting.inputs import transforms_of
from fraudlog.detecting.labels import Labelled
from fraudlog.detecting.learnt import table_from_arrays, table_to_arrays
from fraudlog.detecting.panel import CHORUS, LEAD, PANEL, scales_from
from fraudlog.detecting.voices import PLACES
from fraudlog.errors import ModelError
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fraudlog.detecting.voices import Parameters, Voice

    Arrays = dict[str, NDArray[Any]]

__all__ = [
    "fitted_from",
    "fitted_to_arrays",
    "incomplete",
    "manifest_of",
    "parameters_in",
    "told_from",
    "training_to_arrays",
]


def fitted_to_arrays(fitted: Fitted) -> Arrays:
    """Return what scoring needs."""
    arrays = fitted.hearing.to_arrays() | {"human_risk": fitted.human_risk}
    return arrays | {f"scores.{name}": grid for name, grid in fitted.grids.items()}


def training_to_arrays(fitted: Fitted, told: Told, parameters: Parameters) -> Arrays:
    """Return what forgetting needs besides; the sessions must be there."""
    arrays: Arrays = {"flagged": told.flagged}
    for name, table in (("learnt", fitted.sessions), ("examples", told.examples)):
        if table is not None:
            arrays |= {f"{name}.{part}": array for part, array in table_to_arrays(table, secret(parameters)).items()}
    return arrays


def manifest_of(fitted: Fitted, features: list[str], parameters: Parameters) -> dict[str, Any]:
    """Return the manifest: what it learnt from, how, and by which versions."""
    return {
        "definitions": _definitions(),
        "features": features,
        "transforms": dict(zip(features, transforms_of(features).values(), strict=True)),
        "purposes": ["essential.fraud_detection"],
        "parameters": {
            "n_estimators": parameters.n_estimators,
            "max_samples": parameters.max_samples,
            "random_state": parameters.random_state,
            "min_reference": parameters.min_reference,
        },
        "reference_size": fitted.reference_size,
        "reference_warning": fitted.reference_warning,
        "sessions_seen": fitted.sessions_seen,
        "window": list(fitted.window),
        "versions": {"python": platform.python_version(), "fraudlog": __version__}
        | {name: version(name) for name in ("numpy", "scikit-learn")},
    }


def parameters_in(manifest: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the parameters of the detector that was saved.

    Raises
    ------
    ModelError
        If it learnt from other definitions than these, or the manifest is incomplete.
    """
    if manifest.get("definitions") != _definitions():
        raise ModelError(
            f"{path}: learnt from other features or evidence than this version has; fit it anew", path=path
        )
    parameters = manifest.get("parameters")
    if not isinstance(parameters, dict):
        raise incomplete(path)
    return parameters


def fitted_from(
    arrays: Arrays, manifest: Mapping[str, Any], parameters: Parameters, path: str | os.PathLike[str]
) -> Fitted:
    """Build what `fitted_to_arrays` gave, from a file that may come from anywhere.

    Raises
    ------
    ModelError
        If something is missing or does not fit.
    """
    population = _under("population.", arrays)
    if not population.keys() <= PLACES.keys() or any(grid.dtype != np.float64 for grid in population.values()):
        raise ModelError(f"{path}: the model's arrays do not fit its features; save it again", path=path)
    human_risk = arrays.get("human_risk", np.zeros(0))
    if human_risk.dtype != np.float64 or human_risk.ndim != 1:
        raise ModelError(f"{path}: the risks of people are misshapen; save it again", path=path)
    scales = scales_from({name: _under(f"calibration.{name}.", arrays) for name in (*PANEL, CHORUS, LEAD)})
    learnt = _under("learnt.", arrays)
    try:
        first, last = manifest["window"]
        size, seen, warning = (manifest[name] for name in ("reference_size", "sessions_seen", "reference_warning"))
    except (KeyError, TypeError, ValueError):
        raise incomplete(path) from None
    return Fitted(
        hearing=Hearing(_voices(arrays, parameters), scales, population),
        reference_size=size,
        sessions_seen=seen,
        reference_warning=warning,
        window=(first, last),
        human_risk=human_risk,
        grids=_under("scores.", arrays),
        sessions=table_from_arrays(learnt) if learnt else None,
    )


def told_from(arrays: Arrays, fitted: Fitted) -> Told:
    """Build what people had told it."""
    examples = _under("examples.", arrays)
    return Told(
        book=voice_of(fitted.hearing.voices, Labelled).book,
        flagged=arrays.get("flagged", np.zeros(0, np.uint64)),
        examples=table_from_arrays(examples) if examples else None,
    )


def _voices(arrays: Arrays, parameters: Parameters) -> dict[str, Voice]:
    voices: dict[str, Voice] = {}
    for name, seat in PANEL.items():
        fresh = seat.make(parameters)
        voices[name] = type(fresh).from_arrays(_under(f"voice.{name}.", arrays), parameters)
    for voice in voices.values():
        voice.after(voices)
    return voices


def incomplete(path: str | os.PathLike[str]) -> ModelError:
    """Return the error of a manifest that lacks something."""
    return ModelError(f"{path}: the model's manifest is incomplete; save it again", path=path)


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _definitions() -> str:
    """Return a digest of all features and evidence: a model is only good for the definitions it learnt from."""
    return hashlib.sha256(repr((FEATURES, EVIDENCE)).encode()).hexdigest()
