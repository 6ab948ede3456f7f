"""Text from logs made safe to show: an attacker wrote half of it."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["safe_text"]

# C0 and C1 controls (terminal escapes begin there), bidirectional marks (they reorder what a reader sees), zero-width
# characters, line separators, and lone surrogates (they can't be encoded).
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def safe_text(value: object, limit: int = 200) -> str:
    r"""Return `value` as one line without control, reordering or invisible characters, at most `limit` long.

    >>> safe_text("a\x1b[31mb\u202ec")
    'a\\x1b[31mb\\u202ec'
    """
    text = _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"
