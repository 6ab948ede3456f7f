"""Values without quotes: a line that fits in two ways is told from one that fits in one, however many there are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.reading import loose
from fraudlog.reading.layout import Layout, compile_nginx
from fraudlog.reading.loose import Fit, make_matcher

MANY = "[$time_local] " + " ".join(f"$http_x_{number}" for number in range(43)) + " $status"
TIME = b"[10/Oct/2000:13:55:36 +0000]"


def in_all_ways(layout: Layout, line: bytes) -> tuple[bytes | None, ...] | str | None:
    """Match as one regular expression does that tries every way: with the shortest values, and with the longest."""
    line = line.rstrip(b" \t\n\r\f\v")
    pattern = layout.regex().pattern
    longest = pattern.replace(rb"|\\.)*?)", rb"|\\.)*)").replace(b"(.*?)", b"(.*)")
    one, other = (re.compile(form, re.DOTALL).fullmatch(line) for form in (pattern, longest))
    if one is None or other is None:
        return None
    return one.groups() if one.groups() == other.groups() else "ambiguous"


def found(layout: Layout, line: bytes) -> tuple[bytes | None, ...] | str | None:
    fit = make_matcher(layout).match(line)
    return fit.groups if isinstance(fit, Fit) else fit


FORMS = (
    ("[$time_local] $http_a $http_b $status", "c"),
    ('$remote_addr [$time_local] $http_a "$request" $http_b $status "$http_user_agent"', "c"),
    ("$http_a $http_b $status $http_c [$time_local] $http_d", "c"),
    ('[$time_local] "$http_a" "$http_b" $status "$http_c"', "none"),
    ("[$time_local] $http_a--$http_b- -$http_c", "none"),
    ('$host [$time_local] $http_a "$http_b" $http_c" "$http_d', "c"),
)
pieces = st.sampled_from(
    [b"a", b"b1", b" ", b" ", b'"', b"\\", b'\\"', b"-", b"--", b"200", b'" "', TIME, b"<13>1 ", b"[", b"\n"]
)


@pytest.mark.parametrize(("form", "escapes"), FORMS)
@given(st.lists(pieces, max_size=14))
def test_lines_fit_as_a_search_through_all_ways_says(form, escapes, line):
    """Random lines of what separates values."""
    layout = compile_nginx(form, escapes=escapes)
    assert found(layout, b"".join(line)) == in_all_ways(layout, b"".join(line))


filler = st.lists(st.sampled_from([b"a", b" ", b'\\"', b"\\\\", b'"', b"-", b"200"]), max_size=4).map(b"".join)


@pytest.mark.parametrize(("form", "escapes"), FORMS)
@given(st.data())
def test_made_lines_fit_as_a_search_through_all_ways_says(form, escapes, data):
    """Lines that do fit, in one way or many."""
    layout = compile_nginx(form, escapes=escapes)
    given_values = {"time_local": st.just(TIME[1:-1]), "status": st.just(b"200"), "remote_addr": st.just(b"192.0.2.1")}
    line = b""
    for part in layout.parts:
        line += part.literal + data.draw(given_values.get(part.name, filler)) + part.close
    line += layout.tail
    assert found(layout, line) == in_all_ways(layout, line)


@given(st.lists(st.sampled_from([b' "a"', b" b", b" 200", b' "a b"', b" ", b' "']), max_size=6))
def test_values_that_may_be_missing_are_never_read_in_two_ways(behind):
    """What is accepted is what a search through all ways accepts, though it may reject more."""
    layout = compile_nginx('[$time_local] "$request" $http_a "$http_b" $http_c', is_open=True, n_required=2)
    line = TIME + b' "GET / HTTP/1.1"' + b"".join(behind)
    seen, wanted = found(layout, line), in_all_ways(layout, line)
    assert seen in (wanted, "ambiguous")
    assert (seen is None) == (wanted is None)


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (b" a" * 43 + b" 200", None),
        (b" a" * 44 + b" 200", "ambiguous"),
        (b" a" * 400 + b" 200", "ambiguous"),
        (b" a" * 30_000, "ambiguous"),
        (b" a" * 400 + b' "', "no_match"),
        (b" a" * 30_000 + b' "', "no_match"),
        (b" a" * 40, "no_match"),
    ],
)
def test_many_values_side_by_side_take_few_tries(behind, expected, monkeypatch):
    """43 values share some blanks out among them: a search through all ways would not end."""
    monkeypatch.setattr(loose, "MOST_TRIES", 300)
    seen = found(compile_nginx(MANY), TIME + behind)
    if expected is None:
        assert isinstance(seen, tuple)
        assert seen[1:] == (b"a",) * 43 + (b"200",)
    else:
        assert seen == (None if expected == "no_match" else expected)


def test_what_takes_too_many_tries_is_read_in_no_way(monkeypatch):
    """A line is not given up for long thought, and nothing is guessed."""
    layout = compile_nginx("[$time_local] $http_a $status $http_b $status $http_c")
    line = TIME + b" a 1" * 40 + b' "'
    assert found(layout, line) is None
    monkeypatch.setattr(loose, "MOST_TRIES", 20)
    assert found(layout, line) == "ambiguous"
    monkeypatch.setattr(loose, "MOST_TRIES", 2)
    assert make_matcher(layout, is_whole=False).first(TIME + b" a" * 40) is None
