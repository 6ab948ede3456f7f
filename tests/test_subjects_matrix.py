"""Every verb over every place where a person can stand: one table, and what each of its words means."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import pytest

from fraudlog.privacy import REQUESTS, Chain, load_keyring
from fraudlog.schema import to_pandas
from fraudlog.store import open_store
from fraudlog.subjects import Answer, Desk, access
from planted_person import (
    ADDRESS,
    ALICE,
    FINE,
    FIRST,
    MORE_AT,
    NOW,
    OPEN,
    OTHER,
    SECOND,
    Planted,
    are_hers,
    blank,
    corrected,
    fit,
    hers,
    line,
    probing,
    sessions_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fraudlog.subjects import Access

GONE, ASIDE, SHOWN, RIGHT, ANEW, NOBODY, LEFT = (
    "gone", "put aside", "shown", "corrected", "judged anew", "names nobody", "as before",
)  # fmt: skip

# What each verb does where she stands. Restriction (art. 18) and objection (art. 21) leave her events aside and nothing
# else of her: they are not scored, decided on, learnt from, handed out or shown, until `lift` works them out again.
TABLE = {
    #                          access  rectify  erase   restrict  object
    "events":                 (SHOWN,  RIGHT,   GONE,   ASIDE,    ASIDE),
    "late events":            (SHOWN,  RIGHT,   GONE,   ASIDE,    ASIDE),
    "open sessions":          (SHOWN,  RIGHT,   GONE,   ASIDE,    ASIDE),
    "waiting sessions":       (SHOWN,  RIGHT,   GONE,   ASIDE,    ASIDE),
    "rejected lines":         (NOBODY, NOBODY,  NOBODY, NOBODY,   NOBODY),
    "sessions":               (SHOWN,  RIGHT,   GONE,   GONE,     GONE),
    "scores":                 (SHOWN,  ANEW,    GONE,   GONE,     GONE),
    "decisions":              (SHOWN,  ANEW,    GONE,   GONE,     GONE),
    "report":                 (LEFT,   ANEW,    GONE,   GONE,     GONE),
    "block list":             (LEFT,   LEFT,    GONE,   GONE,     GONE),
    "database":               (LEFT,   ANEW,    GONE,   GONE,     GONE),
    "speaking model":         (SHOWN,  ANEW,    GONE,   GONE,     GONE),
    "older given model":      (SHOWN,  ANEW,    GONE,   GONE,     GONE),
    "account histories":      (SHOWN,  ANEW,    GONE,   GONE,     GONE),
    "labels":                 (SHOWN,  LEFT,    GONE,   GONE,     GONE),
    "model the job learnt":   (SHOWN,  ANEW,    GONE,   GONE,     GONE),
    "next run":               (LEFT,   LEFT,    LEFT,   GONE,     GONE),
}  # fmt: skip
NETWORK = "93.184.216.0/24"
VERBS = ("access", "rectify", "erase", "restrict", "object")
_EVENTS = {"events": "events", "late events": "late", "open sessions": "open", "waiting sessions": "waiting"}
_TABLES = ("sessions", "scores", "decisions")
_CONFIGURED, _OLDER = "the configuration's", "models/given-1.fraudlog"


class Asked(NamedTuple):
    """A site before and after a request."""

    before: Planted
    after: Planted
    ids: set[str]
    found: Access | Answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="module")
def learnt() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sessions that the older model and the speaking one learnt from."""
    return sessions_of(FIRST), sessions_of(FIRST + SECOND[:-OPEN])


@pytest.fixture(scope="module")
def models(folder, learnt) -> tuple[Path, Path]:
    """Models that know her: by sessions, how her account logs in, and a label each."""
    older, speaking = learnt
    return (
        fit(older, folder / "older.fraudlog", [FINE, OTHER]),
        fit(speaking, folder / "speaking.fraudlog", [probing(speaking), OTHER]),
    )


@pytest.fixture(scope="module")
def planted(folder, models) -> Planted:
    return Planted(folder / "planted", models, FIRST, SECOND)


@pytest.fixture(scope="module")
def without_her(folder, learnt) -> tuple[Path, Path]:
    return tuple(fit(one[~are_hers(one)], folder / f"never-{n}.fraudlog", [OTHER]) for n, one in enumerate(learnt))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def never(folder, without_her) -> Planted:
    """A site that never saw her."""
    return Planted(folder / "never", without_her, blank(FIRST), blank(SECOND))


@pytest.fixture(scope="module")
def asked(folder, planted) -> dict[str, Asked]:
    """The site after each verb."""
    made = {}
    for verb in VERBS:
        site = Planted.copied(planted, folder / verb)
        made[verb] = Asked(planted, site, planted.ids(), _ask(site, verb))
    return made


def desk(site: Planted) -> Desk:
    return Desk(site.config, load_keyring(site.key), NOW)


def _ask(site: Planted, verb: str) -> Access | Answer:
    if verb == "access":
        return access(site.config, load_keyring(site.key), ALICE, NOW, reference="17")
    if verb == "rectify":
        return desk(site).rectify(ALICE, {"country": "NL"}, reference="17")
    verbs: dict[str, Callable[..., Answer]] = {name: getattr(desk(site), name) for name in VERBS[2:]}
    return verbs[verb](ALICE, reference="17")


def differing(one: Planted, other: Planted) -> list[str]:
    left, right = one.tree(), other.tree()
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def test_she_stands_in_every_place(planted):
    """Without that, the table below would prove nothing."""
    ids = planted.ids()
    assert all(planted.rows(place) for place in _EVENTS.values())
    assert not planted.rows("aside")
    assert all(planted.by_id(table, ids) for table in _TABLES)
    assert len(planted.rejected()) == 2
    assert any(one[:10] in planted.page("report.html") for one in ids)
    assert planted.page("block.txt").split() == [NETWORK]
    assert planted.in_sql(ids)
    known = planted.known(ids)
    assert known[_OLDER]["sessions_learnt"] > 0
    assert known[_CONFIGURED]["sessions_learnt"] > known[_OLDER]["sessions_learnt"]
    assert all(known[name]["labels"] for name in (_OLDER, _CONFIGURED))
    assert all(one["logins_counted"] for one in known.values())
    assert len(known) > 2


def _of_place(site: Planted, place: str, ids: set[str]) -> object:
    """Return what of her stands in a place."""
    known = site.known(ids)
    if place in _EVENTS:
        return site.rows(_EVENTS[place])
    if place in _TABLES:
        return site.by_id(place, ids)
    found: dict[str, Callable[[], object]] = {
        "report": lambda: [one for one in sorted(ids) if one[:10] in site.page("report.html")],
        "block list": lambda: [text for text in site.page("block.txt").split() if text == NETWORK],
        "database": lambda: site.in_sql(ids),
        "speaking model": lambda: known[_CONFIGURED]["sessions_learnt"],
        "older given model": lambda: known[_OLDER]["sessions_learnt"],
        "account histories": lambda: [one["logins_counted"] for one in known.values() if one["logins_counted"]],
        "labels": lambda: [label for one in known.values() for label in one["labels"]],
        "model the job learnt": lambda: sum(one["logins_counted"] for name, one in known.items() if "/2" in name),
    }
    return found[place]()


def _is_shown(case: Asked, place: str) -> bool:
    held = case.found.tables
    models = {one["model"]: one for one in held["models"]}
    if place in _EVENTS:
        name = {"waiting sessions": "open"}.get(place, _EVENTS[place])
        lines = {(row["source"], row["line_number"]) for row in held[name]}
        return all((row["source"], row["line_number"]) in lines for row in case.before.rows(_EVENTS[place]))
    if place in _TABLES:
        shown = {row["session_id"] for row in held[place]}
        return shown == {row["session_id"] for row in case.before.by_id(place, case.ids)} or place == "sessions"
    known = case.before.known(case.ids)
    expected = {
        "speaking model": [_CONFIGURED],
        "older given model": [_OLDER],
        "model the job learnt": [name for name in known if "/2" in name],
    }.get(place, list(known))
    return all({"model": name} | known[name] == models[name] for name in expected)


def _check(case: Asked, verb: str, place: str, word: str) -> None:
    if place == "rejected lines":
        assert all(row["raw"] is None for row in case.after.rejected())
        assert set(case.after.rejected()[0]) == {"source", "line_number", "reason", "raw"}
        assert len(case.after.rejected()) == len(case.before.rejected())
        return
    before, after = (_of_place(site, place, case.ids) for site in (case.before, case.after))
    if word == SHOWN:
        assert after == before
        assert _is_shown(case, place)
    elif word == GONE:
        assert not after
    elif word == ASIDE:
        assert not after
        there = [{**row, "session_id": None} for row in case.after.rows("aside")]
        assert all({**row, "session_id": None} in there for row in before)
    elif word == RIGHT:
        assert len(after) == len(before)
        assert {row["country"] for row in after} == {"NL"}
        assert {row["country"] for row in before} == {"JP"}
    elif word == ANEW:  # how exactly, the whole tree says: `test_the_tree_is_that_of_a_right_log`
        assert bool(after) == bool(before)
    else:
        assert after == before, verb


@pytest.mark.parametrize("place", [name for name in TABLE if name != "next run"])
@pytest.mark.parametrize("verb", VERBS)
def test_the_table(asked, verb, place):
    """One cell."""
    _check(asked[verb], verb, place, TABLE[place][VERBS.index(verb)])


@pytest.mark.parametrize("verb", VERBS)
def test_each_request_is_in_the_audit_trail(asked, verb):
    """By its number and how much was found; of whom, never."""
    trail = Chain(asked[verb].after.store / "ledger" / "audit.jsonl")
    entry = [one for one in trail.entries() if one.get("reference") == "17"][-1]
    assert entry["event"] == {"restrict": "restriction", "object": "objection"}.get(verb, verb)
    assert entry.get("columns") == (["country"] if verb == "rectify" else None)
    assert entry["rows" if verb == "access" else "events"] > 50
    text = trail.path.read_text()
    assert not any(one in text for one in ("alice7", ADDRESS, "t-alice", "NL"))


@pytest.mark.parametrize("verb", ["erase", "restrict", "object"])
def test_the_tree_is_that_of_a_run_that_never_saw_her(asked, never, verb):
    """Byte for byte, models and their index too; but for what is aside, and that the manifest names it."""
    others = differing(asked[verb].after, never)
    assert len(others) == (0 if verb == "erase" else 2)
    assert all(name == "manifest.json" or name.startswith("state/aside-") for name in others)
    assert asked[verb].after.model.read_bytes() == never.model.read_bytes()


def test_the_tree_is_that_of_a_right_log(asked, folder, learnt):
    """After `rectify`: of a run over a log that said so, by models that learnt her sessions from it.

    What they learnt of her that the store does not hold as a session, as of a late event, they forget. Its sessions
    are right if all files equal those of the other site.
    """
    right, made = to_pandas(open_store(asked["rectify"].after.store, purpose=REQUESTS).read("sessions")), []
    for n, wrong in enumerate(learnt):
        is_wrong = are_hers(wrong).to_numpy(bool)
        ids = set(wrong["session_id"][is_wrong]) & asked["rectify"].ids
        both = pd.concat([wrong[~is_wrong], right[right["session_id"].isin(ids)]]).set_index("session_id")
        order = [one for one in wrong["session_id"] if one in both.index]
        assert len(order) == len(wrong) - 1 - n
        label = FINE if n == 0 else probing(wrong)
        made.append(
            fit(both.loc[order].copy().reset_index()[wrong.columns], folder / f"right-{n}.fraudlog", [label, OTHER])
        )
    site = Planted(folder / "right", (made[0], made[1]), corrected(FIRST), corrected(SECOND))
    assert asked["rectify"].after.model.read_bytes() == site.model.read_bytes()
    assert differing(asked["rectify"].after, site) == []


def test_what_is_lifted_is_as_if_it_had_never_been_away(asked, folder, without_her):
    """But for the given models: they learn her only when they are fitted anew."""
    site = Planted.copied(asked["restrict"].after, folder / "lifted")
    desk(site).lift(ALICE)
    always = Planted(folder / "always", without_her, FIRST, SECOND)
    assert differing(site, always) == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_next_run(asked, folder, verb):
    """Who restricted or objected is not taken in, under her name or the token that she alone used; a model is due."""
    site = Planted.copied(asked[verb].after, folder / f"next {verb}")
    n_before = sum(len(site.rows(place)) for place in _EVENTS.values())
    ids = site.ids()
    made = [hers(MORE_AT, path="/"), hers(MORE_AT + timedelta(seconds=9), "-", "/style.css")]
    made += [line(MORE_AT + timedelta(days=5, hours=n), "user2", "198.51.9.9") for n in range(3)]
    site.append(b"".join(made))
    report = site.run()
    taken = sum(len(site.rows(place)) for place in _EVENTS.values()) - n_before
    word = TABLE["next run"][VERBS.index(verb)]
    assert (taken, report.tally.withheld) == ((0, 2) if word == GONE else (2, 0))
    newest = max(name for name in site.known(ids) if "/2" in name)
    assert newest not in asked[verb].after.known(ids)
    assert bool(site.known(ids)[newest]["logins_counted"]) == (word != GONE)
