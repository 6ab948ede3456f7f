"""Pseudonyms of addresses come out the same in compiled loops and with NumPy, and as the draft and its peers say."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.privacy import Pseudonyms, worth
from fraudlog.privacy.addresses import Addresses, format_addresses, parse_addresses
from fraudlog.privacy.flips import CompiledFlips, Flips, flips_of
from fraudlog.privacy.hextets import format_hextets, parse_hextets
from fraudlog.privacy.ipcrypt import PrefixCipher
from fraudlog.privacy.pseudonyms import encrypt_addresses

pytest.importorskip("numba", reason="numba (extra fast) is absent")

KEY = bytes.fromhex("0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301")


@contextmanager
def way(*, is_compiled):
    """Take one way, however few rows there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worth, "_WORTH", 0)
        patch.setenv("FRAUDLOG_FAST", "1" if is_compiled else "0")
        yield


def test_the_way_is_chosen_by_what_there_is_to_do(monkeypatch):
    """Numba is not loaded for a handful of addresses, and never where the variable says so."""
    monkeypatch.delenv("FRAUDLOG_FAST", raising=False)
    monkeypatch.delitem(worth.sys.modules, "numba", raising=False)
    assert isinstance(flips_of(KEY, 10), Flips)
    assert isinstance(flips_of(KEY, 1 << 20), CompiledFlips)
    monkeypatch.setenv("FRAUDLOG_FAST", "0")
    assert isinstance(flips_of(KEY, 1 << 20), Flips)


def test_compiled_addresses_equal_the_drafts_vectors():
    """The vectors of draft-denis-ipcrypt."""
    with way(is_compiled=True):
        found = encrypt_addresses(["0.0.0.0", "192.0.2.1", "2001:db8::1"], KEY)
    assert found == ["151.82.155.134", "100.115.72.131", "c180:5dd4:2587:3524:30ab:fa65:6ab6:f88"]


def test_compiled_addresses_equal_the_peers():
    """Ipcrypt of PyPI, over both versions and neighbours of every distance."""
    peer = pytest.importorskip("ipcrypt", reason="the package ipcrypt is absent")
    rng = np.random.default_rng(0)
    first = int.from_bytes(rng.bytes(16), "big")
    plain = [str(ipaddress.IPv6Address(first ^ (1 << bit))) for bit in range(0, 128, 3)]
    plain += [str(ipaddress.ip_address(int(number))) for number in rng.integers(0, 1 << 32, 20)]
    with way(is_compiled=True):
        assert encrypt_addresses(plain, KEY) == [str(peer.pfx_encrypt(address, KEY)) for address in plain]


halves = st.one_of(
    st.integers(0, 3),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 63).map(lambda bit: 1 << bit),
    st.integers(0, 3).map(lambda low: 0x2001_0DB8_0000_0000 + low),
)


@given(st.lists(st.lists(st.tuples(halves, halves), max_size=40), max_size=3), st.booleans())
def test_both_ways_flip_the_same_bits(batches, is_four):
    """Batch after batch, with networks that come again, that share all but the last bit, and equal addresses."""
    ciphers = [PrefixCipher(KEY), PrefixCipher(KEY)]
    for batch in batches:
        high, low = np.array(batch, np.uint64).reshape(-1, 2).T
        if is_four:
            high, low = np.zeros_like(high), low & np.uint64(0xFFFFFFFF)
        plain = Addresses(np.full(len(low), 4 if is_four else 6, np.uint8), high, low)
        hidden = []
        for is_compiled, cipher in enumerate(ciphers):
            with way(is_compiled=bool(is_compiled)):
                hidden.append(cipher.encrypt(plain))
        assert hidden[0].high.tolist() == hidden[1].high.tolist()
        assert hidden[0].low.tolist() == hidden[1].low.tolist()
        back = ciphers[1].decrypt(hidden[1])
        assert (back.high.tolist(), back.low.tolist()) == (high.tolist(), low.tolist())


def test_more_blocks_than_a_buffer_holds_and_long_runs():
    """Buffers are filled many times over, and one network with hundreds of hosts is put in order."""
    rng = np.random.default_rng(1)
    high = np.concatenate([rng.integers(0, 1 << 63, 900), np.full(600, 77)]).astype(np.uint64)
    plain = Addresses(np.full(1500, 6, np.uint8), high, rng.integers(0, 1 << 63, 1500).astype(np.uint64))
    texts = []
    for is_compiled in (False, True):
        with way(is_compiled=is_compiled):
            texts.append(Pseudonyms(KEY).address_array(format_addresses(plain)).to_pylist())
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == 1500


groups = st.sampled_from(["0", "00", "0000", "1", "ab", "FFFF", "0db8", "", "12345", "g", "1.2.3.4", "%1", " ", "é"])
spellings = st.lists(groups, max_size=10).map(":".join) | st.ip_addresses(v=6).map(str) | st.text(max_size=9)


@given(st.lists(spellings))
def test_compiled_ipv6_is_read_and_written_as_the_c_library_does(texts):
    """Every spelling, and what is none; a slice of an array too."""

    def packed(text: str) -> bytes | None:
        try:
            return socket.inet_pton(socket.AF_INET6, text)
        except (OSError, ValueError):
            return None

    with way(is_compiled=True):
        is_address, high, low = parse_hextets(pa.array(["::9", *texts], pa.string()).slice(1))
        written = format_hextets(high[is_address], low[is_address]).to_pylist()
    found = [
        int(a).to_bytes(8, "big") + int(b).to_bytes(8, "big") if there else None
        for there, a, b in zip(is_address, high, low, strict=True)
    ]
    assert found == [packed(text) for text in texts]
    assert written == [socket.inet_ntop(socket.AF_INET6, one) for one in found if one is not None]


@given(st.lists(st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF]), min_size=8, max_size=8)))
def test_runs_of_zeros_are_shortened_as_rfc_5952_says(groups_of):
    """The first longest of them, whatever stands around; what may hold an IPv4 address as the C library has it."""
    packed = [b"".join(group.to_bytes(2, "big") for group in one) for one in groups_of]
    high, low = np.frombuffer(b"".join(packed), ">u8").astype(np.uint64).reshape(-1, 2).T
    with way(is_compiled=True):
        written = format_hextets(high, low)
        again = parse_addresses(written)
    assert written.to_pylist() == [socket.inet_ntop(socket.AF_INET6, one) for one in packed]
    assert (again.high.tolist(), again.low.tolist()) == (high.tolist(), low.tolist())
