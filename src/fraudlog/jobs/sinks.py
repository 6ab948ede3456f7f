"""The store's sessions, scores and decisions in a database, part by part: what left the store leaves it too."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from fraudlog.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from fraudlog.store import Part, Store

__all__ = ["write_sql"]

_SUNK: Final = ("sessions", "scores", "decisions")
_PARTS: Final = "fraudlog_parts"
_ROWS: Final = 5000
_KEY: Final = ("part_day", "part_slice")


def write_sql(store: Store, url: str) -> int:
    """Make a database equal to the store, in one transaction.

    A table ``fraudlog_parts`` says which parts it has; only those that changed are written, those that are gone from
    the store are deleted. Tables are called ``fraudlog_sessions``, ``fraudlog_scores`` and ``fraudlog_decisions``.

    Parameters
    ----------
    store : Store
    url : str
        As SQLAlchemy writes it: ``sqlite:///file.db``, ``postgresql+psycopg://...``.

    Returns
    -------
    int
        Parts written or deleted.

    Raises
    ------
    OutputError
        If the database can't be reached or refuses; it stays as it was. No message of it is passed on, for it may hold
        a password or a value.
    """
    try:
        sql = import_module("sqlalchemy")
    except ImportError:
        raise ConfigError(
            "sql.url needs the package SQLAlchemy: pip install 'fraudlog[sql]'", parameter="sql.url"
        ) from None
    try:
        engine = sql.create_engine(url, hide_parameters=True)
    except (sql.exc.ArgumentError, ImportError):
        raise ConfigError(
            "sql.url is no URL of a database, or its driver is not installed", parameter="sql.url"
        ) from None
    try:
        with engine.begin() as connection:
            return _Sink(sql, connection).equal(store)
    except sql.exc.SQLAlchemyError as error:
        raise OutputError(f"sql.url: the database refused ({type(error).__name__}); it stands as before") from None
    finally:
        engine.dispose()


class _Sink:
    def __init__(self, sql: Any, connection: Any) -> None:  # noqa: ANN401 -- SQLAlchemy is an extra
        self.sql = sql
        self.connection = connection
        self.metadata = sql.MetaData()

    def equal(self, store: Store) -> int:
        """Write parts that are new, delete those that are gone; returns how many."""
        sql = self.sql
        text, whole = sql.Text, sql.Integer
        parts = sql.Table(
            _PARTS,
            self.metadata,
            sql.Column("part_table", text, primary_key=True),
            sql.Column("part_day", text, primary_key=True),
            sql.Column("part_slice", whole, primary_key=True),
            sql.Column("sha256", text),
        )
        tables = {name: self._table(name, self._fields(store, name)) for name in _SUNK}
        self.metadata.create_all(self.connection)
        known = {tuple(row[:3]): row[3] for row in self.connection.execute(sql.select(parts))}
        wanted = {part.key: part for name in _SUNK for part in store.manifest.of(name)}
        stale = [key for key, digest in known.items() if key not in wanted or wanted[key].sha256 != digest]
        for key in stale:
            self._delete(parts, key, ("part_table", *_KEY))
            self._delete(tables[key[0]], key[1:], _KEY)
        fresh = [part for key, part in wanted.items() if known.get(key) != part.sha256]
        for part in fresh:
            self._insert(tables[part.table], part, store)
            row = {"part_table": part.table, "part_day": part.day, "part_slice": part.slice, "sha256": part.sha256}
            self.connection.execute(parts.insert(), [row])
        return len(set(stale) | {part.key for part in fresh})

    def _fields(self, store: Store, name: str) -> list[pa.Field]:
        """Return a table's columns as the newest part has them, features too."""
        parts = store.manifest.of(name)
        return list(store.load(parts[-1], store.path / parts[-1].path).schema) if parts else []

    def _table(self, name: str, fields: list[pa.Field]) -> Any:  # noqa: ANN401 -- as above
        sql = self.sql
        columns = [sql.Column(field.name, self._type(field.type)) for field in fields]
        keys = [sql.Column("part_day", sql.Text, index=True), sql.Column("part_slice", sql.Integer)]
        return sql.Table(f"fraudlog_{name}", self.metadata, *keys, *columns)

    def _type(self, kind: pa.DataType) -> Any:  # noqa: ANN401 -- as above
        sql = self.sql
        if pa.types.is_timestamp(kind):
            return sql.DateTime(timezone=True)
        if pa.types.is_floating(kind):
            return sql.Double
        return sql.BigInteger if pa.types.is_integer(kind) else sql.Text

    def _delete(self, table: Any, key: tuple[Any, ...], names: tuple[str, ...]) -> None:  # noqa: ANN401 -- as above
        matches = [table.c[name] == value for name, value in zip(names, key, strict=True)]
        self.connection.execute(table.delete().where(*matches))

    def _insert(self, table: Any, part: Part, store: Store) -> None:  # noqa: ANN401 -- as above
        rows = store.load(part, store.path / part.path)
        if "reasons" in rows.column_names:
            texts = [None if one is None else json.dumps(one) for one in rows.column("reasons").to_pylist()]
            rows = rows.set_column(rows.column_names.index("reasons"), "reasons", pa.array(texts, pa.string()))
        key = {"part_day": part.day, "part_slice": part.slice}
        for first in range(0, len(rows), _ROWS):
            self.connection.execute(table.insert(), [key | row for row in rows.slice(first, _ROWS).to_pylist()])
