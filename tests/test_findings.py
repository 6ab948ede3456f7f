"""What an evaluation found, in JSON and on a page; the command that does it."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

import fraudlog as fl
from conftest import SAMPLE
from fraudlog.cli.evaluate import column_map
from fraudlog.errors import ConfigError, InputError
from fraudlog.evaluation import (
    DISCLAIMER,
    KINDS,
    Design,
    benign_events,
    labelled_findings,
    render_findings,
    stress_findings,
    stress_test,
)
from test_cli import run


@pytest.fixture(scope="module")
def stressed():
    """Two kinds put into three days, told apart by the number of requests."""
    events, _ = benign_events(3, 60, seed=8)
    return stress_test(
        events,
        ["vulnerability_scanning", "account_takeover"],
        design=Design(seeds=2),
        scorers={"risk": lambda _, score, __: score["not_found"].to_numpy(float)},
    )


def test_findings_are_json_and_say_what_they_are_not(stressed):
    """In the order of the table; kinds, figures, leaks, settings."""
    found = stress_findings(stressed)
    assert found["disclaimer"] == DISCLAIMER == "stress test, not field accuracy"
    assert json.loads(json.dumps(found, allow_nan=False))["kinds"] == found["kinds"]
    order = [kind.name for kind in KINDS]
    assert [row["kind"] for row in found["kinds"]] == sorted((row["kind"] for row in found["kinds"]), key=order.index)
    recall = {row["kind"]: row["recall"] for row in found["kinds"]}
    assert recall["vulnerability_scanning"] == 1 > recall["account_takeover"]
    assert found["settings"]["seeds"] == 2


def test_the_page_is_self_contained_and_says_so_too(stressed):
    """No script, no address to ask, the words beside the table."""
    page = render_findings(stress_findings(stressed))
    assert "Stress test, not field accuracy" in page
    assert "vulnerability_scanning" in page
    assert not re.search(r"<script|https?://|<img|@import", page)


def test_the_page_escapes_what_a_log_chose(stressed):
    """A column of a frame is no markup."""
    found = stress_findings(stressed)
    found["leaks"] = [{"column": "<b>\x1b", "auroc": 1.0, "missing_auroc": 0.5, "information": 1.0, "leak": "value"}]
    page = render_findings(found)
    assert "<b>\x1b" not in page
    assert "&lt;b&gt;" in page


def _labelled(sample_sessions):
    """Labels that many requests for what is not there are abuse."""
    labels = pd.Series(sample_sessions["not_found"].fillna(0).gt(0).to_numpy(), index=sample_sessions.index)
    return labels.astype("boolean")


def test_labels_are_held_against_both_splits(sample_sessions):
    """A scorer that knows finds all, and the scan says why."""
    labels = _labelled(sample_sessions)
    labels[::3] = pd.NA
    found = labelled_findings(sample_sessions, labels, scorer=lambda _, score, __: score["not_found"].to_numpy(float))
    figures = {row["name"]: row for row in found["together"]}
    assert figures["AUROC, split by time"]["value"] == figures["AUROC, split by entity"]["value"] == 1
    assert "not_found" in {row["column"] for row in found["leaks"] if row["leak"]}
    assert "of 3,026 sessions" in found["what"]


def test_labels_that_speak_of_nobody_are_an_error(sample_sessions):
    """And so are labels of one class."""
    nothing = pd.Series(pd.NA, index=sample_sessions.index, dtype="boolean")
    with pytest.raises(InputError, match="no label"):
        labelled_findings(sample_sessions, nothing)
    with pytest.raises(InputError, match="neither split"):
        labelled_findings(sample_sessions, nothing.fillna(value=False))


def test_evaluate_stresses_a_log(tmp_path):
    """The words, a row a kind, a page and JSON; no address of the log in any of them."""
    out = tmp_path / "out"
    done = run("evaluate", SAMPLE, "--kinds", "fingerprinting", "--kinds", "cashing_out", "--seeds", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "stress test, not field accuracy" in done.stdout
    assert "fingerprinting" in done.stdout
    assert "left out: cashing_out, since the log records no user" in done.stdout
    assert {path.name for path in out.iterdir()} == {"evaluation.html", "evaluation.json"}
    addresses = set(fl.read_log(SAMPLE).events["client_ip"])
    for text in [done.stdout, *(path.read_text() for path in out.iterdir())]:
        assert not set(re.findall(r"(?:\d{1,3}\.){3}\d{1,3}", text)) & addresses


@pytest.mark.slow
def test_evaluate_holds_against_labels(tmp_path, sample_sessions):
    """A CSV with columns of its own names; one JSON object on stdout."""
    rng = np.random.default_rng(0)
    picked = sample_sessions.iloc[rng.permutation(len(sample_sessions))[:800]]
    path = tmp_path / "labels.csv"
    agents = picked["user_agent"].fillna("").str.contains("bot", case=False).astype(int)
    picked[["client_ip", "start"]].assign(
        addr=picked["client_ip"], is_fraud=agents, since=picked["start"].map(lambda start: start.isoformat())
    )[["addr", "is_fraud", "since"]].to_csv(path, index=False)
    arguments = ["--labels", path, "--column", "client_ip=addr", "--column", "label=is_fraud", "--json"]
    done = run("evaluate", SAMPLE, *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {row["name"] for row in found["together"]} >= {"AUROC, split by time", "AUROC, split by entity"}
    assert found["disclaimer"] == "held against your labels"


def test_evaluate_refuses_a_kind_it_does_not_know():
    """One line, exit code 2."""
    done = run("evaluate", SAMPLE, "--kinds", "nonsense")
    assert done.returncode == 2
    assert "no kind nonsense; known are credential_stuffing" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("column", ["label", "=is_fraud", "label="])
def test_a_column_map_that_maps_nothing_is_an_error(column):
    """Say what it takes."""
    with pytest.raises(ConfigError, match="ours=theirs"):
        column_map([column])
    assert column_map(["label=is_fraud"]) == {"label": "is_fraud"}
