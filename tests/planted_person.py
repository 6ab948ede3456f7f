"""A person who stands in every place that a job keeps, and what is found of them there."""

from __future__ import annotations

import io
import random
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import fraudlog as fl
from fraudlog.detecting import Label
from fraudlog.enriching import Shield
from fraudlog.jobs.carried import Carried
from fraudlog.jobs.line import settings_of
from fraudlog.jobs.models import Models
from fraudlog.privacy import REQUESTS, Pseudonyms, load_keyring
from fraudlog.store import open_store
from fraudlog.subjects.aside import aside_rows
from job_support import KEY, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

FORMAT = (
    '$remote_addr - $remote_user [$time_iso8601] "$request" $status $body_bytes_sent "$http_user_agent" '
    '"$http_accept_language" "$device" "$token" "$country"'
)
DAYS, HALF, OPEN = 9, 5, 15
NOW = datetime.now(UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = _EPOCH + timedelta(days=((NOW - _EPOCH).days - DAYS - 2) // 4 * 4 + 2)
"""Always at the same place in a period of four days, whatever today is; the verdicts hold still."""
ALICE = {"user": "alice7"}
ADDRESS, ELSEWHERE, TOKEN = "203.0.113.77", "93.184.216.77", "t-alice"
NAMES = Pseudonyms(bytes.fromhex(KEY))
USER = NAMES.tokens(["alice7"], "user")[0]
STANDS = NAMES.tokens([TOKEN], "session_token")[0]
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"
FINE = Label("user", str(USER), is_abusive=False, origin="desk 17")
OTHER = Label("user", "other", is_abusive=False)


def line(at: datetime, user: str, ip: str, path: str = "/p", status: int = 200, **more: str) -> bytes:
    told = {"agent": AGENT.format(120), "language": "en", "device": "-", "token": "-", "country": "DE"} | more
    return (
        f'{ip} - {user} [{at.isoformat()}] "GET {path} HTTP/1.1" {status} 10 "{told["agent"]}" '
        f'"{told["language"]}" "{told["device"]}" "{told["token"]}" "{told["country"]}"\n'
    ).encode()


def hers(at: datetime, user: str = "alice7", path: str = "/p", status: int = 200, **more: str) -> bytes:
    return line(
        at, user, more.pop("ip", ADDRESS), path, status, **{"token": TOKEN, "device": "d-alice", "country": "JP"} | more
    )


def _others(day: int) -> Iterable[tuple[datetime, bytes]]:
    for n in range(24):
        chance = random.Random(100 * day + n)  # noqa: S311 -- people, not keys
        at = START + timedelta(days=day, minutes=50 * n + chance.randrange(20))
        ip, user = f"198.51.{chance.randrange(60)}.{n + 1}", f"user{chance.randrange(30)}" if n % 3 else "-"
        agent, language = AGENT.format(118 + n % 5), chance.choice(["en", "de", "fr"])
        for page in range(chance.randrange(2, 6)):
            yield at, line(at, user, ip, f"/p/{chance.randrange(9)}" if page else "/", agent=agent, language=language)
            for asset in ("/style.css", "/logo.png")[: chance.randrange(3)]:
                yield at, line(at, user, ip, asset, agent=agent, language=language)
            at += timedelta(seconds=chance.randrange(4, 90))


def _alice(day: int) -> Iterable[tuple[datetime, bytes]]:
    begin = START + timedelta(days=day, hours=9, minutes=2)
    for step in range(4):
        at = begin + timedelta(seconds=31 * step)
        yield at, hers(at, "alice7" if step else "-", ("/", "/style.css", "/mine", "/logo.png")[step])
    begin += timedelta(hours=4)  # before she logged in: her token alone says whose it is
    for step in range(3):
        at = begin + timedelta(seconds=17 * step)
        yield at, hers(at, "-", "/before")
    if day == DAYS - 1:
        begin += timedelta(hours=3)
        for step in range(12):
            at = begin + timedelta(seconds=step)
            yield (
                at,
                hers(
                    at, "-", ("/.env", "/wp-login.php", "/.git/config")[step % 3], 404, agent="sqlmap/1.7", ip=ELSEWHERE
                ),
            )


def _planted() -> tuple[list[bytes], list[bytes]]:
    """Return her log in two halves; a rejected line of hers stands in each."""
    halves = []
    for days in (range(HALF), range(HALF, DAYS)):
        timed = [row for day in days for row in _others(day)]
        timed += [row for day in days if day % 2 == 0 for row in _alice(day)]
        made = [text for _, text in sorted(timed, key=lambda row: row[0])]
        last = max(at for at, _ in timed)
        made.append(hers(last - timedelta(hours=2), path="/late"))  # hours after what came before it
        made.append(f'{ADDRESS} - alice7 [{last.isoformat()}] "GET /torn\n'.encode())
        halves.append(made)
    end = START + timedelta(days=DAYS)
    halves[1] += [hers(end + timedelta(seconds=9 * step), path=f"/open/{step}") for step in range(OPEN - 1)]
    halves[1].append(line(end + timedelta(seconds=600), "user1", "198.51.7.7"))
    return halves[0], halves[1]


FIRST, SECOND = _planted()
MORE_AT = START + timedelta(days=DAYS, seconds=620)


def is_hers(text: bytes) -> bool:
    return TOKEN.encode() in text


def blank(lines: list[bytes]) -> list[bytes]:
    return [b"\n" if is_hers(one) else one for one in lines]


def corrected(lines: list[bytes]) -> list[bytes]:
    return [one.replace(b'"JP"', b'"NL"') if is_hers(one) else one for one in lines]


def probing(sessions: pd.DataFrame) -> Label:
    """Say of the session in which she probed that it is abusive."""
    longest = sessions[are_hers(sessions)].sort_values("requests")["session_id"].iloc[-1]
    return Label("session", longest, is_abusive=True, origin="desk 18")


def sessions_of(lines: list[bytes]) -> pd.DataFrame:
    """The sessions of a log, as `fraudlog fit` learns from them."""
    table = fl.read_log(
        io.BytesIO(b"".join(lines)),
        FORMAT,
        fields={"device_id": "device", "session_token": "token", "country": "country"},
        privacy=Shield(NAMES),
    ).table
    return fl.build_sessions(table, key=NAMES.session_key)


def are_hers(sessions: pd.DataFrame) -> Any:
    return (sessions["user"] == USER).fillna(value=False) | sessions["client_ip"].isin(
        NAMES.addresses([ADDRESS, ELSEWHERE])
    )


def fit(sessions: pd.DataFrame, path: Path, labels: list[Label], *, training: bool = True) -> Path:
    """A detector with labels, saved."""
    detector = fl.Detector(n_estimators=20).fit(sessions.reset_index(drop=True))
    detector.learn(labels).save(path, training=training)
    return path


class Planted(Site):
    """A site that ran twice, by two given models, and learnt one of its own in between."""

    def __init__(self, folder: Path, models: tuple[Path, Path], first: list[bytes], second: list[bytes]) -> None:
        folder.mkdir(parents=True)
        self.model = folder / "model.fraudlog"
        shutil.copy(models[0], self.model)
        super().__init__(folder, self.model, **self._values(folder))
        self.append(b"".join(first))
        self.run()
        shutil.copy(models[1], self.model)
        self.append(b"".join(second))
        self.run()

    @staticmethod
    def _values(folder: Path) -> dict[str, Any]:
        return {
            "log.format": FORMAT,
            "log.fields": {"device_id": "device", "session_token": "token", "country": "country"},
            "log.records": ["language"],
            "sessions.max_events": 12,
            "retrain.every_days": 4,
            "retrain.window_days": 8,
            "retrain.keep": 9,
            "retrain.max_flag_ratio": 50,
            "retrain.max_drift": 1.0,
            "policy.ttl": "6D",
            "publish.folder": str(folder / "www"),
            "publish.exports": {"cidr": "block.txt"},
            "publish.export_verdict": "challenge",
            "sql.url": f"sqlite:///{folder / 'copy.sqlite'}",
        }

    @classmethod
    def copied(cls, other: Planted, folder: Path) -> Planted:
        """The same site elsewhere."""
        shutil.copytree(other.folder, folder)
        made = cls.__new__(cls)
        made.folder, made.log, made.key = folder, folder / "logs" / "access.log", other.key
        made.model = folder / "model.fraudlog"
        made.write_config(
            other.settings
            | {"store.path": str(folder / "store"), "log.path": str(made.log), "model.path": str(made.model)}
            | {name: value for name, value in cls._values(folder).items() if name in ("publish.folder", "sql.url")}
        )
        return made

    def ids(self) -> set[str]:
        """The ids of her sessions that are settled or wait for their turn."""
        rows = [*self.rows("events"), *self.rows("waiting")]
        return {row["session_id"] for row in rows}

    def rows(self, place: str) -> list[dict[str, Any]]:
        """Her events in a place."""
        store = open_store(self.store, purpose=REQUESTS)
        carried = Carried.load(store, settings_of(self.config, NAMES).definition)
        tables: dict[str, Callable[[], list[pa.Table]]] = {
            "events": lambda: [store.read("events")],
            "late": lambda: [store.read("late")],
            "open": lambda: [carried.events],
            "waiting": lambda: [carried.held_events],
            "aside": lambda: [rows for _, rows in aside_rows(store)],
        }
        rows = [row for table in tables[place]() for row in table.to_pylist()]
        return [row for row in rows if row["user"] == USER or row["session_token"] == STANDS]

    def rejected(self) -> list[dict[str, Any]]:
        """All rejected lines."""
        rows: list[dict[str, Any]] = open_store(self.store, purpose=REQUESTS).read("rejected").to_pylist()
        return rows

    def by_id(self, table: str, ids: set[str]) -> list[dict[str, Any]]:
        """Rows of her sessions."""
        rows: list[dict[str, Any]] = open_store(self.store, purpose=REQUESTS).read(table).to_pylist()
        return [row for row in rows if row["session_id"] in ids]

    def in_sql(self, ids: set[str]) -> int:
        """How many rows of her sessions the database has."""
        with sqlite3.connect(self.folder / "copy.sqlite") as base:
            tables = ("sessions", "scores", "decisions")
            found = [base.execute(f"SELECT session_id FROM fraudlog_{one}").fetchall() for one in tables]  # noqa: S608
        return sum(row[0] in ids for rows in found for row in rows)

    def known(self, ids: set[str]) -> dict[str, dict[str, Any]]:
        """What each model knows of her, by its name."""
        store = open_store(self.store, purpose=REQUESTS)
        models = Models(self.config, store, list(load_keyring(self.key).derived("models").values()))
        return {name: one.known_of(str(USER), session_ids=sorted(ids)) for name, one in models.all()}

    def page(self, name: str) -> str:
        """What was published."""
        file = self.folder / "www" / name
        return file.read_text() if file.exists() else ""
