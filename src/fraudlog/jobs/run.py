"""One run of the job, from the lock to the report."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from fraudlog import __version__
from fraudlog.errors import ConfigError, FormatError, OutputError
from fraudlog.jobs.forgetting import finish_forgetting
from fraudlog.jobs.line import COUNTS, Line, Tally
from fraudlog.jobs.merging import taker_of
from fraudlog.jobs.metrics import write_metrics
from fraudlog.jobs.models import Models
from fraudlog.jobs.publish import publish, write_exports
from fraudlog.jobs.sinks import write_sql
from fraudlog.privacy import Pseudonyms, load_keyring
from fraudlog.store import open_store
from fraudlog.store.files import as_output_error, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from fraudlog.jobs.config import JobConfig
    from fraudlog.jobs.takes import Take
    from fraudlog.privacy import Keyring
    from fraudlog.store import Store, Transaction

__all__ = ["PURPOSE", "RunReport", "job_status", "republish", "run_job"]

PURPOSE: Final = "essential.fraud_detection"
_RUNS: Final = "ledger/runs.jsonl"
_PUBLISHED: Final = "ledger/published"
_UNFINISHED: Final = ("forgetting", "purge")
"""What a change beside a run left in the position for whoever comes next to finish."""


@dataclass
class RunReport:
    """What a run did.

    Attributes
    ----------
    started, seconds : str, float
        Wall clock.
    dry_run : bool
    takes : int
        Changes of the store.
    tally : Tally
        What became of the lines.
    carried_events, held_sessions : int
        Events of open sessions, and sessions that wait for their turn: carried to the next run.
    newest : str or None
        Time of the newest event so far.
    models : list of str
        What was said of models that were taken in, made or refused.
    model : dict
        Of the model that speaks now.
    manifest : str
        Digest of the store's manifest after it.
    """

    started: str
    seconds: float = 0.0
    dry_run: bool = False
    takes: int = 0
    tally: Tally = field(default_factory=Tally)
    carried_events: int = 0
    held_sessions: int = 0
    newest: str | None = None
    models: list[str] = field(default_factory=list)
    model: dict[str, Any] = field(default_factory=dict)
    manifest: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        plain: dict[str, Any] = asdict(self)
        tally: dict[str, Any] = plain.pop("tally")
        return {"fraudlog": __version__} | tally | plain


def run_job(
    config: JobConfig,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    dry_run: bool = False,
    step: Callable[[str], None] = lambda _: None,
) -> RunReport:
    """Take in what the log gained, and all that follows from it.

    Parameters
    ----------
    config : JobConfig
    since : datetime, optional
        Leave events before this time out, for good.
    until : datetime, optional
        Leave events of this time or later to another run, and all lines behind the first of them.
    dry_run : bool, default False
        Do everything, and then leave the store as it stands.
    step : callable, optional
        Told what is being done.

    Raises
    ------
    LockError, InputError, OutputError, ModelError, ConfigError
        As their exit codes say. Takes that were whole before stay; the next run goes on behind them.
    """
    began = time.monotonic()
    report = RunReport(datetime.now(UTC).isoformat(timespec="seconds"), dry_run=dry_run)
    ring = load_keyring(config["privacy.key_file"], outside=config["store.path"])
    path = config["store.path"]
    with as_output_error(path, "read or written"), _opened(config, dry_run=dry_run) as store:
        _take_in(config, store, ring, report, (_us(since, "since"), _us(until, "until")), step)
        report.seconds = round(time.monotonic() - began, 3)
        if not dry_run:
            step("publishing")
            _hand_out(config, store, report, ring.key)
    return report


@contextmanager
def _opened(config: JobConfig, *, dry_run: bool) -> Iterator[Store]:
    """Open the store to write; for a dry run where there is none, one that is thrown away."""
    options: dict[str, Any] = {"slice_hours": config["store.slice_hours"], "timeout_s": config["run.lock_timeout_s"]}
    path: Path = config["store.path"]
    if dry_run and not (path / "manifest.json").exists():
        with TemporaryDirectory() as folder, open_store(folder, purpose=PURPOSE, mode="write", **options) as store:
            yield store
        return
    with open_store(path, purpose=PURPOSE, mode="write", **options) as store:
        yield store


def _us(moment: datetime | None, name: str) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ConfigError(f"--{name} has no time zone; write it as 2015-05-17T00:00:00Z", parameter=name)
    return int(moment.timestamp() * 1_000_000)


def _take_in(
    config: JobConfig,
    store: Store,
    ring: Keyring,
    report: RunReport,
    bounds: tuple[int | None, int | None],
    step: Callable[[str], None],
) -> None:
    """Do take after take, each one change of the store; a dry run is one change that is dropped."""
    names = ring.current(config["privacy.ip_mode"])
    if not report.dry_run:
        finish_forgetting(config["model.path"], store)
    models = Models(config, store, list(ring.derived("models").values()))
    line = Line(config, names, store, models, since_us=bounds[0], older_keys=ring.keys.values())
    place = {"key_id": names.key_id} | store.position
    written = place.get("written_with", {"key_id": place["key_id"], "after_us": -1})
    if written["key_id"] != names.key_id:
        written = {"key_id": names.key_id, "after_us": max(line.carried.state.newest_us, -1)}
    before = place.get("counts", {})
    dropped = store.transaction("dry run") if report.dry_run else None
    try:
        with closing(taker_of(config, _place_key(ring, place["key_id"]), place, bounds[1])) as taker:
            for take in taker:
                step(f"take {report.takes + 1}")
                change = dropped or store.transaction("run")
                with change if dropped is None else nullcontext():
                    report.takes += _one_take(line, take, change, before)
                    kept = {name: place[name] for name in _UNFINISHED if name in place}
                    kept |= {"key_id": place["key_id"], "written_with": written}
                    change.position = {**(change.position or {}), **kept}
                    _check_rejects(line.tally, config)
    finally:
        if dropped is not None:
            dropped.drop()
    report.tally = line.tally
    report.carried_events, report.held_sessions = len(line.carried.events), len(line.carried.held_sessions)
    report.newest = line.carried.newest
    report.models = line.models.news
    report.model = line.models.description()
    report.manifest = store.manifest.sha256


def _place_key(ring: Keyring, key_id: str) -> bytes:
    """Return the key that the place in the log was noted with: with another, all of the log would look new.

    Raises
    ------
    ConfigError
        If it is none of the ring's, dropped ones among them.
    """
    found = ring.derived("log streams").get(key_id)
    if found is None:
        raise ConfigError(
            "the store was written with another key; give that one with privacy.key_file or FRAUDLOG_KEY",
            parameter="privacy.key_file",
        )
    return found


def _one_take(line: Line, take: Take, change: Transaction, before: Mapping[str, int]) -> bool:
    """Put one take into a change, with where the reading stands behind it; returns whether there was a line."""
    has_lines = take.counts["lines"] > 0
    if has_lines:
        line.add(take, change)
        change.note_key(line.names.epoch, line.names.key_id)
    counts = {name: before.get(name, 0) + getattr(line.tally, name) for name in COUNTS}
    change.position = {**take.position, "counts": counts}
    return has_lines


def _check_rejects(tally: Tally, config: JobConfig) -> None:
    """Stop where too many lines are no events: the format is not this log's."""
    share = (tally.rejected - tally.withheld) / max(tally.events + tally.rejected, 1)
    if share > config["log.max_reject_share"]:
        raise FormatError(
            f"log.path: {share:.2%} of the lines were rejected, more than log.max_reject_share; is log.format right?",
            source=", ".join(str(one["log.path"]) for one in config.inputs),
        )


def republish(config: JobConfig, store: Store, ring: Keyring) -> None:
    """Publish what the store holds, for whoever changed it beside a run: report and database must not keep more."""
    report = RunReport("", manifest=store.manifest.sha256)
    report.model = Models(config, store, list(ring.derived("models").values())).description()
    _publish(config, store, report, ring.key)


def _publish(config: JobConfig, store: Store, report: RunReport, key: bytes) -> None:
    """Publish what the store holds; what does not change with the hour, only if that was not done already."""
    marker = store.path / _PUBLISHED
    folder = config["publish.folder"]
    if not marker.exists() or marker.read_text("ascii") != report.manifest:
        if folder is not None:
            publish(store, folder, config["publish.days"], _summary(config, store, report))
        if config["sql.url"] is not None:
            write_sql(store, config["sql.url"])
        write_whole(marker, report.manifest.encode())
    if folder is not None and config["publish.exports"]:
        write_exports(config, store, Pseudonyms(key, config["privacy.ip_mode"]))


def _hand_out(config: JobConfig, store: Store, report: RunReport, key: bytes) -> None:
    """Publish, then note the run."""
    try:
        _publish(config, store, report, key)
        with (store.path / _RUNS).open("a", encoding="utf-8") as out:
            out.write(json.dumps(report.to_dict()) + "\n")
        if config["metrics.file"] is not None:
            write_metrics(config["metrics.file"], report, store)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "input/output error"
        raise OutputError(
            f"the run is in the store, but its report can't be written ({why})", path=store.path
        ) from None


def _summary(config: JobConfig, store: Store, report: RunReport) -> dict[str, Any]:
    """Return what the report says beside its tables: of all that the store took in, not of this run."""
    counts = store.position.get("counts", {})
    log = {name: counts.get(name, 0) for name in ("lines", "events", "rejected", "blank")}
    formats = ", ".join(dict.fromkeys(one["log.format"] for one in config.inputs))
    log |= {
        "sources": [one["log.path"].name for one in config.inputs],
        "format": formats,
        "reasons": {},
        "problems": {},
    }
    keys = store.manifest.key_rows
    return {"fraudlog": __version__, "log": log, "keys": keys, "model": report.model, "manifest": report.manifest}


def job_status(config: JobConfig) -> dict[str, Any]:
    """Return what the store holds and what the last run said, as JSON can hold it.

    Raises
    ------
    InputError
        If there is no store yet.
    """
    store = open_store(config["store.path"], purpose=PURPOSE)
    runs = store.path / _RUNS
    last = runs.read_text("utf-8").splitlines()[-1] if runs.exists() else "null"
    tables: dict[str, Any] = {}
    for table in ("events", "late", "rejected", "sessions", "scores", "decisions"):
        parts = store.manifest.of(table)
        tables[table] = {
            "rows": sum(part.rows for part in parts),
            "bytes": sum(part.bytes for part in parts),
            "first": parts[0].day if parts else None,
            "last": parts[-1].day if parts else None,
        }
    return {
        "store": str(store.path),
        "manifest": store.manifest.sha256,
        "keys": store.manifest.key_rows,
        "tables": tables,
        "counts": store.position.get("counts", {}),
        "models": sorted(name for name in store.manifest.documents if name.endswith(".fraudlog")),
        "last_run": json.loads(last),
    }
