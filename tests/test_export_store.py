"""`fraudlog export` of a job's store: the verdicts of its partitions, turned back by its key and written down."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from standardwebhooks.webhooks import Webhook as Receiver
from typer.testing import CliRunner

import fraudlog as fl
from fraudlog.cli import app
from fraudlog.errors import ConfigError, InputError
from fraudlog.jobs.publish import key_id_of
from fraudlog.privacy import Chain, Pseudonyms, rotate_key
from fraudlog.store import open_store
from job_support import KEY, Site, sample_lines, small_model
from test_webhook import SECRET, receiving

LINES = sample_lines(1500)
AT = ("--at", "2015-05-17T14:00:00")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The file of a detector that learnt little."""
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def site(tmp_path_factory, model):
    """A job that has run twice."""
    site = Site(tmp_path_factory.mktemp("job") / "site", model)
    for part in (LINES[:700], LINES[700:]):
        site.append(b"".join(part))
        site.run()
    return site


@pytest.fixture(scope="module")
def addresses():
    """Addresses of the log, and their networks."""
    events = fl.read_log(io.BytesIO(b"".join(LINES))).events
    found = set(events["client_ip"].dropna())
    return found | {f"{address.rpartition('.')[0]}.0" for address in found}


def export(*arguments, **variables):
    """Run the command without a key in its surroundings."""
    env = {"FRAUDLOG_KEY": None, **variables}
    return CliRunner().invoke(app, ["export", *map(str, arguments)], env=env)


def listed(done):
    """The networks of a plain list."""
    assert done.exit_code == 0, done.output
    return [line.split("/")[0] for line in done.stdout.splitlines() if line and line[0] != "#"]


def trail(site):
    """The audit entries of a store."""
    chain = Chain(site.store / "ledger" / "audit.jsonl")
    assert not (site.store / "audit.jsonl").exists()
    return [(record["event"], record["purpose"]) for record in chain.entries()] if chain.path.exists() else []


def test_a_store_is_handed_out(site, addresses):
    """As a scored folder is: addresses of the log, one more line in the store's trail, and the store stays whole."""
    before = len(trail(site))
    found = listed(export(site.store, "--as", "cidr", "--verdict", "challenge", "--key-file", site.key, *AT))
    assert len(found) > 3
    assert set(found) <= addresses
    assert trail(site)[before:] == [("reidentify", "export as cidr")]
    with open_store(site.store, purpose="essential.fraud_detection") as store:
        assert store.verify() == []
        assert key_id_of(store) == Pseudonyms(bytes.fromhex(KEY)).key_id


def test_a_jobs_configuration_says_where_and_how(site):
    """Its store, its key, its mildest verdict and its allow list; options come before it."""
    all_of_it = listed(export(site.file, "--as", "cidr", "--verdict", "challenge", *AT))
    of_store = export(site.store, "--as", "cidr", "--verdict", "challenge", "--key-file", site.key, *AT)
    assert all_of_it == listed(of_store)
    own = {"publish.export_verdict": "challenge", "publish.export_allow": [f"{all_of_it[0].rpartition('.')[0]}.0/24"]}
    other = site.folder / "other.toml"
    settings = site.settings
    site.write_config(settings | own)
    other.write_text(site.file.read_text())
    site.write_config(settings)
    near = all_of_it[0].rpartition(".")[0]
    fewer = [address for address in all_of_it if address.rpartition(".")[0] != near]
    assert listed(export(other, "--as", "cidr", *AT)) == fewer
    assert listed(export(other, "--as", "cidr", "--verdict", "deny", *AT)) == []


def test_what_has_ended_is_left_out(site):
    """Years later nothing holds; nothing is turned back, so nothing is written down."""
    before = trail(site)
    assert listed(export(site.file, "--as", "cidr", "--verdict", "observe")) == []
    assert trail(site) == before


def test_another_key_turns_nothing_back(site, tmp_path):
    """Nor does a key file that is not there make one."""
    stranger = tmp_path / "key"
    stranger.write_text("ab" * 32)
    stranger.chmod(0o600)
    done = export(site.store, "--as", "cidr", "--verdict", "challenge", "--key-file", stranger, *AT)
    assert isinstance(done.exception, ConfigError)
    assert "not the one these tables were written with" in str(done.exception)
    missing = tmp_path / "none"
    done = export(site.store, "--as", "cidr", "--key-file", missing, *AT)
    assert "is not there" in str(done.exception)
    assert not missing.exists()


def test_programs_get_a_stores_verdicts(site):
    """The webhook takes the same place."""
    with receiving((200, {})) as (url, received):
        done = export(
            site.file, "--as", "webhook", "--url", url, "--verdict", "challenge", *AT, FRAUDLOG_WEBHOOK_SECRET=SECRET
        )
    assert done.exit_code == 0, done.output
    _, headers, body = received[0]
    assert Receiver(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})["data"]


def test_after_a_rotation_no_stranger_is_listed(model, addresses, tmp_path):
    """Until the next run the old key's rows are the newest; after it they are left out."""
    site = Site(tmp_path / "site", model)
    site.append(b"".join(LINES[:900]))
    site.run()
    first = listed(export(site.file, "--as", "cidr", "--verdict", "observe", *AT))
    rotate_key(site.key)
    assert listed(export(site.file, "--as", "cidr", "--verdict", "observe", *AT)) == first
    site.append(b"".join(LINES[900:]))
    site.run()
    late = ("--at", str(pd.Timestamp("2015-05-17T22:00:00")))
    found = listed(export(site.file, "--as", "cidr", "--verdict", "observe", *late))
    assert set(found) <= addresses
    assert set(first) <= addresses


def test_a_folder_that_is_neither_is_named(tmp_path):
    """With what makes one."""
    done = export(tmp_path, "--as", "cidr", *AT)
    assert isinstance(done.exception, InputError)
    assert "fraudlog score" in str(done.exception)
