"""`fraudlog export`: decisions for servers, firewalls and programs."""

from __future__ import annotations

import os
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fraudlog.cli.options import KeyFile
from fraudlog.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from fraudlog.deciding.exports import ListRules
    from fraudlog.privacy import Pseudonyms

__all__ = ["export"]

_WEBHOOK: Final = "webhook"
_SECRET: Final = "FRAUDLOG_WEBHOOK_SECRET"  # noqa: S105 -- the variable's name


def export(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder that `fraudlog score` wrote; a job's store, or its job.toml.", show_default=False),
    ],
    name: Annotated[str, typer.Option("--as", help="Format, or webhook; `--as list` prints them.")] = "list",
    *,
    out: Annotated[Path | None, typer.Option(help="File to write; by default to standard output.")] = None,
    key_file: KeyFile = None,
    verdict: Annotated[
        str | None, typer.Option(help="Mildest verdict to hand out; by default as the format can tell them apart.")
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="Address or CIDR block never to list; again for more.")
    ] = None,
    allow_file: Annotated[Path | None, typer.Option(help="File with such, one a line; # begins a comment.")] = None,
    most_bystanders: Annotated[
        float, typer.Option(help="Leave networks out of which a larger share of sessions is allowed.", min=0, max=1)
    ] = 0.5,
    internal: Annotated[bool, typer.Option("--internal", help="List private networks too.")] = False,
    at: Annotated[datetime | None, typer.Option(help="Take this for now (UTC), as for an old log.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Where the webhook listens; its secret is in " + _SECRET + ".")
    ] = None,
) -> None:
    """Hand the decisions in FOLDER out: nginx, nftables, HAProxy, CrowdSec, fail2ban, plain lists, or a webhook.

    Needs the key the tables were written with, since they hold pseudonyms; each use of it is a line in
    FOLDER/audit.jsonl, of a store in ledger/audit.jsonl. Verdicts that have ended are left out.

    Example: fraudlog export scored --as nginx-geo --out /etc/nginx/conf.d/fraudlog-geo.conf
    """
    from fraudlog.deciding.exports import EXPORTS, ListRules

    if name == "list":
        for row in EXPORTS.values():
            typer.echo(f"{row.name:14} {row.meaning}")
        typer.echo(f"{_WEBHOOK:14} programs: signed JSON over HTTP")
        return
    if name != _WEBHOOK and name not in EXPORTS:
        raise ConfigError(f"--as knows {', '.join([*EXPORTS, _WEBHOOK])}", parameter="as")
    place = _place(folder, key_file)
    mildest = verdict or place.verdict or (EXPORTS[name].at_least if name in EXPORTS else "challenge")
    allowed = [*_allowed(allow or [], allow_file), *place.allow]
    rules = ListRules(mildest, allowed, most_bystanders, internal)
    source = _read(place, rules, at, name)
    if name == _WEBHOOK:
        _send(source, url)
    else:
        _write(source, name, out)


@dataclass(frozen=True)
class _Place:
    """Where the tables are, and what a job's configuration says of lists."""

    folder: Path
    key_file: Path | None
    is_store: bool = False
    verdict: str | None = None
    allow: tuple[str, ...] = ()


def _place(given: Path, key_file: Path | None) -> _Place:
    """Tell a job's configuration and a store from a folder of tables."""
    if given.is_file():
        from fraudlog.jobs import load_config

        config = load_config(given)
        if (ip_mode := config["privacy.ip_mode"]) != "pfx":
            raise ConfigError(
                f"this job's privacy.ip_mode is {ip_mode}, so addresses can't be turned back",
                parameter="ip_mode",
            )
        verdict, allow = config["publish.export_verdict"], tuple(config["publish.export_allow"])
        key_file = key_file or config["privacy.key_file"]
        return _Place(config["store.path"], key_file, is_store=True, verdict=verdict, allow=allow)
    return _Place(given, key_file, is_store=(given / "manifest.json").is_file())


@dataclass(frozen=True)
class _Source:
    """The tables of a place, and how to list them."""

    tables: tuple[pd.DataFrame, pd.DataFrame]
    rules: ListRules
    options: dict[str, Any]


def _read(place: _Place, rules: ListRules, at: datetime | None, name: str) -> _Source:
    import pandas as pd

    from fraudlog.privacy import Reidentifier

    moment = pd.Timestamp.now("UTC") if at is None else pd.Timestamp(at, tz="UTC")
    read = _read_store if place.is_store else _read_folder
    tables, names, trail = read(place, moment)
    reveal = Reidentifier(names, f"export as {name}", _trail(trail))
    return _Source(tables, rules, {"at": moment, "reveal": reveal})


_Read = tuple[tuple["pd.DataFrame", "pd.DataFrame"], "Pseudonyms", Path]


def _read_folder(place: _Place, _at: pd.Timestamp) -> _Read:
    from fraudlog.deciding.exports import mark_of
    from fraudlog.reporting import read_tables

    tables, _ = read_tables(place.folder, "sessions", "decisions")
    names = _pseudonyms(place, mark_of(tables["sessions"]))
    return (tables["decisions"], tables["sessions"]), names, place.folder / "audit.jsonl"


def _read_store(place: _Place, at: pd.Timestamp) -> _Read:
    from fraudlog.jobs.publish import key_id_of, verdicts_held
    from fraudlog.jobs.run import PURPOSE
    from fraudlog.store import open_store

    with open_store(place.folder, purpose=PURPOSE) as store:
        made_with = key_id_of(store)
        names = _pseudonyms(place, made_with)
        tables = verdicts_held(store, made_with or names.key_id, at)
    return tables, names, place.folder / "ledger" / "audit.jsonl"


def _pseudonyms(place: _Place, made_with: str | None) -> Pseudonyms:
    """Return those of the epoch the tables were written in; of the newest if it is none of the ring's."""
    from fraudlog.privacy import default_key_file, load_keyring

    wanted = place.key_file or default_key_file()
    if "FRAUDLOG_KEY" not in os.environ and not wanted.exists():
        # `load_keyring` would make a key; a new one turns nothing back.
        raise ConfigError(
            f"the key file {wanted} is not there; give the one the tables were written with", parameter="key"
        )
    newest, *older = load_keyring(wanted, outside=place.folder).pseudonyms().values()
    return next((names for names in (newest, *older) if names.key_id == (made_with or "").partition("/")[0]), newest)


def _trail(path: Path) -> Callable[[Mapping[str, Any]], None]:
    from fraudlog.privacy import Chain

    def keep(record: Mapping[str, Any]) -> None:
        try:
            Chain(path).append(record)
        except OSError as error:
            raise OutputError(
                f"{path}: the use of the key can't be written down ({error.strerror}), so nothing was turned back",
                path=path,
            ) from None

    return keep


def _allowed(given: list[str], file: Path | None) -> list[str]:
    if file is None:
        return given
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"the allow file {file} can't be read", parameter="allow_file") from None
    return [*given, *(text for line in lines if (text := line.partition("#")[0].strip()))]


def _write(source: _Source, name: str, out: Path | None) -> None:
    from fraudlog.deciding.exports import EXPORTS, block_list

    found = block_list(*source.tables, source.rules, **source.options)
    text = EXPORTS[name].render(found)
    if out is None:
        sys.stdout.write(text)
    else:
        _replace(out, text)
    sys.stderr.write(_summary(len(found.entries), found.left_out))


def _replace(out: Path, text: str) -> None:
    """Write the file in one step. It holds addresses: readable by its owner alone, unless one stood there already."""
    from fraudlog.reporting import staged

    mode = 0o600
    with suppress(OSError):
        mode = out.stat().st_mode & 0o777
    with staged(out.parent) as draft:
        (draft / out.name).touch(0o600)
        (draft / out.name).write_text(text, encoding="ascii")
        (draft / out.name).chmod(mode)


def _summary(n_networks: int, left_out: Counter[str]) -> str:
    from fraudlog.deciding.exports import LEFT_OUT

    lines = [f"fraudlog: {n_networks:,} networks"]
    lines += [f"fraudlog: {count:,} decisions left out: {LEFT_OUT[reason]}" for reason, count in left_out.items()]
    return "".join(f"{line}\n" for line in lines)


def _send(source: _Source, url: str | None) -> None:
    from fraudlog.deciding.exports import Webhook, decision_records

    secret = os.environ.get(_SECRET)
    if url is None or secret is None:
        raise ConfigError(f"--as webhook needs --url, and its secret in {_SECRET}", parameter="url")
    hook = Webhook(url, secret)
    records = decision_records(*source.tables, source.rules, **source.options)
    messages = hook.send(records)
    sys.stderr.write(f"fraudlog: {len(records):,} decisions in {messages:,} messages\n")
