"""What is held about a person: as JSON, as CSV and as a page in plain words, with scores and reasons."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.detecting import describe_reasons
from fraudlog.jobs.carried import Carried
from fraudlog.jobs.line import settings_of
from fraudlog.privacy import PURPOSES, REQUESTS, RETENTION, Chain, Keyring, Pseudonyms
from fraudlog.store import open_store
from fraudlog.subjects.persons import READ_COLUMNS, Person, find_person

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fraudlog.jobs.config import JobConfig
    from fraudlog.store import Store

__all__ = ["Access", "access"]

_SHOWN: Final = ("timestamp", "method", "path", "status", "browser", "os", "country", "language", "session_id")
_BY_SESSION: Final = ("sessions", "scores", "decisions")


@dataclass(frozen=True)
class Access:
    """What is held about one person.

    Attributes
    ----------
    person : dict of str to str
        Who asked, in their own words.
    tables : dict of str to list of dict
        Rows by table; null values are left out.
    """

    person: Mapping[str, str]
    tables: Mapping[str, list[dict[str, Any]]]

    def to_json(self) -> str:
        """Return everything, machine-readable (Art. 20)."""
        content = {"person": dict(self.person), "held": self.tables, "explained": self.explained()}
        return json.dumps(content, indent=1, default=_plain, ensure_ascii=False)

    def to_csv(self) -> str:
        """Return everything as one table: a line a value."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["table", "row", "column", "value"])
        for table, rows in self.tables.items():
            for number, row in enumerate(rows, start=1):
                for column, value in row.items():
                    text = json.dumps(value, default=_plain) if isinstance(value, (list, dict)) else str(_plain(value))
                    # A leading sign would be a formula to a spreadsheet.
                    writer.writerow([table, number, column, "'" + text if text[:1] in "=+-@\t\r" else text])
        return out.getvalue()

    def to_html(self) -> str:
        """Return a page in plain words, without scripts."""
        import jinja2  # noqa: PLC0415 -- the other forms do not need it

        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("fraudlog.subjects"), autoescape=True, undefined=jinja2.StrictUndefined
        )
        return environment.get_template("access.html").render(
            person=self.person,
            events=[{name: row.get(name, "") for name in _SHOWN} for row in self.tables["events"]],
            shown=_SHOWN,
            sessions=self.explained(),
            counts={name: len(rows) for name, rows in self.tables.items()},
            purposes=list(PURPOSES.values()),
            retention=RETENTION,
        )

    def explained(self) -> list[dict[str, Any]]:
        """Return each session's judgement in words."""
        verdicts = {row["session_id"]: row.get("verdict", "") for row in self.tables["decisions"]}
        return [
            {
                "session_id": row["session_id"],
                "start": _plain(row["start"]),
                "end": _plain(row["end"]),
                "risk": row.get("risk"),
                "confidence": row.get("confidence"),
                "verdict": verdicts.get(row["session_id"], "none"),
                "reasons": describe_reasons(row.get("reasons") or []),
            }
            for row in self.tables["scores"]
        ]


def access(
    config: JobConfig, ring: Keyring, values: Mapping[str, str], now: datetime, *, reference: str = ""
) -> Access:
    """Return what a job's store holds about a person.

    Parameters
    ----------
    config : JobConfig
    ring : Keyring
    values : mapping of str to str
        Raw identifiers by column, as ``{"user": "alice"}``.
    now : datetime
    reference : str
        Of the request, for the audit trail.
    """
    store = open_store(config["store.path"], purpose=REQUESTS)
    carried = Carried.load(store, settings_of(config, Pseudonyms(ring.key)).definition)
    person = find_person(Person.of(values, ring, config["privacy.ip_mode"]), _identities(store, carried))
    tables: dict[str, list[dict[str, Any]]] = {}
    for name in ("events", "late"):
        tables[name] = [row for rows in _parts(store, name) for row in _rows(rows.filter(pa.array(person.mask(rows))))]
    tables["open"] = [
        row for rows in (carried.events, carried.held_events) for row in _rows(rows.filter(pa.array(person.mask(rows))))
    ]
    ids = pa.array(sorted({row["session_id"] for row in tables["events"] if "session_id" in row}), pa.string())
    for name in _BY_SESSION:
        kept = (rows.filter(pc.is_in(rows["session_id"], value_set=ids)) for rows in _parts(store, name))
        tables[name] = [row for rows in kept for row in _rows(rows)]
    Chain(config["store.path"] / "ledger" / "audit.jsonl").append(
        {
            "event": "access",
            "at": now.isoformat(timespec="seconds"),
            "purpose": REQUESTS,
            "reference": reference,
            "rows": sum(map(len, tables.values())),
        }
    )
    return Access(dict(values), tables)


def _identities(store: Store, carried: Carried) -> Iterator[pa.Table]:
    for table in ("events", "late"):
        for part in store.manifest.of(table):
            yield store.load(part, store.path / part.path, list(READ_COLUMNS))
    yield from (rows.select(list(READ_COLUMNS)) for rows in (carried.events, carried.held_events))


def _parts(store: Store, table: str) -> Iterator[pa.Table]:
    for part in store.manifest.of(table):
        yield store.load(part, store.path / part.path)


def _rows(rows: pa.Table) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if value is not None} for row in rows.to_pylist()]


def _plain(value: Any) -> Any:  # noqa: ANN401 -- whatever a table holds
    return value.isoformat() if isinstance(value, datetime) else value
