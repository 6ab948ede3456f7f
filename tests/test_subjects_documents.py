"""The documents speak of all that is used, and say what the code does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from conftest import ROOT
from fraudlog.detecting import EVIDENCE
from fraudlog.privacy import PURPOSES, RETENTION
from fraudlog.schema import DECISIONS, DERIVED, EVENTS, SCORES, SESSIONS
from fraudlog.sessions import FEATURES
from fraudlog.sessions.fields import FIELDS
from fraudlog.subjects import DOCUMENTS, document, documented_columns, write_documents


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_pages_in_docs_are_the_codes_own(name):
    """After a change: fraudlog privacy docs --out docs/privacy."""
    assert (ROOT / "docs" / "privacy" / name).read_text("utf-8") == document(name)


def test_every_field_that_is_used_is_documented():
    """What a feature reads, what is derived and what is stored: each is in the record with purpose and time."""
    known = documented_columns()
    used = {name for field in FIELDS.values() for name in field.needs}
    used |= {name for row in FEATURES for name in row.needs if name not in FIELDS}
    used |= {column.name for table in (EVENTS, DERIVED, SESSIONS, SCORES, DECISIONS) for column in table}
    assert used <= set(known) | {row.name for row in FEATURES}
    record = document("record-of-processing.md")
    assert all(f"`{name}`" in record for name in known)
    card = document("model-card.md")
    for row in FEATURES:
        assert f"| {row.name} |" in record
        assert f"| {row.name} |" in card
    assert all(row.code in card for row in EVIDENCE)
    told = document("notice.md")
    assert all(row.meaning in told for row in PURPOSES.values())
    assert all(f"{row.days} days" in told for row in RETENTION.values())


def test_a_column_without_purpose_is_not_documented(monkeypatch):
    """So that the test above would fail for it."""
    from dataclasses import replace  # noqa: PLC0415 -- used here alone

    from fraudlog.store import TABLES  # noqa: PLC0415 -- as above
    from fraudlog.subjects import documents  # noqa: PLC0415 -- as above

    bare = tuple(replace(column, purposes=()) for column in TABLES["late"].columns if column.name == "path")
    monkeypatch.setattr(documents, "TABLES", {"late": replace(TABLES["late"], columns=bare)})
    assert documented_columns() == {}


_ADD = """
import sys
from fraudlog.schema import columns, tables
extra = columns.Column("shoe_size", "int16", "size of the visitor's shoe", category="user.device")
if sys.argv[1] == "tagged":
    extra = columns.tagged("events", ("essential.fraud_detection",), extra, narrower={})[0]
tables.EVENTS = (*tables.EVENTS, extra)
import fraudlog.schema
fraudlog.schema.EVENTS = tables.EVENTS
import pytest
test = "test_the_pages_in_docs_are_the_codes_own or test_every_field_that_is_used_is_documented"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-k", test, sys.argv[2]]))
"""


@pytest.mark.parametrize("how", ["bare", "tagged"])
def test_a_new_column_fails_the_checks_until_it_is_documented(how):
    """Added to the schema and nowhere else, with purposes or without: the two tests above fail, and name it."""
    done = subprocess.run(
        [sys.executable, "-c", _ADD, how, __file__],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "shoe_size" in done.stdout
    failed = done.stdout.count("\nFAILED")
    assert failed >= (1 if how == "bare" else 2)


def test_the_card_tells_the_facts_of_a_model(tmp_path):
    """Numbers of its manifest stand in it."""
    write_documents(tmp_path, {"reference_size": 4711, "window": ["2015", "2016"]})
    card = (tmp_path / "model-card.md").read_text()
    assert "4711" in card
    assert "2015, 2016" in card
