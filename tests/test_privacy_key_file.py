"""The file of the keys: whatever kills a change, no key is lost, none can be read by others, none stays behind."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fraudlog.privacy import drop_key, load_keyring, rotate_key


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A ring of two keys."""
    monkeypatch.delenv("FRAUDLOG_KEY", raising=False)
    path = tmp_path / "keys" / "key"
    load_keyring(path)
    rotate_key(path)
    return path


def alone(path) -> bool:
    """Say whether nothing lies beside the file."""
    return [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("change", [rotate_key, lambda path: drop_key(1, path), load_keyring])
def test_a_draft_that_a_killed_change_left_is_destroyed(file, change):
    """Its bytes are overwritten before they are given back to the disk."""
    draft = file.with_name(f".{file.name}.new")
    draft.write_text("1 " + "ab" * 32)
    with draft.open("rb") as held:
        change(file)
        assert held.read() == bytes(66)
    assert alone(file)


def test_an_old_file_that_a_killed_change_left_is_destroyed(file):
    """Killed after the rename and before the old keys were overwritten."""
    old = file.with_name(f".{file.name}.old")
    old.write_bytes(file.read_bytes())
    with old.open("rb") as held:
        ring = load_keyring(file)
        assert set(held.read()) == {0}
    assert alone(file)
    assert set(ring.keys) == {1, 2}


def test_a_second_name_of_the_keys_is_not_overwritten(file):
    """Killed before the rename: both names are of the one file there is."""
    os.link(file, file.with_name(f".{file.name}.old"))
    before = file.read_bytes()
    assert set(rotate_key(file).keys) == {1, 2, 3}
    assert before.splitlines() == file.read_bytes().splitlines()[:2]
    assert alone(file)


def test_changes_at_once_lose_no_key(file):
    """Each epoch's key was written by one of them, and all are there."""
    with ThreadPoolExecutor(8) as pool:
        made = [ring.keys for ring in pool.map(rotate_key, [file] * 8)]
    after = load_keyring(file).keys
    assert set(after) == set(range(1, 11))
    assert all(after[epoch] == key for keys in made for epoch, key in keys.items())


def test_who_reads_while_keys_change_gets_the_old_ring_or_the_new(file):
    """Never the old file that was overwritten between its being opened and read."""
    with ThreadPoolExecutor(1) as pool:
        changes = pool.submit(lambda: [rotate_key(file) for _ in range(150)])
        seen = [load_keyring(file).keys]
        while not changes.done():
            seen.append(load_keyring(file).keys)
    after = load_keyring(file).keys
    assert all(keys.items() <= after.items() for keys in seen)


def kill_loop(file, change, count: int, seed: int) -> int:
    """Kill a change at random moments; the file holds the old ring or the new one, and the change again succeeds."""
    chance = random.Random(seed)  # noqa: S311 -- moments, not keys
    n_killed, longest = 0, 0.003
    while n_killed < count:
        before = load_keyring(file).keys
        child = os.fork()
        if not child:
            change(file)
            os._exit(0)
        time.sleep(chance.random() * longest)
        os.kill(child, signal.SIGKILL)
        was_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        n_killed += was_killed
        longest *= 1.1 if was_killed else 0.9
        beside = list(file.parent.iterdir())
        assert all(one.stat().st_mode & 0o777 == 0o600 for one in beside)
        after = load_keyring(file).keys
        assert alone(file)
        assert all(after.get(epoch, key) == key for epoch, key in before.items())
        assert len(after.keys() ^ before.keys()) <= 2  # one comes, one goes
        change(file)
        assert alone(file)
        while len(load_keyring(file).keys) > 4:
            drop_key(min(load_keyring(file).keys), file)
    return n_killed


@pytest.mark.parametrize("what", ["rotate", "drop"])
def test_killed_at_random_moments(file, what):
    """A few times; the slow test at length."""
    assert kill_loop(file, changes(what), 10, 1) == 10


@pytest.mark.slow
@pytest.mark.parametrize("what", ["rotate", "drop"])
def test_killed_two_hundred_times(file, what):
    """The same 200 times."""
    assert kill_loop(file, changes(what), 200, 2) == 200


def changes(what):
    """Return the change that is killed."""

    def rotate_and_drop(path):
        rotate_key(path)
        drop_key(min(load_keyring(path).keys), path)

    return rotate_key if what == "rotate" else rotate_and_drop


def test_a_first_key_is_whole_or_not_there(tmp_path, monkeypatch):
    """Killed while the file is made: a half one would be refused for ever."""
    monkeypatch.delenv("FRAUDLOG_KEY", raising=False)
    path = tmp_path / "keys" / "key"
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        load_keyring(path)
    monkeypatch.undo()
    assert not path.exists()
    monkeypatch.delenv("FRAUDLOG_KEY", raising=False)
    assert len(load_keyring(path).keys) == 1
    assert alone(path)
