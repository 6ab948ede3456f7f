"""What paths are, by the built-in rules, a site's own map, and the query."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.enriching.endpoints import ENDPOINTS, EndpointMap, read_endpoint
from fraudlog.errors import ConfigError

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "corpus" / "endpoints" / "frameworks.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['framework']} {case['path']}")
def test_the_paths_of_common_frameworks(case):
    """The paths of common frameworks."""
    assert read_endpoint(case["path"], case.get("query")) == case["endpoint"]


def test_every_endpoint_has_a_case():
    """Every endpoint has a case."""
    assert {case["endpoint"] for case in CASES} == set(ENDPOINTS)


def test_the_sites_own_map_is_asked_first(tmp_path):
    """The sites own map is asked first."""
    path = tmp_path / "map.toml"
    path.write_text("[[path]]\nendpoint = 'export'\npatterns = ['^/login$']\n")
    assert EndpointMap.from_file(path).one("/login") == "export"
    assert EndpointMap.from_file(path).one("/signin") == "login"


def test_learnt_assets_come_before_the_verdict_page_but_after_the_own_map():
    """Learnt assets come before the verdict page but after the own map."""
    endpoints = EndpointMap([{"endpoint": "api", "patterns": ["^/b$"]}], assets=["/a", "/b", "/login"])
    assert [endpoints.one(path) for path in ("/a", "/b", "/c")] == ["asset", "api", "page"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[path]]\nendpoint = 'shop'\npatterns = ['x']\n", "known are page"),
        ("[[path]]\nendpoint = 'page'\npatterns = ['(']\n", "does not compile"),
        ("[[path]]\npatterns = ['x']\n", r"write \[\[path\]\] tables"),
        ("not toml", r"write \[\[path\]\] tables"),
    ],
)
def test_a_map_that_is_wrong_says_what_to_write(tmp_path, text, said):
    """A map that is wrong says what to write."""
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        EndpointMap.from_file(path)


@pytest.mark.parametrize("path", ["/wp-login.php", "/blog/wp-admin/", "/administrator/index.php", "/xmlrpc.php"])
def test_the_door_of_a_program_that_the_site_does_not_run_is_a_probe(path):
    """Where it runs, people use it; the site's own map has the last word."""
    assert read_endpoint(path, status=404) == "probe"
    assert read_endpoint(path, status=200) in {"login", "admin", "api"}
    assert EndpointMap([{"endpoint": "admin", "patterns": ["."]}]).one(path, status=404) == "admin"


def test_null_paths_stay_null():
    """Null paths stay null."""
    assert EndpointMap().column(pa.chunked_array([["/", None]])).to_pylist() == ["page", None]
    assert read_endpoint(None) is None


@given(
    st.lists(
        st.tuples(
            st.none() | st.sampled_from(["/wp-login.php", "/"]) | st.text(max_size=40),
            st.none() | st.sampled_from(["s=a", "x=1", "feed=rss2", "a=../../b", "É=1"]),
            st.none() | st.sampled_from([200, 404]),
        ),
        max_size=8,
    )
)
def test_a_table_says_what_single_paths_say(rows):
    """A table says what single paths say."""
    endpoints = EndpointMap()
    paths = pa.chunked_array([pa.array([path for path, *_ in rows], pa.string())])
    queries = pa.chunked_array([pa.array([query for _, query, _ in rows], pa.string())])
    statuses = pa.chunked_array([pa.array([status for *_, status in rows], pa.int16())])
    assert endpoints.column(paths, queries, statuses).to_pylist() == [read_endpoint(*row) for row in rows]


def test_each_distinct_path_is_looked_at_once():
    """Each distinct path is looked at once."""
    endpoints = EndpointMap()
    endpoints.column(pa.chunked_array([["/a", "/b", "/a"], ["/b"]]))
    assert endpoints.computed == 2
