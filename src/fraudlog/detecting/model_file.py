"""The model file: a zip of plain arrays and a JSON manifest. No pickle: loading can't run code."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.errors import ModelError, OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["read_model", "write_model"]

_VERSION: Final = 1
_MAX_BYTES: Final = 256 * 1024 * 1024
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # a fixed time, so that the same model gives the same bytes


def write_model(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> None:
    """Write `arrays` and `manifest` to `path`, replacing it in one step.

    The manifest gains the file format's version and a SHA-256 digest of each array.

    Raises
    ------
    OutputError
        If the disk is full or the folder can't be written to.
    """
    packed = {name: _pack(array) for name, array in sorted(arrays.items())}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in packed.items()}
    head = json.dumps({**manifest, "format": _VERSION, "digests": digests}, indent=1, sort_keys=True).encode()
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(zipfile.ZipInfo("manifest.json", _EPOCH), head, zipfile.ZIP_DEFLATED)
            for name, data in packed.items():
                file.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), data, zipfile.ZIP_DEFLATED)
        draft.replace(target)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "input/output error"
        raise OutputError(f"{path}: can't be written ({why}); what stood there before still does", path=path) from None
    finally:
        draft.unlink(missing_ok=True)


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the arrays and the manifest of a model file.

    Raises
    ------
    ModelError
        If the file is not there, is no model, or its content does not have the digests it names.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if sum(info.file_size for info in file.infolist()) > _MAX_BYTES:
                raise ModelError(f"{path}: the model is larger than 256 MB: not one of ours", path=path)
            manifest = json.loads(file.read("manifest.json"))
            data = {name: file.read(f"{name}.npy") for name in manifest["digests"]}
            if any(hashlib.sha256(data[name]).hexdigest() != digest for name, digest in manifest["digests"].items()):
                raise ModelError(f"{path}: the model's content was changed or damaged: save it again", path=path)
            arrays = {name: np.load(io.BytesIO(one), allow_pickle=False) for name, one in data.items()}
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model; make one with `fraudlog fit`", path=path) from None
    except (OSError, zipfile.BadZipFile, zlib.error, KeyError, TypeError, ValueError, AttributeError):
        raise ModelError(f"{path}: is no fraudlog model, or is damaged; save it again", path=path) from None
    if manifest.get("format") != _VERSION:
        raise ModelError(f"{path}: the model's file format is not {_VERSION}; fit it anew", path=path)
    return arrays, manifest


def _pack(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
