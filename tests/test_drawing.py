"""Rows are drawn by keyed rank: by what they are, not by where they stand, and few of one source."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.detecting.drawing import Pool, draw, full_size, mix, numbered, row_tokens, text_tokens

KEY = b"a key for tests!"


def pool_of(n_rows, sources=None, seed=0):
    tokens = mix(np.arange(n_rows, dtype=np.uint64), seed)
    return Pool(tokens, None if sources is None else np.asarray(sources, dtype=np.int64), np.ones(n_rows, dtype=bool))


def naive_draw(pool, seed, n_rows, cap):
    """Take rows by rising rank, one by one."""
    taken, held = [], {}
    for row in np.argsort(mix(pool.tokens, seed), kind="stable").tolist():
        source = row if pool.sources is None else int(pool.sources[row])
        if pool.present[row] and len(taken) < n_rows and (cap is None or held.get(source, 0) < cap):
            taken.append(row)
            held[source] = held.get(source, 0) + 1
    return taken


@settings(max_examples=60)
@given(
    n_rows=st.integers(1, 300),
    n_sources=st.integers(1, 40),
    wanted=st.integers(1, 100),
    cap=st.one_of(st.none(), st.integers(1, 5)),
    gone=st.integers(0, 50),
    seed=st.integers(0, 2**64 - 1),
)
def test_drawing_equals_taking_one_by_one(n_rows, n_sources, wanted, cap, gone, seed):
    chance = np.random.default_rng(n_rows)
    pool = pool_of(n_rows, chance.integers(0, n_sources, n_rows))
    pool.present[chance.permutation(n_rows)[: min(gone, n_rows - 1)]] = False
    size = full_size(pool, cap, wanted)
    drawn = draw(pool, seed, size, cap)
    assert drawn.tolist() == naive_draw(pool, seed, wanted, cap)
    assert len(drawn) == size


def test_a_large_pool_is_drawn_alike():
    pool = pool_of(200_000, np.arange(200_000) // 3)
    assert draw(pool, 5, 256, 1).tolist() == naive_draw(pool, 5, 256, 1)


def test_no_source_has_more_than_the_cap():
    sources = np.where(np.arange(10_000) < 9_000, 0, np.arange(10_000))
    drawn = draw(pool_of(10_000, sources), 1, 256, 2)
    assert (sources[drawn] == 0).sum() == 2


def test_every_row_is_as_likely_as_any_other():
    pool = pool_of(500)
    counts = np.bincount(np.concatenate([draw(pool, seed, 50, None) for seed in range(2000)]), minlength=500)
    assert abs(counts.mean() - 200) < 1e-9
    assert 0.8 < counts.var() / (200 * 0.9) < 1.25


def test_a_row_is_known_by_owner_and_id_not_by_place():
    owners = text_tokens(["ann", "bob", "ann"], KEY, "owners")
    tokens = row_tokens(owners, ["1", "1", "2"], KEY)
    assert len(set(tokens.tolist())) == 3
    assert (row_tokens(owners[::-1], ["2", "1", "1"], KEY) == tokens[::-1]).all()


def test_without_the_key_a_token_can_not_be_guessed():
    assert text_tokens(["ann"], KEY, "owners") != text_tokens(["ann"], b"another key 1234", "owners")
    assert text_tokens(["ann"], KEY, "owners") != text_tokens(["ann"], KEY, "ids")


@pytest.mark.parametrize("values", [["b", None, "a", "b"], np.array(["b", np.nan, "a", "b"], dtype=object)])
def test_nulls_are_not_numbered(values):
    codes, texts = numbered(values)
    assert codes.tolist() == [0, -1, 1, 0]
    assert texts == ["b", "a"]
