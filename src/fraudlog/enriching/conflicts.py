"""Agents that no real browser sends: parts that exclude each other. One row a combination.

A row fires when every string of `has` is in the agent, none of `lacks` is, and `test` (if any) holds for the numbers of
the agent. Limits of versions are those the vendors published when they dropped a system.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONFLICTS", "Conflict", "find_conflict"]

_CHROME = re.compile(r"(?:Chrome|CriOS)/(\d+)")
_FIREFOX = re.compile(r"Firefox/(\d+)")
_RV = re.compile(r"rv:(\d+)\.(\d+)")
_NT = re.compile(r"Windows NT (\d+\.\d+)")
_MAC = re.compile(r"Mac OS X (\d+)[._](\d+)")
_WEBKIT = re.compile(r"AppleWebKit/(\d+\.\d+)")
_SAFARI = re.compile(r"Version/(\d+)")
_IOS = re.compile(r"OS (\d+)_(\d+)")
_NT_RELEASED: Final = frozenset(
    {"3.1", "3.5", "3.51", "4.0", "5.0", "5.01", "5.1", "5.2", "6.0", "6.1", "6.2", "6.3", "6.4", "10.0"}
)


def _number(pattern: re.Pattern[str], agent: str) -> int:
    found = pattern.search(agent)
    return int(found[1]) if found else -1


def _rv_differs(agent: str) -> bool:
    """Firefox writes its own version as rv:, but held rv:109.0 from 110 to 119 (its bug 1805967)."""
    firefox, rv = _number(_FIREFOX, agent), _number(_RV, agent)
    return firefox >= 10 and rv >= 0 and firefox != rv and not (rv == 109 and 110 <= firefox <= 119)


def _unknown_windows(agent: str) -> bool:
    found = _NT.search(agent)
    return found is not None and found[1] not in _NT_RELEASED


def _wrong_webkit(agent: str) -> bool:
    """Chrome has said AppleWebKit/537.36 since version 27."""
    found = _WEBKIT.search(agent)
    return found is not None and found[1] != "537.36" and _number(_CHROME, agent) >= 28


def _mac_not_frozen(agent: str) -> bool:
    """Chrome has written 10_15_7 for every macOS since version 90, Firefox 10.15 since 87."""
    return _number(_MAC, agent) >= 11 and (_number(_CHROME, agent) >= 95 or _number(_FIREFOX, agent) >= 90)


def _ios_not_frozen(agent: str) -> bool:
    """Safari 26 writes iPhone OS 18_6 or 18_7, whatever the system."""
    return _number(_SAFARI, agent) >= 26 and _number(_IOS, agent) >= 26


@dataclass(frozen=True, slots=True)
class Conflict:
    """A combination that no real browser sends.

    Parameters
    ----------
    code : str
        Stable name, the value of the column `agent_conflict`.
    meaning : str
        Sentence for a person.
    has, lacks : tuple of str
        Strings that must, and must not, stand in the agent; the rarest first.
    test : callable or None
        Further condition on the agent.
    """

    code: str
    meaning: str
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    test: Callable[[str], bool] | None = None

    def fires(self, agent: str) -> bool:
        """Return whether `agent` holds this combination."""
        for part in self.has:  # plain loops: this runs for every row of the table on every agent
            if part not in agent:
                return False
        for part in self.lacks:
            if part in agent:
                return False
        return self.test is None or self.test(agent)


_IOS_WRAPPERS = ("EdgiOS", "CriOS", "FxiOS", "OPX", "OPT", "Ddg", "GSA", "DuckDuckGo", "YaBrowser", "Brave")
_IE_PHONE = ("Windows Phone", "IEMobile", "Xbox")

CONFLICTS: Final[tuple[Conflict, ...]] = (
    Conflict("windows_and_android", "names Windows and Android", ("Android", "Windows NT"), _IE_PHONE),
    Conflict("windows_and_iphone", "names Windows and an iPhone", ("iPhone", "Windows NT"), _IE_PHONE),
    Conflict("windows_and_mac", "names Windows and a Macintosh", ("(Macintosh", "Windows NT")),
    Conflict("android_and_iphone", "names Android and an iPhone", ("iPhone OS", "Android"), _IE_PHONE),
    Conflict("android_and_mac", "names Android and a Macintosh", ("(Macintosh", "Android ")),
    Conflict(
        "unknown_windows", "names a Windows NT version that was never released", ("Windows NT",), (), _unknown_windows
    ),
    Conflict("chrome_on_ios", "Chrome on iOS calls itself CriOS", ("iPhone OS", " Chrome/"), (*_IE_PHONE, "CriOS")),
    Conflict("firefox_on_ios", "Firefox on iOS calls itself FxiOS", ("iPhone OS", "Gecko/20100101")),
    Conflict("crios_elsewhere", "CriOS exists on iOS only", ("CriOS/",), ("iPhone", "iPad", "iPod", "Macintosh")),
    Conflict("edgios_elsewhere", "EdgiOS exists on iOS only", ("EdgiOS/",), ("iPhone", "iPad", "iPod", "Macintosh")),
    Conflict("edga_elsewhere", "EdgA exists on Android only", ("EdgA/",), ("Android", "Linux")),
    Conflict("trident_elsewhere", "Trident exists on Windows only", ("Trident/",), ("Windows", "Xbox")),
    Conflict("msie_on_linux", "Internet Explorer never ran on Linux", ("MSIE ", "X11; Linux"), ("Opera",)),
    Conflict("safari_on_linux", "Safari never ran on Linux desktops", ("(X11", "Version/", "Macintosh")),
    Conflict(
        "safari_on_windows",
        "Safari left Windows with version 5",
        ("Version/", "Windows NT", " Safari/"),
        ("Chrome", "Opera", "Presto", "Mobile", "QtWeb", "Iron", "Silk", "CriOS", "OPR", "Epiphany"),
        lambda agent: _number(_SAFARI, agent) > 5,
    ),
    Conflict("mobile_windows", "a desktop Windows that says Mobile Safari", ("Mobile Safari", "Windows NT"), _IE_PHONE),
    Conflict("chrome_and_gecko", "names Chrome's and Firefox's engine", ("Gecko/20100101", " Chrome/"), ("PaleMoon",)),
    Conflict(
        "webkit_version",
        "a Chrome with another WebKit than 537.36",
        ("Chrome/", "AppleWebKit/"),
        ("CriOS", "Edge", "iPhone", "iPad"),
        _wrong_webkit,
    ),
    Conflict(
        "firefox_revision",
        "Firefox and rv: differ",
        (" Firefox/", "rv:"),
        ("Seamonkey", "SeaMonkey", "PaleMoon", "Waterfox", "Goanna", "like Firefox", "Camino"),
        _rv_differs,
    ),
    Conflict(
        "chrome_on_old_windows",
        "Chrome left Windows 7 and 8 with version 109, and XP with 49",
        ("Windows NT", " Chrome/"),
        ("Windows NT 10.0",),
        lambda agent: _number(_CHROME, agent) > (49 if "Windows NT 5" in agent or "Windows NT 6.0" in agent else 109),
    ),
    Conflict(
        "firefox_on_old_windows",
        "Firefox left Windows 7 and 8 with version 115, and XP with 52",
        ("Windows NT", " Firefox/"),
        ("Windows NT 10.0",),
        lambda agent: _number(_FIREFOX, agent) > (52 if "Windows NT 5" in agent or "Windows NT 6.0" in agent else 115),
    ),
    Conflict(
        "mac_version",
        "a macOS version where this browser writes 10_15_7",
        ("Macintosh", " Mac OS X "),
        ("Electron", "CriOS"),
        _mac_not_frozen,
    ),
    Conflict(
        "ios_version",
        "an iOS version where Safari writes 18_6",
        (" like Mac OS X", "Version/", " Safari/"),
        _IOS_WRAPPERS,
        _ios_not_frozen,
    ),
    Conflict("two_agents", "two agents in one", (), ("MSIE", "Opera"), lambda agent: agent.count("Mozilla/5.0 (") > 1),
)
"""Every combination, the most telling first: `agent_conflict` holds the first that fires."""


def find_conflict(agent: str) -> str | None:
    """Return the code of the first combination in `agent` that no real browser sends, or None.

    >>> find_conflict("Mozilla/5.0 (Windows NT 11.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36")
    'unknown_windows'
    """
    for conflict in CONFLICTS:
        if conflict.fires(agent):
            return conflict.code
    return None
