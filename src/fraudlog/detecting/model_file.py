"""The model file: a zip of raw arrays and a JSON manifest, sealed as a whole.

::

    manifest.json          format, version, the caller's entries, and each array's dtype, shape and SHA-256
    arrays/<name>.bin      little-endian C-order bytes, stored without compression
    (archive comment)      the seal over every byte before it

Nothing in it can run, and nothing is unpacked to a disk. Reading checks the seal before anything else is looked at, so
a single flipped bit anywhere is refused; then every declared size against the size that is there. The seal is a plain
BLAKE2b digest (`fraudlog-digest:`), a keyed one (`fraudlog-mac:`, for a key of bytes) or an Ed25519 signature
(`fraudlog-ed25519:`); a file that was sealed with a key is only read with it, and where a key is given no other seal
passes.

What the arrays mean is checked by whoever takes them, as `fraudlog.detecting.trees.FlatForest.from_arrays` does.
"""

from __future__ import annotations

import hmac
import json
import math
import os
import re
import zipfile
from hashlib import blake2b, sha256
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from fraudlog.errors import ConfigError, ModelError, OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from numpy.typing import NDArray

    SigningKey = bytes | Ed25519PrivateKey
    VerifyingKey = bytes | Ed25519PublicKey | Ed25519PrivateKey
    ModelFile = str | os.PathLike[str] | BinaryIO

__all__ = ["FORMAT_VERSION", "name_of", "read_model", "write_model"]

FORMAT_VERSION: Final = 1

_FORMAT: Final = "fraudlog model"
_MAX_BYTES: Final = 1 << 30
_MAX_MANIFEST: Final = 1 << 24
_DTYPES: Final = ("|b1", "|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8", "<f4", "<f8")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_SEAL: Final = re.compile(rb"fraudlog-(digest|mac|ed25519):([0-9a-f]{64}|[0-9a-f]{128})")
_OWN: Final = ("format", "format_version", "arrays")
_END: Final = 22
"""Size of a zip's end record without its comment, whose length stands in its last two bytes."""


def write_model(
    path: ModelFile,
    arrays: Mapping[str, NDArray[Any]],
    manifest: Mapping[str, Any],
    *,
    key: SigningKey | None = None,
) -> None:
    """Write arrays and what is to be known of them to one file, whole or not at all.

    Parameters
    ----------
    path : path-like or binary file
        A file that is open already, as `io.BytesIO`, is written as it stands.
    arrays : mapping of str to array
        Names are lower case, digits and underscores, with dots between; types are bool, integers and floats.
    manifest : mapping
        Anything JSON holds, without NaN; ``format``, ``format_version`` and ``arrays`` are added.
    key : bytes, Ed25519PrivateKey or None
        Secret of at least 16 bytes for a keyed digest, or a private key to sign with.

    Raises
    ------
    ConfigError
        If a name, type, key or manifest entry is not one of these.
    OutputError
        If the disk is full or the folder can't be written to; what stood at `path` before still does.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "model.fraudlog"
    >>> write_model(path, {"a": np.arange(3)}, {"purposes": ["security"]}, key=b"0123456789abcdef")
    >>> arrays, manifest = read_model(path, key=b"0123456789abcdef")
    >>> arrays["a"], manifest["purposes"]
    (array([0, 1, 2]), ['security'])
    """
    files = {f"arrays/{name}.bin": _raw(name, array) for name, array in sorted(arrays.items())}
    entries = {name: _entry(array, files[f"arrays/{name}.bin"]) for name, array in sorted(arrays.items())}
    text = _manifest_text(manifest, entries)
    body = _zipped({"manifest.json": text} | files, seal_size=len(_seal(b"", key)))
    data = body + _seal(body, key)
    if not isinstance(path, (str, os.PathLike)):
        path.write(data)
        return
    try:
        _write_whole(Path(path), data)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "input/output error"
        raise OutputError(f"{path}: can't be written ({why}); what stood there before still does", path=path) from None


def read_model(path: ModelFile, *, key: VerifyingKey | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a model file that may come from anywhere.

    Parameters
    ----------
    path : path-like or binary file
    key : bytes, Ed25519PublicKey or None
        If given, only a file sealed with it is read.

    Returns
    -------
    arrays : dict of str to read-only array
    manifest : dict

    Raises
    ------
    ModelError
        If the file is missing, damaged, not sealed as asked, or holds anything else than `write_model` writes.
    """
    try:
        data = _bytes_of(path)
        _check_seal(data, key)
        return _content(data)
    except ModelError as error:
        raise ModelError(f"{name_of(path)}: {error}", path=name_of(path)) from None


def name_of(path: ModelFile) -> str:
    """Return what messages call a model file."""
    return os.fspath(path) if isinstance(path, (str, os.PathLike)) else str(getattr(path, "name", "the model"))


# --- writing ----------------------------------------------------------------------------------------------------------


def _raw(name: str, array: NDArray[Any]) -> bytes:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"array name {name!r} is not lower-case words with dots between", parameter="arrays")
    if _dtype_name(array) not in _DTYPES:
        raise ConfigError(f"array {name} has type {array.dtype}; a model file holds numbers", parameter="arrays")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def _dtype_name(array: NDArray[Any]) -> str:
    return array.dtype.newbyteorder("<").str


def _entry(array: NDArray[Any], raw: bytes) -> dict[str, Any]:
    return {"dtype": _dtype_name(array), "shape": list(array.shape), "sha256": sha256(raw).hexdigest()}


def _manifest_text(manifest: Mapping[str, Any], entries: Mapping[str, Any]) -> bytes:
    taken = [name for name in _OWN if name in manifest]
    if taken:
        raise ConfigError(
            f"manifest entry {taken[0]!r} is the file's own: name yours differently", parameter="manifest"
        )
    whole = {"format": _FORMAT, "format_version": FORMAT_VERSION, **manifest, "arrays": entries}
    try:
        return json.dumps(whole, indent=1, sort_keys=True, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the manifest does not go into JSON: {error}", parameter="manifest") from None


def _zipped(files: Mapping[str, bytes], seal_size: int) -> bytes:
    """Return a zip that lacks nothing but its comment of `seal_size` bytes; equal content gives equal bytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o600 << 16
            archive.writestr(info, content)
        archive.comment = b"." * seal_size
    return buffer.getvalue()[:-seal_size]


def _write_whole(path: Path, data: bytes) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


# --- the seal ---------------------------------------------------------------------------------------------------------


def _seal(body: bytes, key: SigningKey | None) -> bytes:
    if key is None:
        return b"fraudlog-digest:" + blake2b(body, digest_size=32).hexdigest().encode()
    if isinstance(key, bytes):
        return b"fraudlog-mac:" + _mac(body, key)
    if not hasattr(key, "sign"):
        raise ConfigError("key must be bytes or an Ed25519 private key", parameter="key")
    return b"fraudlog-ed25519:" + key.sign(blake2b(body).digest()).hex().encode()


def _mac(body: bytes, key: bytes) -> bytes:
    if len(key) < 16:
        raise ConfigError("key must have at least 16 bytes: take it from a secret store", parameter="key")
    secret = blake2b(key, digest_size=64, person=b"fraudlog-model").digest()
    return blake2b(body, key=secret, digest_size=32).hexdigest().encode()


def _check_seal(data: bytes, key: VerifyingKey | None) -> None:
    """Refuse the file unless the seal at its end fits all that stands before it."""
    for size in (len(b"fraudlog-digest:") + 64, len(b"fraudlog-mac:") + 64, len(b"fraudlog-ed25519:") + 128):
        body, seal = data[:-size], data[-size:]
        found = _SEAL.fullmatch(seal)
        if found and len(body) >= _END and int.from_bytes(body[-2:], "little") == size:
            _verify(body, found[1].decode(), found[2], key)
            return
    raise ModelError("is no fraudlog model, or is damaged: take it from its backup or fit anew")


def _verify(body: bytes, kind: str, value: bytes, key: VerifyingKey | None) -> None:
    needed = "digest" if key is None else "mac" if isinstance(key, bytes) else "ed25519"
    if key is None and kind != "digest":
        raise ModelError(f"the model is sealed with a key ({kind}): give the key to read it")
    if kind != needed:
        raise ModelError(f"the model is sealed by {kind}, but the key given asks for {needed}: it is not to be trusted")
    if isinstance(key, bytes):
        fits = hmac.compare_digest(_mac(body, key), value)
    elif key is None:
        fits = hmac.compare_digest(blake2b(body, digest_size=32).hexdigest().encode(), value)
    else:
        fits = _signature_fits(body, value, key)
    if not fits:
        raise ModelError(
            "the seal does not fit the content: the model was changed, damaged, or sealed with another key"
        )


def _signature_fits(body: bytes, value: bytes, key: Ed25519PublicKey | Ed25519PrivateKey) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 -- only who signs pays for it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 -- as above

    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    try:
        public.verify(bytes.fromhex(value.decode()), blake2b(body).digest())
    except InvalidSignature:
        return False
    return True


# --- reading ----------------------------------------------------------------------------------------------------------


def _bytes_of(path: ModelFile) -> bytes:
    data = _read_from(Path(path)) if isinstance(path, (str, os.PathLike)) else path.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ModelError(f"is larger than {_MAX_BYTES >> 20} MB, which no model is")
    return data


def _read_from(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ModelError("no such model; make one with `fraudlog fit`") from None
    except OSError as error:
        raise ModelError(f"can't be opened: {error.strerror}") from None


def _content(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    files = _unzipped(data)
    manifest = _manifest(files.pop("manifest.json", b""))
    entries = manifest.pop("arrays")
    if set(files) != {f"arrays/{name}.bin" for name in entries}:
        raise ModelError("its arrays are not those its manifest lists")
    arrays = {name: _array(name, entry, files[f"arrays/{name}.bin"]) for name, entry in entries.items()}
    return arrays, {name: value for name, value in manifest.items() if name not in _OWN}


def _unzipped(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            infos = archive.infolist()
            if len({info.filename for info in infos}) != len(infos):
                raise ModelError("it holds two files of one name")
            return {info.filename: _member(archive, info) for info in infos}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, OverflowError) as error:
        raise ModelError(f"its zip structure is damaged ({type(error).__name__})") from None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    is_array = info.filename.startswith("arrays/") and info.filename.endswith(".bin")
    if info.filename != "manifest.json" and not (is_array and _NAME.fullmatch(info.filename[7:-4])):
        raise ModelError("it holds a file that no model has")
    plain = info.compress_type == zipfile.ZIP_STORED and info.flag_bits & ~0x800 == 0
    if not plain or info.file_size != info.compress_size:
        raise ModelError("it holds a compressed or encrypted file, which no model does")
    return archive.read(info)


def _manifest(text: bytes) -> dict[str, Any]:
    if not text or len(text) > _MAX_MANIFEST:
        raise ModelError("it has no manifest, or one too large")
    try:
        manifest = json.loads(text.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ModelError("its manifest is not JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise ModelError("its manifest is not that of a fraudlog model")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"it has format version {manifest.get('format_version')!r:.20}, this fraudlog reads {FORMAT_VERSION}: "
            "fit anew or use the version that wrote it"
        )
    if not isinstance(manifest.get("arrays"), dict):
        raise ModelError("its manifest lists no arrays")
    return manifest


def _refuse_constant(constant: str) -> float:
    raise ValueError(constant)


def _array(name: str, entry: object, raw: bytes) -> NDArray[Any]:
    if not isinstance(entry, dict) or entry.get("dtype") not in _DTYPES:
        raise ModelError(f"the array {name} has a type that no model has")
    shape, dtype = entry.get("shape"), np.dtype(entry["dtype"])
    sizes = shape if isinstance(shape, list) else [-1]
    if len(sizes) > 8 or not all(type(size) is int and 0 <= size <= _MAX_BYTES for size in sizes):
        raise ModelError(f"the array {name} has a shape that no array has")
    if math.prod(sizes) * dtype.itemsize != len(raw):
        raise ModelError(f"the array {name} holds {len(raw)} bytes, not what its shape and type ask for")
    if sha256(raw).hexdigest() != entry.get("sha256"):
        raise ModelError(f"the array {name} does not have the digest its manifest states")
    return np.frombuffer(raw, dtype=dtype).reshape(sizes)
