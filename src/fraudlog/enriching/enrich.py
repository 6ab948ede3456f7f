"""`enrich`: the columns derived from single values, each distinct value looked at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.enriching.agents import agent_columns
from fraudlog.enriching.endpoints import endpoint_columns
from fraudlog.enriching.languages import language_columns
from fraudlog.enriching.networks import network_columns
from fraudlog.schema import DERIVED, EVENTS, arrow_schema, to_arrow, to_pandas

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

__all__ = ["enrich", "enrich_table"]

_ENRICHERS: Final[dict[str, Callable[[str | None], dict[str, object]]]] = {
    "user_agent": agent_columns,
    "client_ip": network_columns,
    "language": language_columns,
    "path": endpoint_columns,
}
"""Which column each family of derived columns is read from."""


def enrich_table(table: pa.Table) -> pa.Table:
    """Add the columns of `fraudlog.schema.DERIVED` that `table` has the inputs of.

    Parameters
    ----------
    table : pyarrow.Table of shape (n_events, n_columns)
        As ``ParsedLog.table``.

    Returns
    -------
    pyarrow.Table of shape (n_events, n_columns + n_derived)
    """
    types = {field.name: field.type for field in arrow_schema(DERIVED)}
    for name, derive in _ENRICHERS.items():
        if name not in table.column_names:
            continue
        codes = table.column(name).combine_chunks()
        if not pa.types.is_dictionary(codes.type):
            codes = codes.dictionary_encode()
        distinct = [*codes.dictionary.to_pylist(), None]
        rows = [derive(value) for value in distinct]
        indices = pc.fill_null(codes.indices, len(distinct) - 1)
        for column in rows[0]:
            values = pa.array(
                [row[column] for row in rows], types[column] if types[column] == pa.bool_() else pa.string()
            )
            table = _put(table, column, values.take(indices).cast(types[column], safe=False))
    return table


def _put(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """Append a column; where the log already had one of that name, its own values stand."""
    if name not in table.column_names:
        return table.append_column(name, values)
    own = table.column(name).cast(pa.string())
    merged = pc.coalesce(own, pa.chunked_array([values.cast(pa.string())])).dictionary_encode()
    return table.set_column(table.column_names.index(name), name, merged)


def enrich(events: pd.DataFrame) -> pd.DataFrame:
    """Add what the agent, the address, the language and the path of each event say.

    Parameters
    ----------
    events : DataFrame of shape (n_events, n_columns)
        As from `read_log`.

    Returns
    -------
    DataFrame of shape (n_events, n_columns + n_derived)
        The same rows with the columns of `fraudlog.schema.DERIVED` whose inputs were there.

    Examples
    --------
    >>> import pandas as pd
    >>> enrich(pd.DataFrame({"client_ip": ["203.0.113.9"], "user_agent": ["curl/8.5.0"]})).bot_category.tolist()
    ['library']
    """
    return to_pandas(enrich_table(to_arrow(events, EVENTS)))
