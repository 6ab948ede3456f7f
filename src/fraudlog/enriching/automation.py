"""Whether an agent names a program, which one, and of what kind.

Four questions in order: is it a program known by name; does it hold a word that only programs carry; is it on the
list of `crawler-user-agents`; has it the shape of no browser and no device. The first two and the list are regular
expressions run by the Rust engine of ua-parser, which looks at all of them in one pass over the string.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

import crawleruseragents
import ua_parser_rs

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BOT_CATEGORIES", "Program", "find_program", "published_list", "rules"]

BOT_CATEGORIES: Final[dict[str, str]] = {
    "crawler": "collects pages: search engines, archives, SEO and advertising, and what only calls itself a bot",
    "ai": "fetches for a language model: training, search, or an agent acting for a person",
    "feed": "reads feeds and podcasts",
    "monitor": "checks that a site is up or fast",
    "preview": "draws a preview, thumbnail or translation for a person elsewhere",
    "library": "an HTTP library with its own name",
    "tool": "a command-line or office program",
    "headless": "a browser without a screen, or driven by a program",
    "scanner": "looks for weaknesses",
}
"""The one vocabulary of `bot_category`, with the meaning of each word."""

_CATEGORY_OF_TAG: Final = {
    "scanner": "scanner",
    "ai-crawler": "ai",
    "feed-reader": "feed",
    "monitoring": "monitor",
    "social-preview": "preview",
    "http-library": "library",
    "browser-automation": "headless",
}
_DESKTOP_DEVICES: Final = frozenset({"Mac", "Other", "Spider"})
_NO_BROWSER_COMPATIBLE: Final = re.compile(r"Mozilla/\d\.\d+ \(compatible; (?!MSIE|Konqueror|Google Desktop)")
_APPLE_APP: Final = "CFNetwork/"
"""The library by which apps on Apple's devices reach the network; some leave the system out."""
_WRAPPED: Final = re.compile(r"(?!Mozilla|Opera).+Mozilla/[45]\.0 \(")
_PRODUCT: Final = re.compile(r"[^\s/;,()]+")
_SEPARATOR: Final = "\x1f"


class Program(NamedTuple):
    """A program that an agent names.

    Attributes
    ----------
    name : str
        As it calls itself; lower bound of trust, the client chose it.
    category : str
        One of `BOT_CATEGORIES`.
    """

    name: str
    category: str


class _Rules:
    """Patterns with a category each, asked in one pass."""

    def __init__(self, rows: Iterable[tuple[str, str, str]]) -> None:
        rows = list(rows)
        self._categories = [category for _, _, category in rows]
        self._engine = ua_parser_rs.UserAgentExtractor(
            [
                (pattern, f"{number}{_SEPARATOR}{name}", None, None, None, None)
                for number, (pattern, name, _) in enumerate(rows)
            ]
        )

    def __call__(self, agent: str) -> Program | None:
        match = self._engine.extract(agent)
        if match is None:
            return None
        number, _, name = match.family.partition(_SEPARATOR)
        return Program(name.strip(" .,;:!-_") or "unnamed", self._categories[int(number)])


@cache
def rules(section: str) -> _Rules:
    """Return the rules of one section of ``agents.toml``: named, strong or weak."""
    text = (resources.files(__package__) / "rules" / "agents.toml").read_text(encoding="utf-8")
    return _Rules(
        (pattern, "$1", group["category"]) for group in tomllib.loads(text)[section] for pattern in group["patterns"]
    )


@cache
def published_list() -> _Rules:
    """Return the patterns of the package crawler-user-agents."""
    return _Rules(
        (row["pattern"], _plain_name(row["pattern"]), _category(row["tags"]))
        for row in crawleruseragents.CRAWLER_USER_AGENTS_DATA
    )


def _category(tags: Iterable[str]) -> str:
    return next((_CATEGORY_OF_TAG[tag] for tag in tags if tag in _CATEGORY_OF_TAG), "crawler")


def _plain_name(pattern: str) -> str:
    r"""Return what a pattern of the list spells: ``Googlebot\/`` is Googlebot."""
    spelled = re.sub(r"\[(\w)\w*\]", r"\1", pattern.replace("\\", ""))
    return re.sub(r"[^\w. -]+", " ", spelled).strip(" .-") or pattern


def find_program(agent: str, *, device: str | None, os: str | None) -> Program | None:
    """Return the program that `agent` names, or None for a browser or an app on a device.

    Parameters
    ----------
    agent : str
        User-Agent header, at most 1,024 characters.
    device, os : str or None
        Families as ua-parser gives them. Words that are also words of phones ("sync", "sdk") count only where no
        handset is named.

    Returns
    -------
    Program or None

    Examples
    --------
    >>> find_program("python-requests/2.32.0", device=None, os=None)
    Program(name='python-requests', category='library')
    >>> find_program("Mozilla/5.0 (compatible; Unheard-ofBot/1.0)", device=None, os=None)
    Program(name='Unheard-ofBot/1.0', category='crawler')
    """
    program = rules("named")(agent) or rules("strong")(agent)
    if program is None and (device is None or device in _DESKTOP_DEVICES):
        program = published_list()(agent) or rules("weak")(agent) or _by_shape(agent, device=device, os=os)
    return program


def _by_shape(agent: str, *, device: str | None, os: str | None) -> Program | None:
    """Find the program that no word gives away.

    It names no system, claims to be merely compatible with a browser, or wraps a browser's agent.
    """
    nameless = (os is None and device != "Mac" and _APPLE_APP not in agent) or device == "Spider"
    if not (nameless or _NO_BROWSER_COMPATIBLE.match(agent) or _WRAPPED.match(agent)):
        return None
    words = _PRODUCT.findall(agent.replace("Mozilla", " ").replace("compatible", " "))
    name = next((word for word in words if not word[0].isdigit()), "unnamed")
    return Program(name, "crawler" if agent.startswith("Mozilla") else "tool")
