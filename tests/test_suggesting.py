"""Endpoint maps proposed from a log: assets without an extension, precision on real logs, the file, the verb."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fraudlog as fl
from conftest import SAMPLE, make_events, shared_data
from fraudlog.enriching import EndpointMap, read_endpoint
from fraudlog.enriching.learning import AssetRule, learn_assets, looks_like_asset, path_traffic, template
from fraudlog.enriching.suggesting import TRAFFIC_RULES, suggest_endpoints, write_map
from fraudlog.errors import SchemaError
from test_cli import run

LABELS = Path(__file__).parent / "corpus" / "endpoints" / "shared_logs.jsonl"
LOGS = {"elastic": "logs/elastic_apache_logs.log", "advertools": "parser/advertools/nginx_access.log"}
SITE = "https://shop.example"


def _visits(people=8):
    """Visits to a page that loads three things without extension, then a click on another page that does the same."""
    rows = []
    for person in range(people):
        base = {"client_ip": f"198.51.100.{person}", "bytes_sent": 900}
        for at, page in ((0, "/start"), (40, "/offers")):
            when = {"at": person * 1000 + at}
            rows.append(base | when | {"path": page, "bytes_sent": 5000 + person})
            rows += [
                base | when | {"path": path, "referrer": f"{SITE}{page}", "at": person * 1000 + at + 1}
                for path in ("/theme", "/logo", "/bundle")
            ]
    return make_events(*rows)


def test_assets_without_extension_are_learnt_from_referrer_and_size():
    """Pages are not taken for assets, though they come from pages too."""
    assert sorted(learn_assets(_visits())) == ["/bundle", "/logo", "/theme"]


def test_what_varies_in_size_or_comes_from_nowhere_is_no_asset():
    """Both signs are needed."""
    events = _visits()
    varied = events.assign(bytes_sent=range(len(events)))
    assert learn_assets(varied) == []
    assert learn_assets(events.assign(referrer=None)) == []


def test_programs_do_not_teach_assets():
    """A crawler fetches assets too, but by its own plan."""
    assert learn_assets(_visits().assign(user_agent="SomeBot/1.0")) == []


def test_too_few_people_teach_nothing():
    """Two visitors may do anything."""
    assert learn_assets(_visits(people=2)) == []


def test_learnt_assets_enter_the_map():
    """The verdict "page" gives way."""
    endpoints = EndpointMap(assets=learn_assets(_visits()))
    assert [endpoints.one(path) for path in ("/theme", "/start")] == ["asset", "page"]


@pytest.mark.parametrize("name", LOGS)
def test_learnt_assets_on_real_logs_are_those_the_extension_knows(name):
    """The learner never sees the extension; at least 0.8 of what it finds has one."""
    traffic = path_traffic(fl.read_log(shared_data(LOGS[name])).table)
    found = traffic.index[looks_like_asset(traffic, AssetRule())]
    right = sum(read_endpoint(path) == "asset" for path in found)
    assert len(found) >= 10
    assert right / len(found) >= 0.8, f"{right} of {len(found)}"


@pytest.mark.parametrize("name", LOGS)
def test_proposals_on_real_logs_are_precise(name):
    """Against labels read by a person: at least 0.8, over all and without the easy assets."""
    labels = [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]
    truth = {row["template"]: row["endpoint"] for row in labels if row["log"] == name}
    proposals = suggest_endpoints(fl.read_log(shared_data(LOGS[name])).table)
    known = proposals[proposals["template"].isin(truth)]
    assert len(known) >= 0.95 * len(proposals)
    for rows in (known, known[known["endpoint"] != "asset"]):
        assert (rows["template"].map(truth) == rows["endpoint"]).mean() >= 0.8


def _burst(path, count, **change):
    return [{"path": path, "at": number * 60} | change for number in range(count)]


SHOWN = {
    "probe": _burst("/old.asp", 4, status=404),
    "feed": _burst(
        "/neuigkeiten", 9, user_agent="Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)"
    ),
    "health": _burst("/lebt-noch", 40, user_agent="checker"),
    "login": [row | {"status": 401 if n % 2 else 302} for n, row in enumerate(_burst("/tuer", 12, method="POST"))],
    "api": _burst("/rechne", 12, method="POST"),
    "asset": None,
    "page": None,
}


@pytest.mark.parametrize("rule", TRAFFIC_RULES, ids=lambda rule: rule.endpoint)
def test_each_rule_fires_on_its_own_traffic(rule):
    """And the reason is given."""
    events = _visits() if SHOWN[rule.endpoint] is None else make_events(*SHOWN[rule.endpoint])
    found = suggest_endpoints(events)
    assert rule.why in set(found.loc[found["endpoint"] == rule.endpoint, "why"])


def test_an_ordinary_page_gets_no_odd_proposal():
    """A few people reading a page that leads nowhere say nothing about it."""
    found = suggest_endpoints(make_events(*_burst("/impressum", 5)))
    assert found.empty


def test_numbers_and_identifiers_become_one_template():
    """So that a map is of a site's kinds of page, and holds nobody's number."""
    rows = [row for order in range(5) for row in _burst(f"/orders/{order}/pay", 3)]
    found = suggest_endpoints(make_events(*rows))
    assert found[["template", "endpoint", "paths"]].to_numpy().tolist() == [["/orders/{n}/pay", "checkout", 5]]


def test_an_empty_log_gives_an_empty_table_and_a_lack_is_named():
    """Both are plain answers."""
    assert suggest_endpoints(make_events({}).iloc[:0]).empty
    with pytest.raises(SchemaError, match="path"):
        suggest_endpoints(pd.DataFrame({"client_ip": ["1.2.3.4"]}))


@given(st.lists(st.text(min_size=1, max_size=30).map(lambda text: f"/{text}"), min_size=1, max_size=5, unique=True))
def test_any_path_can_be_written_to_a_map_and_is_found_again(paths):
    """Quotes, controls and brackets included."""
    rows = [
        {"template": path, "endpoint": "api", "source": "traffic", "why": "because", "requests": 1} for path in paths
    ]
    written = write_map(pd.DataFrame(rows))
    patterns = tomllib.loads(written)["path"][0]["patterns"]
    endpoints = EndpointMap([{"endpoint": "api", "patterns": patterns}])
    plain = [path for path in paths if "{n}" not in path and "{id}" not in path and "\n" not in path]
    assert [endpoints.one(path) for path in plain] == ["api"] * len(plain)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/12/b", "/a/{n}/b"),
        ("/u/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/u/{id}"),
        ("/t/9f86d081884c7d65", "/t/{id}"),
        ("/talks/logstash-puppetconf-2013/", "/talks/logstash-puppetconf-2013/"),
        ("/facade", "/facade"),
    ],
)
def test_templates(path, expected):
    """Numbers and identifiers vary, names and years in names do not."""
    assert template(path) == expected


def test_the_verb_prints_a_table_and_writes_a_map(tmp_path):
    """And one JSON object when asked."""
    out = tmp_path / "map.toml"
    done = run("suggest-endpoints", SAMPLE, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "/robots.txt" in done.stdout
    assert EndpointMap.from_file(out).one("/robots.txt") == "robots"
    found = json.loads(run("suggest-endpoints", SAMPLE, "--json", "--fewest-requests", "100").stdout)
    assert {row["endpoint"] for row in found["proposals"]} >= {"asset", "page", "robots"}
    assert all(row["requests"] >= 100 for row in found["proposals"])
