"""Privacy: keyed pseudonyms, purposes, retention, the audit trail, and what a table may look like on a disk."""

from fraudlog.privacy.chain import Chain, Verdict
from fraudlog.privacy.holds import Hold, Holds
from fraudlog.privacy.keys import Keyring, default_key_file, drop_key, load_key, load_keyring, rotate_key
from fraudlog.privacy.policies import Policies, PolicyVersion, add_policy, hash_text
from fraudlog.privacy.pseudonyms import IP_MODES, IpMode, Pseudonyms, derive_key
from fraudlog.privacy.purposes import PURPOSES, REQUESTS, allowed_columns, require_purpose
from fraudlog.privacy.releasing import LEAST_K, release
from fraudlog.privacy.retention import RETENTION, RetentionRow, cutoff, with_days
from fraudlog.privacy.revealing import Reidentifier, marked, marks
from fraudlog.privacy.shield import closed, shield
from fraudlog.privacy.withheld import IDENTITIES, Entry, Why, Withheld

__all__ = [
    "IDENTITIES",
    "IP_MODES",
    "LEAST_K",
    "PURPOSES",
    "REQUESTS",
    "RETENTION",
    "Chain",
    "Entry",
    "Hold",
    "Holds",
    "IpMode",
    "Keyring",
    "Policies",
    "PolicyVersion",
    "Pseudonyms",
    "Reidentifier",
    "RetentionRow",
    "Verdict",
    "Why",
    "Withheld",
    "add_policy",
    "allowed_columns",
    "closed",
    "cutoff",
    "default_key_file",
    "derive_key",
    "drop_key",
    "hash_text",
    "load_key",
    "load_keyring",
    "marked",
    "marks",
    "release",
    "require_purpose",
    "rotate_key",
    "shield",
    "with_days",
]
