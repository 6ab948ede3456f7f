"""Transforms part a tree's rows as they part on the cut scale, and are gone when it scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.detecting import SessionForest
from fraudlog.detecting.transforms import Transform, forward, parse_transforms, round_down, thresholds_in_raw_values
from fraudlog.errors import ConfigError

ALL = [Transform(curve, side) for curve in ("identity", "log1p", "symlog", "rank") for side in ("both", "high", "low")]
finite = st.floats(-(2.0**100), 2.0**100, width=32)


@pytest.mark.parametrize("transform", ALL)
@given(values=st.lists(finite, min_size=2, max_size=30), place=st.floats(0, 1, exclude_max=True))
def test_a_threshold_parts_the_rows_alike_on_both_scales(transform, values, place):
    raw = np.array(values, dtype=np.float32)
    scaled = forward(raw[:, np.newaxis], transform)[:, 0]
    low, high = float(scaled.min()), float(scaled.max())
    cut = low + place * (high - low)
    if not low <= cut < high:
        return
    threshold = thresholds_in_raw_values(np.array([cut]), raw, scaled)
    assert ((raw > threshold) == (scaled.astype(np.float64) > cut)).all()


@pytest.mark.parametrize("transform", ALL)
@given(values=st.lists(finite, min_size=1, max_size=30))
def test_transforms_never_turn_an_order_around(transform, values):
    raw = np.sort(np.array(values, dtype=np.float32))
    assert (np.diff(forward(raw[:, np.newaxis], transform)[:, 0]) >= 0).all()


@given(st.floats(-3e38, 3e38))
def test_rounding_down_keeps_comparisons(value):
    near = np.array([value]).astype(np.float32)
    threshold = round_down(np.array([value]))
    for neighbour in (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        assert (neighbour > threshold) == (neighbour.astype(np.float64) > value)


def test_only_the_suspicious_side_is_odd():
    rows = np.random.default_rng(0).normal(size=(2000, 2))
    forest = SessionForest(random_state=0, transforms={"0": "identity:high"}).fit(rows)
    lowest, low, high = forest.anomaly_score([[-6, 0], [-0.5, 0], [6, 0]])
    assert lowest == low
    assert high > low + 0.1


def test_a_log_scale_keeps_one_giant_from_taking_all_cuts():
    rng = np.random.default_rng(0)
    rows = np.exp(rng.normal(size=(2000, 1)) * 2.5)
    ask = [[1.0], [np.exp(-9.0)]]
    plain, logged = (
        SessionForest(random_state=0, transforms=transforms).fit(rows) for transforms in (None, {"0": "log1p"})
    )
    assert np.ptp(logged.anomaly_score(ask)) > np.ptp(plain.anomaly_score(ask))


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ({"0": "sqrt"}, "one of auto, identity, log1p, symlog, rank"),
        ({"0": "log1p:up"}, ":high or :low"),
        ({"speed": "log1p"}, "names the columns speed"),
    ],
)
def test_an_unknown_name_is_refused(transforms, message):
    with pytest.raises(ConfigError, match=message):
        SessionForest(transforms=transforms).fit(np.zeros((5, 1)))


def test_transforms_go_by_the_names_of_columns():
    assert parse_transforms({"b": "rank"}, ["a", "b"]) == (Transform(), Transform("rank", "both"))
