"""Whose a session is, as keyed tokens: what voices and models remember people by, never an address or account itself.

A column of unsigned integers holds tokens already, as in a table that a model kept for forgetting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.detecting.drawing import text_token

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.voices import Parameters

    Tokens = NDArray[np.uint64]

__all__ = ["entity_token", "entity_tokens", "owner_tokens", "secret"]

_PURPOSE: Final = "owners"


def secret(parameters: Parameters) -> bytes:
    """Return the key of the tokens: the operator's, or one made of the seed, which keeps nothing from who knows it."""
    return parameters.key or np.random.RandomState(parameters.random_state).bytes(32)


def entity_tokens(sessions: pd.DataFrame, column: str, key: bytes) -> Tokens:
    """Return a keyed 64-bit token of each value of a column; 0 where it is null or the column is not there.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
    column : str
        ``user``, ``client_ip``, ``ip_prefix``, ``profile``, ``session_id`` ...
    key : bytes
        As from `secret`.

    Returns
    -------
    uint64 array of shape (n_sessions,)
    """
    from fraudlog.detecting.drawing import numbered, text_tokens  # noqa: PLC0415 -- scoring one row must not import pandas

    if column not in sessions.columns:
        return np.zeros(len(sessions), dtype=np.uint64)
    values = sessions[column]
    if values.dtype.kind == "u":
        return values.to_numpy(np.uint64, na_value=0)
    code, texts = numbered(values)
    return np.append(text_tokens(texts, key, _PURPOSE), np.uint64(0))[code]


def entity_token(value: Any, key: bytes) -> int:  # noqa: ANN401 -- whatever a service calls a user
    """Return the token of one value, as `entity_tokens` does; 0 for None and NaN."""
    if value is None or value != value:  # noqa: PLR0124 -- NaN is not itself
        return 0
    return text_token(str(value), key, _PURPOSE)


def owner_tokens(sessions: pd.DataFrame, key: bytes) -> Tokens:
    """Return the token of each session's owner: its account, or else its address, or else nobody but itself."""
    owners = entity_tokens(sessions, "user", key)
    for column in ("client_ip", "session_id"):
        owners = np.where(owners == 0, entity_tokens(sessions, column, key), owners)
    return owners
