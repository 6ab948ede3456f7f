"""Where bytes come from: every kind of source and compression, cut ends, bombs, and errors of one clear line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zlib

import pytest

from fraudlog.errors import ConfigError, FormatError, InputError
from fraudlog.reading import Caps, decompress, iter_log, pipeline, read_log

LINE = b'192.0.2.%d - - [10/Oct/2000:13:55:%02d +0000] "GET /%d HTTP/1.1" 200 5 "-" "agent"\n'
LOG = b"".join(LINE % (n % 250, n % 60, n) for n in range(3000))


def zstd(data: bytes) -> bytes:
    """Compress, where the extra is installed."""
    return pytest.importorskip("zstandard").ZstdCompressor().compress(data)


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}


@pytest.mark.parametrize("kind", PACKERS)
def test_compressed_logs_read_like_plain_ones(tmp_path, kind):
    """Told by the first bytes, not by the name; several members follow one another."""
    file = tmp_path / "access.log"
    half = LOG.index(b"\n", len(LOG) // 2) + 1
    file.write_bytes(PACKERS[kind](LOG[:half]) + PACKERS[kind](LOG[half:]))
    log = read_log(file)
    assert log.summary.events == 3000
    assert log.summary.problems == {}


@pytest.mark.parametrize("kind", PACKERS)
def test_cut_archive_gives_what_is_readable_and_says_so(tmp_path, kind):
    """A download that stopped: events up to there, and a problem that names the file."""
    packed = PACKERS[kind](LOG)
    whole = PACKERS[kind](LOG[: LOG.index(b"\n", 1000) + 1])
    file = tmp_path / "access.log.x"
    file.write_bytes(whole + packed[: len(packed) * 2 // 3])
    summary = read_log(file).summary
    assert 10 < summary.events < 3020
    assert summary.lines == summary.events + summary.rejected + summary.blank
    assert "cut" in summary.problems[str(file)]


def test_damaged_archive_gives_what_is_readable(tmp_path):
    """A flipped byte in the second member."""
    file = tmp_path / "a.gz"
    second = bytearray(gzip.compress(LOG))
    second[len(second) // 2] ^= 0xFF
    file.write_bytes(gzip.compress(LOG) + bytes(second))
    summary = read_log(file).summary
    assert summary.events >= 3000
    assert summary.problems


@pytest.mark.parametrize("kind", PACKERS)
def test_bomb_is_refused(tmp_path, kind):
    """Much out of little is no log, before it fills anything."""
    file = tmp_path / "bomb"
    file.write_bytes(PACKERS[kind](LOG[:1000] + b"\0" * (80 << 20)))
    with pytest.raises(FormatError, match="unpacks to"):
        list(iter_log(file))


def test_size_cap(tmp_path):
    """A cap in bytes of output."""
    file = tmp_path / "a.gz"
    file.write_bytes(gzip.compress(LOG))
    with pytest.raises(FormatError, match="unpacks to"):
        read_log(file, caps=Caps(max_bytes=1000))


def test_lists_globs_folders_and_files(tmp_path):
    """The same two files, named in five ways."""
    for name in ("access.log", "access.log.1"):
        (tmp_path / name).write_bytes(LOG)
    (tmp_path / ".hidden").write_bytes(b"no log")
    for path in (
        tmp_path, str(tmp_path), str(tmp_path / "access*"), [tmp_path / "access.log", str(tmp_path / "access.log.1")],
        [tmp_path / "access.log", io.BytesIO(LOG)],
    ):  # fmt: skip
        assert read_log(path).summary.events == 6000


def test_a_folder_with_an_error_log_reads_the_rest(tmp_path):
    """What is no access log is named, the others are read."""
    (tmp_path / "access.log").write_bytes(LOG)
    (tmp_path / "error.log").write_bytes(
        b"2023/11/21 01:16:39 [crit] 2730091#2730091: *1 SSL_do_handshake() failed\n" * 9
    )
    summary = read_log(tmp_path).summary
    assert summary.events == 3000
    assert "error log" in summary.problems[str(tmp_path / "error.log")]


def test_standard_input(monkeypatch):
    """A dash is standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LOG)))
    assert read_log("-").summary.sources == ("<stdin>",)


def test_file_objects_binary_and_text():
    """Anything with `read`."""
    assert read_log(io.BytesIO(gzip.compress(LOG))).summary.events == 3000
    assert read_log(io.StringIO(LOG.decode())).summary.events == 3000


def test_url_through_fsspec():
    """A URL, by fsspec's memory file system."""
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://logs/access.log", "wb") as stream:
        stream.write(LOG)
    assert read_log("memory://logs/access.log").summary.events == 3000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 4, "binary"),
        (b"\xff\xfe1\x002\x00", "UTF-16"),
        (b"Dear diary,\nnothing today.\n", "no access log of a known format"),
    ],
)
def test_what_is_no_log_says_so_in_one_line(tmp_path, content, message):
    """One clear line, exit code 3."""
    file = tmp_path / "some.png"
    file.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        read_log(file)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    """One clear line each."""
    for path in (tmp_path / "missing.log", str(tmp_path / "no*"), [], tmp_path):
        with pytest.raises(InputError, match=r"no such file|without any file"):
            read_log(path)
    with pytest.raises(ConfigError):
        read_log(5)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    """One clear line."""
    file = tmp_path / "a"
    file.write_bytes(LOG)
    file.chmod(0)
    with pytest.raises(InputError, match="permission"):
        read_log(file)


def test_empty_log_is_no_error(tmp_path):
    """A log that was just rotated has no lines."""
    file = tmp_path / "a.log"
    for content in (b"", b"\n\n", gzip.compress(b"")):
        file.write_bytes(content)
        assert read_log(file).summary.events == 0


def test_a_line_longer_than_a_block(tmp_path):
    """A line of 20 MB, and one of 9 MB, between ordinary ones."""
    file = tmp_path / "a.log"
    file.write_bytes(LOG + b"x" * (20 << 20) + b"\n" + LOG[:-2] + b"y" * (9 << 20) + b'"\n' + LOG)
    summary = read_log(file, "combined").summary
    assert (summary.lines, summary.events) == (9001, 9000)
    assert summary.truncated == 1
    assert summary.reasons == {"line_too_long": 1}


def test_half_line_is_left_on_request():
    """A log still being written: the half line is for the next reading."""
    data = LOG + LOG[:50]
    assert read_log(io.BytesIO(data)).summary.rejected == 1
    assert read_log(io.BytesIO(data), keep_half=False).summary.lines == 3000


def test_batches_have_their_own_dictionaries():
    """A batch holds no value of another batch's rows, and the batches add up."""
    batches = list(iter_log(io.BytesIO(LOG * 60), batch_bytes=1 << 20))
    assert len(batches) > 3
    assert sum(batch.summary.events for batch in batches) == 180_000
    for batch in batches:
        column = batch.table["client_ip"].combine_chunks()
        assert len(column.dictionary) == len(set(column.to_pylist()))
    numbers = [batch.table["line_number"][0].as_py() for batch in batches]
    assert numbers == sorted(numbers)


def test_zlib_serves_where_isal_is_not_installed(monkeypatch):
    """The standard library is the fallback."""
    monkeypatch.setattr(decompress, "_zlib", lambda: zlib)
    assert read_log(io.BytesIO(gzip.compress(LOG))).summary.events == 3000


def test_many_small_files_are_a_large_log(tmp_path, monkeypatch):
    """What was read from other files counts towards the size from which compiled code pays."""
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    line = b'192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET /%d HTTP/1.1" 200 5 "-" "agent"\n'
    for number in range(6):
        (tmp_path / f"{number}.log").write_bytes(b"".join(line % n for n in range(100)))
    asked = []
    made = pipeline.fast_reader
    monkeypatch.setattr(pipeline, "_WORTH_BYTES", 20_000)
    monkeypatch.setattr(pipeline, "fast_reader", lambda *given: asked.append(1) or made(*given))
    log = read_log(tmp_path, threads=1)
    assert (log.summary.events, len(asked)) == (600, 4)
