"""Reading on in a log: the same events in the same places, however the log grew and wherever the reading stopped."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.jobs import JobConfig, load_config, sample_config
from fraudlog.jobs.takes import Taker

KEY = bytes(range(32))
W3C_HEAD = b"#Software: IIS\n#Fields: date time c-ip cs-method cs-uri-stem sc-status cs(User-Agent)\n"
W3C_TURN = b"#Fields: date time cs-method cs-uri-stem c-ip sc-status\n"
LOGS = {
    "w3c": W3C_HEAD
    + b"".join(b"2024-01-02 03:04:%02d 198.51.100.3 GET /%d 200 Mozilla/5.0+(X11)\n" % (i, i) for i in range(20))
    + b"2024-01-02 03:04:20 cut\n"
    + W3C_TURN
    + b"".join(b"2024-01-02 03:05:%02d GET /%d 198.51.100.4 404\n" % (i, i) for i in range(20)),
    "csv": b"timestamp,ip,user_id,event\n"
    + b"".join(b"2024-02-03T04:05:%02dZ,192.0.2.%d,u%d,login\n" % (i, i, i % 3) for i in range(30))
    + b"2024-02-03T04:05:06Z,192.0.2.5\n",
    "json": b"".join(
        b'{"ts":"2024-02-03T04:05:%02dZ","ip":"192.0.2.%d"%s}\n' % (i, i, b',"locale":"en-GB"' if i > 17 else b"")
        for i in range(30)
    )
    + b"{broken\n\n",
}


def config_of(folder, name: str) -> JobConfig:
    values = {"log.path": str(folder / "a.log"), "log.format": name}
    (folder / "job.toml").write_text(sample_config(values))
    return load_config(folder / "job.toml")


def read(folder, name: str, cuts: list[int], until_us: int | None = None):
    """Read a log that grows by `cuts`, each time from JSON of where the reading stood."""
    config, position = config_of(folder, name), {}
    events, rejected, counts = [], [], {"lines": 0, "events": 0, "rejected": 0, "blank": 0}
    data = LOGS[name]
    for end in [*cuts, len(data)]:
        (folder / "a.log").write_bytes(data[:end])
        taker = Taker(config, KEY, position, until_us)
        for take in taker:
            events += [(row["line_number"], row["timestamp"], row["client_ip"]) for row in take.events.to_pylist()]
            rejected += [(row["line_number"], row["reason"]) for row in take.rejected.to_pylist()]
            counts = {key: counts[key] + take.counts[key] for key in counts}
            position = json.loads(json.dumps(take.position))
        taker.close()
    return events, rejected, counts, {k: v for k, v in position.items() if k != "done"}


@pytest.mark.parametrize("name", list(LOGS))
@given(data=st.data())
def test_a_log_may_grow_by_any_pieces(name, data, tmp_path_factory):
    """Headers and directives are known to the lines after them, whatever run read them."""
    folder = tmp_path_factory.mktemp("log")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(LOGS[name])), max_size=5)))
    events, rejected, counts, position = read(folder, name, cuts)
    whole = read(folder, name, [])
    assert (events, rejected, counts) == whole[:3]
    assert position["log"]["streams"] == whole[3]["log"]["streams"]
    assert counts["lines"] == LOGS[name].count(b"\n") == counts["events"] + counts["rejected"] + counts["blank"]
    assert counts["events"] >= 30


@pytest.mark.parametrize("name", list(LOGS))
def test_until_stops_before_a_line_and_goes_on_there(name, tmp_path):
    """Whatever line that is, and whatever header stands before it."""
    whole = read(tmp_path, name, [])
    config = config_of(tmp_path, name)
    for line, moment, _ in whole[0]:
        until_us = int(moment.timestamp() * 1e6)
        (tmp_path / "a.log").write_bytes(LOGS[name])
        events, position, n_lines = [], {}, 0
        for bound in (until_us, None):
            taker = Taker(config, KEY, position, bound)
            for take in taker:
                events += [row["line_number"] for row in take.events.to_pylist()]
                n_lines += take.counts["lines"]
                position = json.loads(json.dumps(take.position))
            taker.close()
            if bound is not None:
                assert n_lines == line - 1
        assert events == [number for number, _, _ in whole[0]]
        assert n_lines == whole[2]["lines"]
