"""Files into lines of bytes: plain or gzip, told by content and not by name."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, BinaryIO, cast

from fraudlog.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["read_lines"]

_GZIP = b"\x1f\x8b"


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a plain or gzip file without their line ends.

    Raises
    ------
    InputError
        If the file is not there, is a folder, may not be read, or is damaged gzip.
    """
    try:
        with _open(path) as file:
            for line in file:
                yield line.removesuffix(b"\n").removesuffix(b"\r")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path", source=path) from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name the files in it", source=path) from None
    except PermissionError:
        raise InputError(f"{path}: may not be read; check its permissions", source=path) from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise InputError(f"{path}: gzip data is cut short or damaged; fetch the file again", source=path) from None


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        head = file.read(2)
    return cast("BinaryIO", gzip.open(path, "rb") if head == _GZIP else path.open("rb"))
