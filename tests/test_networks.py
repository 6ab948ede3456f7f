"""Addresses: parsing, prefixes, special use, transition forms, lists."""

from __future__ import annotations

import ipaddress
import random
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_enriching
from fraudlog.enriching.networks import IP_CLASSES, NETWORK_COLUMNS, NetworkLists, read_address, read_addresses
from fraudlog.enriching.ranges import RangeTable, read_networks
from fraudlog.errors import ConfigError, InputError
from fraudlog.privacy.addresses import parse_addresses

ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"[0-9]{1,4}(\.[0-9]{0,4}){2,4}", fullmatch=True),
    st.from_regex(r"[0-9a-f:.]{1,45}", fullmatch=True),
    st.text(max_size=20),
    st.none(),
)


@given(st.lists(ADDRESSES, max_size=30))
def test_parses_exactly_what_the_c_library_parses(texts):
    """Parses exactly what the c library parses."""
    found = parse_addresses(pa.array(texts, pa.string()))
    numbers = [
        (version, (high << 64) | low) if version else None
        for version, high, low in zip(found.version.tolist(), found.high.tolist(), found.low.tolist(), strict=True)
    ]
    assert numbers == [naive_enriching.parse(text) for text in texts]


@given(st.lists(ADDRESSES, max_size=10))
def test_one_address_says_the_same_alone_and_among_many(texts):
    """One address says the same alone and among many."""
    lists = NetworkLists(
        {
            "vpn": [ipaddress.ip_network("10.0.0.0/7")],
            "tor": [ipaddress.ip_network("2000::/4"), ipaddress.ip_network("8.0.0.0/6")],
        }
    )
    many = read_addresses(pa.array(texts, pa.string()), lists=lists)
    rows = list(zip(*(many[name].to_pylist() for name in NETWORK_COLUMNS), strict=True))
    assert rows == [read_address(text, lists=lists) for text in texts]


def test_parses_a_slice_of_a_larger_array():
    """Parses a slice of a larger array."""
    whole = pa.array(["1.2.3.4", "10.0.0.1", None, "::1"])
    assert parse_addresses(whole.slice(1, 3)).low.tolist() == [0x0A000001, 0, 1]


@pytest.mark.parametrize(
    ("address", "prefix", "kind", "form"),
    [
        ("8.8.8.8", "8.8.8.0/24", "global", None),
        ("10.1.2.3", "10.1.2.0/24", "private", None),
        ("100.64.0.1", "100.64.0.0/24", "shared", None),
        ("169.254.1.1", "169.254.1.0/24", "link_local", None),
        ("127.0.0.1", "127.0.0.0/24", "loopback", None),
        ("192.0.0.8", "192.0.0.0/24", "special", None),
        ("192.0.0.9", "192.0.0.0/24", "global", None),
        ("203.0.113.5", "203.0.113.0/24", "documentation", None),
        ("224.0.0.1", "224.0.0.0/24", "multicast", None),
        ("255.255.255.255", "255.255.255.0/24", "special", None),
        ("2a00:1450:4001:81b::200e", "2a00:1450:4001:81b::/64", "global", None),
        ("2001:db8::1", "2001:db8::/64", "documentation", None),
        ("fd00::1", "fd00::/64", "private", None),
        ("fe80::1", "fe80::/64", "link_local", None),
        ("::1", "::/64", "loopback", None),
        ("::", "::/64", "special", None),
        ("100::1", "100::/64", "special", None),
        ("2001:20::1", "2001:20::/64", "global", None),
        ("::ffff:8.8.8.8", "8.8.8.0/24", "global", "mapped"),
        ("::ffff:10.0.0.1", "10.0.0.0/24", "private", "mapped"),
        ("2002:c000:204::1", "192.0.2.0/24", "documentation", "6to4"),
        ("64:ff9b::8.8.4.4", "8.8.4.0/24", "global", "nat64"),
        ("64:ff9b:1::1", "64:ff9b:1::/64", "private", None),
    ],
)
def test_says_prefix_special_use_and_transition_form(address, prefix, kind, form):
    """Says prefix special use and transition form."""
    row = dict(zip(NETWORK_COLUMNS, read_address(address), strict=True))
    assert (row["ip_prefix"], row["ip_class"], row["ip_transition"]) == (prefix, kind, form)


def test_wider_prefixes_are_of_ipv6_only():
    """Wider prefixes are of ipv6 only."""
    row = dict(zip(NETWORK_COLUMNS, read_address("2a00:1450:4001:81b::1"), strict=True))
    assert (row["ip_prefix_56"], row["ip_prefix_48"]) == ("2a00:1450:4001:800::/56", "2a00:1450:4001::/48")
    assert read_address("8.8.8.8")[2:4] == (None, None)


def test_special_use_covers_all_addresses_and_agrees_with_the_standard_library():
    """Special use covers all addresses and agrees with the standard library."""
    rng = random.Random(4)  # noqa: S311 -- a test's own draw
    texts = [str(ipaddress.IPv4Address(rng.getrandbits(32))) for _ in range(20_000)]
    classes = read_addresses(pa.array(texts))["ip_class"].to_pylist()
    for text, kind in zip(texts, classes, strict=True):
        address = ipaddress.ip_address(text)
        assert kind in IP_CLASSES
        assert (kind == "global") == (address.is_global and not address.is_multicast), text
        assert (kind == "multicast") == address.is_multicast


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2**32 - 1), st.integers(4, 32)), max_size=12),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2**128 - 1), st.integers(2, 128)), max_size=8),
    st.lists(st.ip_addresses().map(str), max_size=20),
)
def test_flattened_ranges_say_what_trying_every_network_says(four, six, addresses):
    """Flattened ranges say what trying every network says."""
    networks = {label: [] for label in "abc"}
    for label, number, length in four:
        networks[label].append(ipaddress.ip_network((number, length), strict=False))
    for label, number, length in six:
        networks[label].append(ipaddress.ip_network((number, length), strict=False))
    edges = [str(edge) for group in networks.values() for network in group for edge in (network[0], network[-1])]
    texts = addresses + edges
    table = RangeTable(networks)
    masks, labels = table.lookup(parse_addresses(pa.array(texts, pa.string())))
    for text, mask, label in zip(texts, masks.tolist(), labels.tolist(), strict=True):
        expected, narrowest = naive_enriching.labels_around(text, networks)
        assert {name for bit, name in enumerate(table.labels) if mask >> bit & 1} == expected
        found = None if label < 0 else table.labels[label]
        widths = [
            n.prefixlen
            for name in expected
            for n in networks[name]
            if n.version == ipaddress.ip_address(text).version and ipaddress.ip_address(text) in n
        ]
        if widths.count(max(widths, default=0)) <= 1:  # of two equally narrow ones either may give its name
            assert found == narrowest


def test_a_list_that_is_not_loaded_is_null_and_never_false(tmp_path):
    """A list that is not loaded is null and never false."""
    path = tmp_path / "vpn.txt"
    path.write_text("# date: 2026-08-22\n192.0.2.0/24  # an operator\n\n198.51.100.7\n203.0.113.1-203.0.113.9\n")
    lists = NetworkLists.from_files({"vpn": path})
    columns = read_addresses(pa.array(["192.0.2.9", "198.51.100.8", "203.0.113.5", None, "no address"]), lists=lists)
    assert columns["is_vpn"].to_pylist() == [True, False, True, None, None]
    assert columns["is_hosting"].to_pylist() == [None] * 5
    assert lists.dates == {"vpn": date(2026, 8, 22)}


def test_a_mapped_address_is_looked_up_as_ipv4():
    """A mapped address is looked up as ipv4."""
    lists = NetworkLists({"tor": [ipaddress.ip_network("192.0.2.7/32")]})
    assert read_addresses(pa.array(["::ffff:192.0.2.7"]), lists=lists)["is_tor"].to_pylist() == [True]


def test_a_line_that_is_no_network_is_named_by_file_and_number(tmp_path):
    """A line that is no network is named by file and number."""
    path = tmp_path / "bad.txt"
    path.write_text("192.0.2.0/24\n192.0.2.300\n")
    with pytest.raises(InputError, match=r"line 2 of bad\.txt") as caught:
        read_networks(path)
    assert "192.0.2.300" not in str(caught.value)


def test_a_range_across_families_is_refused(tmp_path):
    """A range across families is refused."""
    path = tmp_path / "mixed.txt"
    path.write_text("192.0.2.1-2001:db8::1\n")
    with pytest.raises(InputError, match="line 1"):
        read_networks(path)


def test_more_lists_than_bits_are_refused():
    """More lists than bits are refused."""
    with pytest.raises(ConfigError, match="at most 63"):
        RangeTable({str(number): [] for number in range(64)})


def test_empty_tables_find_nothing():
    """Empty tables find nothing."""
    masks, labels = RangeTable({}).lookup(parse_addresses(pa.array(["1.2.3.4", "::5"])))
    assert not masks.any()
    assert np.array_equal(labels, [-1, -1])
