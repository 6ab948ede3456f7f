"""The store: plain Parquet by day, one manifest, every change whole or not at all.

::

    <store>/
      manifest.json                       what belongs to the store: each file with digest and rows; replaced last
      events/day=2015-05-17/part-00-<digest>.parquet      and so late, rejected, sessions, scores, decisions
      state/  models/                     documents, named by the manifest like the tables' parts
      ledger/                             what happened when: commits, where the writer stands; apart from the rest

Everything outside ``ledger/`` is a function of the rows alone: no wall clock, no count of runs, no path of a machine.
"""

from fraudlog.store.manifest import Manifest, Part
from fraudlog.store.reads import AuditWarning
from fraudlog.store.store import Store, open_store
from fraudlog.store.tables import FEATURE_PURPOSES, TABLES, StoredTable
from fraudlog.store.transaction import Transaction

__all__ = [
    "FEATURE_PURPOSES",
    "TABLES",
    "AuditWarning",
    "Manifest",
    "Part",
    "Store",
    "StoredTable",
    "Transaction",
    "open_store",
]
