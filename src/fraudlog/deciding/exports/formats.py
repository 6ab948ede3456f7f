"""The formats a list of networks is handed out in: a table with a row each."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import TYPE_CHECKING, Final

from fraudlog.deciding.decision import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fraudlog.deciding.exports.block_list import BlockList
    from fraudlog.deciding.exports.networks import Entry, Network

__all__ = ["EXPORTS", "Export"]

_CROWDSEC: Final = {"observe": "throttle", "challenge": "captcha", "deny": "ban"}
_CROWDSEC_FIELDS: Final = ("duration", "reason", "scope", "type", "value")


@dataclass(frozen=True, slots=True)
class Export:
    """One format.

    Attributes
    ----------
    name : str
    file : str
        What its file is usually called.
    meaning : str
        Who reads it, and how.
    at_least : str
        Mildest verdict it carries unless told otherwise: a format that can only block carries denials alone.
    render : callable
        `BlockList` to text. Pure: the same list gives the same text.
    """

    name: str
    file: str
    meaning: str
    at_least: str
    render: Callable[[BlockList], str]


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _short(network: Network) -> str:
    """Write one address without its length, as most programs show it."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _note(found: BlockList) -> str:
    return f"# fraudlog, as of {_iso(found.at)}: {len(found.entries)} networks"


def _merged(entries: Iterable[Entry]) -> list[Network]:
    """Return as few networks as cover the same addresses, whatever the reasons and ends."""
    networks = [entry.network for entry in entries]
    ipv4 = collapse_addresses(network for network in networks if isinstance(network, IPv4Network))
    ipv6 = collapse_addresses(network for network in networks if isinstance(network, IPv6Network))
    return [*ipv4, *ipv6]


def _by_verdict(found: BlockList) -> list[tuple[Network, str]]:
    return [
        (network, verdict)
        for level, verdict in enumerate(VERDICTS)
        for network in _merged(entry for entry in found.entries if entry.level == level)
    ]


def _nginx_geo(found: BlockList) -> str:
    rows = [f"    {network} {verdict};" for network, verdict in _by_verdict(found)]
    return _lines([_note(found), "geo $fraudlog_verdict {", "    default allow;", *rows, "}"])


def _nginx_deny(found: BlockList) -> str:
    return _lines([_note(found), *(f"deny {network};" for network in _merged(found.entries))])


def _nftables(found: BlockList) -> str:
    lines = [_note(found), "add table inet fraudlog"]
    for version in (4, 6):
        name = f"blocked{version}"
        lines.append(f"add set inet fraudlog {name} {{ type ipv{version}_addr; flags interval, timeout; }}")
        lines.append(f"flush set inet fraudlog {name}")
        elements = [
            f"    {_short(entry.network)} timeout {entry.expires - found.at}s,"
            for entry in found.entries
            if entry.network.version == version
        ]
        if elements:  # all in one statement: a statement each takes nft ten times as long
            lines += [f"add element inet fraudlog {name} {{", *elements, "}"]
    return _lines(lines)


def _haproxy_map(found: BlockList) -> str:
    return _lines([_note(found), *(f"{network} {verdict}" for network, verdict in _by_verdict(found))])


def _crowdsec_rows(found: BlockList) -> list[dict[str, str]]:
    return [
        {
            "duration": f"{entry.expires - found.at}s",
            "reason": f"fraudlog/{entry.code}",
            "scope": "Ip" if entry.network.prefixlen == entry.network.max_prefixlen else "Range",
            "type": _CROWDSEC[VERDICTS[entry.level]],
            "value": _short(entry.network),
        }
        for entry in found.entries
    ]


def _crowdsec_json(found: BlockList) -> str:
    return json.dumps(_crowdsec_rows(found), indent=1) + "\n"


def _crowdsec_csv(found: BlockList) -> str:
    return _csv(_CROWDSEC_FIELDS, _crowdsec_rows(found))


def _fail2ban_log(found: BlockList) -> str:
    return _lines(
        f"{_iso(found.at)} fraudlog: {VERDICTS[entry.level]} {_short(entry.network)} "
        f"for {entry.expires - found.at} s: {entry.code}"
        for entry in found.entries
    )


def _cidr(found: BlockList) -> str:
    return _lines(str(network) for network in _merged(found.entries))


def _plain_csv(found: BlockList) -> str:
    rows = [
        {
            "network": str(entry.network),
            "verdict": VERDICTS[entry.level],
            "expires": _iso(entry.expires),
            "reason": entry.code,
        }
        for entry in found.entries
    ]
    return _csv(("network", "verdict", "expires", "reason"), rows)


def _csv(fields: Iterable[str], rows: Iterable[Mapping[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


EXPORTS: Final = {
    row.name: row
    for row in (
        Export("nginx-geo", "fraudlog-geo.conf", "nginx: a geo block, included in http", "challenge", _nginx_geo),
        Export("nginx-deny", "fraudlog-deny.conf", "nginx: deny lines, included anywhere", "deny", _nginx_deny),
        Export("nftables", "fraudlog.nft", "nftables: two sets with timeouts, for nft -f", "deny", _nftables),
        Export("haproxy-map", "fraudlog.map", "HAProxy: a map for map_ip", "challenge", _haproxy_map),
        Export("crowdsec-json", "fraudlog.json", "CrowdSec: cscli decisions import", "challenge", _crowdsec_json),
        Export("crowdsec-csv", "fraudlog-crowdsec.csv", "the same as CSV", "challenge", _crowdsec_csv),
        Export("fail2ban-log", "fraudlog.log", "fail2ban: a log for a filter of its own", "deny", _fail2ban_log),
        Export("cidr", "fraudlog.txt", "ipset, pf, clouds: a network a line", "deny", _cidr),
        Export("csv", "fraudlog.csv", "people and programs: network, verdict, end, reason", "challenge", _plain_csv),
    )
}
"""Every format, by name."""
