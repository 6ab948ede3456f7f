"""Privacy: keyed pseudonyms, and what a table may look like on a disk."""

from fraudlog.privacy.keys import default_key_file, load_key
from fraudlog.privacy.pseudonyms import Pseudonyms, derive_key
from fraudlog.privacy.revealing import Reidentifier, marked, marks
from fraudlog.privacy.shield import shield

__all__ = ["Pseudonyms", "Reidentifier", "default_key_file", "derive_key", "load_key", "marked", "marks", "shield"]
