"""Rotation while reading: zero lines lost, zero read twice."""

from __future__ import annotations

import gzip
import json
import random
import shutil

import pytest

from fraudlog.reading.follow import Follower


class Server:
    """A server that writes numbered lines, and the rotations an administrator does to its log."""

    def __init__(self, folder) -> None:
        self.path = folder / "access.log"
        self.written = 0
        self.stream = self.path.open("ab")

    def write(self, count, *, half=False):
        for _ in range(count):
            self.stream.write(b"192.0.2.1 - - [%d] %s\n" % (self.written, b"x" * 20))
            self.written += 1
        if half:
            self.stream.write(b"192.0.2.1 - - [%d] " % self.written)
        self.stream.flush()

    def finish_half(self):
        self.stream.write(b"%s\n" % (b"x" * 20))
        self.stream.flush()
        self.written += 1

    def reopen(self):
        self.stream.close()
        self.stream = self.path.open("ab")

    def rename(self):
        for number in (2, 1):
            if self.path.with_name(f"access.log.{number}").exists():
                self.path.with_name(f"access.log.{number}").rename(self.path.with_name(f"access.log.{number + 1}"))
        self.path.rename(self.path.with_name("access.log.1"))

    def copytruncate(self):
        shutil.copyfile(self.path, self.path.with_name("access.log.1"))
        self.stream.truncate(0)


def pack(path):
    """Compress a rotated file and remove it, as logrotate does."""
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


@pytest.fixture
def server(tmp_path):
    """Start a server in an empty folder."""
    made = Server(tmp_path)
    yield made
    made.stream.close()


@pytest.fixture
def read(server):
    """Return a reader that polls, keeps what was read, and restarts from the saved state when told to."""

    class Reader:
        def __init__(self) -> None:
            self.follower = Follower(server.path)
            self.seen = []

        def poll(self, *, restart=False, is_final=False) -> None:
            if restart:
                state = json.loads(json.dumps(self.follower.state()))
                self.follower.close()
                self.follower = Follower(server.path, state)
            for gain in self.follower.poll(is_final=is_final):
                self.seen += [int(line.split(b"[")[1].split(b"]")[0]) for line in gain.data.splitlines()]

        def check(self) -> None:
            self.poll()
            assert sorted(self.seen) == list(range(server.written))

    made = Reader()
    yield made
    made.follower.close()


RESTART = pytest.mark.parametrize("restart", [False, True], ids=["same process", "restarted"])


@RESTART
def test_rename(server, read, restart):
    """The log is renamed; the server writes on in the old file until it opens the new one."""
    server.write(5)
    read.poll()
    server.write(3)
    server.rename()
    server.write(2)
    read.poll(restart=restart)
    server.reopen()
    server.write(4)
    read.check()


@RESTART
def test_rename_and_gzip(server, read, restart):
    """The renamed file is compressed before the next poll."""
    server.write(5)
    read.poll()
    server.write(3)
    server.rename()
    server.reopen()
    pack(server.path.with_name("access.log.1"))
    server.write(1)
    read.poll(restart=restart)
    server.write(4)
    read.check()


@RESTART
@pytest.mark.parametrize("more", [1, 50], ids=["shorter", "longer"])
def test_copytruncate(server, read, restart, more):
    """The log is copied and truncated, then grows to less or to more than it was."""
    server.write(20)
    read.poll()
    server.write(3)
    server.copytruncate()
    server.write(more)
    read.poll(restart=restart)
    server.write(2)
    read.check()


@RESTART
def test_inode_reused(server, read, restart):
    """A new log with the inode of the old one is another log: the old one was read to its end."""
    server.write(20)
    read.poll()
    server.stream.truncate(0)
    server.write(30)
    read.poll(restart=restart)
    read.check()


def test_removed(server, read):
    """What was written before the log was removed is still read from the open file."""
    server.write(5)
    read.poll()
    server.write(3)
    server.path.unlink()
    read.poll()
    server.reopen()
    server.write(2)
    read.check()


@RESTART
def test_new_file_late(server, read, restart):
    """After the rename there is no log for a while."""
    server.write(5)
    read.poll()
    server.rename()
    read.poll(restart=restart)
    read.poll()
    server.reopen()
    server.write(6)
    read.check()


@RESTART
def test_half_line_is_carried_over(server, read, restart):
    """A line is read when it has its end, not before."""
    server.write(3, half=True)
    read.poll()
    assert read.seen == [0, 1, 2]
    read.poll(restart=restart)
    server.finish_half()
    read.check()


@pytest.mark.parametrize("seed", range(12))
def test_any_sequence_of_rotations(server, read, seed):
    """Hundreds of random steps: writes, polls, restarts and every rotation."""
    rng = random.Random(seed)  # noqa: S311 -- not for secrets
    server.write(2)
    read.poll()
    for _ in range(60):
        step = rng.randrange(7)
        if step <= 2:
            server.write(rng.randrange(1, 40))
        elif step == 3:
            read.poll(restart=rng.random() < 0.3)
        elif step == 4 and server.path.exists() and server.path.stat().st_size:
            server.rename()
            if rng.random() < 0.5:
                server.write(2)
            read.poll(restart=rng.random() < 0.3)
            server.reopen()
            server.write(1)
        elif step == 5 and server.path.stat().st_size:
            read.poll()
            server.copytruncate()
            server.write(rng.randrange(1, 60))
            read.poll(restart=rng.random() < 0.3)
        elif step == 6 and server.path.with_name("access.log.1").exists():
            read.poll()
            pack(server.path.with_name("access.log.1"))
            read.poll()
            server.path.with_name("access.log.1.gz").unlink()
    read.check()
