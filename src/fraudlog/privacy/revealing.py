"""The way back from a pseudonym to an address: for those who hold the key, and never without a trace."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    import pyarrow as pa

    from fraudlog.privacy.pseudonyms import Pseudonyms

__all__ = ["KEY_MARK", "Reidentifier", "marked", "marks"]

KEY_MARK: Final = "fraudlog_key"
"""Under which a table on a disk names its key's id, in the place where pandas keeps a frame's ``attrs``."""

_ATTRS: Final = b"PANDAS_ATTRS"


def marked(table: pa.Table, note: str) -> pa.Table:
    """Return `table` with a note in its metadata on its pseudonyms, as from `Pseudonyms.note`.

    Read back, by fraudlog or by ``pandas.read_parquet``, the frame's ``attrs`` say so: a pseudonym looks like an
    address, and without the note somebody would take it for one.
    """
    return table.replace_schema_metadata({_ATTRS: json.dumps({KEY_MARK: note})})


def marks(table: pa.Table | pd.DataFrame) -> dict[str, Any]:
    """Return what `marked` noted on a table or the frame it became, for a frame's ``attrs``; else nothing."""
    noted = table.attrs if hasattr(table, "attrs") else _metadata(table)
    return {KEY_MARK: noted[KEY_MARK]} if KEY_MARK in noted else {}


def _metadata(table: pa.Table) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((table.schema.metadata or {}).get(_ATTRS, b"{}"))
    return found


class Reidentifier:
    """Turns pseudonyms of addresses and networks back, and has each use written down before it gives an answer.

    Parameters
    ----------
    pseudonyms : Pseudonyms
        Of the key they were made with.
    purpose : str
        What for, as the record of it will say.
    audit : callable
        Takes a record (a mapping of plain values) and keeps it. If it raises, nothing is turned back.

    Examples
    --------
    >>> from fraudlog.privacy import Pseudonyms
    >>> names, trail = Pseudonyms(bytes(range(32))), []
    >>> hidden = names.addresses(["203.0.113.0/24", "2001:db8::/64"])
    >>> Reidentifier(names, "export as nginx-geo", trail.append)(hidden)
    ['203.0.113.0/24', '2001:db8::/64']
    >>> trail[0]["event"], trail[0]["values"], trail[0]["purpose"]
    ('reidentify', 2, 'export as nginx-geo')
    """

    def __init__(self, pseudonyms: Pseudonyms, purpose: str, audit: Callable[[Mapping[str, Any]], object]) -> None:
        self._pseudonyms = pseudonyms
        self._purpose = purpose
        self._audit = audit

    def check(self, made_with: str | None) -> None:
        """Refuse pseudonyms of another key: they would turn into addresses of people who did nothing.

        Raises
        ------
        ConfigError
            If `made_with`, the note of a table, names another, or an ``ip_mode`` that leaves no way back.
        """
        key_id, _, ip_mode = (made_with or "").partition("/")
        if ip_mode:
            raise ConfigError(
                f"these tables were written with ip_mode {ip_mode}, so their addresses can't be turned back",
                parameter="ip_mode",
            )
        if key_id != self._pseudonyms.key_id:
            raise ConfigError(
                "the key is not the one these tables were written with, so their addresses can't be turned back; give "
                "the right one with --key-file or FRAUDLOG_KEY",
                parameter="key",
            )

    def __call__(self, values: Sequence[str]) -> list[str]:
        """Return the address, or network (``203.0.113.0/24``), behind each pseudonym.

        Raises
        ------
        SchemaError
            If one is no address.
        """
        self._audit(
            {
                "event": "reidentify",
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "purpose": self._purpose,
                "values": len(values),
                "key_id": self._pseudonyms.key_id,
            }
        )
        parts = [value.partition("/") for value in values]
        plain: list[str | None] = [*self._pseudonyms.reveal([address for address, _, _ in parts])]
        if None in plain:
            raise SchemaError(f"value {plain.index(None)} to turn back is no address; is the table damaged?")
        return [
            # The bits behind the prefix were cut off after they were encrypted; what they turn into says nothing.
            str(ip_network(f"{address}/{length}", strict=False)) if slash else str(address)
            for address, (_, slash, length) in zip(plain, parts, strict=True)
        ]
