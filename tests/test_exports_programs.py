"""Each list is taken by the program it is for: nginx, nft, HAProxy, CrowdSec, fail2ban; as the docs say to use it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from contextlib import closing

import pytest

from conftest import ROOT
from exports_support import NOW, program, tables
from fraudlog.deciding.exports import EXPORTS, ListRules, block_list

PAGE = (ROOT / "docs" / "exports.md").read_text("utf-8")


def snippet(language):
    """Return the block of the docs in one language."""
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command, **options):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=60, **options
    )


@pytest.fixture
def found():
    """A list with both families, single addresses, networks, neighbours with other ends, both verdicts."""
    rows = [
        {"client_ip": "203.0.113.9"},
        {"client_ip": "203.0.113.10", "hours": 2.5},
        {"client_ip": "198.51.100.7", "scope": "prefix"},
        {"client_ip": "198.51.100.7", "hours": 7.0},
        {"client_ip": "192.0.2.1", "verdict": "challenge"},
        {"client_ip": "2001:db8::1"},
        {"client_ip": "2001:db8:0:1::1", "verdict": "challenge", "hours": 0.001},
    ]
    return block_list(*tables(*rows), ListRules(at_least="challenge"), at=NOW)


@pytest.fixture(scope="module")
def many():
    """Ten thousand addresses."""
    rows = [{"client_ip": f"203.{i // 250}.113.{i % 250}", "hours": 1 + i % 3} for i in range(10_000)]
    return block_list(*tables(*rows), at=NOW)


@pytest.mark.parametrize("name", ["nginx-geo", "nginx-deny"])
def test_nginx_takes_it(tmp_path, found, many, name):
    """`nginx -t` on the configuration of the docs, with a short, a long and an empty list."""
    nginx = program("nginx")
    empty = block_list(*tables({"verdict": "allow"}), at=NOW)
    for listed in (found, many, empty):
        (tmp_path / "fraudlog-geo.conf").write_text(EXPORTS[name].render(listed))
        inner = snippet("nginx") if name == "nginx-geo" else "include fraudlog-geo.conf;"
        (tmp_path / "nginx.conf").write_text(
            f"events {{}}\npid {tmp_path}/pid;\nhttp {{\naccess_log off;\n{inner}\n}}\n"
        )
        done = run(nginx, "-t", "-e", tmp_path / "error.log", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
        assert done.returncode == 0, done.stderr
        assert "warn" not in done.stderr


def test_nginx_acts_on_it(tmp_path):
    """A running nginx refuses the denied network and shows the challenged one; all others pass."""
    nginx, port = program("nginx"), free_port()
    rows = [{"client_ip": "203.0.113.9"}, {"client_ip": "2001:db8::1", "verdict": "challenge"}]
    (tmp_path / "fraudlog-geo.conf").write_text(
        EXPORTS["nginx-geo"].render(block_list(*tables(*rows), ListRules(at_least="challenge"), at=NOW))
    )
    believe = "set_real_ip_from 127.0.0.1; real_ip_header X-Client;"
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; events {{}}\npid {tmp_path}/pid;\nhttp {{ access_log off; {believe}\n"
        + snippet("nginx").replace("8080", str(port))
        + "}\n"
    )
    server = subprocess.Popen(
        [nginx, "-e", str(tmp_path / "error.log"), "-p", str(tmp_path), "-c", tmp_path / "nginx.conf"]
    )
    try:
        assert ask(port, "203.0.113.9") == (403, None)
        assert ask(port, "203.0.113.10") == (200, "allow")
        assert ask(port, "2001:db8::77") == (200, "challenge")
    finally:
        server.terminate()
        server.wait(10)


def ask(port, client):
    """Return status and verdict; waits for the server to come up."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"X-Client": client})
    for _ in range(100):
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 -- our own server
                return answer.status, answer.headers["X-Verdict"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None
        except urllib.error.URLError:
            time.sleep(0.05)
    raise AssertionError("the server did not come up")


def test_nftables_takes_it(tmp_path, found, many):
    """`nft -c` on the list twice over, and on the docs' chain with it."""
    nft = program("nft")
    if run(nft, "-c", "add table inet fraudlog_probe").returncode:
        pytest.skip("nft may not ask the kernel here")
    for listed in (found, many, block_list(*tables({"verdict": "allow"}), at=NOW)):
        text = EXPORTS["nftables"].render(listed)
        (tmp_path / "all.nft").write_text(text + snippet("nft") + text)
        done = run(nft, "-c", "-f", tmp_path / "all.nft")
        assert done.returncode == 0, done.stderr[:2000]
    broken = EXPORTS["nftables"].render(found).replace("203.0.113.9", "203.0.113.999")
    (tmp_path / "broken.nft").write_text(broken)
    assert run(nft, "-c", "-f", tmp_path / "broken.nft").returncode != 0


def test_haproxy_takes_it(tmp_path, found, many):
    """`haproxy -c` on the configuration of the docs, which loads the map."""
    haproxy = program("haproxy")
    for listed in (found, many):
        (tmp_path / "fraudlog.map").write_text(EXPORTS["haproxy-map"].render(listed))
        times = "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"
        (tmp_path / "haproxy.cfg").write_text(times + snippet("haproxy") + "backend app\n server a 127.0.0.1:1\n")
        done = run(haproxy, "-c", "-f", "haproxy.cfg", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "fraudlog.map").write_text("203.0.113.999 deny\n")
    assert run(haproxy, "-c", "-f", "haproxy.cfg", cwd=tmp_path).returncode != 0


def test_fail2ban_finds_every_line(tmp_path, found):
    """`fail2ban-regex` with the docs' filter: each line matches, each with its network."""
    matcher = program("fail2ban-regex")
    (tmp_path / "filter.conf").write_text(snippet("ini"))
    text = EXPORTS["fail2ban-log"].render(found)
    (tmp_path / "fraudlog.log").write_text(text + "2026-01-01T11:00:00Z fraudlog: deny nobody for 1 s: X\n")
    done = run(matcher, "--print-all-matched", "-o", "row", tmp_path / "fraudlog.log", tmp_path / "filter.conf")
    rows = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(rows) == len(found.entries), done.stdout + done.stderr
    for entry, row in zip(found.entries, rows, strict=True):
        assert str(entry.network.network_address) in row


def test_other_readers_of_the_plain_ones(found):
    """What csv and json read is what was listed."""
    rows = list(csv.DictReader(io.StringIO(EXPORTS["csv"].render(found))))
    assert [row["network"] for row in rows] == [str(entry.network) for entry in found.entries]
    as_json = json.loads(EXPORTS["crowdsec-json"].render(found))
    assert as_json == list(csv.DictReader(io.StringIO(EXPORTS["crowdsec-csv"].render(found))))


# --- CrowdSec: a local API of our own, on a free port, in a folder of the test ---

_CROWDSEC = """
common: {{daemonize: false, log_media: stdout, log_level: warning, working_dir: .}}
config_paths:
  config_dir: {home}/
  data_dir: {home}/data/
  simulation_path: {home}/simulation.yaml
  hub_dir: {home}/hub/
  index_path: {home}/hub/.index.json
  notification_dir: {home}/notifications/
  plugin_dir: {home}/plugins/
cscli: {{output: human}}
db_config: {{log_level: warning, type: sqlite, db_path: {home}/data/crowdsec.db, use_wal: true}}
api:
  client: {{credentials_path: {home}/credentials.yaml}}
  server: {{log_level: warning, listen_uri: "127.0.0.1:{port}", profiles_path: {home}/profiles.yaml}}
prometheus: {{enabled: false}}
"""
_PROFILE = """name: ban
filters: [Alert.Remediation == true]
decisions: [{type: ban, duration: 4h}]
on_success: break
"""


@pytest.fixture
def cscli(tmp_path):
    """`cscli` on a running CrowdSec of the test's own."""
    tool, daemon, port = program("cscli"), program("crowdsec"), free_port()
    for name in ("data", "hub", "notifications", "plugins"):
        (tmp_path / name).mkdir()
    (tmp_path / "hub" / ".index.json").write_text("{}")
    (tmp_path / "simulation.yaml").write_text("simulation: off\n")
    (tmp_path / "profiles.yaml").write_text(_PROFILE)
    (tmp_path / "credentials.yaml").write_text("")
    config = tmp_path / "config.yaml"
    config.write_text(_CROWDSEC.format(home=tmp_path, port=port))
    added = run(tool, "-c", config, "machines", "add", "-a", "--force")
    assert added.returncode == 0, added.stderr
    server = subprocess.Popen(
        [daemon, "-c", str(config), "-no-cs"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"HOME": str(tmp_path)},
    )  # fmt: skip
    try:
        for _ in range(200):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield lambda *arguments: run(tool, "-c", config, *arguments)
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.parametrize("name", ["crowdsec-json", "crowdsec-csv"])
def test_crowdsec_imports_it(tmp_path, cscli, found, name):
    """`cscli decisions import`, then the list of its decisions: all of them, with type, reason and an end."""
    path = tmp_path / f"list.{name.rpartition('-')[2]}"
    path.write_text(EXPORTS[name].render(found))
    done = cscli("decisions", "import", "-i", path)
    assert done.returncode == 0, done.stderr
    alerts = json.loads(cscli("decisions", "list", "-a", "-o", "json").stdout)
    held = {decision["value"]: decision for alert in alerts for decision in alert["decisions"]}
    expected = {row["value"]: row for row in json.loads(EXPORTS["crowdsec-json"].render(found))}
    assert held.keys() == expected.keys()
    for value, decision in held.items():
        assert decision["type"] == expected[value]["type"]
        assert decision["scenario"] == expected[value]["reason"] == "fraudlog/PROBE_PATH"
        assert not decision["duration"].startswith("-")
    assert held["203.0.113.10"]["duration"].startswith("2h29m")
