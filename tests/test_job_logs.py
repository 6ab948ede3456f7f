"""Several logs in one job: exactly once, in one order, however far each had come when a run looked."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.errors import ConfigError
from fraudlog.jobs import job_status, load_config, sample_config
from fraudlog.privacy import load_keyring
from fraudlog.store import open_store
from fraudlog.subjects import Desk
from job_support import Site, sample_lines, small_model

PURPOSE = "essential.fraud_detection"
LINES = sample_lines(700)
BAD = b"\x16\x03\x01 no request\n"


def as_json(line: bytes) -> bytes:
    """The same line as another server would log it."""
    head, _, rest = line.partition(b" - - [")
    moment, _, rest = rest.partition(b'] "')
    request, _, rest = rest.partition(b'" ')
    status, size, *_ = rest.split(b" ")
    day, month, tail = moment.decode().split("/")
    row = {
        "ts": f"{tail[:4]}-05-{day}T{tail[5:13]}Z",
        "ip": head.decode(),
        "req": request.decode("latin-1"),
        "status": int(status),
        "size": int(size) if size.isdigit() else None,
        "ua": rest.split(b'"')[3].decode("latin-1"),
    }
    assert month == "May"
    return json.dumps(row).encode() + b"\n"


FIRST = [*LINES[0:300:2], BAD, *LINES[300:700:2]]
SECOND = [as_json(line) for line in LINES[1:700:2]]
SECOND[40:40] = [b"{broken\n", b"\n"]
THIRD = [line for line in LINES[5:700:9] if b" - - " in line]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


class Sites(Site):
    """A site with three logs: two of one format, one of JSON."""

    def __init__(self, folder, model, **values):
        logs = [
            {"path": str(folder / "logs" / "web1.log"), "format": "combined", "name": "web1"},
            {
                "path": str(folder / "logs" / "web2.json"),
                "format": "json",
                "name": "web2",
                "fields": {
                    "timestamp": "ts",
                    "client_ip": "ip",
                    "request": "req",
                    "bytes_sent": "size",
                    "user_agent": "ua",
                },
            },
            {"path": str(folder / "logs" / "web3.log"), "format": "combined", "name": "web3"},
        ]
        super().__init__(folder, model, logs=logs, **values)

    def write_config(self, values):
        super().write_config({name: value for name, value in values.items() if name != "log.path"})

    def grow(self, *pieces: bytes):
        for name, piece in zip(("web1.log", "web2.json", "web3.log"), pieces, strict=True):
            with (self.folder / "logs" / name).open("ab") as log:
                log.write(piece)


DATA = tuple(b"".join(lines) for lines in (FIRST, SECOND, THIRD))


@pytest.fixture(scope="module")
def undisturbed(model, tmp_path_factory):
    site = Sites(tmp_path_factory.mktemp("whole") / "site", model)
    site.grow(*DATA)
    site.report = site.run()
    return site


def test_all_lines_are_taken_but_those_that_wait(undisturbed):
    """What waits for the slowest log is a few minutes, and comes with its next line."""
    tally = undisturbed.report.tally
    n_lines = sum(data.count(b"\n") for data in DATA)
    assert n_lines - 60 < tally.lines < n_lines
    assert tally.lines == tally.events + tally.rejected + tally.blank
    assert (tally.rejected, tally.blank, tally.late) == (2, 1, 0)
    with open_store(undisturbed.store, purpose=PURPOSE) as store:
        assert store.verify() == []
        assert len({source.split("/")[1] for source in store.read("events")["source"].to_pylist()}) == 3
    assert undisturbed.run().tally.lines == 0
    assert job_status(undisturbed.config)["counts"]["events"] == tally.events


def cut_at_times(fractions: list[float], jitter: list[int]) -> list[tuple[int, ...]]:
    """Where each log stands at some moments: about as far as the others, and in the middle of lines."""
    return [
        tuple(max(0, min(len(data), int(len(data) * fraction) + jitter[n])) for n, data in enumerate(DATA))
        for fraction in fractions
    ]


@settings(max_examples=3)
@given(
    fractions=st.sets(st.floats(0.05, 0.95), min_size=1, max_size=3).map(sorted),
    jitter=st.lists(st.integers(-900, 900), min_size=3, max_size=3),
)
def test_runs_may_be_cut_anywhere(model, undisturbed, tmp_path_factory, fractions, jitter):
    """The store is the same, byte for byte."""
    site = Sites(tmp_path_factory.mktemp("cut") / "site", model)
    bounds = [(0, 0, 0), *cut_at_times(fractions, jitter), tuple(map(len, DATA))]
    for first, end in pairwise(bounds):
        site.grow(*(data[a:b] for data, a, b in zip(DATA, first, end, strict=True)))
        site.run()
    assert site.tree() == undisturbed.tree()


def test_takes_do_not_show(model, undisturbed, tmp_path, monkeypatch):
    """A run of many takes leaves what a run of one leaves."""
    site = Sites(tmp_path / "site", model)
    site.grow(*DATA)
    monkeypatch.setattr("fraudlog.reading.follow._PIECE", 9_000)
    monkeypatch.setattr("fraudlog.jobs.takes._TAKE_UNIT", 20_000)
    assert site.run().takes > 3
    assert site.tree() == undisturbed.tree()


def test_rotated_logs_go_on(model, undisturbed, tmp_path):
    """Each log is rotated for itself, with lines in it that wait."""
    site = Sites(tmp_path / "site", model)
    half = [len(data) // 2 for data in DATA]
    site.grow(*(data[: data.rfind(b"\n", 0, place) + 1] for data, place in zip(DATA, half, strict=True)))
    site.run()
    for log in ("web1.log", "web3.log"):
        path = site.folder / "logs" / log
        path.rename(path.with_name(f"{log}.1"))
    site.grow(*(data[data.rfind(b"\n", 0, place) + 1 :] for data, place in zip(DATA, half, strict=True)))
    site.run()
    counts = job_status(site.config)["counts"]
    assert counts == job_status(undisturbed.config)["counts"]


def test_a_silent_log_is_waited_for_so_long(model, tmp_path):
    """After the patience the others go on."""
    site = Sites(tmp_path / "site", model, **{"merge.patience": "10min"})
    site.grow(DATA[0], b"", DATA[2])
    tally = site.run().tally
    assert tally.lines > 0.8 * (DATA[0] + DATA[2]).count(b"\n")
    assert site.run().tally.lines == 0


def test_a_person_goes_out_of_all_logs(model, tmp_path):
    """As if they had been in none; by address, for these logs know no accounts."""
    client = LINES[400].split(b" ", 1)[0]
    theirs = [client in line for line in FIRST], [client in line for line in SECOND], [client in line for line in THIRD]
    assert sum(map(sum, theirs)) > 3
    sites = []
    for name in "ab":
        site = Sites(tmp_path / name, model)
        site.grow(
            *(
                b"".join(b"\n" if name == "b" and goes else line for line, goes in zip(lines, mask, strict=True))
                for lines, mask in zip((FIRST, SECOND, THIRD), theirs, strict=True)
            )
        )
        site.run()
        sites.append(site)
    Desk(sites[0].config, load_keyring(sites[0].key)).erase({"client_ip": client.decode()})
    assert sites[0].tree() == sites[1].tree()


def test_the_configuration_says_what_is_wrong(tmp_path):
    """Keys of a log are those of [log]; both at once, or two of a name, are errors."""
    base = sample_config({"store.path": "s", "model.path": "m", "logs": [{"path": "a", "format": "combined"}]})
    file = tmp_path / "job.toml"

    def refused(text: str, match: str) -> None:
        file.write_text(text)
        with pytest.raises(ConfigError, match=match):
            load_config(file)

    file.write_text(base)
    (one,) = load_config(file).inputs
    assert (one["log.path"], one["log.format"], one["log.timezone"]) == (tmp_path / "a", "combined", "UTC")
    refused(base.replace('format = "combined"', ""), r"needs log\.format")
    refused(base.replace('format = "combined"', 'format = "combined"\ncolour = "red"'), r"unknown key logs\.colour")
    refused(base + '\n[[logs]]\npath = "a"\nformat = "combined"\n', "name of another")
    refused(base.replace("\n[log]\n", '\n[log]\npath = "b"\n'), r"log\.path stands beside")
    refused(sample_config({"store.path": "s"}).replace("[store]", "logs = 3\n[store]"), r"logs must be written")
    file.write_text(sample_config())
    assert "#   [[logs]]" in file.read_text()
    assert len(load_config(file).inputs) == 1
