"""The language of features: what it says, what it refuses, and how it treats what is not known."""

from __future__ import annotations

import pytest

from fraudlog.errors import ConfigError
from fraudlog.sessions import Definition, Feature, Settings, build_sessions_table
from fraudlog.sessions.language import And, Arithmetic, Compare, Known, Not, Number, Reducer, parse, parse_condition
from fraudlog.testing import random_events


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("count(", "is no expression"),
        ("count(status ** 2 > 4)", "is not a field"),
        ("requests", "is not a number, an operator"),
        ("True", "is not a number"),
        ("__import__('os')", "is not one of the reducers"),
        ("().__class__", "is not a number, an operator"),
        ("count(os.system('x'))", "is not a look at text"),
        ("count(status.startswith('4'))", "is not a look at text"),
        ("sum(path)", "which sum needs"),
        ("count(path > 'a')", "is not a number, which > needs"),
        ("count(status == '404')", "is not a constant of type int"),
        ("count(path == 404)", "is not a constant of type str"),
        ("count(path in ())", "is not a list of constants"),
        ("count(status == bytes_sent)", "is not a constant"),
        ("count(status is 404)", "is not a comparison by"),
        ("count(nothing == 1)", "is not a field"),
        ("count(missing(depth))", "a column of the log"),
        ("burst(0)", "is not a window"),
        ("burst(5000)", "is not a window"),
        ("burst()", "is not one of the reducers"),
        ("count(path, status)", "is not one of the reducers"),
        ("share()", "is not one of the reducers"),
        ("sum(step(path))", "is not a field"),
        ("sum(step(gap_ms))", "is not a field"),
        ("distinct(step(status))", "which distinct needs"),
        ("count(lambda: 1)", "is not a condition"),
    ],
)
def test_what_is_not_of_the_language_is_refused(text, says):
    """The message quotes the part, and says what would be."""
    with pytest.raises(ConfigError, match=says) as caught:
        parse(text, name="feature x")
    assert "feature x" in str(caught.value)


def test_expressions_become_trees():
    """Chains of comparisons, mirrored constants and negations are the plain ones."""
    assert parse("2 * count()") == Arithmetic("*", Number(2.0), Reducer("count"))
    between = parse_condition("400 <= status < 500")
    assert isinstance(between, And)
    assert between.left == parse_condition("status >= 400")
    negated = parse_condition("status != 404")
    assert isinstance(negated, Not)
    assert isinstance(negated.operand, Compare)
    assert parse_condition("known(path)") == Known(parse_condition("path == '/'").reference)


def value(expression: str, **columns):
    """One expression over one session with these columns."""
    length = len(next(iter(columns.values())))
    events = random_events(0, length, drop=set(random_events(0, 1).column_names) - {"client_ip", "ip_prefix"})
    import pyarrow as pa  # noqa: PLC0415 -- a helper of its own

    times = pa.array([i * 1_000_001 + 7 for i in range(length)], pa.timestamp("us", "UTC"))
    table = pa.table({"timestamp": times, "client_ip": ["a"] * length, "ip_prefix": ["p"] * length, **columns})
    del events
    built = build_sessions_table(table, Settings(Definition((Feature("x", expression),))))
    return built.column("x").to_pylist()[0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("count(status == 404)", 1),
        ("share(status == 404)", 0.5),
        ("count(status != 404)", 1),
        ("count(not known(status))", 1),
        ("count(status == 404 or path == '/')", 2),
        ("count(status == 404 and path == '/')", 1),
        ("share(status == 404 and path == '/')", 0.5),
        ("share(status == 404 and path == '/x')", 0),
        ("count(missing(status))", 1),
        ("count(missing(language))", None),
        ("count(language == 'de')", None),
        ("count(missing(language) or path == '/')", 2),
        ("distinct(path, status == 404)", 1),
        ("distinct(language)", None),
        ("min(status)", 200),
        ("first(status)", 404),
        ("last(status)", 200),
        ("sum(bytes_sent)", None),
        ("mean(status)", 302),
        ("count() / (count() - 3)", None),
        ("sqrt(0 - count())", 0),
        ("larger(count(), sum(bytes_sent))", None),
        ("smaller(count(), 2)", 2),
        ("entropy(path)", 0.9182958602905273),
        ("top(path)", 2),
        ("switches(status)", 1),
        ("count(step(status) < 0)", None),
        ("burst(1)", 1),
        ("burst(2)", 2),
        ("burst(2, status == 404)", 1),
        ("burst(2, language == 'de')", None),
    ],
)
def test_unknown_is_never_zero(expression, expected):
    """Kleene's logic: unknown conditions count nowhere, and what saw nothing is null."""
    found = value(expression, status=[404, None, 200], path=["/", "/", "/a"])
    assert found == pytest.approx(expected, abs=1e-6) if expected is not None else found is None


def test_needs_are_the_columns_of_the_fields_used():
    """Text constants are no fields."""
    feature = Feature("x", "count(path == 'status') + distinct(profile)")
    assert feature.needs == ("path", "os", "browser", "language_primary")
