"""Requests of people over a job's store: after `erase` it is as if they had never come."""

from __future__ import annotations

import io
import json
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

import fraudlog as fl
from fraudlog.enriching import Shield
from fraudlog.errors import ConfigError, PrivacyError
from fraudlog.jobs import job_status
from fraudlog.jobs.forgetting import draft_of
from fraudlog.privacy import REQUESTS, Chain, Holds, Pseudonyms, Withheld, drop_key, load_keyring, rotate_key
from fraudlog.store import Transaction, open_store
from fraudlog.subjects import Desk, access
from job_support import KEY, Site, sample_lines, small_model

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ALICE = {"user": "alice7"}


def with_people(lines: list[bytes]) -> list[bytes]:
    """Make every seventh client an account of one of three names; its address stays."""
    made = []
    for line in lines:
        client = line.split(b" ", 1)[0]
        name = {0: b"alice7", 1: b"bob8", 2: b"carol9"}.get(sum(client) % 21)
        made.append(line.replace(b" - - [", b" - " + name + b" [", 1) if name else line)
    return made


LINES = with_people(sample_lines(1500))
WITHOUT = [b"\n" if b" alice7 [" in line else line for line in LINES]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def make_site(tmp_path, model):
    def make(name: str, lines: list[bytes], **values) -> Site:
        site = Site(tmp_path / name, model, **values)
        site.append(b"".join(lines))
        site.run()
        return site

    return make


def desk(site: Site, now: datetime = NOW) -> Desk:
    return Desk(site.config, load_keyring(site.key), now)


def differing(one: Site, other: Site) -> list[str]:
    left, right = one.tree(), other.tree()
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def test_after_erase_the_tree_is_as_if_they_had_never_come(make_site):
    """Byte for byte, ledger apart; the other run read the same file with their lines blank."""
    site, never = make_site("a", LINES), make_site("b", WITHOUT)
    n_theirs = sum(b" alice7 [" in line for line in LINES)
    assert n_theirs > 20
    assert differing(site, never)
    answer = desk(site).erase(ALICE, reference="2026-17")
    assert answer.events == n_theirs
    assert differing(site, never) == []
    assert open_store(site.store, purpose=REQUESTS).verify() == []
    entry = Chain(site.store / "ledger" / "audit.jsonl").entries()[-1]
    assert (entry["event"], entry["events"], entry["reference"]) == ("erase", n_theirs, "2026-17")
    assert desk(site).erase(ALICE).events == 0
    assert differing(site, never) == []


@pytest.mark.parametrize(
    "values",
    [{"retrain.every_days": 1, "retrain.window_days": 2, "policy.daily_reviews": 3}, {"store.slice_hours": 6}],
    ids=["retrained", "sliced"],
)
def test_erase_reaches_models_budgets_and_reports(make_site, tmp_path, values):
    """Models of the store learn anew without them; verdicts of others follow; the report is written anew."""
    site = make_site("a", LINES, **values, **{"publish.folder": str(tmp_path / "a" / "www")})
    never = make_site("b", WITHOUT, **values)
    page = (tmp_path / "a" / "www" / "report.html").read_bytes()
    desk(site).erase(ALICE)
    assert differing(site, never) == []
    assert (tmp_path / "a" / "www" / "report.html").read_bytes() != page


def test_erase_by_address_after_many_runs(tmp_path, model):
    """Who has no account; the log came in five runs, the erasure between two of them, and the rest comes after."""
    client = LINES[400].split(b" ", 1)[0]
    theirs = [line.split(b" ", 1)[0] == client for line in LINES]
    assert sum(theirs) > 3
    site, never = Site(tmp_path / "a", model), Site(tmp_path / "b", model)
    for begin in range(0, 1500, 300):
        chunk = range(begin, begin + 300)
        site.append(b"".join(b"\n" if begin > 900 and theirs[i] else LINES[i] for i in chunk))
        never.append(b"".join(b"\n" if theirs[i] else LINES[i] for i in chunk))
        site.run()
        never.run()
        if begin == 900:
            desk(site).erase({"client_ip": client.decode()})
    assert differing(site, never) == []


@pytest.mark.parametrize("values", [{}, {"retrain.every_days": 1, "retrain.window_days": 2}], ids=["near", "replayed"])
def test_reports_count_as_if_they_had_never_come(make_site, tmp_path, values):
    """Report and summary are those of the other run, byte for byte: so are the counts of lines that stand in them."""
    pages = {name: tmp_path / name / "www" for name in "abc"}
    sites = [
        make_site(name, lines, **values, **{"publish.folder": str(pages[name])})
        for name, lines in (("a", LINES), ("b", WITHOUT), ("c", LINES))
    ]
    pages = {name: _pages(tmp_path / name) for name in pages}
    desk(sites[0]).erase(ALICE)
    desk(sites[2]).restrict(ALICE)
    assert _pages(tmp_path / "a") == pages["b"] != pages["a"]
    assert [job_status(site.config)["counts"] for site in sites[::2]] == [job_status(sites[1].config)["counts"]] * 2
    desk(sites[2]).lift(ALICE)
    assert _pages(tmp_path / "c") == pages["c"]


def _pages(folder):
    return {file.name: file.read_bytes() for file in (folder / "www").iterdir()}


@pytest.mark.parametrize("mode", ["opaque", "truncate", "drop"])
def test_every_ip_mode_can_forget(make_site, mode):
    """With tokens, coarse addresses or none in their place."""
    site, never = (
        make_site(name, lines, **{"privacy.ip_mode": mode}) for name, lines in (("a", LINES), ("b", WITHOUT))
    )
    assert desk(site).erase(ALICE).events > 0
    assert differing(site, never) == []


def remembering_sites(tmp_path) -> tuple[Site, Site]:
    """Two sites with models that keep what they learnt from: one that knows a person, one that never saw them."""
    names = Pseudonyms(bytes.fromhex(KEY))
    table = fl.read_log(io.BytesIO(b"".join(LINES)), "combined", privacy=Shield(names)).table
    learnt = fl.build_sessions(table, key=names.session_key)
    is_hers = (learnt["user"] == names.tokens(["alice7"], "user")[0]).fillna(value=False)
    sites = []
    for name, lines, sessions in (("a", LINES, learnt), ("b", WITHOUT, learnt[~is_hers])):
        model = tmp_path / f"{name}.fraudlog"
        fl.Detector().fit(sessions.reset_index(drop=True)).save(model, training=True)
        site = Site(tmp_path / name, model)
        site.append(b"".join(lines))
        site.run()
        sites.append(site)
    return sites[0], sites[1]


def test_the_given_model_forgets_too(tmp_path):
    """A model that keeps what it learnt from becomes the one fitted on the other rows, and judges everything anew."""
    site, never = remembering_sites(tmp_path)
    answer = desk(site).erase(ALICE)
    assert answer.model_rows > 0
    assert (tmp_path / "a.fraudlog").read_bytes() == (tmp_path / "b.fraudlog").read_bytes()
    assert differing(site, never) == []


def test_a_model_that_can_not_forget_says_so(make_site):
    """It keeps no rows; whether the person was among them nobody can tell."""
    answer = desk(make_site("a", LINES)).erase(ALICE)
    assert answer.model_rows == -1
    assert "fit it anew" in answer.notes[0]


def slow_log(n_days: int, person_days: set[int]) -> tuple[list[bytes], list[bytes]]:
    """A log of many days, and the same without a person who came on some of them."""
    lines, left = [], []
    start = datetime(2026, 1, 1, 8, tzinfo=UTC)
    for day in range(n_days):
        for n in range(40):
            at = start + timedelta(days=day, minutes=7 * n)
            is_theirs = day in person_days and n % 8 == 3
            name = "alice7" if is_theirs else f"user{(day + n) % 9}" if n % 3 else "-"
            agent = f"Mozilla/5.0 (X11; Linux x86_64; rv:{120 + n % 4}.0) Gecko/20100101 Firefox/{120 + n % 4}.0"
            line = (
                f"198.51.100.{n % 11} - {name} [{at:%d/%b/%Y:%H:%M:%S} +0000] "
                f'"GET /p/{n % 5} HTTP/1.1" 200 {100 + n} "-" "{agent}"\n'
            ).encode()
            lines.append(line)
            left.append(b"\n" if is_theirs else line)
    return lines, left


def test_only_days_from_theirs_on_are_written(make_site):
    """75 days, a person on days 50 and 60: earlier files are not touched, and the state comes out as it should."""
    lines, left = slow_log(75, {50, 60})
    site, never = make_site("a", lines), make_site("b", left)
    before = {name: (site.store / name).stat().st_mtime_ns for name in site.tree()}
    desk(site).erase(ALICE)
    assert differing(site, never) == []
    touched = {name for name in site.tree() if before.get(name) != (site.store / name).stat().st_mtime_ns}
    days = {part.partition("day=")[2][:10] for part in touched if "day=" in part}
    assert min(days) == "2026-02-20"
    assert len(days) < 10


def test_a_child_is_removed_in_spite_of_a_hold_and_kept_out(make_site):
    """The bar ends after a year."""
    site, never = make_site("a", LINES), make_site("b", WITHOUT)
    store = open_store(site.store, purpose=REQUESTS)
    events = store.read("events", columns=["user", "session_id"]).to_pandas()
    token = load_keyring(site.key).pseudonyms()[1].tokens(["alice7"], "user")[0]
    theirs = sorted(set(events.loc[events["user"] == token, "session_id"]))
    Holds().adding(theirs[:1], "chargeback 12", "R. Viewer", NOW, NOW + timedelta(days=90)).save(
        site.store / "ledger" / "holds.json"
    )
    answer = desk(site).erase(ALICE)
    assert answer.held > 0
    assert differing(site, never) != []
    answer = desk(site).erase(ALICE, minor=True)
    assert (answer.held, answer.events > 0) == (0, True)
    assert differing(site, never) == []
    assert not Holds.load(site.store / "ledger" / "holds.json").holds
    withheld = Withheld.load(site.store / "ledger" / "withheld.json")
    assert len(withheld.current(NOW)) == 1
    assert len(withheld.current(NOW + timedelta(days=366))) == 0


def test_a_childs_events_stay_out_of_the_next_run(make_site):
    """The line is counted as withheld, and nothing of it is stored."""
    site = make_site("a", LINES[:400])
    desk(site, datetime.now(UTC)).erase(ALICE, minor=True)
    site.append(next(line for line in LINES if b" alice7 [" in line))
    report = site.run()
    assert (report.tally.events, report.tally.withheld) == (0, 1)


def test_restrict_puts_aside_and_lift_brings_back(make_site):
    """In between it is as if they had never come; afterwards as if they had never left."""
    site, never, always = make_site("a", LINES), make_site("b", WITHOUT), make_site("c", LINES)
    answer = desk(site).restrict(ALICE)
    assert answer.events > 0
    aside = [name for name in differing(site, never) if name != "manifest.json"]
    assert len(aside) == 1
    assert aside[0].startswith("state/aside-")
    assert len(Withheld.load(site.store / "ledger" / "withheld.json")) == 1
    desk(site).lift(ALICE)
    assert differing(site, always) == []
    assert len(Withheld.load(site.store / "ledger" / "withheld.json")) == 0
    with pytest.raises(ConfigError, match="nothing of this person"):
        desk(site).lift(ALICE)


def test_object_stops_the_use(make_site):
    """Nothing is worked with any more, and nothing further comes in."""
    site = make_site("a", LINES)
    desk(site).object(ALICE)
    assert Withheld.load(site.store / "ledger" / "withheld.json").entries[0].why == "objection"
    token = load_keyring(site.key).pseudonyms()[1].tokens(["alice7"], "user")[0]
    assert token not in open_store(site.store, purpose=REQUESTS).read("events")["user"].to_pylist()


def test_rectify_corrects_and_judges_anew(make_site):
    """A wrong country; then the same as before again, and the tree is as it was."""
    site, always = make_site("a", LINES), make_site("b", LINES)
    answer = desk(site).rectify(ALICE, {"country": "DE"})
    assert answer.events > 0
    rows = open_store(site.store, purpose=REQUESTS).read("events", columns=["user", "country"]).to_pandas()
    token = load_keyring(site.key).pseudonyms()[1].tokens(["alice7"], "user")[0]
    assert set(rows.loc[rows["user"] == token, "country"]) == {"DE"}
    assert rows.loc[rows["user"] != token, "country"].isna().all()
    desk(site).rectify(ALICE, {"country": None})
    assert differing(site, always) == []
    for wrong in ({}, {"user": "bob"}, {"shoe_size": 1}):
        with pytest.raises(ConfigError, match="can be corrected"):
            desk(site).rectify(ALICE, wrong)


def test_access_shows_everything_and_nobody_else(make_site):
    """As JSON, CSV and a page in plain words, with scores and reasons."""
    site = make_site("a", LINES)
    ring = load_keyring(site.key)
    found = access(site.config, ring, ALICE, NOW, reference="17")
    n_theirs = sum(b" alice7 [" in line for line in LINES)
    held = json.loads(found.to_json())["held"]
    assert len(held["events"]) + len(held["late"]) + len(held["open"]) == n_theirs
    assert len(held["scores"]) == len(held["sessions"]) == len({row["session_id"] for row in held["events"]})
    assert all("risk" in row for row in held["scores"])
    page = found.to_html()
    assert "How your visits were judged" in page
    assert "<script" not in page
    others = ring.pseudonyms()[1].tokens(["bob8", "carol9"], "user")
    for text in (found.to_json(), found.to_csv(), page):
        assert not any(token in text for token in others)
        assert "GET" in text
    assert found.to_csv().startswith("table,row,column,value")
    assert Chain(site.store / "ledger" / "audit.jsonl").entries()[-1]["event"] == "access"


def test_nothing_is_done_over_a_broken_trail(make_site):
    """Who changed the trail must answer first."""
    site = make_site("a", LINES[:400])
    desk(site).erase({"user": "nobody"})
    trail = site.store / "ledger" / "audit.jsonl"
    trail.write_bytes(trail.read_bytes().replace(b'"held":0', b'"held":1'))
    before = site.tree()
    with pytest.raises(PrivacyError, match="audit trail is broken"):
        desk(site).erase(ALICE)
    assert site.tree() == before


def test_an_older_keys_rows_are_reached_until_it_is_dropped(make_site):
    """A request reaches what was stored under an older key; after `key drop` nobody can tell whose it was."""
    site = make_site("a", LINES)
    rotate_key(site.key)
    assert desk(site).erase({"user": "bob8"}).events > 0
    drop_key(1, site.key)
    assert desk(site).erase(ALICE).events == 0


def killed(work) -> None:
    """Do something in a child that dies at it."""
    child = os.fork()
    if not child:
        with suppress(BaseException):
            work()
        os._exit(1)
    os.waitpid(child, 0)


@pytest.mark.parametrize("when", ["before the commit", "after the commit", "after it, and the draft is lost"])
def test_a_kill_between_model_and_store_leaves_both_or_neither(tmp_path, monkeypatch, when):
    """The next run finds the model that the store has: it adopts no other, and nobody is known who was erased."""
    site, never = remembering_sites(tmp_path)
    before = site.tree()
    with monkeypatch.context() as patch:
        if when == "before the commit":
            patch.setattr(Transaction, "commit", lambda _: os._exit(9))
        else:
            patch.setattr("fraudlog.subjects.desk.republish", None)
            patch.setattr("fraudlog.jobs.forgetting.write_whole", lambda *_: os._exit(9))
        killed(lambda: desk(site).erase(ALICE))
    if when.endswith("lost"):
        draft_of(tmp_path / "a.fraudlog").unlink()
    assert site.run().models == []
    assert site.tree() == (before if when == "before the commit" else never.tree())
    desk(site).erase(ALICE)
    assert (tmp_path / "a.fraudlog").read_bytes() == (tmp_path / "b.fraudlog").read_bytes()
    assert site.run().models == []
    assert differing(site, never) == []
    assert not draft_of(tmp_path / "a.fraudlog").exists()
