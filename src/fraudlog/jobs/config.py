"""The job's configuration: every key a row of one table; reading, checking, the sample and the page come from it."""

from __future__ import annotations

import difflib
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["KEYS", "JobConfig", "Key", "config_page", "load_config", "sample_config"]

Kind = Literal["path", "text", "duration", "integer", "number", "texts", "integers", "table", "logs"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration.

    Parameters
    ----------
    name : str
        Section and key, as ``log.path``.
    kind : str
        Kind of its value; a ``path`` is relative to the file it stands in.
    meaning : str
        What it is, for a person.
    default : object
        None where the key may be left out, or has to be given.
    is_needed : bool
        Whether it has to be given.
    least, most : float, optional
        Bounds of a number.
    example : object
        What the sample shows.
    """

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    is_needed: bool = False
    least: float | None = None
    most: float | None = None
    example: Any = None


KEYS: Final[tuple[Key, ...]] = (
    Key("store.path", "path", "folder of the store; made on the first run", is_needed=True, example="store"),
    Key("store.slice_hours", "integer", "hours of a file of a day; 1 for busy sites", 24, least=1, most=24),
    Key(
        "log.path",
        "path",
        "the log as the server calls it, with what rotation makes of it beside it; or a pattern, as logs/*.log.gz",
        is_needed=True,
        example="/var/log/nginx/access.log",
    ),
    Key(
        "log.format",
        "text",
        "name of the format, or the server's log_format string",
        is_needed=True,
        example="combined",
    ),
    Key(
        "log.records",
        "texts",
        "of language and ch_ua, those the log records: only then does a missing one say something",
        (),
        example=["language"],
    ),
    Key("log.fields", "table", "column of events to the name of its value in the log", {}),
    Key("log.timezone", "text", "zone of times that do not say", "UTC"),
    Key("log.trusted_proxies", "texts", "networks of your own proxies", ()),
    Key("log.name", "text", "name of a log among several; by default its path as it stands here"),
    Key("log.max_reject_share", "number", "fail if more of a run's lines are rejected", 0.5, least=0, most=1),
    Key(
        "logs",
        "logs",
        "several logs in place of one: a [[logs]] each, with path, format, fields, timezone, trusted_proxies, name",
        (),
        example=({"path": "/var/log/web1/access.log", "format": "combined", "trusted_proxies": ["10.0.0.0/8"]},),
    ),
    Key(
        "merge.patience",
        "duration",
        "how long, by the time of the others, lines wait for those of a log that fell silent",
        "1h",
    ),
    Key("enrich.endpoints", "path", "the site's own map of paths, from `fraudlog suggest-endpoints`"),
    Key("enrich.databases", "texts", "databases of countries and networks in MaxMind's format", ()),
    Key(
        "enrich.networks",
        "table",
        "hosting, cloud, vpn, tor, relay, mobile or own_proxy to a file of networks, one a line",
        {},
        example={"hosting": "hosting.txt"},
    ),
    Key("sessions.gap", "duration", "longest silence inside a session", "30min"),
    Key("sessions.lateness", "duration", "how much older than the newest event an event may be", "5min"),
    Key("sessions.max_duration", "duration", "longest session", "12h"),
    Key("sessions.max_events", "integer", "most events of a session", 10_000, least=1, most=65_535),
    Key("sessions.own_statuses", "integers", "answers of your own defence, as 403, which are no evidence", ()),
    Key("model.path", "path", "detector from `fraudlog fit`", is_needed=True, example="model.fraudlog"),
    Key("retrain.every_days", "integer", "learn anew so often, by the log's own time; 0 never", 0, least=0, most=366),
    Key("retrain.window_days", "integer", "from the sessions of so many days before", 28, least=1, most=366),
    Key("retrain.keep", "integer", "how many models are kept", 4, least=2, most=1000),
    Key(
        "retrain.max_flag_ratio",
        "number",
        "the new model is refused if it flags so many times more, or fewer, of the window's sessions than the old one",
        2.0,
        least=1,
    ),
    Key(
        "retrain.max_drift",
        "number",
        "the new model is refused if a larger share of features than this moved since the old one's window",
        0.7,
        least=0,
        most=1,
    ),
    Key("policy.file", "path", "policy of `fraudlog`, with rules and allow lists; then no other key of it is needed"),
    Key("policy.daily_reviews", "integer", "at most so many challenges a day", least=0),
    Key("policy.human_share", "number", "challenge at most this share of presumed humans", least=0, most=0.5),
    Key("policy.observe_at", "number", "risk from which a session is observed", 0.3, least=0, most=1),
    Key("policy.challenge_at", "number", "risk from which it is challenged", 0.5, least=0, most=1),
    Key("policy.deny_at", "number", "risk from which it is denied; left out, nothing is", least=0, most=1),
    Key("policy.ttl", "duration", "how long a verdict holds after the session's end", "1h"),
    Key(
        "policy.history_days",
        "integer",
        "days before a session's own that a verdict looks back on, for bystanders and earlier verdicts",
        1,
        least=0,
        most=30,
    ),
    Key("privacy.key_file", "path", "key of the pseudonyms; by default FRAUDLOG_KEY or your configuration folder"),
    Key("privacy.ip_mode", "text", "what becomes of addresses: pfx, opaque, truncate or drop", "pfx"),
    Key("run.take_mb", "integer", "megabytes of log that become visible at a time", 64, least=1, most=4096),
    Key("run.lock_timeout_s", "number", "how long to wait for another run to end", 0.0, least=0),
    Key("publish.folder", "path", "where report.html and summary.json go; left out, nowhere"),
    Key("publish.days", "integer", "days of the report", 7, least=1, most=366),
    Key(
        "publish.exports",
        "table",
        "format of `fraudlog export` to the file in publish.folder that gets it; these hold addresses",
        {},
        example={"nginx-geo": "fraudlog-geo.conf"},
    ),
    Key("publish.export_verdict", "text", "mildest verdict to hand out; by default as each format can tell them apart"),
    Key("publish.export_allow", "texts", "addresses and networks never to hand out", ()),
    Key("metrics.file", "path", "text file for Prometheus' node exporter; left out, none"),
    Key("sql.url", "text", "database (SQLAlchemy URL) that gets sessions, scores and decisions; left out, none"),
)
"""Every key of the configuration, in the order of the sample."""

_BY_NAME: Final = {key.name: key for key in KEYS}
_OF_A_LOG: Final = ("path", "format", "fields", "timezone", "trusted_proxies", "name")
"""What each of several logs may say for itself."""


@dataclass(frozen=True)
class JobConfig:
    """A checked configuration.

    Attributes
    ----------
    values : dict of str to object
        Value of every key of `KEYS`, defaults included.
    file : Path
        Where it was read from.
    """

    values: Mapping[str, Any] = field(repr=False)  # a URL may hold a password
    file: Path = Path()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 -- as many types as kinds
        return self.values[name]

    @property
    def inputs(self) -> tuple[JobConfig, ...]:
        """A configuration for each log: this one, or one for each of ``logs`` with its own keys of ``log``."""
        if not self["logs"]:
            return (self,)
        own = ({f"log.{name}": value for name, value in one.items()} for one in self["logs"])
        return tuple(JobConfig({**self.values, "logs": (), **one}, self.file) for one in own)

    def section(self, name: str) -> dict[str, Any]:
        """Return the values of one section, by their names in it."""
        return {key.partition(".")[2]: value for key, value in self.values.items() if key.startswith(f"{name}.")}


def load_config(file: Path) -> JobConfig:
    """Read and check a configuration.

    Raises
    ------
    ConfigError
        If it can't be read, or a key is unknown, missing, or has a wrong value. The message names the key and never
        shows the value, which may be a secret.
    """
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file; `fraudlog job init` writes one", parameter="config") from None
    except OSError as error:
        raise ConfigError(f"{file}: can't be read ({error.strerror})", parameter="config") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is no UTF-8 text", parameter="config") from None
    except tomllib.TOMLDecodeError as error:
        where = str(error).rpartition("(")[2].rstrip(")")
        raise ConfigError(f"{file}: is no TOML ({where})", parameter="config") from None
    given = _flat(content, file)
    logs = _logs(given, file)
    values = {key.name: _value(key, given, file, is_needed=not (logs and key.name in _NOT_BESIDE)) for key in KEYS}
    return JobConfig({**values, "logs": logs}, file)


_NOT_BESIDE: Final = ("log.path", "log.format")


def _logs(given: dict[str, Any], file: Path) -> tuple[dict[str, Any], ...]:
    """Return each of several logs with all its keys, checked as those of ``log`` are."""
    rows = given.pop("logs", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{file}: logs must be written as [[logs]] ({_BY_NAME['logs'].meaning})", parameter="logs")
    if rows and (both := [name for name in _NOT_BESIDE if name in given]):
        raise ConfigError(f"{file}: {both[0]} stands beside [[logs]]: give each log a section", parameter=both[0])
    found = []
    for row in rows:
        if unknown := sorted(set(row) - set(_OF_A_LOG)):
            raise ConfigError(
                f"{file}: unknown key logs.{unknown[0]}; there are {', '.join(_OF_A_LOG)}",
                parameter=f"logs.{unknown[0]}",
            )
        own = {
            **{name: given[name] for name in given if name.startswith("log.")},
            **{f"log.{k}": v for k, v in row.items()},
        }
        values = {name: _value(_BY_NAME[f"log.{name}"], own, file) for name in _OF_A_LOG}
        found.append(values | {"name": values["name"] or row["path"]})
    names = [one["name"] for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"{file}: {len(twice)} of [[logs]] have the path or name of another", parameter="logs.name")
    return tuple(found)


def _flat(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the keys with their sections before them; an unknown one is an error that names its neighbour."""
    given: dict[str, Any] = {}
    for section, keys in content.items():
        rows = keys if isinstance(keys, dict) else {"": keys}
        for name, value in rows.items():
            full = f"{section}.{name}".rstrip(".")
            if full not in _BY_NAME:
                near = difflib.get_close_matches(full, _BY_NAME, n=1)
                hint = f"; did you mean {near[0]}?" if near else "; see docs/job.md for all keys"
                raise ConfigError(f"{file}: unknown key {full}{hint}", parameter=full)
            given[full] = value
    return given


def _value(key: Key, given: Mapping[str, Any], file: Path, *, is_needed: bool = True) -> Any:  # noqa: ANN401 -- as many types as kinds
    if key.name not in given:
        if key.is_needed and is_needed:
            raise ConfigError(f"{file}: needs {key.name}: {key.meaning}", parameter=key.name)
        return key.default
    value = given[key.name]
    problem = _KINDS[key.kind](value) or _out_of_bounds(key, value)
    if problem:
        raise ConfigError(f"{file}: {key.name} {problem} ({key.meaning})", parameter=key.name)
    if key.kind == "path":
        return (file.parent / Path(value).expanduser()).absolute()
    return tuple(value) if isinstance(value, list) else float(value) if key.kind == "number" else value


def _out_of_bounds(key: Key, value: Any) -> str:  # noqa: ANN401 -- as above
    if key.least is not None and value < key.least:
        return f"must be at least {key.least:g}"
    return f"must be at most {key.most:g}" if key.most is not None and value > key.most else ""


def _must_be(kind: type | tuple[type, ...], what: str) -> Callable[[Any], str]:
    def check(value: object) -> str:
        return "" if isinstance(value, kind) and not isinstance(value, bool) else f"must be {what}"

    return check


def _duration(value: object) -> str:
    import pandas as pd  # noqa: PLC0415 -- `job init` must not wait for pandas

    try:
        is_right = isinstance(value, str) and pd.Timedelta(value) > pd.Timedelta(0)
    except ValueError:
        is_right = False
    return "" if is_right else 'must be a length of time, as "30min"'


def _list_of(kind: type, what: str) -> Callable[[Any], str]:
    def check(value: object) -> str:
        is_right = isinstance(value, list) and all(
            isinstance(item, kind) and not isinstance(item, bool) for item in value
        )
        return "" if is_right else f"must be a list of {what}"

    return check


_TEXT: Final = _must_be(str, "text in quotes")
_KINDS: Final[Mapping[Kind, Callable[[Any], str]]] = {
    "path": lambda value: _TEXT(value) or ("" if value else "must not be empty"),
    "text": lambda value: _TEXT(value) or ("" if value else "must not be empty"),
    "duration": _duration,
    "integer": _must_be(int, "a whole number"),
    "number": _must_be((int, float), "a number"),
    "texts": _list_of(str, "texts"),
    "integers": _list_of(int, "whole numbers"),
    "table": _must_be(dict, "a table of names"),
    "logs": _must_be(list, "written as [[logs]]"),
}


def sample_config(values: Mapping[str, Any] | None = None) -> str:
    """Return a commented configuration: needed keys set, the others shown with their defaults.

    Parameters
    ----------
    values : mapping, optional
        Values of keys to set, by full names.

    Examples
    --------
    >>> sample_config().splitlines()[2:5]
    ['[store]', '# folder of the store; made on the first run', 'path = "store"']
    """
    chosen = values or {}
    lines = [
        "# What `fraudlog job run` reads. A line that begins with # shows a default; paths are relative to this file."
    ]
    section = ""
    for key in KEYS:
        if key.kind == "logs":
            lines += _sample_logs(key, chosen.get(key.name))
            continue
        if chosen.get("logs") and key.name in _NOT_BESIDE:
            continue
        head, _, name = key.name.partition(".")
        if head != section:
            lines += ["", f"[{head}]"]
            section = head
        shown = chosen.get(key.name, key.example if key.default is None or key.example is not None else key.default)
        mark = "" if key.name in chosen or key.is_needed else "# "
        lines += [f"# {key.meaning}{'' if key.is_needed else '; may be left out'}", f"{mark}{name} = {_toml(shown)}"]
    return "\n".join(lines) + "\n"


def _sample_logs(key: Key, given: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Return sections of several logs, commented out unless they are given."""
    lines = ["", f"# {key.meaning}"]
    for one in given or key.example:
        rows = ["[[logs]]", *(f"{name} = {_toml(value)}" for name, value in one.items())]
        lines += rows if given else [f"#   {row}" for row in rows]
    return lines


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return '""' if value is None else json.dumps(str(value) if isinstance(value, Path) else value)


def config_page() -> str:
    """Return the table of all keys, as docs/job.md shows it."""
    rows = ["| key | kind | default | meaning |", "|---|---|---|---|"]
    for key in KEYS:
        default = "needed" if key.is_needed else "" if key.default in (None, (), {}) else f"`{_toml(key.default)}`"
        rows.append(f"| `{key.name}` | {key.kind} | {default} | {key.meaning} |")
    return "\n".join(rows)
