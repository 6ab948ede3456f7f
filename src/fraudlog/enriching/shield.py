"""`Shield`: what a reader calls so that events leave it with pseudonyms in place of identifiers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fraudlog.enriching.enricher import Enricher
from fraudlog.privacy import Keyring, Pseudonyms, Withheld, marked, shield
from fraudlog.schema import DERIVED, EVENTS, REJECTED, arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fraudlog.privacy import IpMode, Policies

__all__ = ["Shield"]

_COLUMNS: Final = tuple({column.name: column for column in (*EVENTS, *DERIVED)}.values())
_WITHHELD: Final = "withheld"


class Shield:
    r"""Takes identifiers out of events as they leave the reader, after all that needs them has been derived.

    What an address, an agent, a path and a query say is looked up first (`Enricher`); then addresses become encrypted
    ones, accounts and ids keyed tokens, queries lose all but their length and whether they held markup,
    e-mail addresses their place in texts, rejected lines their bytes. Nothing behind the reader sees a raw value.

    Parameters
    ----------
    key : bytes, Keyring or Pseudonyms
        The secret of the pseudonyms, 32 bytes; of a ring the newest.
    ip_mode : str, default "pfx"
        What becomes of addresses: ``pfx`` keeps who shares a /24 or /64 with whom, ``opaque`` only who shares the
        whole or the usual prefix, ``truncate`` keeps /24 and /48 in the clear, ``drop`` keeps nothing.
    enricher : Enricher, optional
        Lists of networks, endpoint map and so on.
    policies : Policies, optional
        The privacy policies in force: each event is stamped with the one of its time.
    withheld : Withheld, optional
        Whose events are left out: who withdrew consent, objected, is restricted or was barred. Such a line counts as
        rejected, with the reason ``withheld`` and nothing else of it.
    now : datetime, optional
        When the run is; entries of `withheld` may have ended. By default the time of the call.
    older_keys : iterable of bytes, optional
        Keys that entries of `withheld` may have been made with, where `key` is not a ring of them.

    Examples
    --------
    >>> import io
    >>> from fraudlog.reading import read_log
    >>> line = b'192.0.2.1 - alice [10/Oct/2000:13:55:36 -0700] "GET /a?mail=x HTTP/1.0" 200 2326\n'
    >>> log = read_log(io.BytesIO(line), privacy=Shield(bytes(range(32))))
    >>> log.events[["client_ip", "query", "ip_class"]].iloc[0].tolist()
    ['208.200.163.238', '******', 'documentation']
    """

    def __init__(
        self,
        key: bytes | Keyring | Pseudonyms,
        *,
        ip_mode: IpMode = "pfx",
        enricher: Enricher | None = None,
        policies: Policies | None = None,
        withheld: Withheld | None = None,
        now: datetime | None = None,
        older_keys: Iterable[bytes] = (),
        by_row: bool = False,
    ) -> None:
        self.by_row = by_row
        self.pseudonyms = (
            key if isinstance(key, Pseudonyms) else Pseudonyms(key if isinstance(key, bytes) else key.key, ip_mode)
        )
        self._keys = tuple(key.keys.values()) if isinstance(key, Keyring) else (self.pseudonyms.key, *older_keys)
        self.enricher = enricher or Enricher()
        self.policies = policies
        self.withheld = withheld or Withheld()
        self.now = now

    def __call__(self, events: pa.Table, rejected: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return both tables without identifiers.

        Parameters
        ----------
        events, rejected : pyarrow.Table
            As the reader made them.
        """
        if self.policies is not None:
            self.policies.require_one(self.now or datetime.now(UTC))
        refused = shield(rejected, REJECTED, self.pseudonyms)
        events, refused = self._without_withheld(events, refused)
        hidden = shield(self.enricher.table(events), _COLUMNS, self.pseudonyms, by_row=self.by_row)
        hidden = hidden.append_column("notice", self._notices(hidden["timestamp"]))
        return marked(hidden, self.pseudonyms.note), refused

    def _notices(self, times: pa.ChunkedArray) -> pa.Array:
        if self.policies is None:
            return pa.nulls(len(times), pa.dictionary(pa.int32(), pa.string()))
        return self.policies.stamp(times)

    def _without_withheld(self, events: pa.Table, rejected: pa.Table) -> tuple[pa.Table, pa.Table]:
        if not len(self.withheld):
            return events, rejected
        mask = self.withheld.mask(events, self._keys, self.now or datetime.now(UTC))
        if not mask.any():
            return events, rejected
        gone = events.filter(pa.array(mask))
        rows = pa.table(
            [
                gone["source"].cast(pa.string()).dictionary_encode(),
                gone["line_number"],
                pa.array([_WITHHELD] * len(gone), pa.string()).dictionary_encode(),
                pa.nulls(len(gone), pa.binary()),
            ],
            schema=arrow_schema(REJECTED),
        )
        joined = pa.concat_tables([rejected.cast(arrow_schema(REJECTED)), rows]).unify_dictionaries()
        return events.filter(pa.array(~mask)), joined
