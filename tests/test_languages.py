"""Accept-Language headers and device settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.enriching.languages import LANGUAGE_SHAPES, NOTHING, read_language

VECTORS = Path(__file__).parent / "corpus" / "languages" / "webob_accept_language.jsonl"


@pytest.mark.parametrize(
    ("value", "primary", "region", "count", "shape"),
    [
        ("en-US,en;q=0.9", "en", "US", 2, "falling"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr", "CH", 4, "falling"),
        ("de", "de", None, 1, "setting"),
        ("en;q=0.5,de;q=0.9", "de", None, 2, "rising"),
        ("en;q=0.5,de;q=0.5", "en", None, 2, "tied"),
        ("en,de,fr", "en", None, 3, "unweighted"),
        ("es-419,es;q=0.9", "es", "419", 2, "falling"),
        ("zh-Hant-TW,zh;q=0.9", "zh", "TW", 2, "falling"),
        ("iw-IL", "he", "IL", 1, "setting"),
        ("*", None, None, 0, "any"),
        ("en;q=0,de;q=0.3", "de", None, 1, "rising"),
        ("en_US.UTF-8", "en", "US", 1, "setting"),
        ("pt_BR", "pt", "BR", 1, "setting"),
        ("de_DE@euro", "de", "DE", 1, "setting"),
        ("zh_Hans_CN", "zh", "CN", 1, "setting"),
        ("C.UTF-8", None, None, 0, "setting"),
        ('["en-GB","en"]', "en", "GB", 2, "unweighted"),
        ("xx-YY", None, None, 1, "setting"),
    ],
)
def test_reads_what_clients_send(value, primary, region, count, shape):
    """Reads what clients send."""
    facts = read_language(value)
    assert (facts.language_primary, facts.language_region) == (primary, region)
    assert (facts.language_count, facts.language_shape) == (count, shape)
    assert facts.is_language_malformed is False


def test_the_locale_c_names_no_language():
    """The locale c names no language."""
    assert read_language("C") == read_language("POSIX") == read_language("C.UTF-8")


def test_a_tag_that_the_registry_lacks_is_unknown_not_malformed():
    """A tag that the registry lacks is unknown not malformed."""
    assert read_language("xx-YY").is_language_unknown
    assert not read_language("xx-YY").is_language_malformed


@pytest.mark.parametrize(
    "value", ["en-US;q=2", "en;q=", "en us", "<script>", "en;level=1", "1", "e n,de", "en--US", ";q=1"]
)
def test_what_breaks_the_grammar_is_malformed(value):
    """What breaks the grammar is malformed."""
    assert read_language(value).is_language_malformed


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_an_absent_header_says_nothing(blank):
    """An absent header says nothing."""
    assert read_language(blank) == NOTHING


def test_agrees_with_webob_on_its_own_vectors():
    """Agrees with WebOb on its own vectors."""
    vectors = [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]
    parsed = [row for row in vectors if "value" in row]
    assert len(parsed) == 17
    for row in parsed:
        facts = read_language(row["value"])
        kept = [(tag, quality) for tag, quality in row["expected_list"] if tag != "*" and quality > 0]
        if row["value"].strip():
            assert facts.is_language_malformed is False, row["value"]
            assert facts.language_count == len(kept), row["value"]


@given(st.text(max_size=80))
def test_any_text_is_read(value):
    """Any text is read."""
    facts = read_language(value)
    assert facts.language_shape is None or facts.language_shape in LANGUAGE_SHAPES
    assert facts.language_count is None or facts.language_count >= 0
