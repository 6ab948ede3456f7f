"""The compiled twins give the same integers as NumPy: loop by loop, and every feature of any log."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.sessions import CHECKPOINTS, DEFAULT, Feature, Settings, build_sessions_table, columns
from fraudlog.testing import random_events, same_bits

fast = pytest.importorskip("fraudlog.sessions.fast", exc_type=ImportError)

WHERE = "path.contains('a') and not (status in (404, 500)) or missing(query)"
REDUCERS = {
    "sum": ("bytes_sent", "step(status)"),
    "sumsq": ("bytes_sent", "step(path_number)"),
    "min": ("step(depth)", "gap_ms"),
    "max": ("step(bytes_sent)", "asn"),
    "first": ("status", "step(status)"),
    "last": ("path_number", "page_gap_ms"),
    "distinct": ("path", "path_number", "asn"),
    "entropy": ("user_agent", "gap_log2"),
    "top": ("client_ip", "status"),
    "switches": ("method", "status", "path_number"),
    "burst": ("1", "60"),
}
OWN = [
    Feature(f"own_{reducer}_{place}_{i}", f"{reducer}({field}{condition})")
    for reducer, fields in REDUCERS.items()
    for place, field in enumerate(fields)
    for i, condition in enumerate(("", f", {WHERE}"))
]
DEFINITIONS = [replace(DEFAULT.with_features(OWN), max_events=cap) for cap in (1, 3, 10_000)]
NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5), min_size=1, max_size=80)


@contextmanager
def acceleration(*, is_on: bool):
    """Compiled code for every batch, or for none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRAUDLOG_FAST", str(int(is_on)))
        for name in ("_WORTH_LOADING", "_WORTH_CALLING"):
            patch.setattr(columns, name, 0)
        yield


def both(work):
    """What some work gives compiled, and what without."""
    found = []
    for is_on in (True, False):
        with acceleration(is_on=is_on):
            assert (columns.accelerator(0) is not None) == is_on
            found.append(work())
    return found


@given(NUMBERS, st.integers(0, 2**63 - 1))
def test_dense_codes_are_the_same_for_any_seed(numbers, seed):
    """Integers are numbered in the order they first stand."""
    array = np.array(numbers, np.int64)
    codes, distinct = fast.dense(array, seed)
    assert distinct.tolist() == list(dict.fromkeys(numbers))
    assert distinct[codes].tolist() == numbers
    _, (slow_codes, slow_distinct) = both(lambda: columns.dense(array))
    assert (codes.tolist(), distinct.tolist()) == (slow_codes.tolist(), slow_distinct.tolist())


def test_dense_codes_of_more_numbers_than_the_first_table_holds():
    """The table grows, and keeps what it had."""
    numbers = np.random.default_rng(0).integers(-(10**6), 10**6, 50_000)
    codes, distinct = fast.dense(numbers, 12345)
    assert distinct.tolist() == list(dict.fromkeys(numbers.tolist()))
    assert np.array_equal(distinct[codes], numbers)


@given(st.lists(st.integers(-1, 4), max_size=50))
def test_columns_are_moved_the_same(numbers):
    """Rows gathered, codes looked up and put in order."""
    codes = np.array(numbers, np.int32)
    table = np.array([1 << 63, 2, 3, 4, 5, 6], np.uint64)
    rows = np.arange(len(codes))[::-1]
    known = np.maximum(codes, 0).astype(np.int64)
    assert fast.gathered(table, known).tolist() == table[known].tolist()
    assert fast.gathered(codes, rows).tolist() == numbers[::-1]
    assert fast.looked_up(table, codes).tolist() == table[codes].tolist()
    assert fast.stable_order(codes + 1, 6).tolist() == np.argsort(codes, kind="stable").tolist()
    word = np.zeros(len(codes), np.uint64)
    fast.add_bits(word, table, codes)
    assert word.tolist() == table[codes].tolist()


def test_what_is_stored_once_behaves_as_if_it_stood_in_every_row():
    """A column of one value: gathered, looked up, joined with its like and with others."""
    for compiled in (True, False):
        with acceleration(is_on=compiled):
            column = columns.repeated(-1, 4, np.int32)
            assert column.nbytes == 16
            assert column.strides == (0,)
            assert columns.gathered(column, np.array([3, 0])).tolist() == [-1, -1]
            assert columns.looked_up(np.array([5, 7]), column).tolist() == [7] * 4
            assert columns.joined([column, column[:2]]).strides == (0,)
            assert columns.joined([column, np.array([1], np.int32)]).tolist() == [-1, -1, -1, -1, 1]
            assert columns.joined([column, columns.repeated(2, 1, np.int32)]).tolist() == [-1, -1, -1, -1, 2]


@given(
    st.integers(0, 2**32),
    st.integers(1, 80),
    st.sampled_from([1, 1000, 1_000_000]),
    st.sampled_from(DEFINITIONS),
    st.sampled_from([(), CHECKPOINTS]),
)
@settings(max_examples=8)
def test_every_feature_is_the_same_with_and_without_compiled_code(
    seed, n_events, resolution_us, definition, checkpoints
):
    """All of the catalogue, and every reducer over own fields, as of any event."""
    events = random_events(seed, n_events, resolution_us=resolution_us, spread=0.05)
    how = Settings(definition, checkpoints=checkpoints, shards=2)
    compiled, plain = both(lambda: build_sessions_table(events, how, batch=37).to_pylist())
    assert len(compiled) == len(plain)
    differing = {
        name
        for one, other in zip(compiled, plain, strict=True)
        for name in one
        if not (same_bits(one[name], other[name]) if isinstance(one[name], float) else one[name] == other[name])
    }
    assert differing == set()


@given(st.lists(st.tuples(st.integers(-1, 3), st.just(0), st.integers(-1, 2)), min_size=1, max_size=30), st.booleans())
def test_rows_of_several_columns_are_numbered_as_they_first_stand(rows, is_narrow):
    """However wide the number is that their codes make together, and with a column of one value between them."""
    texts = [
        columns.Text(np.array(codes, np.int32), pa.array([f"{i}" for i in range(4)]))
        for codes in zip(*rows, strict=True)
    ]
    texts[1] = columns.Text(columns.repeated(0, len(rows), np.int32), texts[1].values)
    with pytest.MonkeyPatch.context() as patch:
        if is_narrow:
            patch.setattr(columns, "_TOO_WIDE", 6)
        codes, parts = columns.combine(texts)
    distinct = list(dict.fromkeys(rows))
    assert codes.tolist() == [distinct.index(row) for row in rows]
    assert list(zip(*(part.tolist() for part in parts), strict=True)) == distinct
