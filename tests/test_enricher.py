"""The whole room: a table, a frame and single events say the same, and each distinct value is looked at once."""

from __future__ import annotations

import ipaddress
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fraudlog
from fraudlog.enriching import CrawlerVerifier, Enricher, GeoDatabase, NetworkLists, SiteMix, enrich, enrich_table
from fraudlog.enriching.distinct import FactTable, encode_once
from fraudlog.enriching.networks import NETWORK_COLUMNS
from fraudlog.errors import SchemaError
from fraudlog.schema import DERIVED, EVENTS, arrow_schema, column_names

GEO = Path(__file__).parent / "corpus" / "geo"
AGENTS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.5.0",
    "é",
]
EVENT = st.fixed_dictionaries(
    {
        "timestamp": st.none()
        | st.just(datetime(2026, 9, 1, 12, tzinfo=UTC))
        | st.just(datetime(2015, 5, 17, tzinfo=UTC)),
        "client_ip": st.none() | st.sampled_from(["66.249.66.1", "8.8.8.8", "::ffff:10.0.0.1", "2001:db8::1", "oops"]),
        "user": st.none() | st.sampled_from(["ann", "bob"]),
        "path": st.none() | st.sampled_from(["/", "/wp-login.php", "/.env", "/a.css"]),
        "status": st.none() | st.sampled_from([200, 404]),
        "query": st.none() | st.sampled_from(["s=x", "a=1"]),
        "user_agent": st.none() | st.sampled_from(AGENTS),
        "language": st.none() | st.sampled_from(["en-US,en;q=0.9", "de", "?"]),
        "ch_ua": st.none() | st.sampled_from(['"Chromium";v="140", "Google Chrome";v="140"', "broken("]),
        "ch_platform": st.none() | st.sampled_from(['"Windows"', '"Linux"']),
        "os": st.none() | st.just("Haiku"),
        "country": st.none() | st.just("NL"),
    }
)


def _table(events):
    schema = pa.schema([field for field in arrow_schema(EVENTS) if field.name in events[0]])
    return pa.Table.from_pylist(events, schema=schema)


def _enricher():
    mix = SiteMix()
    mix.browsers["Chrome"] = Counter({140: 30, 139: 10})
    mix.languages.update({"en": 30, "de": 2})
    mix.countries["NL"] = Counter({"en": 25, "nl": 9})
    return Enricher(
        networks=NetworkLists({"vpn": [ipaddress.ip_network("8.0.0.0/8")]}), mix=mix, records=("language", "ch_ua")
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=12))
def test_a_table_and_its_events_one_by_one_say_the_same(events):
    """A table and its events one by one say the same."""
    enricher = _enricher()
    table = enricher.table(_table(events))
    names = [name for name in column_names(DERIVED) if name in table.column_names]
    rows = table.select(names).to_pylist()
    for event, row in zip(events, rows, strict=True):
        found = enricher.event(event)
        assert {name: found.get(name) for name in names} == row


@settings(max_examples=30, deadline=None)
@given(st.lists(EVENT, min_size=2, max_size=12), st.integers(1, 11))
def test_batches_say_what_the_whole_table_says(events, cut):
    """Batches say what the whole table says."""
    enricher = _enricher()
    whole = enricher.table(_table(events))
    table = _table(events)
    parts = [enricher.table(part) for part in (table.slice(0, cut), table.slice(cut)) if len(part)]
    assert pa.concat_tables(parts).to_pylist() == whole.to_pylist()


def test_every_column_is_declared_with_its_type_meaning_and_privacy_class():
    """Every column is declared with its type meaning and privacy class."""
    table = _enricher().table(_table([dict.fromkeys(column_names(EVENTS))]))
    types = {field.name: field.type for field in arrow_schema(DERIVED)}
    derived = [name for name in table.column_names if name in types]
    assert set(derived) == set(types) - {"as_org"}  # a database brings the organisation
    for name in derived:
        assert table.schema.field(name).type == types[name], name


def test_each_distinct_value_is_looked_at_once():
    """Each distinct value is looked at once."""
    enricher = Enricher()
    rows = 5_000
    table = pa.table(
        {
            "user_agent": pa.array([AGENTS[row % 3] for row in range(rows)]),
            "language": pa.array([("en", "de", None)[row % 3] for row in range(rows)]),
            "client_ip": pa.array([f"198.51.100.{row % 7}" for row in range(rows)]),
            "path": pa.array([f"/{row % 11}" for row in range(rows)]),
        }
    )
    enricher.table(table)
    assert enricher.computed == {"user_agent": 3, "language": 2, "path": 11, "client_ip": 7, "hints": 0}
    enricher.table(table)
    found = enricher.computed
    assert (found["user_agent"], found["language"], found["path"]) == (3, 2, 11)


def test_a_frame_keeps_its_index_its_other_columns_and_itself():
    """A frame keeps its index its other columns and itself."""
    frame = pd.DataFrame({"user_agent": ["curl/8.5.0", None], "note": ["a", "b"]}, index=[7, 3])
    before = frame.copy()
    found = enrich(frame)
    assert list(found.index) == [7, 3]
    assert found["note"].tolist() == ["a", "b"]
    assert found["bot_name"].iloc[0] == "curl"
    assert pd.isna(found["is_automation"].iloc[1])
    pd.testing.assert_frame_equal(frame, before)


def test_a_device_logs_own_names_stand_where_the_agent_says_nothing():
    """A device logs own names stand where the agent says nothing."""
    table = pa.table(
        {"user_agent": ["é", AGENTS[0]], "os": ["Haiku", "Haiku"], "browser": ["WebPositive", "WebPositive"]}
    )
    found = enrich_table(table)
    assert found["os"].to_pylist() == ["Haiku", "Windows"]
    assert found["browser"].to_pylist() == ["WebPositive", "Chrome"]


def test_without_an_agent_a_device_log_keeps_its_columns():
    """Without an agent a device log keeps its columns."""
    found = enrich_table(pa.table({"os": ["Haiku"], "language": ["de_DE"]}))
    assert found["os"].to_pylist() == ["Haiku"]
    assert "is_automation" not in found.column_names
    assert found["language_region"].to_pylist() == ["DE"]


def test_a_language_is_absent_only_where_the_log_records_it():
    """A language is absent only where the log records it."""
    assert enrich_table(pa.table({"language": ["en", None]}))["is_language_absent"].to_pylist() == [False, True]
    nothing = pa.table({"language": pa.nulls(2, pa.string())})
    assert enrich_table(nothing)["is_language_absent"].to_pylist() == [None, None]
    assert Enricher(records=["language"]).table(nothing)["is_language_absent"].to_pylist() == [True, True]


def test_the_public_name_adds_what_the_table_has_the_inputs_of():
    """No agent column, no agent columns."""
    found = list(fraudlog.enrich(pd.DataFrame({"client_ip": ["8.8.8.8"]})))
    assert found == ["client_ip", *NETWORK_COLUMNS]


def test_an_empty_table_gets_empty_columns():
    """An empty table gets empty columns."""
    found = enrich_table(arrow_schema(EVENTS).empty_table())
    assert len(found) == 0
    assert {"browser", "endpoint", "crawler_state"} <= set(found.column_names)


def test_enriching_twice_changes_nothing():
    """Enriching twice changes nothing."""
    table = _table([{"user_agent": AGENTS[1], "client_ip": "66.249.66.1", "path": "/", "country": "US"}])
    once = enrich_table(table)
    assert enrich_table(once).equals(once)


def test_a_column_of_another_type_is_named():
    """A column of another type is named."""
    with pytest.raises(SchemaError, match="language"):
        enrich_table(pa.table({"language": pa.array([{"a": 1}])}))


def test_countries_and_systems_come_from_the_log_first_and_the_database_next():
    """Countries and systems come from the log first and the database next."""
    geo = GeoDatabase([GEO / "GeoLite2-Country-Test.mmdb", GEO / "GeoLite2-ASN-Test.mmdb"])
    table = pa.table(
        {"client_ip": ["2.125.160.216", "2.125.160.216", "1.128.0.1", None], "country": ["FR", None, None, None]}
    )
    found = enrich_table(table, Enricher(geo=geo))
    assert found["country"].to_pylist() == ["FR", "GB", None, None]
    assert found["asn"].to_pylist() == [None, None, 1221, None]
    assert found["as_org"].to_pylist()[2] == "Telstra Pty Ltd"
    assert geo.computed == 2


def test_fresh_fakes_and_stale_unknowns_follow_the_events_own_day():
    """Fresh fakes and stale unknowns follow the events own day."""
    days = pa.array([datetime(2026, 9, 1, tzinfo=UTC), datetime(2015, 5, 17, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    table = pa.table({"timestamp": days, "user_agent": [AGENTS[1]] * 2, "client_ip": ["8.8.8.8"] * 2})
    assert Enricher(crawlers=CrawlerVerifier()).table(table)["crawler_state"].to_pylist() == ["fake", "unverifiable"]


def test_a_service_may_hand_in_any_string():
    """Lone surrogates, which no table could hold, and a megabyte of anything."""
    for odd in ("\ud800", "x" * 1_000_000, "\x00"):
        event = dict.fromkeys(("client_ip", "path", "query", "user_agent", "language", "ch_ua", "ch_mobile"), odd)
        assert Enricher().event(event)["endpoint"] is not None


def test_the_memory_of_values_is_bounded():
    """The memory of values is bounded."""
    table = FactTable(lambda value: (len(value),), [("length", pa.int64())], limit=100)
    table.lookup(pa.array([str(number) for number in range(1_000)]))
    assert len(table._known) <= 100
    assert table.lookup(pa.array(["abc"]))["length"].to_pylist() == [3]


@given(st.lists(st.lists(st.none() | st.sampled_from("abc"), max_size=5), max_size=4), st.booleans(), st.integers(0, 3))
def test_encoding_keeps_the_values_and_only_those(chunks, is_encoded, start):
    """Encoding keeps the values and only those."""
    values = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks], pa.string())
    values = values.dictionary_encode() if is_encoded else values
    encoded = encode_once(values.slice(start))
    assert encoded.to_pylist() == values.slice(start).to_pylist()
    assert set(encoded.dictionary.to_pylist()) == set(encoded.to_pylist()) - {None}
