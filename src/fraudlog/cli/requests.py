"""`fraudlog privacy access`, `erase` and so on: what people may ask of the store of a job."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraudlog.cli.options import Json
from fraudlog.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from fraudlog.jobs import JobConfig
    from fraudlog.privacy import Keyring
    from fraudlog.subjects import Answer, Desk

__all__ = ["access", "erase", "hold", "lift", "moment", "object_", "purge", "rectify", "restrict"]

Config = Annotated[Path, typer.Option("--config", help="The job's configuration, which names store, model and keys.")]
User = Annotated[str | None, typer.Option("--user", help="The person's account, as the log has it.")]
Device = Annotated[str | None, typer.Option("--device", help="Their device id, as the log has it.")]
Token = Annotated[str | None, typer.Option("--session-token", help="Their session token, as the log has it.")]
Ip = Annotated[str | None, typer.Option("--ip", help="Their address; others may have used it too.")]
Reference = Annotated[str, typer.Option(help="Number of the request, for the audit trail; never an identifier.")]
Now = Annotated[str | None, typer.Option(help="Time to count from, ISO 8601; by default now.")]

_JOB = Path("job.toml")


def access(
    config: Config = _JOB,
    user: User = None,
    device: Device = None,
    session_token: Token = None,
    ip: Ip = None,
    *,
    form: Annotated[str, typer.Option("--form", help="json, csv or html.")] = "json",
    out: Annotated[Path | None, typer.Option(help="File to write to; by default it is printed.")] = None,
    reference: Reference = "",
) -> None:
    """Show what is held about a person, with scores and reasons.

    Example: fraudlog privacy access --config job.toml --user alice --form html --out alice.html
    """
    from fraudlog.subjects import access as ask

    settings, ring = _job(config)
    found = ask(settings, ring, _person(user, device, session_token, ip), datetime.now(UTC), reference=reference)
    forms = {"json": found.to_json, "csv": found.to_csv, "html": found.to_html}
    if form not in forms:
        raise ConfigError(f"--form knows {', '.join(forms)}", parameter="form")
    text = forms[form]()
    if out is None:
        typer.echo(text)
        return
    try:
        out.touch(mode=0o600)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out}: can't be written ({error.strerror})", path=out) from None
    typer.echo(str(out))


def erase(
    config: Config = _JOB,
    user: User = None,
    device: Device = None,
    session_token: Token = None,
    ip: Ip = None,
    *,
    minor: Annotated[
        bool, typer.Option("--minor", help="A child: holds don't count, and they can't come back.")
    ] = False,
    reference: Reference = "",
    as_json: Json = False,
) -> None:
    """Take a person out, as if they had never come: rows, neighbours' features, scores, models.

    Example: fraudlog privacy erase --config job.toml --user alice --reference 2026-17
    """
    answer = _desk(config).erase(_person(user, device, session_token, ip), minor=minor, reference=reference)
    _print(answer, as_json=as_json)


def restrict(
    config: Config = _JOB,
    user: User = None,
    device: Device = None,
    session_token: Token = None,
    ip: Ip = None,
    *,
    reference: Reference = "",
    as_json: Json = False,
) -> None:
    """Put a person's data aside, where nobody works with it, and take no more in; `lift` ends that.

    Example: fraudlog privacy restrict --config job.toml --user alice
    """
    _print(_desk(config).restrict(_person(user, device, session_token, ip), reference=reference), as_json=as_json)


def object_(
    config: Config = _JOB,
    user: User = None,
    device: Device = None,
    session_token: Token = None,
    ip: Ip = None,
    *,
    reference: Reference = "",
    as_json: Json = False,
) -> None:
    """Stop working with a person's data after an objection; evidence held under a ground stays.

    Example: fraudlog privacy object --config job.toml --user alice
    """
    _print(_desk(config).object(_person(user, device, session_token, ip), reference=reference), as_json=as_json)


def lift(
    config: Config = _JOB,
    user: User = None,
    device: Device = None,
    session_token: Token = None,
    ip: Ip = None,
    *,
    objection: Annotated[bool, typer.Option("--objection", help="End an objection, not a restriction.")] = False,
    reference: Reference = "",
    as_json: Json = False,
) -> None:
    """Bring back what `restrict` put aside.

    Example: fraudlog privacy lift --config job.toml --user alice
    """
    person = _person(user, device, session_token, ip)
    answer = _desk(config).lift(person, why="objection" if objection else "restriction", reference=reference)
    _print(answer, as_json=as_json)


def rectify(
    config: Config = _JOB,
    user: User = None,
    device: Device = None,
    session_token: Token = None,
    ip: Ip = None,
    *,
    corrections: Annotated[list[str], typer.Option("--set", help="COLUMN=VALUE; an empty value takes it out.")],
    session: Annotated[str, typer.Option(help="Only in this session.")] = "",
    reference: Reference = "",
    as_json: Json = False,
) -> None:
    """Correct what is stored of a person, and judge anew.

    Example: fraudlog privacy rectify --config job.toml --user alice --set country=DE
    """
    pairs = [text.partition("=") for text in corrections]
    corrected = {name: value or None for name, _, value in pairs}
    person = _person(user, device, session_token, ip)
    answer = _desk(config).rectify(person, corrected, session=session, reference=reference)
    _print(answer, as_json=as_json)


def hold(
    sessions: Annotated[list[str], typer.Argument(help="Ids of the sessions that are evidence, or how they begin.")],
    ground: Annotated[str, typer.Option(help="Why they must be kept, in words.")],
    reviewer: Annotated[str, typer.Option(help="Who decided it.")],
    until: Annotated[str, typer.Option(help="Last day, ISO 8601; within three years.")],
    config: Config = _JOB,
) -> None:
    """Keep sessions confirmed as fraud past their time, under a written ground and until a day.

    Example: fraudlog privacy hold 3f9c20b1aa --ground "chargeback 12" --reviewer "R. Viewer" --until 2027-01-01
    """
    from fraudlog.privacy import Chain, Holds

    settings, _ = _job(config)
    ledger = settings["store.path"] / "ledger"
    now = datetime.now(UTC)
    chosen = _stored(settings["store.path"], sessions)
    held = Holds.load(ledger / "holds.json").adding(chosen, ground, reviewer, now, moment(until))
    Chain(ledger / "audit.jsonl").append(
        {"event": "hold", "at": now.isoformat(timespec="seconds"), "sessions": len(chosen), "reviewer": reviewer}
    )
    held.save(ledger / "holds.json")
    typer.echo(f"{len(chosen)} sessions are held until {until}")


def purge(
    config: Config = _JOB,
    now: Now = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and leave everything as it stands.")] = False,
    as_json: Json = False,
) -> None:
    """Take out what is over its time, and write a signed receipt.

    Example: fraudlog privacy purge --config job.toml --now 2026-06-01 --dry-run
    """
    from fraudlog.subjects import purge as take_out

    settings, ring = _job(config)
    when = datetime.now(UTC) if now is None else moment(now)
    receipt = take_out(settings, ring, when, is_dry=dry_run)
    if as_json:
        typer.echo(json.dumps(asdict(receipt)))
        return
    word = "would go" if dry_run else "gone"
    for table, count in receipt.rows.items() or [("nothing", 0)]:
        typer.echo(f"{table}: {count:,} rows {word}")
    for table, count in receipt.held.items():
        typer.echo(f"{table}: {count:,} rows stay under a hold")


def _stored(store: Path, wanted: list[str]) -> list[str]:
    """Return the ids of stored sessions that begin so: reports show their first ten digits.

    Raises
    ------
    ConfigError
        If one is the beginning of none, or of several: a hold on nothing would keep nothing.
    """
    from fraudlog.privacy import REQUESTS
    from fraudlog.store import open_store

    opened = open_store(store, purpose=REQUESTS)
    known = {
        one for table in ("sessions", "scores") for one in opened.read(table, columns=["session_id"])[0].to_pylist()
    }
    found = []
    for begin in wanted:
        matching = sorted(one for one in known if begin and one.startswith(begin))
        if len(matching) != 1:
            count = f"{len(matching):,} sessions begin" if matching else "no session of the store begins"
            raise ConfigError(f"{count} with {begin[:40]!r}; give the whole id, as the report has it", parameter="id")
        found += matching
    return found


def moment(text: str) -> datetime:
    """Read a day or time; without a zone it is UTC.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text[:40]!r} is no day or time; write 2026-03-01 or 2026-03-01T12:00") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _job(config: Path) -> tuple[JobConfig, Keyring]:
    from fraudlog.jobs import load_config
    from fraudlog.privacy import load_keyring

    settings = load_config(config)
    return settings, load_keyring(settings["privacy.key_file"], outside=settings["store.path"])


def _desk(config: Path) -> Desk:
    from fraudlog.subjects import Desk

    return Desk(*_job(config))


def _person(user: str | None, device: str | None, token: str | None, ip: str | None) -> dict[str, str]:
    given = {"user": user, "device_id": device, "session_token": token, "client_ip": ip}
    person = {column: value for column, value in given.items() if value is not None}
    if not person:
        raise ConfigError("name the person: --user, --device, --session-token or --ip", parameter="person")
    return person


def _print(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(answer)))
        return
    typer.echo(
        f"{answer.what}: {answer.events:,} events of theirs, {answer.held:,} of them held; "
        f"{answer.sessions_rescored:,} sessions of others judged anew"
    )
    nothing = ("nothing of theirs is stored; is it spelt as the log has it?",)
    for note in answer.notes if answer.events or answer.what == "lift" else (*nothing, *answer.notes):
        typer.echo(f"note: {note}")
