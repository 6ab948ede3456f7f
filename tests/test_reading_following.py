"""`follow_log`: batches of events across rotation and restarts."""

from __future__ import annotations

import gzip
import json

import pytest

from fraudlog.errors import ConfigError, FormatError
from fraudlog.reading import Follower, follow_log

LINE = b'192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET /%d HTTP/1.1" 200 5 "-" "agent"\n'


def paths(batches):
    """Return the paths of all events, in order."""
    return [path for batch in batches for path in batch.table["path"].to_pylist()]


def append(path, *numbers):
    with path.open("ab") as stream:
        stream.writelines(LINE % number for number in numbers)


def test_batches_across_rename_and_compression(tmp_path):
    """Nothing lost and nothing twice when the log is renamed, packed and begun anew between two looks."""
    log = tmp_path / "access.log"
    append(log, 0, 1)
    follower = Follower(log)
    assert paths(follow_log(follower, interval_s=None)) == ["/0", "/1"]
    append(log, 2)
    rotated = log.rename(tmp_path / "access.log.1")
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(rotated.read_bytes()))
    rotated.unlink()
    append(log, 3)
    assert paths(follow_log(follower, interval_s=None)) == ["/2", "/3"]
    assert paths(follow_log(follower, interval_s=None)) == []
    follower.close()


def test_small_batches_leave_a_state_to_go_on_from(tmp_path):
    """Whoever stops after any batch and stores the state gets the rest, once, after a restart."""
    log = tmp_path / "access.log"
    for number in range(4):
        append(tmp_path / f"access.log.{4 - number}", *range(3 * number, 3 * number + 3))
    append(log, 12, 13, 14)
    for n_taken in range(6):
        follower = Follower(log)
        batches = follow_log(follower, "combined", interval_s=None, batch_bytes=1)
        first = [path for _, batch in zip(range(n_taken), batches, strict=False) for path in paths([batch])]
        state = json.loads(json.dumps(follower.state()))
        batches.close()
        follower.close()
        later = Follower(log, state)
        assert first + paths(follow_log(later, "combined", interval_s=None)) == [f"/{n}" for n in range(15)]
        later.close()


HEADED = [
    (b"#Fields: date time c-ip cs-uri-stem\n", b"2024-01-01 00:00:00 192.0.2.1 /%d\n"),
    (b"ts,ip,path\n", b"1700000000,192.0.2.1,/%d\n"),
]


@pytest.mark.parametrize(("header", "line"), HEADED)
def test_a_restart_knows_the_header(tmp_path, header, line):
    """The lines written since stand below a header that an earlier run read."""
    log = tmp_path / "access.log"
    log.write_bytes(header + line % 1)
    follower = Follower(log)
    assert paths(follow_log(follower, interval_s=None)) == ["/1"]
    state = follower.state()
    follower.close()
    with log.open("ab") as stream:
        stream.write(line % 2)
    later = Follower(log, state)
    (batch,) = follow_log(later, interval_s=None)
    assert (paths([batch]), batch.table["line_number"].to_pylist()) == (["/2"], [3])
    later.close()


def test_it_waits_for_more(tmp_path, monkeypatch):
    """Between two looks it sleeps; lines that came meanwhile are the next batch."""
    log = tmp_path / "access.log"
    append(log, 0)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        append(log, len(slept))

    monkeypatch.setattr("fraudlog.reading.following.time.sleep", sleep)
    batches = follow_log(log, interval_s=0.5)
    assert [paths([next(batches)]) for _ in range(3)] == [["/0"], ["/1"], ["/2"]]
    assert slept == [0.5, 0.5]
    batches.close()


def test_what_it_refuses(tmp_path):
    log = tmp_path / "access.log"
    with pytest.raises(ConfigError, match="interval_s"):
        next(follow_log(log, interval_s=0))
    log.write_bytes(b"no log\n" * 3)
    with pytest.raises(FormatError, match="no access log"):
        list(follow_log(log, interval_s=None))
