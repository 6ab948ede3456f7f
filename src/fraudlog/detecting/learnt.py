"""What a detector keeps of the sessions it learnt from, so that it can forget one of them.

In memory it is the caller's own table, less the columns nobody learns from. In a file addresses, accounts and ids are
keyed tokens, but the features of each session stand there: personal data, under the same retention as the sessions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.detecting.entities import entity_tokens, owner_tokens
from fraudlog.detecting.voices import PLACES
from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["is_theirs", "kept", "table_from_arrays", "table_to_arrays"]

_IDENTIFIERS: Final = ("session_id", "client_ip", "ip_prefix", "user")
_TEXTS: Final = (
    "profile",
    "user_agent",
    "browser",
    "browser_version",
    "os",
    "device_class",
    "language",
    "language_primary",
    "country",
)
_TIMES: Final = ("start", "end")
_FLAGS: Final = ("checkpoint", "is_last")


def kept(sessions: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that a voice may learn from; the rows are shared with the caller's until one is written to."""
    known = {*_IDENTIFIERS, *_TEXTS, *_TIMES, *_FLAGS, *PLACES}
    return sessions[[name for name in sessions.columns if name in known]]


def is_theirs(sessions: pd.DataFrame, owners: list[int], ids: list[int], key: bytes) -> NDArray[np.bool_]:
    """Say which rows belong to one of these owners or are one of these sessions."""
    theirs: NDArray[np.bool_] = np.isin(owner_tokens(sessions, key), np.array(owners, dtype=np.uint64))
    return theirs | np.isin(entity_tokens(sessions, "session_id", key), np.array(ids, dtype=np.uint64))


def table_to_arrays(table: pd.DataFrame, key: bytes) -> dict[str, NDArray[Any]]:
    """Return the table as arrays of numbers.

    Parameters
    ----------
    table : DataFrame
        As from `kept`.
    key : bytes
        Key of the tokens.
    """
    arrays: dict[str, NDArray[Any]] = {
        f"feature.{name}": table[name].to_numpy(np.float64) for name in table.columns if name in PLACES
    }
    columns = set(table.columns)
    arrays |= {name: entity_tokens(table, name, key) for name in _IDENTIFIERS if name in columns}
    for name in _TIMES:
        arrays[name] = table[name].astype("datetime64[us, UTC]").astype("int64").to_numpy()
    arrays |= {name: table[name].to_numpy(np.int64) for name in _FLAGS if name in columns}
    for name in (name for name in _TEXTS if name in columns):
        arrays |= {f"{name}.{part}": array for part, array in _text_to_arrays(table[name]).items()}
    return arrays


def table_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Build the table from arrays that may come from anywhere.

    Raises
    ------
    ModelError
        If an array is missing or misshapen.
    """
    import pandas as pd  # noqa: PLC0415 -- a service that only scores needs no pandas

    n_rows = len(arrays["start"]) if "start" in arrays and arrays["start"].ndim == 1 else -1
    _check(arrays, n_rows)
    columns: dict[str, Any] = {}
    for name in (name for name in _IDENTIFIERS if name in arrays):
        columns[name] = pd.array(arrays[name], dtype="UInt64")
        columns[name][arrays[name] == 0] = pd.NA
    for name in _TIMES:
        columns[name] = pd.to_datetime(arrays[name], unit="us", utc=True).as_unit("us")
    columns |= {name: arrays[name] for name in _FLAGS if name in arrays}
    if "is_last" in columns:
        columns["is_last"] = columns["is_last"].astype(bool)
    for name in (name for name in _TEXTS if f"{name}.codes" in arrays):
        columns[name] = _text_from_arrays(arrays, name)
    prefix = "feature."
    columns |= {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return pd.DataFrame(columns)


def _check(arrays: Mapping[str, NDArray[Any]], n_rows: int) -> None:
    kinds = dict.fromkeys(_IDENTIFIERS, "u8") | dict.fromkeys((*_TIMES, *_FLAGS), "i8")
    for name, array in arrays.items():
        if name.rpartition(".")[2] in {"bytes", "ends"}:
            continue
        kind = kinds.get(name, "i8" if name.endswith(".codes") else "f8")
        feature = name.removeprefix("feature.")
        is_named = name in kinds or name.endswith(".codes") or feature in PLACES
        if array.dtype.str[1:] != kind or array.shape != (n_rows,) or not is_named:
            raise ModelError(f"the model's learnt.{name} is misshapen or unknown: it is damaged")
    if not {"session_id", *_TIMES} <= arrays.keys():
        raise ModelError("the model's learnt sessions lack their ids or times: it is damaged")


def _text_to_arrays(values: pd.Series) -> dict[str, NDArray[Any]]:
    from fraudlog.detecting.drawing import numbered  # noqa: PLC0415 -- as above

    codes, texts = numbered(values)
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    return {
        "codes": codes,
        "bytes": np.frombuffer(b"".join(raw), dtype=np.uint8),
        "ends": np.cumsum([0, *(len(one) for one in raw)])[1:].astype(np.int64),
    }


def _text_from_arrays(arrays: Mapping[str, NDArray[Any]], name: str) -> pd.Series:
    import pandas as pd  # noqa: PLC0415 -- as above

    codes, ends, raw = (arrays.get(f"{name}.{part}") for part in ("codes", "ends", "bytes"))
    damaged = ModelError(f"the model's learnt.{name} is damaged")
    if codes is None or ends is None or raw is None or ends.dtype.kind != "i" or raw.dtype != np.uint8:
        raise damaged
    if (codes >= len(ends)).any() or (codes < -1).any():
        raise damaged
    text = raw.tobytes()
    try:
        texts = [text[low:high].decode("utf-8", "surrogatepass") for low, high in pairwise([0, *ends.tolist()])]
    except ValueError:
        raise damaged from None
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(texts, dtype="str")))
