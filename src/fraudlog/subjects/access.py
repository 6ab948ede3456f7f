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
from fraudlog.jobs.models import Models
from fraudlog.privacy import PURPOSES, REQUESTS, RETENTION, Chain, Holds, Keyring, Pseudonyms, Withheld
from fraudlog.store import open_store
from fraudlog.subjects.aside import aside_rows
from fraudlog.subjects.models import models_know
from fraudlog.subjects.persons import READ_COLUMNS, Person, find_person

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from fraudlog.jobs.config import JobConfig
    from fraudlog.store import Store

__all__ = ["Access", "access"]

_SHOWN: Final = ("timestamp", "method", "path", "status", "browser", "os", "country", "language", "session_id")
_UNJUDGED: Final = ("open", "late", "aside")
_BY_SESSION: Final = ("sessions", "scores", "decisions")


@dataclass(frozen=True)
class Access:
    """What is held about one person.

    Attributes
    ----------
    person : dict of str to str
        Who asked, in their own words.
    tables : dict of str to list of dict
        Rows by table; null values are left out. Beside the store's own: ``open``, what is carried on to the next run;
        ``aside``, what is kept and not worked with; ``models``, what each of them knows; ``withheld``, why
        nothing further is taken in; ``holds``, what is kept as evidence.
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
            models=self.tables["models"],
            withheld=[row["why"] for row in self.tables["withheld"]],
            holds=self.tables["holds"],
            carried=[{name: row.get(name, "") for name in _SHOWN} for one in _UNJUDGED for row in self.tables[one]],
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

    def theirs(parts: Iterable[pa.Table]) -> list[dict[str, Any]]:
        return [row for rows in parts for row in _rows(rows.filter(pa.array(person.mask(rows))))]

    tables = {name: theirs(_parts(store, name)) for name in ("events", "late")}
    tables["open"] = theirs((carried.events, carried.held_events))
    tables["aside"] = theirs(rows for _, rows in aside_rows(store))
    ids = sorted({row["session_id"] for name in ("events", "open") for row in tables[name] if "session_id" in row})
    for name in _BY_SESSION:
        tables[name] = _of(ids, _parts(store, name))
    tables["sessions"] += _of(ids, [carried.held_sessions])
    models = Models(config, store, list(ring.derived("models").values()))
    tables["models"] = models_know(models.all(), person, ids)
    tables |= _lists(config["store.path"] / "ledger", ring, values, ids, now)
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


def _lists(
    ledger: Path, ring: Keyring, values: Mapping[str, str], ids: Collection[str], now: datetime
) -> dict[str, list[dict[str, Any]]]:
    """Return why the person is not taken in, and which of their sessions are held as evidence."""
    why = Withheld.load(ledger / "withheld.json").current(now).reasons(values, ring.keys.values())
    held = Holds.load(ledger / "holds.json")
    return {
        "withheld": [{"why": one} for one in sorted(why)],
        "holds": [
            {"session_id": one, "ground": hold.ground, "until": hold.until}
            for hold in held.holds
            for one in hold.sessions
            if one in ids and one in held.sessions(now)
        ],
    }


def _of(ids: Iterable[str], parts: Iterable[pa.Table]) -> list[dict[str, Any]]:
    wanted = pa.array(ids, pa.string())
    return [row for rows in parts for row in _rows(rows.filter(pc.is_in(rows["session_id"], value_set=wanted)))]


def _identities(store: Store, carried: Carried) -> Iterator[pa.Table]:
    for table in ("events", "late"):
        for part in store.manifest.of(table):
            yield store.load(part, store.path / part.path, list(READ_COLUMNS))
    yield from (rows.select(list(READ_COLUMNS)) for rows in (carried.events, carried.held_events))
    yield from (rows.select(list(READ_COLUMNS)) for _, rows in aside_rows(store))


def _parts(store: Store, table: str) -> Iterator[pa.Table]:
    for part in store.manifest.of(table):
        yield store.load(part, store.path / part.path)


def _rows(rows: pa.Table) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if value is not None} for row in rows.to_pylist()]


def _plain(value: Any) -> Any:  # noqa: ANN401 -- whatever a table holds
    return value.isoformat() if isinstance(value, datetime) else value
