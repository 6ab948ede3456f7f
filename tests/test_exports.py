"""Lists of networks: whom they hold, whom they never hold, and that nothing a client wrote reaches them."""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import ip_address, ip_network

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fraudlog as fl
from exports_support import NOW, tables
from fraudlog.deciding.exports import EXPORTS, Entry, ListRules, block_list, decision_records
from fraudlog.deciding.exports.networks import disjoint
from fraudlog.errors import ConfigError, SchemaError
from naive_exports import verdict_of

CHALLENGED = ListRules(at_least="challenge")


def networks(*rows, rules=None, **options):
    found = block_list(*tables(*rows), rules, at=NOW, **options)
    return [str(entry.network) for entry in found.entries], dict(found.left_out)


def test_a_denied_session_is_its_address():
    """One IPv4 address; the hardest verdict and the reason that weighed most come along."""
    found = block_list(*tables({"codes": ["PROBE_PATH", "NO_AGENT"]}), at=NOW)
    end = int(NOW.timestamp()) + 3600
    assert found.entries == [Entry(ip_network("203.0.113.9/32"), 3, end, "PROBE_PATH")]
    assert not found.left_out


def test_an_ipv6_client_is_its_64():
    """It may take any address of it."""
    assert networks({"client_ip": "2001:db8:0:1::5"})[0] == ["2001:db8:0:1::/64"]


def test_an_address_inside_an_address_does_not_widen():
    """A 6to4 client has the prefix of its IPv4 address, which a whole /24 shares: its own /64 is listed."""
    decisions, sessions = tables({"client_ip": "2002:cb00:7109::1"})
    found = block_list(decisions, sessions.assign(ip_prefix="203.0.113.0/24"), at=NOW)
    assert [str(entry.network) for entry in found.entries] == ["2002:cb00:7109::/64"]


def test_a_prefix_is_the_prefix():
    """If that is what was decided."""
    assert networks({"scope": "prefix"})[0] == ["203.0.113.0/24"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"verdict": "challenge"}, "milder"),
        ({"hours": 0.0}, "expired"),
        ({"hours": -1.0}, "expired"),
        ({"scope": "user"}, "scope"),
        ({"scope": "profile"}, "scope"),
        ({"client_ip": None}, "no_address"),
        ({"client_ip": "not an address"}, "no_address"),
        ({"client_ip": "127.0.0.1"}, "internal"),
        ({"client_ip": "169.254.1.1"}, "internal"),
        ({"client_ip": "10.1.2.3"}, "internal"),
        ({"client_ip": "224.0.0.1"}, "internal"),
        ({"client_ip": "fe80::1"}, "internal"),
        ({"client_ip": "fd00::1"}, "internal"),
        ({"client_ip": "64:ff9b::1"}, "internal"),
        ({"client_ip": "::1"}, "internal"),
    ],
)
def test_what_is_left_out_is_counted(row, reason):
    """With its reason; an allowed session is nothing to leave out."""
    assert networks(row) == ([], {reason: 1})


def test_allowed_sessions_are_not_left_out():
    """They never were candidates."""
    assert networks({"verdict": "allow"}) == ([], {})


def test_private_networks_are_listed_if_asked_for():
    """An intranet has attackers too; the machine itself is none."""
    rules = ListRules(internal=True)
    assert networks({"client_ip": "10.1.2.3"}, {"client_ip": "127.0.0.1"}, rules=rules) == (
        ["10.1.2.3/32"],
        {"internal": 1},
    )


def test_allow_lists_always_win():
    """A whole address, an address inside a denied prefix, a prefix around an address."""
    rules = ListRules(allow=["203.0.113.9"])
    assert networks({}, rules=rules) == ([], {"allowed": 1})
    held, _ = networks({"scope": "prefix"}, rules=rules)
    assert sum(ip_network(net).num_addresses for net in held) == 255
    assert not any(ip_address("203.0.113.9") in ip_network(net) for net in held)
    assert networks({}, rules=ListRules(allow=["203.0.112.0/20"])) == ([], {"allowed": 1})
    assert networks({"client_ip": "2001:db8::7"}, rules=ListRules(allow=["2001:db8::/32"])) == ([], {"allowed": 1})


def test_a_shared_address_is_left_out():
    """Three people and one attacker behind one address: the address stays open, and rules can say otherwise."""
    rows = [{}, *[{"verdict": "allow"}] * 3]
    assert networks(*rows) == ([], {"shared": 1})
    assert networks(*rows, rules=ListRules(most_bystanders=0.75))[0] == ["203.0.113.9/32"]
    assert networks({}, {"verdict": "allow"})[0] == ["203.0.113.9/32"]


def test_the_neighbours_of_a_prefix_count_too():
    """For a denied prefix every session of it is a bystander."""
    rows = [{"scope": "prefix"}, *[{"verdict": "allow", "client_ip": "203.0.113.77"}] * 3]
    assert networks(*rows) == ([], {"shared": 1})


def test_the_hardest_verdict_and_the_latest_end_hold():
    """Of one address twice; and of a prefix around it, which is cut around the address."""
    found = block_list(
        *tables({"hours": 1.0}, {"hours": 3.0, "codes": ["LATER"]}, {"verdict": "challenge", "hours": 9.0}),
        CHALLENGED,
        at=NOW,
    )
    assert found.entries == [Entry(ip_network("203.0.113.9/32"), 3, int(NOW.timestamp()) + 3 * 3600, "LATER")]
    wide = {"verdict": "challenge", "scope": "prefix", "hours": 9.0}
    by_level = Counter()
    for entry in block_list(*tables({}, wide), CHALLENGED, at=NOW).entries:
        by_level[entry.level] += entry.network.num_addresses
    assert by_level == {3: 1, 2: 255}


def test_neighbours_become_one():
    """Both halves of a /31 at once; what differs in its end stays apart where ends are written."""
    rows = [{"client_ip": "203.0.113.8"}, {"client_ip": "203.0.113.9", "hours": 2.0}]
    found = block_list(*tables(*rows), at=NOW)
    assert len(found.entries) == 2
    assert EXPORTS["cidr"].render(found) == "203.0.113.8/31\n"


@st.composite
def nets(draw):
    """Nets of one /27, or of one IPv6 /123, so that they overlap and touch."""
    version = draw(st.sampled_from([4, 6]))
    base, size = (ip_address("203.0.113.0"), 32) if version == 4 else (ip_address("2001:db8::"), 128)
    length = draw(st.integers(size - 5, size))
    return ip_network(f"{base + draw(st.integers(0, 31))}/{length}", strict=False)


@given(
    st.lists(st.builds(Entry, nets(), st.integers(1, 3), st.integers(1, 3), st.sampled_from("AB")), max_size=12),
    st.lists(nets(), max_size=3),
)
def test_disjoint_equals_asking_for_each_address(entries, allowed):
    """And no two networks overlap."""
    found = disjoint(entries, allowed)
    for i, one in enumerate(found):
        assert not any(
            one.network.version == other.network.version and one.network.overlaps(other.network)
            for other in found[i + 1 :]
        )
    for start in ("203.0.113.0", "2001:db8::"):
        for address in (ip_address(start) + i for i in range(32)):
            own = [(entry.level, entry.expires) for entry in found if address in entry.network]
            expected = verdict_of(address, entries, allowed)
            assert own == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_least": "allow"}, "at_least knows observe, challenge, deny"),
        ({"most_bystanders": 1.5}, "a share from 0 to 1"),
        ({"allow": ["203.0.113.1", "nonsense"]}, r"allow\[1\] is not an address"),
    ],
)
def test_bad_rules_are_named(options, message):
    """Before anything is listed."""
    with pytest.raises(ConfigError, match=message):
        ListRules(**options)


def test_tables_must_be_tables():
    """A missing column and an unknown verdict are named."""
    decisions, sessions = tables({}, {})
    with pytest.raises(SchemaError, match="lacks the column expires"):
        block_list(decisions.drop(columns="expires"), sessions, at=NOW)
    with pytest.raises(SchemaError, match="row 1 has an unknown verdict"):
        block_list(decisions.assign(verdict=["deny", "ban\n"]), sessions, at=NOW)
    found = block_list(decisions, sessions.iloc[:1], at=NOW)
    assert dict(found.left_out) == {"no_session": 1}


def test_records_say_what_they_hold_for():
    """A network for sessions and prefixes, an account, a profile; what is allowed or over is none."""
    rows = [
        {"codes": ["A", "B"]},
        {"scope": "user", "user": "ann", "verdict": "challenge"},
        {"scope": "profile", "profile": "Linux, Firefox, en"},
        {"scope": "prefix", "client_ip": "198.51.100.7"},
        {"client_ip": "192.0.2.1"},
        {"verdict": "observe"},
        {"hours": -1.0},
    ]
    records = decision_records(*tables(*rows), ListRules(at_least="challenge", allow=["192.0.2.0/24"]), at=NOW)
    told = [(r["scope"], r["network"], r["user"], r["profile"]) for r in records]
    assert told == [
        ("session", "203.0.113.9/32", None, None),
        ("user", None, "ann", None),
        ("profile", None, None, "Linux, Firefox, en"),
        ("prefix", "198.51.100.0/24", None, None),
    ]
    assert records[0] == {
        "session_id": "s0", "verdict": "deny", "scope": "session", "network": "203.0.113.9/32", "user": None,
        "profile": None, "expires": "2026-01-01T12:00:00Z", "reasons": ["A", "B"],
    }  # fmt: skip


# --- nothing a client wrote reaches a list ---

_NET = r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]+)(?:/\d{1,3})?"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
_NOTE = rf"# fraudlog, as of {_TIME}: \d+ networks"
_WORD, _VERDICT = r"\w{1,64}", "(?:observe|challenge|deny)"
GRAMMAR = {
    "nginx-geo": rf"{_NOTE}|geo \$fraudlog_verdict {{|    default allow;|    {_NET} {_VERDICT};|}}",
    "nginx-deny": rf"{_NOTE}|deny {_NET};",
    "nftables": rf"{_NOTE}|add table inet fraudlog|add set inet fraudlog blocked[46] {{ type ipv[46]_addr; flags "
    rf"interval, timeout; }}|flush set inet fraudlog blocked[46]|"
    rf"add element inet fraudlog blocked[46] {{|    {_NET} timeout \d+s,|}}",
    "haproxy-map": rf"{_NOTE}|{_NET} {_VERDICT}",
    "crowdsec-json": rf'\[\]?|\]| \{{| \}},?|  "duration": "\d+s",|  "reason": "fraudlog/{_WORD}",|'
    rf'  "scope": "(?:Ip|Range)",|  "type": "(?:ban|captcha|throttle)",|  "value": "{_NET}"',
    "crowdsec-csv": rf"duration,reason,scope,type,value|\d+s,fraudlog/{_WORD},(?:Ip|Range),(?:ban|captcha|throttle),"
    rf"{_NET}",
    "fail2ban-log": rf"{_TIME} fraudlog: {_VERDICT} {_NET} for \d+ s: {_WORD}",
    "cidr": _NET,
    "csv": rf"network,verdict,expires,reason|{_NET},{_VERDICT},{_TIME},{_WORD}",
}


def test_every_format_has_a_grammar():
    """A new row of the table is held to the same."""
    assert GRAMMAR.keys() == EXPORTS.keys()


_hostile = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["203.0.113.9; deny all;", "203.0.113.9/24\ndeny 0.0.0.0/0;", "::/0", "0.0.0.0/0", "1.2.3.4/", "} }", "$(id)",
         "=cmd|' /C calc'!A0", '"]}', "203.0.113.9%0a", "2001:db8::1%eth0; drop", "203.0.113.9\r\n", "1e3", "008.1.1.1"]
    ),
)  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "client_ip": st.one_of(st.none(), _hostile, st.ip_addresses().map(str)),
                "scope": st.sampled_from(["session", "prefix", "user"]),
                "verdict": st.sampled_from(["observe", "challenge", "deny"]),
                "codes": st.lists(_hostile, max_size=2),
                "user": _hostile,
                "profile": _hostile,
                "user_agent": _hostile,
                "hours": st.floats(0.0002, 10_000),
            }
        ),
        max_size=5,
    )
)
def test_no_text_gets_out_of_its_place(rows):
    """Whatever stands in a table, each line of each format has the form such lines have, in ASCII."""
    found = block_list(*tables(*rows), ListRules(at_least="observe", most_bystanders=1), at=NOW)
    for name, export in EXPORTS.items():
        text = export.render(found)
        assert text.isascii()
        for line in text.split("\n")[:-1]:
            assert re.fullmatch(GRAMMAR[name], line), (name, line)


def test_ten_thousand_planted_victims_are_on_no_list(tmp_path):
    """Attackers write other people's addresses wherever a client can write; none is exported, in any format."""
    draw = np.random.default_rng(8)
    victims = [f"198.18.{i // 250}.{i % 250 + 1}" for i in range(10_000)]
    attackers = [f"203.0.113.{i}" for i in range(1, 201)]
    path = tmp_path / "access.log"
    path.write_text(_planted(victims, attackers, draw))
    log = fl.read_log(path, _FORMAT, trusted_proxies=["192.0.2.1"])
    assert log.summary.events >= 10_000
    sessions = fl.build_sessions(log.table)
    decisions = pd.DataFrame(
        {
            "session_id": sessions["session_id"],
            "verdict": "deny",
            "scope": np.where(np.arange(len(sessions)) % 5, "session", "prefix"),
            "expires": sessions["end"] + pd.Timedelta("1h"),
            "reasons": [[] for _ in range(len(sessions))],
        }
    )
    at = sessions["end"].max()
    found = block_list(decisions, sessions, ListRules(at_least="observe"), at=at)
    assert found.entries
    planted = ip_network("198.18.0.0/15")
    assert not any(entry.network.version == 4 and entry.network.overlaps(planted) for entry in found.entries)
    assert all(ip_network("203.0.113.0/24").supernet_of(entry.network) for entry in found.entries)
    for export in EXPORTS.values():
        assert not re.search(r"198\.1[89]\.", export.render(found)), export.name
    records = decision_records(decisions, sessions, at=at)
    assert records
    assert not any(record["network"].startswith("198.1") for record in records)


_FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
    '"$http_x_forwarded_for"'
)


def _planted(victims, attackers, draw):
    """Return log lines, one a victim: in the path, the query, the user, the referrer, the agent, the forged header."""
    lines = []
    for i, victim in enumerate(victims):
        attacker = attackers[int(draw.integers(len(attackers)))]
        through_proxy = i % 3 == 0
        place = i % 7
        path = f"/{victim}/wp-login.php" if place == 0 else f"/x?ip={victim}" if place == 1 else "/.env"
        user = victim if place == 2 else "-"
        referrer = f"http://{victim}/" if place == 3 else "-"
        agent = f"curl/8 ({victim}; deny {victim}/8;)" if place == 4 else f"bot{i % 50}"
        forged = f"{victim}, " if place >= 5 or i % 2 else ""
        header = forged + attacker if through_proxy else (forged.rstrip(", ") or "-")
        peer = "192.0.2.1" if through_proxy else attacker
        second = f"{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}"
        request = f'"GET {path} HTTP/1.1" 404 0 "{referrer}" "{agent}" "{header}"'
        lines.append(f"{peer} - {user} [01/Jan/2026:{second} +0000] {request}")
    return "\n".join(lines) + "\n"
