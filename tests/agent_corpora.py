"""The agent lists of the shared data, and the split that keeps part of them unseen.

A bot's strings differ in version and wrapping only, so the split goes by the bot's name: all strings of one name fall
into one part. Rules were written with an eye on `build`, chosen by the rate on `dev`, and `held` was only ever counted.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

from fraudlog.enriching import automation

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
_COMMON = frozenset(
    """mozilla applewebkit khtml like gecko chrome safari mobile version windows macintosh intel linux android
    compatible http https www com html org net x11 msie trident net clr wow64 win64 x64 iphone ipad cpu os mac the and
    for bot spider crawler opera presto build firefox edg ubuntu x86_64 i686 rv php htm index info""".split()  # noqa: SIM905
)
_WORD = re.compile(r"[a-z][a-z_-]{2,}")


def name_of(agent: str) -> str:
    """Return the word that most likely names the program: the first that no browser uses."""
    words = [word.strip("-_") for word in _WORD.findall(agent.lower())]
    return next((word for word in words if word not in _COMMON), agent.lower()[:12])


def part_of(key: str) -> str:
    """Return the part that `key` belongs to: half build, a fifth dev, three tenths held."""
    bucket = hashlib.sha256(key.encode()).digest()[0] % 10
    return "build" if bucket < 5 else "dev" if bucket < 7 else "held"


def _jsonl(name: str) -> list[dict[str, str]]:
    path = SHARED / "ua" / name
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def bots() -> dict[str, list[str]]:
    """Return the distinct agents of known bots by part."""
    listed = (SHARED / "ua" / "crawlerdetect_crawlers.txt").read_text(encoding="utf-8").splitlines()
    arcjet = json.loads((SHARED / "ua" / "arcjet_well-known-bots.json").read_text(encoding="utf-8"))
    agents = dict.fromkeys(line for line in listed if line.strip())
    agents.update(dict.fromkeys(agent for bot in arcjet for agent in bot["instances"]["accepted"]))
    parts: dict[str, list[str]] = {"build": [], "dev": [], "held": []}
    for agent in agents:
        parts[part_of(name_of(agent))].append(agent)
    return parts


def people() -> dict[str, list[str]]:
    """Return the distinct agents of real browsers, client profiles and devices by the list they come from."""
    return {
        "browsers": _distinct(row["useragent"] for row in _jsonl("fake_useragent_browsers.jsonl.gz")),
        "client profiles": _distinct(row["userAgent"] for row in _jsonl("npm_user_agents_devices_5k.jsonl")),
        "uap-core devices": _distinct(
            row["user_agent_string"]
            for row in _jsonl("uap_core_test_device.jsonl.gz")
            if row["family"] not in {"Spider", "Other"}
        ),
        "woothee": _distinct(
            row["target"]
            for row in _jsonl("woothee_testsets.jsonl")
            if row["category"] in {"pc", "smartphone", "mobilephone", "appliance"}
        ),
    }


def _distinct(agents: object) -> list[str]:
    return list(dict.fromkeys(agents))  # type: ignore[call-overload]


UAP_BROWSERS = (
    "uap_core_test_ua.jsonl",
    "uap_core_firefox_user_agent_strings.jsonl",
    "uap_core_opera_mini_user_agent_strings.jsonl",
    "uap_core_podcasting_user_agent_strings.jsonl",
    "uap_core_pgts_browser_list.jsonl.gz",
)
UAP_SYSTEMS = ("uap_core_test_os.jsonl", "uap_core_additional_os_tests.jsonl")


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of one file of uap-core's tests."""
    return _jsonl(name)


def unlisted(agents: list[str]) -> list[str]:
    """Return the agents that neither crawler-user-agents nor the programs known by name would find."""
    return [
        agent for agent in agents if not automation.published_list()(agent) and not automation.rules("named")(agent)
    ]
