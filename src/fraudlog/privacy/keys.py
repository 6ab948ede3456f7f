"""Where the key of the pseudonyms comes from: the environment, a file of the caller's, or one made on first use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from fraudlog.errors import ConfigError

__all__ = ["KEY_BYTES", "default_key_file", "load_key"]

KEY_BYTES: Final = 32
_VARIABLE: Final = "FRAUDLOG_KEY"


def default_key_file() -> Path:
    """Return where the key lies unless the caller says otherwise: ``$XDG_CONFIG_HOME/fraudlog/key``."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "fraudlog" / "key"


def load_key(file: Path | None = None, *, outside: Path | None = None) -> bytes:
    """Return the key: ``FRAUDLOG_KEY`` (64 hex digits) if set, else the content of `file`.

    Parameters
    ----------
    file : Path, optional
        By default `default_key_file`. A file that is not there is made, readable by its owner alone.
    outside : Path, optional
        The folder the results go to. A key that lies in it is refused: with both in one place nothing is pseudonymous.

    Raises
    ------
    ConfigError
        If the key has another length, lies among the results, or can be read by others.
    """
    given = os.environ.get(_VARIABLE)
    if given is not None:
        return _parse(given, f"the environment variable {_VARIABLE}")
    path = default_key_file() if file is None else file
    if outside is not None and path.resolve().is_relative_to(outside.resolve()):
        raise ConfigError(
            "the key lies in the folder of the results; keep it elsewhere (--key-file)", parameter="key_file"
        )
    try:
        return _read(path) if path.exists() else _make(path)
    except OSError as error:
        raise ConfigError(
            f"the key file {path} can't be read or made ({error.strerror}); set {_VARIABLE} or --key-file",
            parameter="key_file",
        ) from None


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"the key file {path} can be read by others; run: chmod 600 {path}", parameter="key_file")
    return _parse(path.read_text("ascii", "replace"), f"the key file {path}")


def _make(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process was first: its key counts
        return _read(path)
    with os.fdopen(handle, "w", encoding="ascii") as out:
        out.write(key.hex() + "\n")
    return key


def _parse(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{where} is not {2 * KEY_BYTES} hex digits; make one with: openssl rand -hex 32", parameter="key"
        )
    return key
