"""Whose request it was: canonical addresses, and proxies that are believed just as far as they are trusted."""

from __future__ import annotations

import io
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.errors import ConfigError
from fraudlog.reading import TrustedProxies, read_log
from fraudlog.reading.client_ip import canonical, hops, strip_port

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:ffff::/48", "203.0.113.10"])


@given(st.ip_addresses(v=4))
def test_ipv4_is_its_own_canonical_form(address):
    """And so is the IPv4-mapped form of it."""
    assert canonical(str(address)) == str(address) == canonical(f"::ffff:{address}")


@given(st.ip_addresses(v=6))
def test_ipv6_is_written_as_rfc_5952_says(address):
    """Whatever form it came in."""
    expected = str(address.ipv4_mapped or address)
    assert canonical(address.exploded.upper()) == canonical(address.compressed + "%eth0") == expected


@given(st.text(max_size=60))
def test_what_is_canonical_is_an_address(text):
    """No text slips through."""
    found = canonical(text)
    if found is not None:
        assert str((IPv6Address if ":" in found else IPv4Address)(found)) == found


@pytest.mark.parametrize(
    "text", ["999.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4.5", "::1::", "g::1", "\u0661.2.3.4", "1.2.3.4\n", "", "-"]
)
def test_what_is_no_address(text):
    """Forms that some libraries take."""
    assert canonical(text) is None


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("198.51.100.1", "6.6.6.6", "198.51.100.1"),  # the peer is not trusted: the header is forged
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.7", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6,198.51.100.1:4711 ,203.0.113.10", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8:ffff::1", "2001:DB8::1", "2001:db8::1"),
        ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "6.6.6.6, unknown", None),  # the hop that counts can't be read
        ("10.0.0.1", "6.6.6.6, ", None),
        ("10.0.0.1", "10.0.0.2", None),  # never a trusted hop
        ("10.0.0.1", None, None),
        ("10.0.0.1", 'for=6.6.6.6, for="[2001:db8::1]:47011";proto=https;by=10.0.0.1', "2001:db8::1"),
        ("10.0.0.1", "for=198.51.100.1;host=a.example, For=10.0.0.9", "198.51.100.1"),
        ("10.0.0.1", "for=6.6.6.6, for=_hidden", None),
        ("10.0.0.1", 'for=6.6.6.6;x="a, for=1.1.1.1", for=198.51.100.1', "198.51.100.1"),
        (None, "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # the server appended its peer itself
    ],
)
def test_rightmost_untrusted_hop(peer, header, client):
    """The table of cases."""
    assert PROXIES.client(peer, header) == client


@given(st.text(max_size=60), st.ip_addresses(v=4).filter(lambda a: not PROXIES.trusts(str(a))))
def test_a_forged_header_never_chooses_the_client(forged, real):
    """Whatever the client sends, the proxy's own entry decides."""
    assert PROXIES.client("10.0.0.1", f"{forged}, {real}") in (str(real), None)
    if "=" not in forged:
        assert PROXIES.client("10.0.0.1", f"{forged}, {real}") == str(real)


@given(st.text(max_size=80))
def test_any_header_can_be_read(header):
    """No header makes it fail, and no trusted hop comes out."""
    found = PROXIES.client("10.0.0.1", header)
    assert found is None or not PROXIES.trusts(found)
    assert all(isinstance(strip_port(hop), str) for hop in hops(header))


def test_networks_are_checked():
    """The message says which, not what."""
    with pytest.raises(ConfigError, match=r"trusted_proxies\[1\]"):
        TrustedProxies(["10.0.0.0/8", "internal"])


def test_read_log_believes_trusted_proxies_only():
    """The header's column is found by its look; without trusted proxies the peer is the client."""
    line = b'10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "agent" "6.6.6.6, 198.51.100.%d"\n'
    data = b"".join(line % n for n in range(20))
    assert set(read_log(io.BytesIO(data)).table["client_ip"].to_pylist()) == {"10.0.0.1"}
    behind = read_log(io.BytesIO(data), trusted_proxies=["10.0.0.0/8"]).table["client_ip"].to_pylist()
    assert behind == [f"198.51.100.{n}" for n in range(20)]
