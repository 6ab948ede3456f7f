"""Enriching beside its peers: quality on unseen agents, and CPU time for distinct and for repeated values.

Run as ``python benchmarks/enriching.py > table.md``; needs the shared data beside the repository, and for the peers
``pip install device-detector crawlerdetect geoip2 pytricia``. CPU seconds of one process; ratios count.
"""

from __future__ import annotations

import ipaddress
import platform
import random
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import crawleruseragents
import geoip2.database
import pyarrow as pa
import pytricia
import ua_parser
import user_agents
from crawlerdetect import CrawlerDetect
from device_detector import DeviceDetector

import agent_corpora
from fraudlog.enriching import CountryRanges, Enricher, GeoDatabase, NetworkLists, read_agent, read_endpoint
from fraudlog.enriching.languages import read_language
from fraudlog.privacy.addresses import parse_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHARED = agent_corpora.SHARED
REPEATS = 3


def _device_detector(agent: str) -> bool:
    found = DeviceDetector(agent).parse()
    return bool(found.is_bot() or found.client_type() == "library")


def _ua_parser(agent: str) -> bool:
    device = ua_parser.parse(agent).device
    return device is not None and device.family == "Spider"


CRAWLERDETECT = CrawlerDetect()
AGENT_PEERS: dict[str, tuple[Callable[[str], bool], int]] = {
    "fraudlog": (lambda agent: bool(read_agent(agent).is_automation), 10**6),
    "crawlerdetect": (lambda agent: bool(CRAWLERDETECT.isCrawler(agent)), 10**6),
    "device-detector, bots and libraries": (_device_detector, 300),
    "user-agents": (lambda agent: bool(user_agents.parse(agent).is_bot), 1_000),
    "crawler-user-agents": (crawleruseragents.is_crawler, 10**6),
    "ua-parser[regex], Spider": (_ua_parser, 10**6),
}
"""How each peer is asked, and the most strings it is given: the slow ones get a sample drawn with a fixed seed."""


def cpu_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the least CPU seconds of `repeats` runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'|'.join('---' for _ in head)}|")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")


def _sample(values: list[str], most: int) -> list[str]:
    return values if len(values) <= most else random.Random(1).sample(values, most)


def agents_quality() -> None:
    """Recall on held-out bots and false alarms on held-out people."""
    parts, people = agent_corpora.bots(), agent_corpora.people()
    unseen = agent_corpora.unlisted(parts["held"])
    held = {name: [a for a in agents if agent_corpora.part_of(a) == "held"] for name, agents in people.items()}
    sets = {
        "build, unlisted": agent_corpora.unlisted(parts["build"]),
        "held, unlisted": unseen,
        "held, all": parts["held"],
        **held,
    }
    rows = []
    for peer, (ask, most) in AGENT_PEERS.items():
        shares = []
        for agents in sets.values():
            asked = _sample(agents, most)
            shares.append(f"{sum(map(ask, asked)) / len(asked):.4f}")
        rows.append([peer, *shares])
    sizes = [f"{name} ({len(agents):,})" for name, agents in sets.items()]
    table(
        "Agents: share called a program (recall on the first three, false alarms on the rest)", ["peer", *sizes], rows
    )


def agents_speed() -> None:
    """Distinct strings a second, then rows a second where all values were seen before."""
    agents = [a for part in agent_corpora.bots().values() for a in part] + agent_corpora.people()["browsers"]
    random.Random(2).shuffle(agents)
    rows = []
    for peer, (ask, most) in AGENT_PEERS.items():
        asked = _sample(agents, most)
        used = cpu_s(lambda ask=ask, asked=asked: [ask(agent) for agent in asked], 1 if most < 10**6 else REPEATS)
        rows.append([peer, f"{len(asked):,}", f"{used / len(asked) * 1e6:,.0f}", f"{len(asked) / used:,.0f}"])
    table("Agents: distinct strings", ["peer", "strings", "us each", "strings/s"], rows)
    drawn = pa.array(random.Random(3).choices(agents[:5_000], k=2_000_000))
    enricher = Enricher()
    rows = []
    for name, column in (("plain strings", drawn), ("dictionary encoded", drawn.dictionary_encode())):
        events = pa.table({"user_agent": column})
        enricher.table(events)
        used = cpu_s(lambda events=events: enricher.table(events))
        rows.append([f"{name}, 12 columns", f"{len(drawn) / used / 1e6:.1f}"])
    table("Agents: 2 M rows of 5,000 known strings", ["input", "M rows/s"], rows)


def addresses() -> None:
    """Parse and label addresses; country and system from a database."""
    draw = random.Random(4)
    texts = [str(ipaddress.IPv4Address(draw.getrandbits(32))) for _ in range(300_000)]
    sixes = [str(ipaddress.IPv6Address((0x2A << 120) | draw.getrandbits(120))) for _ in range(100_000)]
    files = {
        "hosting": [SHARED / "ip" / "x4b_datacenter_ipv4.txt", SHARED / "ip" / "x4b_datacenter_ipv6.txt"],
        "vpn": [SHARED / "ip" / "x4b_vpn_ipv4.txt", SHARED / "ip" / "x4b_vpn_ipv6.txt"],
        "tor": [SHARED / "ip" / "tor_exit_nodes_2024.lst"],
    }
    start = time.process_time()
    lists = NetworkLists.from_files(files)
    loading = time.process_time() - start
    trie = pytricia.PyTricia(32)
    for name, paths in files.items():
        for path in paths:
            for line in path.read_text().split():
                if ":" not in line:
                    trie[line] = name
    array, array_six = pa.array(texts), pa.array(sixes)
    ranges = CountryRanges(SHARED / "geo" / "ipverse-country-ipv4-num.csv.gz")
    reader = geoip2.database.Reader(SHARED / "geo" / "maxmind-test" / "GeoLite2-Country-Test.mmdb")

    def by_geoip2() -> None:
        for text in texts[:50_000]:
            try:
                reader.country(text)
            except geoip2.errors.AddressNotFoundError:
                continue

    measured = {
        "fraudlog: parse and label, IPv4": (300_000, lambda: lists.columns(parse_addresses(array))),
        "fraudlog: parse and label, IPv6": (100_000, lambda: lists.columns(parse_addresses(array_six))),
        "fraudlog: all 14 columns, IPv4": (
            300_000,
            lambda: Enricher(networks=lists).table(pa.table({"client_ip": array})),
        ),
        "pytricia: label, IPv4": (300_000, lambda: [trie.get(text) for text in texts]),
        "ipaddress: parse alone": (50_000, lambda: [ipaddress.ip_address(text) for text in texts[:50_000]]),
        "fraudlog over maxminddb: country": (300_000, lambda: GeoDatabase(_country()).columns(array)),
        "fraudlog: country from a range table": (300_000, lambda: ranges.columns(array)),
        "geoip2: country": (50_000, by_geoip2),
    }
    rows = [[name, f"{count / cpu_s(work) / 1e6:.2f}"] for name, (count, work) in measured.items()]
    count = sum(map(_lines, files.values()))
    title = f"Addresses: distinct, M/s (three lists of {count:,} networks, loaded in {loading:.1f} s)"
    table(
        title,
        ["what", "M/s"],
        rows,
    )


def _country() -> Path:
    return SHARED / "geo" / "maxmind-test" / "GeoLite2-Country-Test.mmdb"


def _lines(paths: list[Path]) -> int:
    return sum(len(path.read_text().split()) for path in paths)


def strings() -> None:
    """Languages and paths, each distinct value once."""
    draw = random.Random(5)
    tags = ["en-US", "en", "de-DE", "de", "fr-CH", "zh-Hant-TW", "es-419", "pt-BR", "nl", "pl"]
    headers = list(
        {
            ",".join(
                f"{tag};q=0.{9 - place}" if place else tag
                for place, tag in enumerate(draw.sample(tags, draw.randint(1, 5)))
            )
            for _ in range(20_000)
        }
    )
    paths = list(
        {
            f"/{draw.choice(['blog', 'shop', 'api/v1', 'static', 'users'])}/{draw.randrange(10**6)}"
            for _ in range(50_000)
        }
    )
    rows = [
        [
            "Accept-Language",
            f"{len(headers):,}",
            f"{cpu_s(lambda: [read_language(h) for h in headers]) / len(headers) * 1e6:.1f}",
        ],
        ["path", f"{len(paths):,}", f"{cpu_s(lambda: [read_endpoint(p) for p in paths], 1) / len(paths) * 1e6:.1f}"],
    ]
    table("Distinct values", ["what", "values", "us each"], rows)
    enricher = Enricher()
    event = {"user_agent": "curl/8.5.0", "client_ip": "198.51.100.7", "path": "/login", "language": "en-US,en;q=0.9"}
    enricher.event(event)
    used = cpu_s(lambda: [enricher.event(event) for _ in range(20_000)])
    table("One event of a service, values seen before", ["us"], [[f"{used / 20_000 * 1e6:.1f}"]])


def main() -> None:
    """Print all tables."""
    names = ("ua-parser", "ua-parser-rs", "user-agents", "crawler-user-agents", "device-detector", "crawlerdetect")
    others = ("pyarrow", "numpy", "maxminddb", "geoip2", "pytricia", "langcodes", "http-sf")
    packages = ", ".join(f"{name} {version(name)}" for name in names + others)
    print(f"Python {platform.python_version()}, {packages}; 2 cores, CPU time of one process, best of {REPEATS}.")
    agents_quality()
    agents_speed()
    addresses()
    strings()


if __name__ == "__main__":
    main()
