"""Every exception that fraudlog raises.

::

    FraudlogError                 exit code 1
    ├── InputError                3   a log can't be opened or is not a log
    │   ├── FormatError           3   no known format fits, or too many lines were rejected
    │   └── SchemaError           3   a table lacks a column, or holds another type than the schema says
    ├── ConfigError               2   a parameter or key is out of range
    ├── NotFittedError            2   a detector is asked to score before it has learnt
    ├── PrivacyError              2   what was asked is against the privacy policy: purpose, version, retention, k
    ├── LockError                 4   another process writes to the same store
    ├── ModelError                5   a model file is damaged, hostile, or of another schema
    └── OutputError               6   a result can't be written; what stood there before still does

A message names the field, the row and the fix, never an identifier: no address, account or agent. A bad line is data
(a row of ``rejected``), not an exception.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "ConfigError",
    "FormatError",
    "FraudlogError",
    "InputError",
    "LockError",
    "ModelError",
    "NotFittedError",
    "OutputError",
    "PrivacyError",
    "SchemaError",
]


class FraudlogError(Exception):
    """Base of all errors of this library; catch it to catch them all."""

    exit_code: ClassVar[int] = 1


class InputError(FraudlogError):
    """A log can't be read.

    Attributes
    ----------
    source : str
        The file as the caller named it.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, source: str | Path = "") -> None:
        super().__init__(message)
        self.source = str(source)


class FormatError(InputError):
    """The content of a log fits no known format, or too little of it does."""


class SchemaError(InputError):
    """A table lacks a needed column or holds it with another type.

    Attributes
    ----------
    missing : tuple of str
        Names of the columns that were needed and not there.
    """

    def __init__(self, message: str, *, missing: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


class ConfigError(FraudlogError, ValueError):
    """A parameter is out of range.

    Attributes
    ----------
    parameter : str
        Name of the parameter as the caller wrote it.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class NotFittedError(FraudlogError, ValueError):
    """A detector was asked to score before `fit` or `load`."""

    exit_code: ClassVar[int] = 2


class PrivacyError(FraudlogError):
    """What was asked is not what the data was collected for, or not any more."""

    exit_code: ClassVar[int] = 2


class LockError(FraudlogError):
    """Another process writes to the same store.

    Attributes
    ----------
    path : str
        The store as the caller named it.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, path: str | os.PathLike[str] = "") -> None:
        super().__init__(message)
        self.path = os.fspath(path)


class ModelError(FraudlogError):
    """A model file can't be trusted or does not fit this version.

    Attributes
    ----------
    path : str
        The file as the caller named it.
    """

    exit_code: ClassVar[int] = 5

    def __init__(self, message: str, *, path: str | os.PathLike[str] = "") -> None:
        super().__init__(message)
        self.path = os.fspath(path)


class OutputError(FraudlogError):
    """A result can't be written: the disk is full, or the folder may not be written to.

    Attributes
    ----------
    path : str
        The file that was to be written.
    """

    exit_code: ClassVar[int] = 6

    def __init__(self, message: str, *, path: str | os.PathLike[str] = "") -> None:
        super().__init__(message)
        self.path = os.fspath(path)
