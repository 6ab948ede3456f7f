"""Retention: what is over its time leaves the store, and a signed receipt says so."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fraudlog.errors import InputError
from fraudlog.jobs.forgetting import can_replace, finish_forgetting, note_forgetting
from fraudlog.jobs.line import settings_of
from fraudlog.jobs.models import Models
from fraudlog.jobs.run import republish
from fraudlog.privacy import REQUESTS, RETENTION, Chain, Holds, Pseudonyms, Withheld, derive_key
from fraudlog.store import TABLES, open_store
from fraudlog.store.files import as_output_error, write_whole
from fraudlog.store.manifest import Part
from fraudlog.subjects.purging_state import purge_carried

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fraudlog.jobs.config import JobConfig
    from fraudlog.privacy import Keyring, RetentionRow
    from fraudlog.sessions import Definition
    from fraudlog.store import Store, Transaction

__all__ = ["Receipt", "purge", "verify_receipt"]

_DOCUMENTS_OF: Final = "events"
"""Class of what is carried in documents: open events, what windows remember, and what is put aside."""
_SCORES_OF: Final = "scores"
"""Class of models that speak no more."""
_MODELS_OF: Final = "models"
"""Class of what models remember of single accounts and sessions: no longer than the sessions themselves are kept."""
_RECEIPT: Final = "purge"
"""Where the receipt stands in the store's position until it is written."""


@dataclass(frozen=True)
class Receipt:
    """What a purge took out: numbers, days and digests, no identifier.

    Attributes
    ----------
    now : str
        The time it was asked for.
    is_dry : bool
    cutoffs : dict of str to str
        Class of retention and the first day that stays.
    rows : dict of str to int
        Rows taken out, by table; ``carried``: events and entries of windows; ``models``: logins and sessions that a
        model remembered.
    held : dict of str to int
        Rows over their time that stay under a hold.
    documents : list of str
        Documents taken out.
    before, after : str
        Digest of the store's manifest.
    notes : list of str
        What is left to do by hand.
    public_key, signature : str
        Ed25519 over all of the above as JSON with sorted keys; hex.
    """

    now: str
    is_dry: bool
    cutoffs: dict[str, str]
    rows: dict[str, int]
    held: dict[str, int]
    documents: list[str]
    before: str
    after: str
    notes: list[str] = field(default_factory=list)
    public_key: str = ""
    signature: str = ""


def purge(
    config: JobConfig,
    ring: Keyring,
    now: datetime,
    *,
    retention: Mapping[str, RetentionRow] = RETENTION,
    is_dry: bool = False,
) -> Receipt:
    """Take out of a store what is over its time.

    A row is over its time when the whole day it stands under lies more than the class's days before `now`. Rows of a
    held session stay until the hold ends. A second purge of the same time finds nothing.

    Parameters
    ----------
    config : JobConfig
        Of the job that keeps the store.
    ring : Keyring
        Receipts are signed with a key derived from the newest.
    now : datetime
    retention : mapping, optional
        The site's own times, as from `fraudlog.privacy.with_days`.
    is_dry : bool, default False
        Count, and leave everything as it stands.

    Returns
    -------
    Receipt
        Also written to ``ledger/receipts``, unless nothing was taken out or it was dry.

    Raises
    ------
    LockError, OutputError, InputError
    """
    path = config["store.path"]
    ledger = path / "ledger"
    holds = Holds.load(ledger / "holds.json")
    with as_output_error(path, "read or written"), open_store(path, purpose=REQUESTS, mode="write") as store:
        if not is_dry:
            finish_forgetting(config["model.path"], store)
            _finish_receipt(store)
        cutoffs = {name: now.astimezone(UTC).date() - timedelta(days=row.days) for name, row in retention.items()}
        change = store.transaction("purge")
        definition = settings_of(config, Pseudonyms(ring.key)).definition
        models = Models(config, store, list(ring.derived("models").values()))
        work = _Purge(change, cutoffs, holds.sessions(now), definition, config["model.path"])
        try:
            work.run(models)
            receipt = _signed(
                Receipt(
                    now.isoformat(),
                    is_dry,
                    {name: day.isoformat() for name, day in cutoffs.items()},
                    work.rows,
                    work.held,
                    work.documents,
                    store.manifest.sha256,
                    change.after.sha256,
                    [*models.notes_before(cutoffs[_DOCUMENTS_OF]), *work.notes],
                ),
                ring.key,
            )
            if not is_dry:
                change.position = store.position | _notes_of(config, work, receipt)
                change.commit()
        finally:
            change.drop()
        if not is_dry:
            finish_forgetting(config["model.path"], store)
            _finish_receipt(store)
            _clear_lists(ledger, holds, now)
            republish(config, store, ring)
    return receipt


def _notes_of(config: JobConfig, work: _Purge, receipt: Receipt) -> dict[str, Any]:
    """Return what whoever comes next has to finish if this purge is killed once it has changed the store."""
    notes: dict[str, Any] = {_RECEIPT: asdict(receipt)} if receipt.rows or receipt.documents else {}
    return notes if work.given is None else notes | note_forgetting(config["model.path"], work.given)


class _Purge:
    """One purge: what goes, and what is counted on the way."""

    def __init__(
        self,
        change: Transaction,
        cutoffs: Mapping[str, date],
        held: frozenset[str],
        definition: Definition,
        model: Path,
    ) -> None:
        self.change, self.cutoffs, self.definition, self.model = change, cutoffs, definition, model
        self.held_sessions = pa.array(sorted(held), pa.string())
        self.rows: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self.documents: list[str] = []
        self.notes: list[str] = []
        self.given: bytes | None = None
        """What the configuration's model is to become."""

    def run(self, models: Models) -> None:
        """Go through all tables and documents."""
        for table in TABLES.values():
            cutoff = self.cutoffs[table.columns[0].retention]
            oldest = self.cutoffs["fraud"]
            for part in self.change.before.of(table.name):
                day = date.fromisoformat(part.day)
                if day < cutoff:
                    self._part(part, day, may_hold=day >= oldest and "session_id" in {c.name for c in table.columns})
        self._documents()
        self.documents += models.drop_before(self.cutoffs[_SCORES_OF], self.change)
        gone = purge_carried(self.change, self.definition, self.cutoffs[_DOCUMENTS_OF], self.held_sessions)
        if gone:
            self.rows["carried"] = gone
        self._models(models)

    def _models(self, models: Models) -> None:
        """Take out what models remember of single people; never longer than the sessions themselves are kept."""
        first_day = max(self.cutoffs[_MODELS_OF], self.cutoffs[_DOCUMENTS_OF])
        may_replace = can_replace(self.model)
        gone, given = models.forget_before(first_day, self.change, with_given=may_replace)
        if gone:
            self.rows["models"] = gone
        if may_replace:
            self.given = given
        elif given is not None:
            self.notes.append(
                f"{self.model.name} remembers what is over its time, and may not be written to: fit it anew"
            )

    def _part(self, part: Part, day: date, *, may_hold: bool) -> None:
        kept = 0

        def left(rows: pa.Table) -> pa.Table:
            nonlocal kept
            if not (may_hold and len(self.held_sessions)):
                return rows.slice(0, 0)
            stays = rows.filter(pc.is_in(rows["session_id"], value_set=self.held_sessions))
            kept += len(stays)
            return rows if len(stays) == len(rows) else stays

        before = self.change.after.parts.get(part.key, Part(*part.key)).rows
        self.change.rewrite(part.table, left, [day])
        after = self.change.after.parts.get(part.key, Part(*part.key)).rows
        if before > after:
            self.rows[part.table] = self.rows.get(part.table, 0) + before - after
        if after:
            self.held[part.table] = self.held.get(part.table, 0) + after

    def _documents(self) -> None:
        """Take out what was put aside, once its newest row is over its time."""
        cutoff = datetime.combine(self.cutoffs[_DOCUMENTS_OF], datetime.min.time(), UTC)
        for name in sorted(self.change.before.documents):
            data = self.change.store.document(name) if name.startswith("state/aside-") else None
            if data is not None and pc.max(_read(data)["timestamp"]).as_py() < cutoff:
                self.change.remove(name)
                self.documents.append(name)


def verify_receipt(data: bytes) -> Receipt:
    """Return the receipt in a file, if its signature holds.

    Raises
    ------
    InputError
        If it is none, or was changed.
    """
    try:
        receipt = Receipt(**json.loads(data))
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(receipt.public_key))
        public.verify(bytes.fromhex(receipt.signature), _message(receipt))
    except (ValueError, TypeError, InvalidSignature):
        raise InputError("the receipt was changed, or is none") from None
    return receipt


def _signed(receipt: Receipt, key: bytes) -> Receipt:
    private = Ed25519PrivateKey.from_private_bytes(derive_key(key, "receipts"))
    content = asdict(receipt) | {"public_key": private.public_key().public_bytes_raw().hex()}
    unsigned = Receipt(**content)
    return Receipt(**(content | {"signature": private.sign(_message(unsigned)).hex()}))


def _message(receipt: Receipt) -> bytes:
    content: dict[str, Any] = asdict(receipt)
    del content["signature"]
    return json.dumps(content, sort_keys=True).encode()


def _clear_lists(ledger: Path, holds: Holds, now: datetime) -> None:
    """Clear the lists of what has ended."""
    withheld = Withheld.load(ledger / "withheld.json")
    if len(withheld.current(now)) < len(withheld):
        withheld.current(now).save(ledger / "withheld.json")
    if (left := holds.without((), now)).holds != holds.holds:
        left.save(ledger / "holds.json")


def _finish_receipt(store: Store) -> None:
    """Keep the receipt of the last purge, and note it in the audit trail, unless that was done."""
    content = store.position.get(_RECEIPT)
    ledger = store.path / "ledger"
    if content is None or (file := ledger / "receipts" / f"purge-{content['after'][:16]}.json").exists():
        return
    trail = Chain(ledger / "audit.jsonl")
    entry = {"event": "purge", "at": content["now"], "purpose": REQUESTS}
    entry |= {"rows": content["rows"], "manifest": content["after"]}
    if not any(entry.items() <= one.items() for one in trail.entries()):
        trail.append(entry)
    file.parent.mkdir(exist_ok=True, mode=0o700)
    write_whole(file, json.dumps(content, indent=1, sort_keys=True).encode())


def _read(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
