"""What a session is: actors, limits, ids, and what the callers get."""

from __future__ import annotations

import pandas as pd
import pytest

import fraudlog as fl
from conftest import make_events
from fraudlog.errors import ConfigError, SchemaError
from fraudlog.sessions import DEFAULT, Feature, define


def test_a_feature_whose_column_the_log_lacks_is_null():
    """Null, never 0: what was not logged did not fail to happen."""
    sessions = fl.build_sessions(make_events({}, {})[["timestamp", "client_ip"]])
    assert sessions["requests"].item() == 2
    assert sessions[["pages", "agent_missing_share", "language_missing_share", "bytes_total"]].isna().all(axis=None)


def test_actor_is_token_then_user_then_client():
    """A session token outranks the account, which outranks prefix, agent and language."""
    events = make_events(
        {"session_token": "t", "user": "a"}, {"session_token": "t", "user": "b"}, {"user": "a"}, {"user": None}
    )
    assert fl.sessionize(events)["session_id"].nunique() == 3


def test_neighbours_in_a_24_share_a_session():
    """One client may change its last octet; another /24 is another client."""
    events = make_events({}, {"client_ip": "203.0.113.77"}, {"client_ip": "203.0.114.9"})
    assert fl.build_sessions(events)["requests"].tolist() == [2, 1]


def test_session_gap_is_a_parameter():
    """A silence of exactly the gap does not split, one microsecond more does."""
    events = make_events({}, {"at": 60}, {"at": 120.000001})
    assert fl.build_sessions(events, session_gap="60s")["requests"].tolist() == [2, 1]
    with pytest.raises(ConfigError, match="session_gap must be above 0"):
        fl.build_sessions(events, session_gap="0s")


def test_session_ids_are_keyed_and_stable():
    """The same key gives the same ids, another key others, whatever the order of the rows."""
    events = make_events({}, {"client_ip": "198.51.100.1"})
    ids = set(fl.build_sessions(events, key=b"k" * 32)["session_id"])
    assert ids == set(fl.build_sessions(events[::-1], key=b"k" * 32)["session_id"])
    assert ids.isdisjoint(fl.build_sessions(events, key=b"x" * 32)["session_id"])


def test_missing_column_names_those_found():
    """The message helps, and holds no value."""
    with pytest.raises(SchemaError, match="lacks the column client_ip; it has timestamp") as caught:
        fl.build_sessions(make_events({})[["timestamp"]])
    assert caught.value.missing == ("client_ip",)


def test_null_timestamp_names_the_row():
    """A row without a time can't be placed: say which."""
    events = make_events({}, {}, {})
    events.loc[1, "timestamp"] = pd.NaT
    with pytest.raises(SchemaError, match="row 1: timestamp is null"):
        fl.build_sessions(events)


def test_no_events_give_no_sessions():
    """An empty log has an empty table of the same columns."""
    full = fl.build_sessions(make_events({}))
    empty = fl.build_sessions(make_events({}).head(0))
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)


def test_callers_frame_is_not_changed():
    """Reading features out of a frame leaves it as it was."""
    events = make_events({}, {})
    before = events.copy()
    fl.build_sessions(events)
    fl.sessionize(events)
    pd.testing.assert_frame_equal(events, before)


def test_sessionize_names_the_sessions_of_build_sessions():
    """Each event's session is a row, and counts its events."""
    events = make_events({}, {"at": 4000}, {"at": 4001}, {"at": 4002, "client_ip": "198.51.100.1"}).iloc[::-1]
    named = fl.sessionize(events)
    built = fl.build_sessions(events).set_index("session_id")["requests"]
    pd.testing.assert_index_equal(named.index, events.index)
    assert named["session_id"].value_counts().to_dict() == built.to_dict()


def test_a_session_that_is_too_long_is_split_and_says_so():
    """The event cap and the longest duration open another session of the same run, one piece on."""
    events = make_events(*[{"at": 60 * i} for i in range(7)])
    capped = fl.build_sessions(events, max_events=3)
    assert capped["requests"].tolist() == [3, 3, 1]
    assert capped["piece"].tolist() == [0, 1, 2]
    timed = fl.build_sessions(events, session_gap="2min", max_duration="3min")
    assert timed["requests"].tolist() == [4, 3]
    assert timed["piece"].tolist() == [0, 1]
    assert capped["session_id"].nunique() == 3


def test_pieces_start_anew_after_a_silence():
    """Only a limit makes a piece; the gap makes another session."""
    events = make_events({}, {"at": 1}, {"at": 2}, {"at": 9000})
    assert fl.build_sessions(events, max_events=2)["piece"].tolist() == [0, 1, 0]


def test_more_events_of_one_moment_than_a_session_holds_still_get_ids_of_their_own():
    """Pieces of the same actor and start differ in their piece."""
    assert fl.build_sessions(make_events(*[{"at": 0}] * 5), max_events=2)["session_id"].is_unique


def test_asof_rows_are_what_was_known_then():
    """The row as of the second event is that of the first two alone."""
    rows = [{"path": f"/{i}", "bytes_sent": 2**i} for i in range(4)]
    asof = fl.build_sessions(make_events(*rows), asof=(2,))
    assert asof["checkpoint"].tolist() == [2, 4]
    assert asof["is_last"].tolist() == [False, True]
    early = fl.build_sessions(make_events(*rows[:2]))
    pd.testing.assert_series_equal(asof[early.columns].iloc[0], early.iloc[0])


def test_own_answers_are_no_evidence():
    """A 429 of the service's own defence must not feed the next ban."""
    events = make_events({"status": 429}, {"status": 404}, {"status": 200})
    assert fl.build_sessions(events)["client_error_share"].item() == 2 / 3
    spared = fl.build_sessions(events, own_statuses=(429,))
    assert spared["client_error_share"].item() == 0.5
    assert spared["rate_limited"].item() == 0


def test_coarse_timestamps_carry_no_fine_tempo():
    """Whole seconds say nothing of gaps under one, whole minutes nothing of bursts."""
    fine = fl.build_sessions(make_events({"at": 0.25}, {"at": 0.5}))
    whole = fl.build_sessions(make_events({"at": 1}, {"at": 2}))
    minutes = fl.build_sessions(make_events({"at": 60}, {"at": 120}))
    shown = ["gap_min_s", "burst_10s", "burst_60s"]
    assert fine[shown].notna().all(axis=None)
    assert whole[shown].notna().iloc[0].tolist() == [False, True, True]
    assert minutes[shown].notna().iloc[0].tolist() == [False, False, True]


def test_own_features_are_rows_too():
    """An expression runs as the catalogue's do; a function takes the table of sessions."""
    own = [
        Feature("carts", "count(path.startswith('/cart'))"),
        Feature("cart_share", function=lambda table: table["carts"].to_numpy() / 2, is_batch_only=True),
    ]
    events = make_events({"path": "/cart/1"}, {"path": "/"})
    built = fl.build_sessions(events, definition=DEFAULT.with_features(own))
    assert built[["carts", "cart_share"]].iloc[0].tolist() == [1, 0.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Feature("x"), "an expression or a function"),
        (lambda: Feature("x", function=len), "is_batch_only=True goes with a function"),
        (lambda: Feature("x", "count()", is_batch_only=True), "is_batch_only=True goes with a function"),
        (lambda: Feature("x", "count()", resolution_s=7), "resolution_s is 0, 1 or 60"),
        (lambda: define(max_events=0), "max_events must be 1 to 65,535"),
        (lambda: define(max_events=70_000), "max_events must be 1 to 65,535"),
        (lambda: define(session_gap="1h", max_duration="30min"), "max_duration must be at least session_gap"),
        (lambda: define(session_gap="soon"), "'soon' is no length of time"),
        (lambda: DEFAULT.only(["nothing"]), "no features nothing; there are requests"),
        (lambda: DEFAULT.__class__((Feature("x", "count()"),) * 2), "features x stand twice"),
    ],
)
def test_a_wrong_definition_says_what_is_wrong(make, message):
    """The message names the parameter and the fix."""
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_digest_of_a_definition_is_of_what_changes_values():
    """A model keeps it; meaning and unit don't change a value, expressions and limits do."""
    one, same, other = (
        DEFAULT.__class__((Feature("x", expression, meaning=meaning),))
        for expression, meaning in (("count()", "a"), ("count()", "b"), ("count(known(path))", "a"))
    )
    assert one.digest == same.digest
    assert len({one.digest, other.digest, define(one, max_events=5).digest}) == 3


@pytest.mark.parametrize("wrong", [None, {}, "events.parquet"])
def test_what_is_no_frame_is_said_to_be_none(wrong):
    """Whoever is given it."""
    for taken in (fl.sessionize, fl.build_sessions, fl.Detector().fit):
        with pytest.raises(SchemaError, match=f"is a {type(wrong).__name__}, not a frame"):
            taken(wrong)
    with pytest.raises(ConfigError, match="path is None: name a file"):
        fl.read_log(None)
