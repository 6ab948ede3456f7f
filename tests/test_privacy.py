"""Pseudonyms equal the draft's vectors, keys are kept apart, and nothing raw reaches a disk."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import pickle
import socket

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.errors import ConfigError
from fraudlog.privacy import Pseudonyms, derive_key, ipcrypt, load_key, shield
from fraudlog.privacy.addresses import format_addresses, parse_addresses
from fraudlog.privacy.hextets import format_hextets, parse_hextets
from fraudlog.privacy.ipcrypt import PrefixCipher
from fraudlog.privacy.pseudonyms import encrypt_addresses
from fraudlog.privacy.tokens import token_array
from fraudlog.schema import EVENTS, REJECTED

# draft-denis-ipcrypt, appendix with test vectors of ipcrypt-pfx
VECTOR_KEY = bytes.fromhex("0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301")
VECTORS = {
    "0.0.0.0": "151.82.155.134",
    "192.0.2.1": "100.115.72.131",
    "2001:db8::1": "c180:5dd4:2587:3524:30ab:fa65:6ab6:f88",
}
NAMES = Pseudonyms(VECTOR_KEY)


def test_addresses_equal_the_drafts_vectors():
    """One by one and all at once."""
    assert encrypt_addresses(list(VECTORS), VECTOR_KEY) == list(VECTORS.values())


def test_addresses_equal_the_peers():
    """Ipcrypt of PyPI, one address at a time, over both versions; and the way back."""
    peer = pytest.importorskip("ipcrypt", reason="the package ipcrypt is absent")
    rng = np.random.default_rng(0)
    plain = [str(ipaddress.ip_address(int(number))) for number in rng.integers(0, 1 << 32, 40)]
    plain += [str(ipaddress.IPv6Address(int.from_bytes(rng.bytes(16), "big"))) for _ in range(40)]
    hidden = encrypt_addresses(plain, VECTOR_KEY)
    assert hidden == [str(peer.pfx_encrypt(address, VECTOR_KEY)) for address in plain]
    found = PrefixCipher(VECTOR_KEY).decrypt(parse_addresses(pa.array(hidden)))
    assert format_addresses(found).to_pylist() == plain


def mixed(rng: np.random.Generator, n: int) -> list[str]:
    """IPv6 addresses as a log has them: few networks, some hosts with low numbers, some with random ones; and IPv4."""
    halves = rng.choice(rng.integers(0, 1 << 16, 3), n) << 16 | rng.choice(rng.integers(0, 1 << 16, 5), n)
    upper = (0x2001 << 48) + (halves << 16) + rng.integers(0, 4, n)
    hosts = np.where(rng.random(n) < 0.5, rng.integers(0, 40, n), rng.integers(0, 1 << 62, n))
    sixes = [str(ipaddress.IPv6Address(int(a) << 64 | int(b))) for a, b in zip(upper, hosts, strict=True)]
    return sixes + [f"203.0.{a}.{b}" for a, b in rng.integers(0, 256, (n, 2))]


def test_what_is_remembered_changes_nothing():
    """Batch after batch of a log's addresses comes out as each by itself would, and as the peer's."""
    rng = np.random.default_rng(1)
    batches = [mixed(rng, n) for n in (1, 40, 3000, 40, 1)]
    one = Pseudonyms(VECTOR_KEY)
    hidden = [one.addresses(batch) for batch in batches]
    for batch, found in zip(batches, hidden, strict=True):
        assert found == Pseudonyms(VECTOR_KEY).addresses(batch)
        assert one.reveal([text for text in found if text]) == batch
    peer = pytest.importorskip("ipcrypt", reason="the package ipcrypt is absent")
    key = derive_key(VECTOR_KEY, "ip")
    for batch, found in zip(batches, hidden, strict=True):
        assert found[-40:] + found[:40] == [str(peer.pfx_encrypt(text, key)) for text in batch[-40:] + batch[:40]]


def test_what_is_remembered_is_bounded_and_in_no_pickle(monkeypatch):
    """A flood of networks is not kept, and no raw prefix goes where a pickle goes."""
    monkeypatch.setattr(ipcrypt, "_REMEMBERED", 100)
    rng = np.random.default_rng(2)
    cipher = PrefixCipher(VECTOR_KEY)
    for n in (60, 60, 30, 500, 100):
        plain = parse_addresses(pa.array([f"2001:db8:{a:x}:{b:x}::1" for a, b in rng.integers(0, 1 << 16, (n, 2))]))
        found = cipher.encrypt(plain)
        again = PrefixCipher(VECTOR_KEY).encrypt(plain)
        assert (found.high.tolist(), found.low.tolist()) == (again.high.tolist(), again.low.tolist())
        assert len(cipher._known[0]) <= 100
    assert len(cipher._known[0]) == 100
    copy = pickle.loads(pickle.dumps(cipher))  # noqa: S301 -- our own
    assert len(copy._known[0]) == 0
    assert copy.encrypt(plain).low.tolist() == again.low.tolist()


_groups = st.sampled_from(["0", "00", "0000", "1", "ab", "FFFF", "0db8", "", "12345", "g", "1.2.3.4", "%1", " "])


@given(st.lists(st.lists(_groups, max_size=9).map(":".join) | st.ip_addresses(v=6).map(str) | st.text(max_size=9)))
def test_ipv6_is_read_and_written_as_the_c_library_does(texts):
    """Every spelling, and what is none."""

    def packed(text: str) -> bytes | None:
        try:
            return socket.inet_pton(socket.AF_INET6, text)
        except (OSError, ValueError):
            return None

    is_address, high, low = parse_hextets(pa.array(texts, pa.string()))
    found = [
        int(a).to_bytes(8, "big") + int(b).to_bytes(8, "big") if there else None
        for there, a, b in zip(is_address, high, low, strict=True)
    ]
    assert found == [packed(text) for text in texts]
    written = format_hextets(high[is_address], low[is_address]).to_pylist()
    assert written == [socket.inet_ntop(socket.AF_INET6, one) for one in found if one is not None]


addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6)


@given(st.lists(addresses, min_size=2, max_size=8))
def test_common_prefixes_are_preserved_exactly(plain):
    """Two addresses share as many leading bits after as before, and stay of their version."""
    hidden = [ipaddress.ip_address(one) for one in NAMES.addresses([str(one) for one in plain])]
    for a, x in zip(plain, hidden, strict=True):
        assert a.version == x.version
        for b, y in zip(plain, hidden, strict=True):
            if a.version == b.version:
                assert (int(a) ^ int(b)).bit_length() == (int(x) ^ int(y)).bit_length()


def test_a_network_is_the_network_of_its_addresses():
    """A /24 on disk holds the addresses on disk that were in it."""
    network, address = NAMES.addresses(["203.0.113.0/24", "203.0.113.77"])
    assert ipaddress.ip_address(address) in ipaddress.ip_network(network)


def test_tokens_differ_by_kind_and_key():
    """An account and a session of the same name can't be matched, nor two keys' tokens."""
    tokens = {
        *NAMES.tokens(["alice"], "user"),
        *NAMES.tokens(["alice"], "session_token"),
        *Pseudonyms(bytes(range(32))).tokens(["alice"], "user"),
    }
    assert len(tokens) == 3
    assert all(len(token) == 26 and "alice" not in token for token in tokens)


@given(st.lists(st.none() | st.text(max_size=8)), st.sampled_from([8, 16, 20]), st.integers(0, 3))
def test_tokens_are_what_hashlib_and_base64_say(values, size, offset):
    """One by one; nulls stay null, a slice is as the whole."""
    key = derive_key(VECTOR_KEY, "user")
    found = token_array(pa.array(values, pa.string()).slice(offset), key, size).to_pylist()
    for value, token in zip(values[offset:], found, strict=True):
        if value is None:
            assert token is None
        else:
            digest = hashlib.blake2b(value.encode(), key=key, digest_size=size).digest()
            assert token == base64.b32encode(digest).decode().rstrip("=").lower()


def test_shield_leaves_no_identifier():
    """Addresses, accounts, queries and unknown columns are gone; the rest stands; nulls stay null."""
    plain = pa.table(
        {
            "client_ip": pa.array(["203.0.113.9", None]).dictionary_encode(),
            "user": ["alice", None],
            "query": ["token=secret", None],
            "referrer": ["http://a.example/p?mail=bob", None],
            "path": ["/p", None],
            "cookie": ["c=1", "c=2"],
        }
    )
    hidden = shield(plain, EVENTS, NAMES)
    assert set(hidden.column_names) == set(plain.column_names) - {"cookie"}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, hidden.schema) as writer:
        writer.write_table(hidden)
    content = sink.getvalue().to_pybytes()
    assert not any(word in content for word in (b"203.0.113", b"alice", b"secret", b"bob", b"c=1"))
    referrer, nothing = hidden.column("referrer").to_pylist()
    assert referrer.startswith("http://a.example/p?~")
    assert nothing is None
    assert hidden.column("client_ip").null_count == hidden.column("user").null_count == 1
    assert hidden.column("query").to_pylist() == ["*" * 12, None]


def test_rejected_lines_keep_their_place_not_their_bytes():
    """Source and line lead back to the log, where it still lies."""
    hidden = shield(
        pa.table({"source": ["a.log"], "line_number": [3], "reason": ["no_match"], "raw": [b"x"]}), REJECTED, NAMES
    )
    assert hidden.to_pylist() == [{"source": "a.log", "line_number": 3, "reason": "no_match", "raw": None}]


def test_key_is_made_once_for_its_owner_alone(tmp_path):
    """Mode 0600, the same key the next time."""
    path = tmp_path / "deep" / "key"
    key = load_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path) == key
    assert len(key) == 32


def test_key_comes_from_the_environment_first(tmp_path, monkeypatch):
    """For services and jobs; no file is made then."""
    monkeypatch.setenv("FRAUDLOG_KEY", "ab" * 32)
    assert load_key(tmp_path / "key") == bytes.fromhex("ab" * 32)
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31])
def test_a_key_of_another_form_is_refused_without_showing_it(monkeypatch, text):
    """The message says how to make one."""
    monkeypatch.setenv("FRAUDLOG_KEY", text)
    with pytest.raises(ConfigError, match="64 hex digits") as caught:
        load_key()
    assert not text or text not in str(caught.value)


def test_a_key_that_others_can_read_is_refused(tmp_path):
    """Like ssh does."""
    load_key(tmp_path / "key")
    os.chmod(tmp_path / "key", 0o644)  # noqa: PTH101 -- the mode is the point
    with pytest.raises(ConfigError, match="chmod 600"):
        load_key(tmp_path / "key")


def test_a_key_among_the_results_is_refused(tmp_path):
    """With both in one place nothing is pseudonymous."""
    with pytest.raises(ConfigError, match="folder of the results"):
        load_key(tmp_path / "out" / "key", outside=tmp_path / "out")
