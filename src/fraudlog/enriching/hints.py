"""Client hints (Sec-CH-UA and its kin): what they say, and whether the agent says the same.

Vendors froze the agent; the hints tell the rest, and a client that fakes one seldom fakes the other in step.

References
----------
.. [1] RFC 8941 (structured fields), parsed by `http-sf`; W3C User-Agent Client Hints, with its GREASE brands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import http_sf

if TYPE_CHECKING:
    from fraudlog.enriching.agents import AgentFacts

__all__ = ["HINT_COLUMNS", "HintFacts", "read_hints"]

HINT_COLUMNS: Final = ("ch_ua", "ch_platform", "ch_platform_version", "ch_mobile", "ch_model")

_GREASE: Final = re.compile(r"not.{0,2}a.{0,2}brand|not.?any.?brand", re.IGNORECASE)
_CHROMIUM_VERSION: Final = re.compile(r"(?:Headless)?(?:Chrome|Chromium|CriOS)/(\d+)")
_CHROMIUM_OF_AGENT: Final = re.compile(r"(?:Chrome|Chromium)/(\d+)")
_FIRST_WITH_HINTS: Final = 89
_HINT_LIMIT: Final = 1024
_PLATFORMS: Final[dict[str, frozenset[str]]] = {
    "Windows": frozenset({"Windows"}),
    "macOS": frozenset({"Mac OS X"}),
    "Android": frozenset({"Android"}),
    "Chrome OS": frozenset({"Chrome OS"}),
    "Chromium OS": frozenset({"Chrome OS", "Linux"}),
    "iOS": frozenset({"iOS"}),
    "Linux": frozenset(
        {"Linux", "Ubuntu", "Debian", "Fedora", "Red Hat", "SUSE", "Arch Linux", "Gentoo", "CentOS", "Mint"}
    ),
}
_OWN_BRANDS: Final[dict[str, str]] = {
    "Edge": "Microsoft Edge",
    "Edge Mobile": "Microsoft Edge",
    "Opera": "Opera",
    "Opera Mobile": "Opera",
    "Samsung Internet": "Samsung Internet",
    "Yandex Browser": "Yandex",
}
"""Browsers that name themselves in the agent and in the brands; others (Brave, Vivaldi) hide in the agent and may
show in the brands, which is no contradiction."""


class HintFacts(NamedTuple):
    """What the hints of one request say; None where they say nothing.

    Attributes
    ----------
    ch_brand : str or None
        The brand that is neither GREASE nor Chromium, else Chromium.
    ch_version : str or None
        Major version of Chromium.
    ch_os, ch_os_version : str or None
        Platform; for Windows the marketing version (10, 11), since platform version 13 and above means Windows 11.
    is_ch_malformed : bool or None
        Whether a hint is no structured field.
    is_ch_missing : bool or None
        Whether the agent's browser sends brands and none came.
    is_ch_brand_same, is_ch_version_same, is_ch_platform_same, is_ch_mobile_same : bool or None
        Whether agent and hints agree.
    """

    ch_brand: str | None = None
    ch_version: str | None = None
    ch_os: str | None = None
    ch_os_version: str | None = None
    is_ch_malformed: bool | None = None
    is_ch_missing: bool | None = None
    is_ch_brand_same: bool | None = None
    is_ch_version_same: bool | None = None
    is_ch_platform_same: bool | None = None
    is_ch_mobile_same: bool | None = None


class _MalformedError(Exception):
    """A hint is no structured field."""


def _parse(value: str | None, kind: str) -> Any:  # noqa: ANN401 -- a structured field holds any of several types
    if value is None or not value.strip():
        return None
    text = value[:_HINT_LIMIT].strip().replace('\\"', '"')
    try:
        return http_sf.parse(text.encode("utf-8", "replace"), tltype=kind)
    except (http_sf.StructuredFieldError, ValueError):
        raise _MalformedError from None


def _item(value: str | None) -> str | None:
    parsed = _parse(value, "item")
    return None if parsed is None else str(parsed[0])


def read_hints(agent: str | None, facts: AgentFacts, hints: tuple[str | None, ...]) -> HintFacts:
    """Return what client hints say and whether they agree with the agent.

    Parameters
    ----------
    agent : str or None
        User-Agent header.
    facts : AgentFacts
        What it says.
    hints : tuple of five str or None
        Headers in the order of `HINT_COLUMNS`.

    Returns
    -------
    HintFacts
        Agreement is None where either side says nothing.

    Examples
    --------
    >>> from fraudlog.enriching.agents import read_agent
    >>> agent = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
    >>> brands = '"Chromium";v="131", "Not_A Brand";v="24", "Google Chrome";v="131"'
    >>> found = read_hints(agent, read_agent(agent), (brands, '"Linux"', None, "?0", None))
    >>> found.ch_version, found.is_ch_version_same, found.is_ch_platform_same, found.is_ch_mobile_same
    ('131', False, False, True)
    """
    try:
        brands = [(str(brand), str(parameters.get("v", ""))) for brand, parameters in _parse(hints[0], "list") or []]
        platform, version, mobile = _item(hints[1]), _item(hints[2]), _parse(hints[3], "item")
        _item(hints[4])
    except (_MalformedError, AttributeError, TypeError, ValueError):
        return HintFacts(is_ch_malformed=True)
    if not any(value is not None for value in hints):
        return HintFacts(is_ch_missing=_sends_hints(agent, facts))
    real = [(brand, number) for brand, number in brands if not _GREASE.search(brand)]
    chromium = next((number.split(".")[0] for brand, number in real if brand == "Chromium"), None)
    os, os_version = _platform(platform, version)
    return HintFacts(
        ch_brand=next((brand for brand, _ in real if brand != "Chromium"), real[0][0] if real else None),
        ch_version=chromium,
        ch_os=os,
        ch_os_version=os_version,
        is_ch_malformed=False,
        is_ch_missing=not brands and _sends_hints(agent, facts),
        is_ch_brand_same=_brand_agrees({brand for brand, _ in real}, agent, facts) if real and agent else None,
        is_ch_version_same=_version_agrees(chromium, agent),
        is_ch_platform_same=_platform_agrees(platform, facts),
        is_ch_mobile_same=bool(mobile[0]) == ("Mobile" in agent) if mobile is not None and agent else None,
    )


def _sends_hints(agent: str | None, facts: AgentFacts) -> bool:
    """Return whether this agent's browser sends brands with every request (Chromium since 89, over HTTPS)."""
    found = _CHROMIUM_OF_AGENT.search(agent or "")
    return bool(
        found and int(found[1]) >= _FIRST_WITH_HINTS and facts.agent_kind == "browser" and "; wv)" not in (agent or "")
    )


def _platform(platform: str | None, version: str | None) -> tuple[str | None, str | None]:
    if platform != "Windows" or not version:
        return platform, version or None
    major = version.split(".")[0]
    if not major.isdigit():
        return platform, version
    return platform, "11" if int(major) >= 13 else "10" if int(major) >= 1 else "8 or older"


def _brand_agrees(brands: set[str], agent: str, facts: AgentFacts) -> bool:
    if "HeadlessChrome" in brands or not _CHROMIUM_VERSION.search(agent):
        return ("HeadlessChrome" in brands) == ("HeadlessChrome" in agent) and "Chrome" in agent
    named = {brand for brand in brands for own in _OWN_BRANDS.values() if brand.startswith(own)}
    expected = _OWN_BRANDS.get(facts.browser or "")
    return any(brand.startswith(expected) for brand in brands) if expected else not named


def _version_agrees(chromium: str | None, agent: str | None) -> bool | None:
    found = _CHROMIUM_VERSION.search(agent or "")
    return None if chromium is None or found is None else found[1] == chromium


def _platform_agrees(platform: str | None, facts: AgentFacts) -> bool | None:
    if platform is None or facts.os is None or platform not in _PLATFORMS:
        return None
    return facts.os in _PLATFORMS[platform]
