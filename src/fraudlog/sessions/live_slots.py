"""What a live session's state is: a list, and the place of everything in it."""

from __future__ import annotations

from typing import Final

__all__ = ["CLIENT", "HEAD", "Slots"]

HEAD: Final = (
    "START",
    "LAST",
    "N",
    "PIECE",
    "LANES",
    "ACTOR",
    "ID",
    "IP",
    "PREFIX",
    "USER",
    "PROFILE",
    "AGENT",
    "SOURCE",
    "LINE",
    "ESTIMATED",
    "NOTES",
    "WEIGHT",
    "RESTORED",
    "BROWSER",
    "BROWSER_VERSION",
    "OS",
    "DEVICE_CLASS",
    "LANGUAGE",
    "LANGUAGE_PRIMARY",
    "COUNTRY",
    "ASN",
)
"""Slots that every session has."""

CLIENT: Final = HEAD[HEAD.index("BROWSER") :]
"""Those of them that say who the client of the first event is."""


class Slots:
    """Places in the list that is a session's state, and what each holds at first."""

    def __init__(self) -> None:
        self.initial: list[object] = [0] * 5 + [None] * (len(HEAD) - 5)
        self.initial[14], self.initial[16], self.initial[17] = False, 0, False
        self._of: dict[object, int] = {}

    def __getitem__(self, key: object) -> int:
        return self._of[key]

    def __contains__(self, key: object) -> bool:
        return key in self._of

    @property
    def keys(self) -> tuple[object, ...]:
        """What each slot behind the head holds, in order."""
        return tuple(self._of)

    def add(self, key: object, initial: object) -> int:
        """Return the place of `key`, a new one if it has none."""
        if key not in self._of:
            self._of[key] = len(self.initial)
            self.initial.append(initial)
        return self._of[key]
