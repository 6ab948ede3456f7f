"""A model file is read whole and true, or refused with one clear error."""

import io
import json
import time
import zipfile
from hashlib import blake2b, sha256

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.detecting import ForestScorer, SessionForest, read_model, write_model
from fraudlog.errors import ConfigError, ModelError

KEY = b"0123456789abcdef"


@pytest.fixture(scope="module")
def arrays():
    rows = np.random.default_rng(0).normal(size=(500, 4))
    return SessionForest(10, max_samples=64, random_state=0).fit(rows).to_arrays()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.fraudlog"


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name]) for name in one
    )


SIGNER = Ed25519PrivateKey.generate()
SEALS = {"digest": (None, None), "mac": (KEY, KEY), "ed25519": (SIGNER, SIGNER.public_key())}


@pytest.mark.parametrize(("write_key", "read_key"), SEALS.values(), ids=SEALS)
def test_what_is_written_is_read(arrays, path, write_key, read_key):
    manifest = {"purposes": ["security"], "rows": 500, "window": None, "features": {"a": "log1p"}}
    write_model(path, arrays, manifest, key=write_key)
    read, said = read_model(path, key=read_key)
    assert same(read, arrays)
    assert said == manifest
    assert not read["forest.leaf"].flags.writeable


def test_equal_content_gives_equal_bytes(arrays, path, tmp_path):
    write_model(path, arrays, {"b": 1, "a": 2})
    write_model(tmp_path / "again", arrays, {"a": 2, "b": 1})
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_any_zip_tool_can_look_inside(arrays, path):
    write_model(path, arrays, {"purposes": ["security"]}, key=KEY)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["format_version"] == 1
    assert set(manifest["arrays"]) == set(arrays)


def test_empty_and_zero_dimensional_arrays_come_back(path):
    arrays = {
        "none": np.zeros((0, 3), dtype=np.float32),
        "one": np.asarray(7, dtype=np.int64),
        "yes": np.asarray([True]),
    }
    write_model(path, arrays, {})
    assert same(read_model(path)[0], arrays)


@pytest.mark.parametrize(("write_key", "read_key"), SEALS.values(), ids=SEALS)
def test_ten_thousand_flipped_bits_are_refused(arrays, path, write_key, read_key):
    write_model(path, arrays, {"purposes": ["security"]}, key=write_key)
    data = bytearray(path.read_bytes())
    chance = np.random.default_rng(0)
    spots = np.r_[
        chance.integers(0, len(data) * 8, size=3200), chance.integers((len(data) - 900) * 8, len(data) * 8, 200)
    ]
    for spot in spots.tolist():
        data[spot // 8] ^= 1 << spot % 8
        path.write_bytes(data)
        with pytest.raises(ModelError):
            read_model(path, key=read_key)
        data[spot // 8] ^= 1 << spot % 8
    path.write_bytes(data)
    read_model(path, key=read_key)


@pytest.mark.parametrize("written", SEALS)
@pytest.mark.parametrize("asked", SEALS)
def test_another_seal_than_asked_for_is_refused(arrays, path, written, asked):
    if written == asked:
        return
    write_model(path, arrays, {}, key=SEALS[written][0])
    with pytest.raises(ModelError, match="sealed"):
        read_model(path, key=SEALS[asked][1])


@pytest.mark.parametrize(("kind", "key"), [("mac", KEY[::-1]), ("ed25519", Ed25519PrivateKey.generate().public_key())])
def test_another_key_is_refused(arrays, path, kind, key):
    write_model(path, arrays, {}, key=SEALS[kind][0])
    with pytest.raises(ModelError, match="seal does not fit"):
        read_model(path, key=key)


def crafted(path, files, *, comment=None, compression=zipfile.ZIP_STORED):
    """Write a zip with a right seal around whatever content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files:
            archive.writestr(name, content)
        archive.comment = b"." * 80
    body = buffer.getvalue()[:-80]
    seal = comment or b"fraudlog-digest:" + blake2b(body, digest_size=32).hexdigest().encode()
    path.write_bytes(body + seal)


def listing(raw, **changes):
    return {"dtype": "<f4", "shape": [2], "sha256": sha256(raw).hexdigest()} | changes


def manifest_of(entries, **changes):
    whole = {"format": "fraudlog model", "format_version": 1, "arrays": entries} | changes
    return json.dumps(whole).encode()


RAW = np.float32([1, 2]).tobytes()
CRAFTED = {
    "a zip slip": [("manifest.json", manifest_of({})), ("../../evil.bin", RAW)],
    "an absolute path": [("manifest.json", manifest_of({})), ("/etc/evil.bin", RAW)],
    "a path inside arrays": [("manifest.json", manifest_of({"a": listing(RAW)})), ("arrays/../a.bin", RAW)],
    "no manifest": [("arrays/a.bin", RAW)],
    "an array too few": [("manifest.json", manifest_of({"a": listing(RAW), "b": listing(RAW)})), ("arrays/a.bin", RAW)],
    "an array too many": [("manifest.json", manifest_of({})), ("arrays/a.bin", RAW)],
    "a giant array": [("manifest.json", manifest_of({"a": listing(RAW, shape=[2**40])})), ("arrays/a.bin", RAW)],
    "sizes that overflow": [
        ("manifest.json", manifest_of({"a": listing(RAW, shape=[2**30, 2**30, 2**30])})),
        ("arrays/a.bin", RAW),
    ],
    "a negative size": [("manifest.json", manifest_of({"a": listing(RAW, shape=[-2])})), ("arrays/a.bin", RAW)],
    "a shape of text": [("manifest.json", manifest_of({"a": listing(RAW, shape="2")})), ("arrays/a.bin", RAW)],
    "a shape of booleans": [("manifest.json", manifest_of({"a": listing(RAW, shape=[True])})), ("arrays/a.bin", RAW)],
    "an object type": [("manifest.json", manifest_of({"a": listing(RAW, dtype="|O")})), ("arrays/a.bin", RAW)],
    "a type that is a list": [
        ("manifest.json", manifest_of({"a": listing(RAW, dtype=["<f4"])})),
        ("arrays/a.bin", RAW),
    ],
    "another digest": [("manifest.json", manifest_of({"a": listing(b"")})), ("arrays/a.bin", RAW)],
    "another format": [("manifest.json", manifest_of({}, format="pickle"))],
    "a later version": [("manifest.json", manifest_of({}, format_version=99))],
    "a list for a manifest": [("manifest.json", b"[]")],
    "arrays as a list": [("manifest.json", manifest_of([]))],
    "NaN in the manifest": [("manifest.json", b'{"format": NaN}')],
    "brackets without end": [("manifest.json", b"[" * 200_000)],
    "a number without end": [("manifest.json", b'{"format": ' + b"9" * 100_000 + b"}")],
    "bytes that are no text": [("manifest.json", b"\xff\xfe")],
}


@pytest.mark.parametrize("files", CRAFTED.values(), ids=CRAFTED)
def test_crafted_files_are_refused(path, files):
    crafted(path, files)
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert caught.value.path == str(path)
    assert str(caught.value).count("\n") == 0


def test_compressed_members_are_refused(path):
    crafted(path, [("manifest.json", manifest_of({}))], compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed"):
        read_model(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_two_members_of_one_name_are_refused(path):
    crafted(path, [("manifest.json", manifest_of({})), ("manifest.json", manifest_of({}))])
    with pytest.raises(ModelError, match="two files of one name"):
        read_model(path)


def test_flipped_bits_under_a_right_seal_never_crash(arrays, path):
    """Who can make the seal fit (no key was asked for) reaches the zip reader: it refuses or reads, nothing else."""
    write_model(path, arrays, {"a": 1})
    body = bytearray(path.read_bytes()[:-80])
    refused = 0
    for spot in np.random.default_rng(1).integers(0, len(body) * 8, size=400).tolist() + list(
        range(len(body) * 8 - 4000, len(body) * 8, 5)
    ):
        changed = body.copy()
        changed[spot // 8] ^= 1 << spot % 8
        path.write_bytes(changed + b"fraudlog-digest:" + blake2b(changed, digest_size=32).hexdigest().encode())
        try:
            ForestScorer.from_arrays(read_model(path)[0])
        except ModelError:
            refused += 1
    assert refused > 400


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.fraudlog"
    path.write_bytes(data)
    with pytest.raises(ModelError):
        read_model(path)


def test_a_missing_file_is_one_clear_error(path):
    with pytest.raises(ModelError, match="no such model"):
        read_model(path)


@pytest.mark.parametrize(
    ("arrays", "manifest", "key", "message"),
    [
        ({"Up/../a": np.zeros(1)}, {}, None, "lower-case words"),
        ({"a": np.array(["x"])}, {}, None, "holds numbers"),
        ({"a": np.array([object()])}, {}, None, "holds numbers"),
        ({}, {"arrays": 1}, None, "file's own"),
        ({}, {"rate": float("nan")}, None, "JSON"),
        ({}, {"when": object()}, None, "JSON"),
        ({}, {}, b"short", "at least 16 bytes"),
        ({}, {}, "text", "must be bytes"),
    ],
)
def test_what_a_file_can_not_hold_is_refused(path, arrays, manifest, key, message):
    with pytest.raises(ConfigError, match=message):
        write_model(path, arrays, manifest, key=key)
    assert list(path.parent.iterdir()) == []


def test_a_hundred_trees_load_within_fifty_milliseconds(path):
    rows = np.random.default_rng(0).normal(size=(2000, 40))
    write_model(path, SessionForest(100, max_samples=256, random_state=0).fit(rows).to_arrays(), {}, key=KEY)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        ForestScorer.from_arrays(read_model(path, key=KEY)[0])
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05
