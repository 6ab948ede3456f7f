"""Looking for identifiers in whatever comes out: raw, quoted, in hex, in base64, and inside of what is packed."""

from __future__ import annotations

import base64
import ipaddress
import urllib.parse
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def spellings(value: str) -> set[bytes]:
    """Return the ways an identifier may hide: raw, quoted, hex, base64 at each of three offsets, IPv6 as numbers."""
    raw = value.encode()
    found = {raw, urllib.parse.quote(value, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + raw)
        found.add(encoded[4 if lead else 0 : -4])
    with suppress(ValueError):
        half = ipaddress.IPv6Address(value).packed[:8]
        found |= {half, half[::-1]}
    return {spelling for spelling in found if len(spelling) >= 8}


def contents(path) -> bytes:
    """Return the bytes of a file, and if it is Parquet or Arrow also every decoded value and statistic."""
    data = path.read_bytes()
    if path.suffix == ".arrow":
        with suppress(pa.ArrowInvalid), pa.ipc.open_stream(data) as reader:  # a draft may be half a file
            data += repr(reader.read_all().to_pylist()).encode()
        return data
    if path.suffix != ".parquet":
        return data
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid:  # as above
        return data
    table = file.read()
    values: list[Any] = []
    for column in table.columns:
        values += (column if pa.types.is_list(column.type) else column.unique()).to_pylist()
    return data + repr(values).encode() + repr(file.metadata.to_dict()).encode()


def hits(identifiers: list[str], blob: bytes) -> list[str]:
    """Return the identifiers that stand in `blob` in some spelling; the first eight bytes are looked for first."""
    beginnings: dict[int, list[tuple[str, bytes]]] = {}
    for value in identifiers:
        for spelling in spellings(value):
            beginnings.setdefault(int.from_bytes(spelling[:8], "little"), []).append((value, spelling))
    wanted = np.array(sorted(beginnings), np.uint64)
    is_begin = np.zeros(1 << 16, bool)
    is_begin[wanted & np.uint64(0xFFFF)] = True
    found = set()
    for shift in range(8):
        words = np.frombuffer(blob, np.uint64, max(len(blob) - shift, 0) // 8, shift)
        words = np.unique(words[is_begin[words & np.uint64(0xFFFF)]])
        for word in np.intersect1d(words, wanted).tolist():
            found |= {value for value, spelling in beginnings[word] if value not in found and spelling in blob}
    return sorted(found)
