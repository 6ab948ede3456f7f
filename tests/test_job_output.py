"""What a job hands out: report, lists, database, metrics; and the models it makes on the way."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from conftest import ROOT
from fraudlog.cli import app
from fraudlog.deciding import human_budget
from fraudlog.detecting import Detector
from fraudlog.detecting.drift import ADVICE
from fraudlog.errors import ConfigError, OutputError
from fraudlog.jobs.publish import write_exports
from fraudlog.jobs.sinks import write_sql
from fraudlog.privacy import Pseudonyms, load_keyring, rotate_key
from fraudlog.store import open_store
from job_support import KEY, Site, sample_lines, small_model

PURPOSE = "essential.fraud_detection"
LINES = sample_lines(3000)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def site(model, tmp_path_factory):
    """A site that publishes everything, after one run over a day and a half."""
    folder = tmp_path_factory.mktemp("out") / "site"
    site = Site(
        folder,
        model,
        **{
            "publish.folder": str(folder / "public"),
            "publish.exports": {"cidr": "addresses.txt"},
            "publish.export_verdict": "challenge",
            "metrics.file": str(folder / "metrics" / "fraudlog.prom"),
            "sql.url": f"sqlite:///{folder}/fraudlog.db",
        },
    )
    site.append(b"".join(LINES))
    site.report = site.run()
    return site


def raw_addresses() -> set[str]:
    return {line.split(b" ", 1)[0].decode() for line in LINES}


def test_the_report_is_published(site):
    """One page and its summary, of all that the store took in."""
    summary = json.loads((site.folder / "public" / "summary.json").read_text())
    assert summary["log"]["lines"] == 3000
    assert summary["model"]["reference_size"] > 50
    page = (site.folder / "public" / "report.html").read_text()
    assert "3,000" in page


def test_no_raw_address_lies_in_store_or_report(site):
    """In any byte of any file, decoded columns and the state too."""
    addresses = [address for address in raw_addresses() if len(address) > 10]
    assert len(addresses) > 500
    for file in [*site.store.rglob("*"), *(site.folder / "public").glob("*.html"), site.folder / "fraudlog.db"]:
        if file.is_file():
            data = file.read_bytes()
            if file.suffix == ".parquet":
                table = pq.read_table(file, partitioning=None)
                data += repr(table.to_pydict()).encode()
            elif file.suffix == ".arrow":
                data += repr(pa_rows(file)).encode()
            found = [address for address in addresses if address.encode() in data]
            assert not found, (file.name, len(found))


def pa_rows(file):
    import pyarrow as pa  # noqa: PLC0415 -- one use

    with pa.ipc.open_stream(file.read_bytes()) as reader:
        return reader.read_all().to_pydict()


def test_lists_hold_the_addresses_that_a_verdict_holds_for_now(site):
    """Turned back by the key, noted in the audit trail; what has ended is left out."""
    listed = site.folder / "public" / "addresses.txt"
    assert listed.stat().st_mode & 0o777 == 0o600
    assert not [line for line in listed.read_text().splitlines() if line and line[0] != "#"]  # they ended in 2015
    with open_store(site.store, purpose=PURPOSE) as store:
        names = Pseudonyms(bytes.fromhex(KEY))
        write_exports(site.config, store, names, at=pd.Timestamp("2015-05-17T14:00Z"))
        lines = [line for line in listed.read_text().splitlines() if line and line[0] != "#"]
        assert lines
        assert {line.split("/")[0] for line in lines} <= raw_addresses() | {
            f"{a.rpartition('.')[0]}.0" for a in raw_addresses()
        }
        assert (site.store / "ledger" / "audit.jsonl").exists()
        site.write_config(site.settings | {"publish.exports": {"abacus": "x"}})
        with pytest.raises(ConfigError, match="abacus"):
            write_exports(site.config, store, names)
    site.write_config(site.settings | {"publish.exports": {"cidr": "addresses.txt"}})


def test_metrics_are_for_prometheus(site):
    """Counts of lines over all runs, verdicts of the days touched."""
    text = (site.folder / "metrics" / "fraudlog.prom").read_text()
    tally = site.report.tally
    assert f'fraudlog_job_lines_total{{became="events"}} {float(tally.events)}' in text
    assert f'fraudlog_job_verdicts{{verdict="allow"}} {float(tally.verdicts["allow"])}' in text
    assert "fraudlog_job_last_run_timestamp_seconds 1.7" in text


def rows_of(store, table):
    return len(store.read(table))


def test_a_database_equals_the_store(site):
    """Each table has the store's rows; writing again changes nothing; what leaves the store leaves it too."""
    with sqlite3.connect(site.folder / "fraudlog.db") as database, open_store(site.store, purpose=PURPOSE) as store:
        for table in ("sessions", "scores", "decisions"):
            (count,) = database.execute(f"SELECT count(*) FROM fraudlog_{table}").fetchone()  # noqa: S608 -- our names
            assert count == rows_of(store, table) > 500
        assert write_sql(store, site.config["sql.url"]) == 0
        risk = dict(database.execute("SELECT session_id, risk FROM fraudlog_scores").fetchall())
        assert risk == dict(
            zip(*(store.read("scores")[name].to_pylist() for name in ("session_id", "risk")), strict=True)
        )
        (reasons,) = database.execute("SELECT reasons FROM fraudlog_scores ORDER BY risk DESC LIMIT 1").fetchone()
        assert json.loads(reasons)[0]["code"]


def erased_copy(site, folder):
    """The site's store without one day."""
    shutil.copytree(site.store, folder)
    store = open_store(folder, purpose=PURPOSE, mode="write")
    with store, store.transaction("erase") as change:
        for table in ("sessions", "scores", "decisions"):
            change.rewrite(table, lambda rows: rows.slice(0, 0), days=[store.days("scores")[0]])
    return store


def test_what_leaves_the_store_leaves_the_database(site, tmp_path):
    """Rows of the day that is gone are deleted."""
    url = f"sqlite:///{tmp_path}/copy.db"
    write_sql(open_store(site.store, purpose=PURPOSE), url)
    store = erased_copy(site, tmp_path / "erased")
    assert write_sql(store, url) == 3
    with sqlite3.connect(tmp_path / "copy.db") as database:
        (count,) = database.execute("SELECT count(*) FROM fraudlog_scores").fetchone()
    assert count == rows_of(store, "scores") > 0


def test_a_database_that_refuses_shows_no_secret(site, tmp_path):
    """The error has its exit code and no word of the URL."""
    store = open_store(site.store, purpose=PURPOSE)
    with pytest.raises(OutputError, match="refused") as caught:
        write_sql(store, f"sqlite:///{tmp_path}/no/hunter2.db")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"sql\.url"):
        write_sql(store, "hunter2")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """A cluster of its own on a socket of its own."""
    program = shutil.which("postgres")
    if program is None:
        pytest.skip("PostgreSQL is absent")
    pytest.importorskip("psycopg")
    folder = tmp_path_factory.mktemp("pg")
    programs = Path(program).resolve().parent
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None  # it refuses to run as root
    if owner is not None:
        for part in (folder, *list(folder.parents)[:3]):
            part.chmod(0o755)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(*command, check: bool = True) -> None:
        user = None if owner is None else "postgres"
        subprocess.run([str(part) for part in command], check=check, capture_output=True, cwd=folder, user=user)

    call(programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust")
    options = f"-k {folder} -p {port} -c listen_addresses= -c fsync=off"
    call(programs / "pg_ctl", "-D", folder / "data", "-o", options, "-w", "-l", folder / "log", "start")
    yield f"postgresql+psycopg://postgres@/postgres?host={folder}&port={port}"
    call(programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop", check=False)


def test_postgresql_equals_the_store(site, tmp_path, postgres):
    """As SQLite does, with true timestamps; and what leaves the store leaves it too."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    store = open_store(site.store, purpose=PURPOSE)
    assert write_sql(store, postgres) == 3 * len(store.days("scores"))
    assert write_sql(store, postgres) == 0
    engine = sqlalchemy.create_engine(postgres)
    with engine.connect() as connection:
        query = 'SELECT count(*), min("end"), max(risk) FROM fraudlog_scores'
        count, first, risk = connection.execute(sqlalchemy.text(query)).one()
    scores = store.read("scores").to_pandas()
    assert (count, first, risk) == (len(scores), scores["end"].min(), scores["risk"].max())
    erased = erased_copy(site, tmp_path / "erased")
    assert write_sql(erased, postgres) == 3
    with engine.connect() as connection:
        count = connection.execute(sqlalchemy.text("SELECT count(*) FROM fraudlog_scores")).scalar_one()
    engine.dispose()
    assert count == rows_of(erased, "scores")


def test_models_learn_when_due_whatever_the_cuts(model, tmp_path):
    """By the log's own time; the new model speaks for its period; a store cut into runs is the same."""
    values = {"retrain.every_days": 1, "retrain.window_days": 7, "retrain.max_flag_ratio": 50}
    lines = LINES[:2400]
    stores = []
    for name, cuts in (("whole", [2400]), ("parts", [1500, 2400])):
        site = Site(tmp_path / name, model, **values)
        reports = []
        for first, end in zip([0, *cuts], cuts, strict=False):
            site.append(b"".join(lines[first:end]))
            reports += site.run().models
        stores.append(site.tree())
        assert reports[0] == "models/given-1.fraudlog: given"
        assert reports[1].startswith("models/2015-05-18.fraudlog: learnt from ")
    assert stores[0] == stores[1]
    assert "models/2015-05-18" in " ".join(stores[0])


def test_a_model_that_flags_far_more_is_refused(model, tmp_path):
    """The old one goes on, and the run says so."""
    site = Site(tmp_path / "site", model, **{"retrain.every_days": 1, "retrain.max_flag_ratio": 1})
    site.append(b"".join(LINES[:2400]))
    said = site.run().models
    assert len(said) == 3
    assert said[1].startswith(("none: refused: flags", "models/2015-05-18.fraudlog: learnt"))
    assert said[2].startswith("drift: ")


def test_a_window_that_moved_too_far_is_not_learnt_from(model, tmp_path):
    """A log that became another one overnight; the advice is told either way, and the old model goes on."""
    values = {"retrain.every_days": 1, "retrain.max_flag_ratio": 50, "retrain.max_drift": 0.02}
    other = [line.replace(b"GET /", b"GET /a/long/way/down/and/7/") for line in LINES[:2400]]
    for lines, start, count in ((other, "none: refused: ", 1), (LINES[:2400], "models/2015-05-18.fraudlog: learnt", 2)):
        site = Site(tmp_path / str(count), model, **values)
        site.append(b"".join(lines))
        report = site.run()
        assert report.models[1].startswith(start)
        assert any(f"drift: {advice} ({text})" in report.models[2] for advice, text in ADVICE.items())
        assert ("models/2015-05-18" in " ".join(site.tree())) == (count == 2)


def test_a_share_of_people_is_challenged_by_the_model_of_the_day(model, tmp_path):
    """The risk from which on is what the model says people reach; however many runs the lines came in."""
    values = {"policy.human_share": 0.02, "policy.observe_at": 0.01}
    stores = []
    for name, cuts in (("whole", [1500]), ("parts", [700, 1500])):
        site = Site(tmp_path / name, model, **values)
        for first, end in zip([0, *cuts], cuts, strict=False):
            site.append(b"".join(LINES[first:end]))
            site.run()
        stores.append(site.tree())
    assert stores[0] == stores[1]
    store = open_store(site.store, purpose=PURPOSE)
    scores, decisions = (store.read(table).to_pandas().set_index("session_id") for table in ("scores", "decisions"))
    risk = human_budget(Detector.load(model).human_risk_, 0.02).risk
    is_challenged = decisions["verdict"] == "challenge"
    assert 0 < is_challenged.sum() < len(decisions)
    assert ((scores["risk"].loc[decisions.index] >= risk) >= is_challenged).all()
    verified = scores["risk"].loc[decisions.index][~is_challenged] >= risk
    assert verified.sum() < is_challenged.sum()


def test_a_key_of_another_store_is_refused(model, tmp_path):
    """With it all of the log would look new."""
    site = Site(tmp_path / "site", model)
    site.append(b"".join(LINES[:100]))
    site.run()
    other = tmp_path / "other"
    other.write_text("ab" * 32)
    other.chmod(0o600)
    site.write_config(site.settings | {"privacy.key_file": str(other)})
    with pytest.raises(ConfigError, match="another key"):
        site.run()


def test_the_command_runs_inits_and_tells(model, tmp_path, monkeypatch):
    """`init` finds format and records, `run` prints one JSON line, `status` what is there; errors have their codes."""
    monkeypatch.setenv("FRAUDLOG_KEY", KEY)
    log, config = tmp_path / "access.log", str(tmp_path / "job.toml")
    log.write_bytes(b"".join(LINES[:400]))
    call = CliRunner().invoke
    made = call(
        app,
        ["job", "init", "--config", config, "--log", str(log), "--store", str(tmp_path / "s"), "--model", str(model)],
    )
    assert made.exit_code == 0, made.output
    assert 'format = "combined"' in (tmp_path / "job.toml").read_text()
    again = call(app, ["job", "init", "--config", config])
    assert (type(again.exception), "--force" in str(again.exception)) == (ConfigError, True)
    ran = call(app, ["job", "run", "--config", config, "--until", "2015-05-17"])
    assert json.loads(ran.stdout)["lines"] == 0
    ran = call(app, ["job", "run", "--config", config])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["lines"] == 400
    assert ran.stdout.count("\n") == 1
    status = call(app, ["job", "status", "--config", config])
    assert "sessions" in status.stdout
    assert "400 lines" not in status.stdout or status.exit_code == 0
    assert json.loads(call(app, ["job", "status", "--config", config, "--json"]).stdout)["counts"]["lines"] == 400


def test_a_site_may_bring_its_maps_databases_and_lists(model, tmp_path):
    """They are looked at before addresses become pseudonyms; one that can't be read is an error with its key."""
    (tmp_path / "hosting.txt").write_text("83.149.9.0/24\n")
    (tmp_path / "map.toml").write_text('[[path]]\nendpoint = "search"\npatterns = ["^/presentations/"]\n')
    values = {
        "enrich.endpoints": str(tmp_path / "map.toml"),
        "enrich.networks": {"hosting": str(tmp_path / "hosting.txt")},
        "enrich.databases": [str(ROOT / "tests" / "corpus" / "geo" / "GeoLite2-Country-Test.mmdb")],
    }
    site = Site(tmp_path / "site", model, **values)
    site.append(b"".join(LINES[:400]))
    site.run()
    events = open_store(site.store, purpose=PURPOSE).read("events").to_pandas()
    is_listed = events["is_hosting"] == True  # noqa: E712 -- null is neither
    assert 0 < is_listed.sum() < len(events)
    talks = events["path"].str.startswith("/presentations/")
    assert set(events.loc[talks, "endpoint"]) == {"search"}
    site.write_config(site.settings | {"enrich.databases": [str(tmp_path / "none.mmdb")]})
    with pytest.raises(ConfigError, match=r"enrich\.databases"):
        site.run()


def test_a_key_may_be_rotated_between_runs(model, tmp_path):
    """The place in the log and the models of the epoch before stay good; nothing is taken twice."""
    site = Site(tmp_path / "site", model, **{"retrain.every_days": 1, "retrain.max_flag_ratio": 50})
    site.append(b"".join(LINES[:2400]))
    assert len(site.run().models) == 3
    rotate_key(site.key)
    site.append(b"".join(LINES[2400:2500]))
    assert site.run().tally.lines == 100


def test_after_a_rotation_no_stranger_is_listed(model, tmp_path):
    """What an older key wrote would turn into addresses of people who did nothing; lists begin anew."""
    settings = {"publish.folder": str(tmp_path / "public"), "publish.exports": {"cidr": "addresses.txt"}}
    site = Site(tmp_path / "site", model, **settings, **{"publish.export_verdict": "observe"})
    site.append(b"".join(LINES[:1500]))
    site.run()
    rotate_key(site.key)
    names = Pseudonyms(load_keyring(site.key).key)
    before, after = pd.Timestamp("2015-05-17T20:00Z"), pd.Timestamp("2015-05-18T08:00Z")

    def listed(at: pd.Timestamp) -> list[str]:
        with open_store(site.store, purpose=PURPOSE) as store:
            write_exports(site.config, store, names, at=at)
        lines = (tmp_path / "public" / "addresses.txt").read_text().splitlines()
        return [line.split("/")[0] for line in lines if line and line[0] != "#"]

    assert listed(before) == []
    site.append(b"".join(LINES[1500:]))
    site.run()
    assert listed(after)
    assert set(listed(before)) <= raw_addresses() | {f"{a.rpartition('.')[0]}.0" for a in raw_addresses()}
