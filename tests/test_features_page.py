"""The catalogue on paper and in the terminal is the catalogue."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from conftest import ROOT
from fraudlog.cli import app
from fraudlog.sessions import FEATURES, features_as_dicts, features_page


def run(*arguments: str):
    """Run one verb."""
    return CliRunner().invoke(app, ["features", *arguments], terminal_width=200)


def test_docs_features_md_is_generated_from_the_catalogue():
    """Run `fraudlog features --markdown > docs/features.md` after a change."""
    assert (ROOT / "docs" / "features.md").read_text("utf-8") == features_page() + "\n"
    assert run("--markdown").stdout == features_page() + "\n"


def test_the_verb_prints_what_is_asked_for():
    """All, a family, or one by name."""
    everything = run().stdout
    assert all(row.name in everything for row in FEATURES)
    tempo = run("tempo", "requests").stdout
    assert "gap_mean_s" in tempo
    assert "requests" in tempo
    assert "distinct_paths" not in tempo
    assert json.loads(run("--json", "gap_mean_s").stdout) == [
        row for row in features_as_dicts() if row["name"] == "gap_mean_s"
    ]


def test_an_unknown_name_is_an_error_with_the_families():
    """A typing mistake must not print an empty table."""
    result = run("tempi")
    assert result.exit_code != 0
    assert "no feature or family tempi; families: volume, tempo" in str(result.exception)
