"""Privacy: keyed pseudonyms, purposes, retention, the audit trail, and what a table may look like on a disk."""

from fraudlog.privacy.chain import Chain, Verdict
from fraudlog.privacy.keys import Keyring, default_key_file, drop_key, load_key, load_keyring, rotate_key
from fraudlog.privacy.policies import Policies, PolicyVersion, add_policy, hash_text
from fraudlog.privacy.pseudonyms import IP_MODES, IpMode, Pseudonyms, derive_key
from fraudlog.privacy.purposes import PURPOSES, REQUESTS, allowed_columns, require_purpose
from fraudlog.privacy.revealing import Reidentifier, marked, marks
from fraudlog.privacy.shield import closed, shield

__all__ = [
    "IP_MODES",
    "PURPOSES",
    "REQUESTS",
    "Chain",
    "IpMode",
    "Keyring",
    "Policies",
    "PolicyVersion",
    "Pseudonyms",
    "Reidentifier",
    "Verdict",
    "add_policy",
    "allowed_columns",
    "closed",
    "default_key_file",
    "derive_key",
    "drop_key",
    "hash_text",
    "load_key",
    "load_keyring",
    "marked",
    "marks",
    "require_purpose",
    "rotate_key",
    "shield",
]
