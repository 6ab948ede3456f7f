"""One definition, one result: batch kernel, live twin and slow twin agree in every bit, on any log."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from conftest import SAMPLE
from fraudlog.reading import read_log
from fraudlog.sessions import CHECKPOINTS, DEFAULT, Definition, Feature, Population, Settings, build_sessions_table
from fraudlog.sessions.stream import moments
from fraudlog.testing import ParityError, check_parity, random_events, same_bits

DROPPABLE = (
    "path",
    "status",
    "user_agent",
    "language",
    "endpoint",
    "user",
    "country",
    "referrer",
    "source",
    "line_number",
)


@st.composite
def logs(draw):
    """A random log with ties, gaps at the limits, nulls, missing columns, in fine or coarse time."""
    return random_events(
        draw(st.integers(0, 2**32)),
        draw(st.integers(1, 60)),
        drop=draw(st.sets(st.sampled_from(DROPPABLE))),
        resolution_us=draw(st.sampled_from([1, 1000, 1_000_000, 60_000_000])),
        spread=draw(st.sampled_from([0.0, 0.05, 0.5])),
    )


@st.composite
def definitions(draw):
    """The catalogue with limits small enough to matter."""
    return replace(
        DEFAULT,
        max_events=draw(st.sampled_from([1, 3, 10_000])),
        session_gap_us=draw(st.sampled_from([1, 60_000_000, 1_800_000_000])),
        max_duration_us=draw(st.sampled_from([1_800_000_000, 43_200_000_000])),
        own_statuses=draw(st.sampled_from([frozenset(), frozenset({403, 429})])),
    )


def slow(events, definition, **how):
    """The slow twin's rows by id and number of events."""
    rows = [row | {"time": moment} for row, moment in zip(events.to_pylist(), moments(events).tolist(), strict=True)]
    return {(row["session_id"], row["count"]): row for row in naive.sessions(rows, definition, **how)}


def differences(expected, table, names):
    """Names and values of all cells that are not the same."""
    found = {(row["session_id"], row["checkpoint"]): row for row in table.to_pylist()}
    assert found.keys() == expected.keys()
    return [
        (name, row[name], found[key][name])
        for key, row in expected.items()
        for name in (*names, "piece")
        if not same_bits(row[name], found[key][name])
    ]


@given(logs(), definitions(), st.integers(1, 100), st.integers(1, 3), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_the_kernel_equals_the_slow_twin(events, definition, batch, shards, rng):
    """Every feature and id, as of every checkpoint, for shuffled events, any size of batches and number of shards."""
    population = Population.fit(events) if rng.random() < 0.5 else None
    how = {"key": b"k" * rng.randrange(2), "population": population, "checkpoints": CHECKPOINTS}
    expected = slow(events, definition, **how)
    has_order = {"source", "line_number"} <= set(events.column_names)
    shuffled = events.take(rng.sample(range(len(events)), len(events))) if has_order and unique(events) else events
    table = build_sessions_table(shuffled, Settings(definition, shards=shards, **how), batch=batch)
    assert differences(expected, table, definition.names) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_number_can_be_missing(seed):
    """Its nulls are told from numbers row by row, not in a table of all values."""
    definition = Definition((Feature("missing", "share(missing(bytes_sent))"), Feature("asns", "count(missing(asn))")))
    events = random_events(seed, 60)
    table = build_sessions_table(events, Settings(definition, checkpoints=(1, 2)), batch=11)
    assert differences(slow(events, definition, checkpoints=(1, 2)), table, definition.names) == []


def unique(events):
    """Whether time, source and line order the events fully."""
    columns = (events.column(name).to_pylist() for name in ("timestamp", "source", "line_number"))
    keys = list(zip(*columns, strict=True))
    return len(set(keys)) == len(keys)


@given(logs(), definitions(), st.booleans())
@settings(max_examples=15)
def test_live_equals_the_kernel_after_every_checkpoint(events, definition, with_population):
    """What a service computes event by event is what the kernel gives as of those events, in batches of any size."""
    population = Population.fit(events) if with_population else None
    assert check_parity(definition, events, population=population, key=b"k", batches=(5,), shards=(2,)) > 0


def test_the_real_log_is_the_same_live_and_in_batches():
    """All values of the sample log: 3,000 sessions, 7,000 rows as of a checkpoint, every feature."""
    events = read_log(SAMPLE).table
    assert check_parity(DEFAULT, events, batches=(997,), shards=(3,)) > 2_000_000


@pytest.mark.slow
def test_twenty_million_values_as_of_checkpoints():
    """Live and kernel agree on 20 M values of random logs."""
    compared = 0
    seed = 0
    while compared < 20_000_000:
        seed += 1
        events = random_events(seed, 5_000, spread=0.01, resolution_us=random.Random(seed).choice([1, 1_000_000]))  # noqa: S311 -- test data
        compared += check_parity(DEFAULT, events, batches=(), shards=())
    assert compared >= 20_000_000


def test_the_harness_finds_a_difference_of_one_bit(monkeypatch):
    """A harness that can't fail proves nothing: shift one live value by its last bit."""
    import math  # noqa: PLC0415 -- used here alone

    from fraudlog.sessions.live import LiveFeatures  # noqa: PLC0415 -- as above

    definition = DEFAULT.only(["requests", "gap_mean_s"])
    honest = LiveFeatures.observe

    def shifted(self, event):
        requests, gap = honest(self, event)
        return [requests, math.nextafter(gap, math.inf)]

    monkeypatch.setattr(LiveFeatures, "observe", shifted)
    with pytest.raises(ParityError, match="live: gap_mean_s") as caught:
        check_parity(definition, random_events(seed=3, n_events=50))
    assert caught.value.feature == "gap_mean_s"


def test_own_features_pass_the_same_harness():
    """Every reducer, with a condition and without, over own fields."""
    where = "path.contains('a') and not (status in (404, 500)) or missing(query)"
    texts = [
        f"{reducer}({field}{condition})"
        for reducer, fields in {
            "sum": ("bytes_sent", "step(status)"),
            "sumsq": ("bytes_sent", "step(path_number)"),
            "mean": ("duration_ms",),
            "min": ("step(depth)", "query_length"),
            "max": ("step(bytes_sent)", "asn"),
            "first": ("status", "step(depth)"),
            "last": ("gap_ms", "path_number"),
            "distinct": ("device", "status", "utc_hour"),
            "entropy": ("country", "path_number", "local_hour"),
            "top": ("bytes_log2", "browser_version"),
            "switches": ("host", "protocol", "gap_log2"),
        }.items()
        for field in fields
        for condition in ("", f", {where}")
    ]
    texts += [
        f"burst(3, {where})",
        f"count({where})",
        f"share({where})",
        "larger(count(), 5) - smaller(sum(status), 7)",
    ]
    texts += ["sqrt(count() - 3)", "1 / (count() - 2)", "share(step(status) > 0 or user_device_new == 1)"]
    own = [Feature(f"own_{i}", text) for i, text in enumerate(texts)]
    definition = replace(DEFAULT, features=tuple(own), max_events=20)
    for seed in range(3):
        events = random_events(seed, 120)
        check_parity(definition, events)
        expected = slow(events, definition, checkpoints=(2, 5))
        table = build_sessions_table(events, Settings(definition, checkpoints=(2, 5)))
        assert differences(expected, table, definition.names) == []


def test_batch_only_features_are_compared_between_batches_alone():
    """A function of the table has no live twin, and still must not depend on the size of batches."""
    own = Feature("twice", function=lambda table: table["requests"].to_numpy() * 2, is_batch_only=True)
    assert check_parity(DEFAULT.only(["requests"]).with_features([own]), random_events(seed=5, n_events=80)) > 0
