"""What a User-Agent header says: system, browser, device class, program, frozen values and impossible combinations.

Families and versions are uap-core's, read by the Rust engine of ua-parser; the device class is that of `user-agents`,
fed from the same engine instead of its own slow path.

References
----------
.. [1] https://github.com/ua-parser/uap-core
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, NamedTuple

from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver
from user_agents.parsers import UserAgent, parse_browser, parse_device, parse_operating_system

from fraudlog.enriching.automation import find_program
from fraudlog.enriching.conflicts import find_conflict
from fraudlog.enriching.distinct import encodable

__all__ = ["AGENT_LIMIT", "AgentFacts", "read_agent"]

AGENT_LIMIT: Final = 1024
"""Characters of an agent that are looked at: the cost of a regular expression grows with the length, and so does
nothing that an honest agent has to say."""

_FROZEN_OS: Final = re.compile(
    r"Windows NT 10\.0|Intel Mac OS X 10[._]15(?:_7)?[;)]|Android 10; K\)|; Android \d+; Mobile; rv:"
)
_FROZEN_IOS: Final = re.compile(r"OS 18_[67] like Mac OS X.* Version/(?:2[6-9]|[3-9]\d)")
_REDUCED: Final = re.compile(r"Chrome/\d+\.0\.0\.0")


class AgentFacts(NamedTuple):
    """What one agent says; None where it says nothing.

    Attributes
    ----------
    browser, os : str or None
        Families of uap-core.
    browser_version : str or None
        Major version.
    os_version : str or None
        All parts known, joined by dots.
    device_class : str or None
        desktop, mobile, tablet or other.
    agent_kind : str or None
        browser, app or program.
    is_automation : bool or None
        Whether it names a program.
    bot_name, bot_category : str or None
        Which program, and its kind.
    is_os_frozen : bool or None
        Whether vendors have frozen the system's version at this value, so that it says nothing.
    is_browser_reduced : bool or None
        Whether the browser's version is cut to x.0.0.0.
    agent_conflict : str or None
        Code of the combination that no real browser sends.
    """

    browser: str | None = None
    browser_version: str | None = None
    os: str | None = None
    os_version: str | None = None
    device_class: str | None = None
    agent_kind: str | None = None
    is_automation: bool | None = None
    bot_name: str | None = None
    bot_category: str | None = None
    is_os_frozen: bool | None = None
    is_browser_reduced: bool | None = None
    agent_conflict: str | None = None


NOTHING: Final = AgentFacts()


@cache
def _engine() -> Resolver:
    return Resolver(load_lazy_builtins())


class _Flags(UserAgent):  # type: ignore[misc] # the package ships no types
    """The flags of `user-agents` on values that are already known: its own constructor would take the slow path."""

    def __init__(self, agent: str, browser: Any, os: Any, device: Any) -> None:  # noqa: ANN401 -- engine's own classes
        self.ua_string = agent
        self.browser = parse_browser(browser.family if browser else "Other")
        self.os = parse_operating_system(*((os.family, os.major, os.minor, os.patch) if os else ("Other",)))
        self.device = parse_device(*((device.family, device.brand, device.model) if device else ("Other", None, None)))


def read_agent(agent: str | None) -> AgentFacts:
    """Return what `agent` says.

    Parameters
    ----------
    agent : str or None
        User-Agent header. Only its first `AGENT_LIMIT` characters are read.

    Returns
    -------
    AgentFacts
        All None for an absent or blank agent.

    Examples
    --------
    >>> facts = read_agent("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    >>> facts.browser, facts.browser_version, facts.os, facts.device_class, facts.is_automation
    ('Firefox', '140', 'Linux', 'desktop', False)
    >>> read_agent("curl/8.5.0").bot_category
    'tool'
    """
    agent = encodable((agent or "")[:AGENT_LIMIT]).strip()
    if not agent:
        return NOTHING
    engine = _engine()
    browser, os, device = engine.ua.extract(agent), engine.os.extract(agent), engine.de.extract(agent)
    os_family = _known(os)
    program = find_program(agent, device=_known(device), os=os_family)
    browser_family = _known(browser)
    return AgentFacts(
        browser=browser_family,
        browser_version=browser.major if browser and browser_family else None,
        os=os_family,
        os_version=_version(os) if os_family else None,
        device_class=_device_class(_Flags(agent, browser, os, device)),
        agent_kind="program" if program else "browser" if agent.startswith(("Mozilla/", "Opera/")) else "app",
        is_automation=program is not None,
        bot_name=program.name if program else None,
        bot_category=program.category if program else None,
        is_os_frozen=bool(_FROZEN_OS.search(agent) or _FROZEN_IOS.search(agent)),
        is_browser_reduced=bool(_REDUCED.search(agent)),
        agent_conflict=find_conflict(agent),
    )


def _known(match: Any) -> str | None:  # noqa: ANN401 -- one of the engine's classes
    return None if match is None or match.family == "Other" else match.family


def _version(os: Any) -> str | None:  # noqa: ANN401 -- the engine's class
    parts = [os.major, os.minor, os.patch, os.patch_minor]
    known = parts[: parts.index(None)] if None in parts else parts
    return ".".join(known) or None


def _device_class(flags: _Flags) -> str:
    if flags.is_pc:
        return "desktop"
    if flags.is_mobile:
        return "mobile"
    return "tablet" if flags.is_tablet else "other"
