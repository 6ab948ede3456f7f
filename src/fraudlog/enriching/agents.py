"""What a User-Agent header says: browser, operating system, device class, and whether it names a program."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from crawleruseragents import is_crawler
from ua_parser import parse
from user_agents.parsers import UserAgent, parse_browser, parse_device, parse_operating_system

if TYPE_CHECKING:
    from ua_parser import Result

__all__ = ["agent_columns"]

_PROGRAMS: Final = {
    "headless": re.compile(r"HeadlessChrome|PhantomJS|SlimerJS|Puppeteer|Playwright|Selenium|Splash/", re.IGNORECASE),
    "scanner": re.compile(
        r"nikto|sqlmap|nmap|masscan|zgrab|acunetix|nessus|dirbuster|wpscan|nuclei|morfeus", re.IGNORECASE
    ),
    "feed": re.compile(r"feed|\brss\b|simplepie|reader|podcast|netvibes", re.IGNORECASE),
    "library": re.compile(
        r"^(curl|wget|python|java|perl|ruby|php|go-http|okhttp|libwww|lwp|apache-httpclient|axios|node-fetch|guzzle|httpie"
        r"|scrapy|mechanize|winhttp|http_request|httpclient|faraday|chef client|puppet)",
        re.IGNORECASE,
    ),
    "monitor": re.compile(r"monitor|pingdom|uptime|statuscake|check_http|zabbix|nagios", re.IGNORECASE),
    "crawler": re.compile(r"bot\b|bot[/;_-]|crawl|spider|slurp|archiver|\+https?://|scan\b", re.IGNORECASE),
}
"""Kinds of program by what their agents say, the most telling first."""


def agent_columns(agent: str | None) -> dict[str, object]:
    """Return the derived columns of one agent.

    >>> row = agent_columns("curl/8.5.0")
    >>> row["is_automation"], row["bot_category"], row["bot_name"]
    (True, 'library', 'curl')
    """
    if agent is None:
        return dict.fromkeys(
            (
                "browser",
                "browser_version",
                "os",
                "os_version",
                "device_class",
                "is_automation",
                "bot_name",
                "bot_category",
            )
        )
    result = parse(agent)
    kind = next((kind for kind, pattern in _PROGRAMS.items() if pattern.search(agent)), None)
    if kind is None and is_crawler(agent):
        kind = "crawler"
    browser, system = result.user_agent, result.os
    return {
        "browser": browser and browser.family,
        "browser_version": browser and browser.major,
        "os": system and system.family,
        "os_version": system and system.major,
        "device_class": _device_class(result, agent),
        "is_automation": kind is not None,
        "bot_name": re.split(r"[/ ;(]", agent, maxsplit=1)[0][:40] if kind is not None else None,
        "bot_category": kind,
    }


def _device_class(result: Result, agent: str) -> str:
    """Ask `user_agents` for the class, feeding it from ua-parser's compiled engine instead of its own slow path."""
    found = result.with_defaults()
    device = UserAgent.__new__(UserAgent)
    device.ua_string = agent
    device.os = parse_operating_system(found.os.family, found.os.major, found.os.minor, found.os.patch)
    device.browser = parse_browser(found.user_agent.family, found.user_agent.major)
    device.device = parse_device(found.device.family, found.device.brand, found.device.model)
    if device.is_tablet:
        return "tablet"
    if device.is_mobile:
        return "mobile"
    return "desktop" if device.is_pc else "other"
