"""The way back from pseudonyms: with the right key, written down first, and no further than asked."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as Receiver
from typer.testing import CliRunner

import fraudlog as fl
from exports_support import NOW, tables
from fraudlog.cli import app
from fraudlog.deciding.exports import ListRules, block_list, decision_records, mark_of
from fraudlog.enriching import Shield
from fraudlog.errors import ConfigError, OutputError, SchemaError
from fraudlog.privacy import Chain, Pseudonyms, Reidentifier
from fraudlog.reporting import read_tables, staged, write_tables
from fraudlog.schema import SESSIONS, column_names
from test_webhook import SECRET, receiving

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def reidentifier(trail, key=KEY):
    return Reidentifier(Pseudonyms(key), "a test", trail.append)


@given(st.lists(st.ip_addresses(), max_size=20), st.integers(8, 64))
def test_what_was_hidden_comes_back(addresses, length):
    """Addresses and networks of any length."""
    names = Pseudonyms(KEY)
    plain = [str(getattr(address, "ipv4_mapped", None) or address) for address in addresses]
    networks = [str(ip_network(f"{text}/{min(length, 32)}", strict=False)) for text in plain]
    trail = []
    reveal = reidentifier(trail)
    assert reveal(names.addresses(plain)) == plain
    assert reveal(names.addresses(networks)) == networks
    assert [record["values"] for record in trail] == [len(plain)] * 2


def test_the_record_comes_first():
    """If it can't be kept, nothing is turned back."""

    def full_disk(_record):
        raise OutputError("no space")

    with pytest.raises(OutputError):
        Reidentifier(Pseudonyms(KEY), "a test", full_disk)(Pseudonyms(KEY).addresses(["203.0.113.9"]))


def test_no_address_is_no_secret_either():
    """A damaged table is named by its row."""
    with pytest.raises(SchemaError, match="value 1 to turn back is no address") as caught:
        reidentifier([])(["203.0.113.9", "drop table"])
    assert "drop" not in str(caught.value)


@pytest.fixture
def folder(tmp_path):
    """Tables as `fraudlog score` writes them: one address denied, one challenged, one allowed, one IPv6 prefix."""
    rows = [
        {"client_ip": "203.0.113.9"},
        {"client_ip": "203.0.113.200", "verdict": "challenge"},
        {"client_ip": "203.0.113.77", "verdict": "allow"},
        {"client_ip": "2001:db8::1", "scope": "prefix"},
        {"client_ip": "198.51.100.1", "scope": "user", "user": "ann"},
    ]
    decisions, sessions = tables(*rows)
    decisions["policy_version"], decisions["collateral"] = "x", 0
    sessions = sessions.reindex(columns=column_names(SESSIONS)).assign(start=NOW, end=NOW, first_line=1, piece=0)
    with staged(tmp_path / "scored") as draft:
        write_tables(draft, {"sessions": sessions, "decisions": decisions}, {"fraudlog": "0"}, Pseudonyms(KEY))
    return tmp_path / "scored"


def test_tables_of_a_disk_say_that_they_hold_pseudonyms(folder):
    """To fraudlog and to pandas; without the key they are refused, since a pseudonym looks like an address."""
    read, _ = read_tables(folder, "sessions", "decisions")
    by_pandas = pd.read_parquet(folder / "sessions.parquet")
    assert mark_of(read["sessions"]) == mark_of(by_pandas) == Pseudonyms(KEY).key_id
    for sessions in (read["sessions"], by_pandas, by_pandas.query("piece == 0").copy()):
        for export in (block_list, decision_records):
            with pytest.raises(ConfigError, match="hold pseudonyms, not addresses"):
                export(read["decisions"], sessions, at=NOW)


def test_a_log_read_with_a_shield_says_so_too(tmp_path):
    """The note goes from the reader through sessions to the list; a frame that was filtered keeps it."""
    path = tmp_path / "a.log"
    path.write_text('203.0.113.9 - - [01/Jan/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 0 "-" "x"\n' * 3)
    log = fl.read_log(path, privacy=Shield(KEY))
    decisions, _ = tables({})
    for events in (log.table, log.events, log.events.query("status == 404")):
        sessions = fl.build_sessions(events)
        assert mark_of(sessions) == Pseudonyms(KEY).key_id
        decided = decisions.assign(session_id=sessions["session_id"])
        with pytest.raises(ConfigError, match="hold pseudonyms"):
            block_list(decided, sessions, at=NOW)
        found = block_list(decided, sessions, at=NOW, reveal=reidentifier([]))
        assert [str(entry.network) for entry in found.entries] == ["203.0.113.9/32"]
    assert mark_of(fl.build_sessions(fl.read_log(path).table)) is None


def test_another_key_is_refused(folder):
    """Its answers would be addresses of people who did nothing; plain tables are refused as well."""
    read, _ = read_tables(folder, "sessions", "decisions")
    trail = []
    with pytest.raises(ConfigError, match="not the one these tables were written with"):
        block_list(read["decisions"], read["sessions"], at=NOW, reveal=reidentifier(trail, OTHER))
    with pytest.raises(ConfigError, match="not the one these tables were written with"):
        block_list(*tables({}), at=NOW, reveal=reidentifier(trail))
    assert trail == []


def test_only_what_is_listed_is_turned_back(folder):
    """Two places of five sessions, and one record of it."""
    read, _ = read_tables(folder, "sessions", "decisions")
    trail = []
    found = block_list(read["decisions"], read["sessions"], at=NOW, reveal=reidentifier(trail))
    assert [str(entry.network) for entry in found.entries] == ["203.0.113.9/32", "2001:db8::/64"]
    assert [(record["event"], record["values"]) for record in trail] == [("reidentify", 2)]
    assert not any(character in json.dumps(trail) for character in ("203.0", "2001:db8"))


def test_allow_lists_are_of_real_addresses(folder):
    """They win over what the pseudonyms turn out to be."""
    read, _ = read_tables(folder, "sessions", "decisions")
    rules = ListRules(allow=["203.0.113.0/24", "2001:db8::7"])
    found = block_list(read["decisions"], read["sessions"], rules, at=NOW, reveal=reidentifier([]))
    assert all(ip_address("2001:db8::7") not in entry.network for entry in found.entries)
    assert all(entry.network.version == 6 for entry in found.entries)


def test_accounts_stay_tokens(folder):
    """A program that knows its accounts makes the same token of them."""
    read, _ = read_tables(folder, "sessions", "decisions")
    records = decision_records(read["decisions"], read["sessions"], at=NOW, reveal=reidentifier([]))
    assert [record["user"] for record in records if record["scope"] == "user"] == Pseudonyms(KEY).tokens(
        ["ann"], "user"
    )


# --- the command ---


def run(*arguments, key=KEY, **variables):
    env = {"FRAUDLOG_KEY": key.hex(), **variables} if key else variables
    return CliRunner().invoke(app, ["export", *map(str, arguments)], env=env)


AT = ("--at", "2026-01-01T11:00:00")


def test_export_writes_a_list_and_a_trail(folder, tmp_path):
    """The list in one step, for its owner's eyes; the trail in the folder."""
    out = tmp_path / "nginx" / "geo.conf"
    done = run(folder, "--as", "nginx-geo", "--out", out, *AT)
    assert done.exit_code == 0, done.output
    assert "    203.0.113.9/32 deny;\n    2001:db8::/64 deny;\n" in out.read_text()
    assert "    203.0.113.200/32 challenge;\n" in out.read_text()
    assert "1 decisions left out: the verdict holds for an account" in done.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in out.parent.iterdir()] == ["geo.conf"]
    trail = Chain(folder / "audit.jsonl")
    assert [(record["purpose"], record["values"]) for record in trail.entries()] == [("export as nginx-geo", 3)]
    assert trail.verify().is_whole
    out.chmod(0o640)
    assert run(folder, "--as", "nginx-geo", "--out", out, "--at", "2027-01-01").exit_code == 0
    assert "deny" not in out.read_text()
    assert out.stat().st_mode & 0o777 == 0o640


def test_export_heeds_an_allow_file(folder, tmp_path):
    """With comments; and options add to it."""
    (tmp_path / "partners.txt").write_text("# ours\n203.0.113.9  # the office\n\n")
    done = run(folder, "--as", "cidr", "--allow-file", tmp_path / "partners.txt", "--allow", "2001:db8::/32", *AT)
    assert done.stdout == ""
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--as", "iptables"), "--as knows nginx-geo"),
        (("--as", "cidr", "--verdict", "allow"), "at_least knows"),
        (("--as", "cidr", "--allow", "me"), r"allow\[0\]"),
        (("--as", "cidr", "--allow-file", "/nonexistent"), "can't be read"),
        (("--as", "webhook"), "needs --url"),
    ],
)
def test_wrong_options_are_named(folder, arguments, message):
    """With exit code 2."""
    done = run(folder, *arguments)
    assert isinstance(done.exception, ConfigError)
    assert done.exception.exit_code == 2
    with pytest.raises(ConfigError, match=message):
        raise done.exception


def test_export_makes_no_key(folder, tmp_path):
    """A new one turns nothing back, and another one is refused."""
    done = run(folder, "--as", "cidr", "--key-file", tmp_path / "nokey", key=None, FRAUDLOG_KEY=None)
    assert isinstance(done.exception, ConfigError)
    assert not (tmp_path / "nokey").exists()
    assert "not the one" in str(run(folder, "--as", "cidr", key=OTHER).exception)


@pytest.mark.parametrize("ip_mode", ["truncate", "opaque", "drop"])
def test_what_was_not_encrypted_is_not_decrypted(tmp_path, ip_mode):
    """A cut-off address would decrypt to that of a stranger: the tables say how they were made."""
    decisions, sessions = tables({"scope": "prefix"})
    decisions["policy_version"], decisions["collateral"] = "x", 0
    sessions = sessions.assign(start=NOW, end=NOW, first_line=1, piece=0)
    names = Pseudonyms(KEY, ip_mode)
    with staged(tmp_path / "scored") as draft:
        write_tables(draft, {"sessions": sessions, "decisions": decisions}, {}, names)
    done = run(tmp_path / "scored", "--as", "cidr", *AT)
    assert done.stdout == ""
    assert f"written with ip_mode {ip_mode}" in str(done.exception)
    path = tmp_path / "a.log"
    path.write_text('203.0.113.9 - - [01/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 404 0 "-" "x"\n')
    in_memory = fl.build_sessions(fl.read_log(path, privacy=Shield(names)).table)
    for reveal in (None, reidentifier([])):
        with pytest.raises(ConfigError):
            block_list(decisions.assign(session_id=in_memory["session_id"]), in_memory, at=NOW, reveal=reveal)


def test_export_calls_a_webhook(folder):
    """The decisions that hold, with real networks, signed; the trail has its line."""
    with receiving((200, {})) as (url, got):
        done = run(folder, "--as", "webhook", "--url", url, *AT, FRAUDLOG_WEBHOOK_SECRET=SECRET)
    assert done.exit_code == 0, done.output
    ((_, headers, body),) = got
    data = Receiver(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})["data"]
    assert [(r["scope"], r["network"]) for r in data] == [
        ("session", "203.0.113.9/32"),
        ("session", "203.0.113.200/32"),
        ("prefix", "2001:db8::/64"),
        ("user", None),
    ]
    assert Chain(folder / "audit.jsonl").entries()[0]["values"] == 3


def test_export_finds_the_epoch_of_the_key(folder):
    """Tables of an older epoch are turned back with its key, which the ring still holds."""
    ring = f"1 {KEY.hex()},2 {OTHER.hex()}"
    done = run(folder, "--as", "cidr", *AT, key=None, FRAUDLOG_KEY=ring)
    assert done.stdout == "203.0.113.9/32\n2001:db8::/64\n"


def test_without_a_trail_nothing_is_turned_back(folder):
    """The file can't be written: here, because a folder stands in its place."""
    (folder / "audit.jsonl").mkdir()
    done = run(folder, "--as", "cidr", *AT)
    assert isinstance(done.exception, OutputError)
    assert done.stdout == ""


def test_export_lists_its_formats(folder):
    """Without `--as`."""
    assert "nginx-deny     nginx: deny lines" in run(folder).stdout


def test_a_folder_without_the_note_is_refused(folder):
    """Written by something else: whose pseudonyms, if any, can't be known."""
    path = folder / "sessions.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({}), path)
    assert "not the one these tables" in str(run(folder, "--as", "cidr").exception)
