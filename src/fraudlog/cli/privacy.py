"""`fraudlog privacy`: keys, the audit trail, policies, consent and the documents."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraudlog.cli.options import Json, KeyFile
from fraudlog.cli.releasing import release
from fraudlog.cli.requests import access, erase, hold, lift, moment, object_, purge, rectify, restrict
from fraudlog.errors import ConfigError, PrivacyError

if TYPE_CHECKING:
    from fraudlog.privacy import Keyring

__all__ = ["privacy"]

privacy = typer.Typer(
    no_args_is_help=True, help="Keep the privacy promise: requests of people, retention, keys, audit."
)
_key = typer.Typer(no_args_is_help=True, help="The keys of the pseudonyms, by epoch.")
_audit = typer.Typer(no_args_is_help=True, help="The audit trail.")
_policy = typer.Typer(no_args_is_help=True, help="The privacy policy's versions, and consent to them.")
for _verb in (access, rectify, erase, restrict, object_, lift, hold, purge, release):
    privacy.command(_verb.__name__.rstrip("_"))(_verb)
privacy.add_typer(_key, name="key")
privacy.add_typer(_audit, name="audit")
privacy.add_typer(_policy, name="policy")

Store = Annotated[Path, typer.Option("--store", help="Folder of the store.", show_default=False)]
Account = Annotated[str, typer.Option("--user", help="The account, as the log has it.", show_default=False)]
Moment = Annotated[str, typer.Option(help="Day or time, ISO 8601; UTC unless it says otherwise.", show_default=False)]


@_key.command("list")
def key_list(key_file: KeyFile = None, *, as_json: Json = False) -> None:
    """Print epochs and ids of the keys, never a key.

    Example: fraudlog privacy key list
    """
    from fraudlog.privacy import load_keyring

    _require_keys(key_file)
    _print_keys(load_keyring(key_file), as_json=as_json)


@_key.command("rotate")
def key_rotate(key_file: KeyFile = None, *, as_json: Json = False) -> None:
    """Begin a new epoch: what is read from now on gets other pseudonyms.

    Histories of accounts begin anew, since pseudonyms of two epochs can't be matched.

    Example: fraudlog privacy key rotate
    """
    from fraudlog.privacy import rotate_key

    _require_keys(key_file)
    _print_keys(rotate_key(key_file), as_json=as_json)


@_key.command("drop")
def key_drop(
    epoch: Annotated[int, typer.Argument(help="Number of the epoch.")],
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    """Forget the key of an epoch for good: nobody can tell any more whose its pseudonyms were.

    Example: fraudlog privacy key drop 1
    """
    from fraudlog.privacy import drop_key

    _require_keys(key_file)
    _print_keys(drop_key(epoch, key_file), as_json=as_json)


@_audit.command("verify")
def audit_verify(store: Store, *, as_json: Json = False) -> None:
    """Check every byte of the audit trail and of the ledger of policies; exit with 1 if one was changed.

    Example: fraudlog privacy audit verify --store store
    """
    from fraudlog.privacy import Chain

    ledger = ledger_of(store)
    verdicts = {name: Chain(ledger / name).verify() for name in ("audit.jsonl", "policies.jsonl")}
    if as_json:
        typer.echo(json.dumps({name: verdict._asdict() for name, verdict in verdicts.items()}))
    else:
        for name, verdict in verdicts.items():
            state = "whole" if verdict.is_whole else f"BROKEN: {verdict.problem}"
            typer.echo(f"{name}: {verdict.entries} entries, {state}; head {verdict.head[:16]}")
    if not all(verdict.is_whole for verdict in verdicts.values()):
        raise typer.Exit(1)


@_audit.command("show")
def audit_show(store: Store) -> None:
    """Print the audit trail, a JSON object a line.

    Example: fraudlog privacy audit show --store store
    """
    for entry in audit_of(store).entries():
        typer.echo(json.dumps(entry, sort_keys=True))


@_policy.command("add")
def policy_add(
    version: Annotated[str, typer.Argument(help="Name of the version, as 2026-03.")],
    text: Annotated[Path, typer.Option(help="File with its text; its SHA-256 is kept.", exists=True, dir_okay=False)],
    effective: Moment,
    notified: Moment,
    store: Store,
) -> None:
    """Add a version of the privacy policy to the ledger.

    Example: fraudlog privacy policy add v3 --text v3.md --effective 2026-03-01 --notified 2026-02-01 --store store
    """
    from fraudlog.privacy import PolicyVersion, add_policy, hash_text

    row = PolicyVersion(version, hash_text(text), moment(effective), moment(notified))
    add_policy(ledger_of(store) / "policies.jsonl", row)
    typer.echo(f"{version}: in force from {row.effective.isoformat()}, text {row.text_hash[:16]}")


@_policy.command("list")
def policy_list(store: Store, *, as_json: Json = False) -> None:
    """Print the versions of the privacy policy.

    Example: fraudlog privacy policy list --store store
    """
    from fraudlog.privacy import Policies

    policies = Policies.load(ledger_of(store) / "policies.jsonl")
    current = policies.in_force(datetime.now(UTC))
    rows = [
        {
            "version": row.version,
            "effective": row.effective.isoformat(),
            "notified": row.notified.isoformat(),
            "text_hash": row.text_hash,
            "is_in_force": row == current,
        }
        for row in policies.versions
    ]
    if as_json:
        typer.echo(json.dumps({"policies": rows}))
        return
    for row in rows:
        typer.echo("{version}: from {effective}, told {notified}, text {text_hash:.16}".format_map(row))


@_policy.command("withdraw")
def consent_withdraw(account: Account, store: Store, key_file: KeyFile = None) -> None:
    """Note that an account withdrew its consent: from the next run on its events are not taken in.

    What is stored already stays until its time is over, or `fraudlog privacy erase` takes it out.

    Example: fraudlog privacy policy withdraw --user alice --store store
    """
    from fraudlog.privacy import Withheld

    ring, path = _ring_of(store, key_file), ledger_of(store) / "withheld.json"
    now = datetime.now(UTC)
    Withheld.load(path).adding(account, "user", ring.key, "consent withdrawn", now).save(path)
    _record(store, "consent withdrawn", now)
    typer.echo("noted; the next run leaves the account out")


@_policy.command("consent")
def consent_given(account: Account, store: Store, key_file: KeyFile = None) -> None:
    """Note that an account consents again: from the next run on its events are taken in.

    Example: fraudlog privacy policy consent --user alice --store store
    """
    from fraudlog.privacy import Withheld

    ring, path = _ring_of(store, key_file), ledger_of(store) / "withheld.json"
    Withheld.load(path).lifting(account, "user", ring.keys.values(), "consent withdrawn").save(path)
    _record(store, "consent given", datetime.now(UTC))
    typer.echo("noted; the next run takes the account in")


@privacy.command("docs")
def docs(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("privacy"),
    model: Annotated[Path | None, typer.Option(help="Model whose facts go into its card.")] = None,
) -> None:
    """Write record of processing, retention schedule, notice and model card, from what the code does.

    Example: fraudlog privacy docs --out privacy
    """
    from fraudlog.detecting.model_file import read_model
    from fraudlog.subjects import write_documents

    manifest = None if model is None else read_model(model)[1]
    for path in write_documents(out, manifest):
        typer.echo(str(path))


def ledger_of(store: Path) -> Path:
    """Return the folder of a store's ledger.

    Raises
    ------
    ConfigError
        If there is no store.
    """
    if not store.is_dir():
        raise ConfigError(f"{store} is no folder; name the store's", parameter="store")
    return store / "ledger"


def audit_of(store: Path) -> Any:  # noqa: ANN401 -- a Chain, which `--help` must not load
    """Return the audit trail of a store."""
    from fraudlog.privacy import Chain

    return Chain(ledger_of(store) / "audit.jsonl")


def _require_keys(key_file: Path | None) -> None:
    """Refuse a key file that is not there: reading one would make it, and it would be nobody's."""
    from fraudlog.privacy import default_key_file

    wanted = key_file or default_key_file()
    if "FRAUDLOG_KEY" not in os.environ and not wanted.exists():
        raise ConfigError(f"there is no key file {wanted}; name the one in use with --key-file", parameter="key_file")


def _ring_of(store: Path, key_file: Path | None) -> Keyring:
    """Return the keys, if the store was written with one of them: a mark made with others would bar nobody."""
    from fraudlog.privacy import REQUESTS, load_keyring
    from fraudlog.store import open_store

    ledger_of(store)
    written = {key_id for _, key_id in open_store(store, purpose=REQUESTS).manifest.keys}
    if written:
        _require_keys(key_file)
    ring = load_keyring(key_file, outside=store)
    if written and not written & {names.key_id for names in ring.pseudonyms().values()}:
        raise ConfigError(
            "the store was written with another key; name that one with --key-file, or FRAUDLOG_KEY", parameter="key"
        )
    return ring


def _record(store: Path, event: str, now: datetime) -> None:
    try:
        audit_of(store).append({"event": event, "at": now.isoformat(timespec="seconds")})
    except OSError as error:
        raise PrivacyError(f"the audit trail can't be written ({error.strerror}); nothing is done without it") from None


def _print_keys(ring: Keyring, *, as_json: bool) -> None:
    rows = [
        {"epoch": epoch, "key_id": names.key_id, "is_newest": epoch == ring.newest}
        for epoch, names in ring.pseudonyms().items()
    ]
    if as_json:
        typer.echo(json.dumps({"keys": rows}))
        return
    for row in rows:
        typer.echo(f"epoch {row['epoch']}: key {row['key_id']}{' (in use)' if row['is_newest'] else ''}")
