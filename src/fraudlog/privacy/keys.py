"""The keys of the pseudonyms: where they come from, their epochs, and that they never lie beside the data.

A ring of keys is a file with a line an epoch: number and 64 hex digits. Pseudonyms are made with the newest; the older
ones are kept so that requests of a person reach what was stored under them. Dropping an epoch's key forgets it: nobody
can tell any more whose its pseudonyms were. What a job needs to go on stays behind in a line of its own: keys derived
from the dropped one, which don't lead back to it, by which it knows its log files and its models again.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fraudlog.errors import ConfigError
from fraudlog.privacy.key_file import changing, replace_keys, tidy_up
from fraudlog.privacy.pseudonyms import IpMode, Pseudonyms, derive_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["KEY_BYTES", "Keyring", "default_key_file", "drop_key", "load_key", "load_keyring", "rotate_key"]

KEY_BYTES: Final = 32
_VARIABLE: Final = "FRAUDLOG_KEY"
_KEPT: Final = "kept"
_OUTLIVE: Final = ("log streams", "models")
"""What keys are derived for that outlive the key: none of them makes pseudonyms."""


@dataclass(frozen=True)
class Keyring:
    """Keys by epoch.

    Parameters
    ----------
    keys : dict of int to bytes
        At least one, 32 bytes each.
    kept : dict of str to dict of str to bytes
        Of dropped keys, by their id: what was derived of them for purposes that make no pseudonyms.

    Examples
    --------
    >>> ring = Keyring({1: bytes(32), 2: bytes(range(32))})
    >>> ring.newest, len(ring.pseudonyms())
    (2, 2)
    """

    keys: dict[int, bytes]
    kept: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Keyring of epochs {', '.join(map(str, sorted(self.keys)))}>"

    @property
    def newest(self) -> int:
        """The epoch that new pseudonyms are made in."""
        return max(self.keys)

    @property
    def key(self) -> bytes:
        """The key of the newest epoch."""
        return self.keys[self.newest]

    def derived(self, purpose: str) -> dict[str, bytes]:
        """Return the keys derived for a purpose, by the id of what they come from: newest first, dropped ones last."""
        made = {
            Pseudonyms(self.keys[epoch]).key_id: derive_key(self.keys[epoch], purpose)
            for epoch in sorted(self.keys, reverse=True)
        }
        return made | {key_id: kept[purpose] for key_id, kept in self.kept.items() if purpose in kept}

    def pseudonyms(self, ip_mode: IpMode = "pfx") -> dict[int, Pseudonyms]:
        """Return the pseudonyms of every epoch, newest first: what a request of a person is looked up by."""
        return {epoch: Pseudonyms(self.keys[epoch], ip_mode, epoch) for epoch in sorted(self.keys, reverse=True)}

    def current(self, ip_mode: IpMode = "pfx") -> Pseudonyms:
        """Return the pseudonyms of the newest epoch: what is written from now on."""
        return Pseudonyms(self.key, ip_mode, self.newest)


def default_key_file() -> Path:
    """Return where the keys lie unless the caller says otherwise: ``$XDG_CONFIG_HOME/fraudlog/key``."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "fraudlog" / "key"


def load_key(file: Path | None = None, *, outside: Path | None = None) -> bytes:
    """Return the newest key of `load_keyring`."""
    return load_keyring(file, outside=outside).key


def load_keyring(
    file: Path | None = None, *, outside: Path | None = None, callback: Callable[[], str] | None = None
) -> Keyring:
    """Return the keys: from `callback`, else ``FRAUDLOG_KEY`` if set, else the content of `file`.

    Parameters
    ----------
    file : Path, optional
        By default `default_key_file`. A file that is not there is made, readable by its owner alone.
    outside : Path, optional
        The folder the results go to. A key that lies in it is refused: with both in one place nothing is pseudonymous.
    callback : callable, optional
        Asked for the text of the ring, so that keys may come from a vault: 64 hex digits, or a line an epoch.

    Raises
    ------
    ConfigError
        If a key has another length, lies among the results, or can be read by others.
    """
    if callback is not None:
        return _parse(callback(), "the key callback")
    given = os.environ.get(_VARIABLE)
    if given is not None:
        return _parse(given.replace(",", "\n"), f"the environment variable {_VARIABLE}")
    path = default_key_file() if file is None else file
    _refuse_inside(path, outside)
    try:
        if not path.exists():
            return _make(path)
        tidy_up(path)
        return _read(path)
    except OSError as error:
        raise _unusable(path, error) from None


def rotate_key(file: Path | None = None) -> Keyring:
    """Begin a new epoch: add a key to the ring.

    Pseudonyms of a new epoch can't be matched with those of the last: histories of accounts begin anew.

    Raises
    ------
    ConfigError
        As `load_keyring`; also if the key is not in a file.
    """
    with _changed(file) as (path, ring):
        after = Keyring({**ring.keys, ring.newest + 1: secrets.token_bytes(KEY_BYTES)}, ring.kept)
        replace_keys(path, _text(after))
    return after


def drop_key(epoch: int, file: Path | None = None) -> Keyring:
    """Forget the key of an epoch, for good; copies and backups of the file are the caller's to find.

    Raises
    ------
    ConfigError
        If there is no such epoch, or it is the newest: `rotate_key` first.
    """
    with _changed(file) as (path, ring):
        after = _without(epoch, ring)
        replace_keys(path, _text(after))
    return after


def _without(epoch: int, ring: Keyring) -> Keyring:
    if epoch not in ring.keys:
        raise ConfigError(f"there is no epoch {epoch}; the ring holds {sorted(ring.keys)}", parameter="epoch")
    if epoch == ring.newest:
        raise ConfigError("the newest key is in use; begin a new epoch first: fraudlog privacy key rotate")
    dropped = Keyring({epoch: ring.keys[epoch]})
    outlive = {purpose: dropped.derived(purpose) for purpose in _OUTLIVE}
    kept = {key_id: {purpose: outlive[purpose][key_id] for purpose in _OUTLIVE} for key_id in outlive[_OUTLIVE[0]]}
    return Keyring({number: key for number, key in ring.keys.items() if number != epoch}, {**ring.kept, **kept})


@contextmanager
def _changed(file: Path | None) -> Iterator[tuple[Path, Keyring]]:
    """Give the file of the keys and the ring in it, to nobody else until its change is done."""
    if os.environ.get(_VARIABLE) is not None:
        raise ConfigError(f"the key comes from {_VARIABLE}; change it where that is set", parameter="key_file")
    path = default_key_file() if file is None else file
    load_keyring(path)
    try:
        with changing(path):
            yield path, _read(path)
    except OSError as error:
        raise _unusable(path, error) from None


def _refuse_inside(path: Path, outside: Path | None) -> None:
    if outside is not None and path.resolve().is_relative_to(outside.resolve()):
        raise ConfigError(
            "the key lies in the folder of the results; keep it elsewhere (--key-file)", parameter="key_file"
        )


def _unusable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the key file {path} can't be read or written ({error.strerror}); set {_VARIABLE} or --key-file",
        parameter="key_file",
    )


def _read(path: Path) -> Keyring:
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"the key file {path} can be read by others; run: chmod 600 {path}", parameter="key_file")
    return _parse(_text_of(path), f"the key file {path}")


def _text_of(path: Path) -> str:
    """Read a file that a change may replace, and overwrite, between its being opened and read: then it is read anew."""
    while True:
        with path.open(encoding="ascii", errors="replace") as file:
            text = file.read()
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return text


def _make(path: Path) -> Keyring:
    with changing(path):
        if not path.exists():  # else another process was first: its key counts
            replace_keys(path, _text(Keyring({1: secrets.token_bytes(KEY_BYTES)})))
    return _read(path)


def _text(ring: Keyring) -> str:
    if list(ring.keys) == [1] and not ring.kept:
        return ring.key.hex() + "\n"
    lines = [f"{epoch} {key.hex()}" for epoch, key in sorted(ring.keys.items())]
    lines += [" ".join([_KEPT, key_id, *(kept[name].hex() for name in _OUTLIVE)]) for key_id, kept in ring.kept.items()]
    return "".join(f"{line}\n" for line in lines)


def _parse(text: str, where: str) -> Keyring:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    kept = {words[1]: _kept(words[2:]) for words in lines if words[0] == _KEPT and len(words) > 1}
    lines = [words for words in lines if words[0] != _KEPT]
    if any(not all(derived.values()) for derived in kept.values()):
        lines = []
    keys: dict[int, bytes] = {}
    for number, *rest in [["1", *lines[0]]] if len(lines) == 1 and len(lines[0]) == 1 else lines:
        key = _bytes(rest[0] if len(rest) == 1 else "")
        if len(key) != KEY_BYTES or not number.isdecimal() or int(number) in keys:
            keys = {}
            break
        keys[int(number)] = key
    if not keys:
        raise ConfigError(
            f"{where} is not {2 * KEY_BYTES} hex digits, nor a line of number and digits for each epoch; make a key "
            "with: openssl rand -hex 32",
            parameter="key",
        )
    return Keyring(keys, kept)


def _kept(words: list[str]) -> dict[str, bytes]:
    derived = [_bytes(word) for word in words]
    is_whole = len(derived) == len(_OUTLIVE) and all(len(one) == KEY_BYTES for one in derived)
    return dict(zip(_OUTLIVE, derived if is_whole else [b""] * len(_OUTLIVE), strict=True))


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
