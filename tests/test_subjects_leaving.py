"""Taking a person out by what stands near them: exact on any log, and a replay only where more hangs on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fraudlog.subjects.desk as desk_module
from fraudlog.privacy import load_keyring
from fraudlog.subjects import Desk
from job_support import Site, sample_lines, small_model

FORMAT = (
    '$remote_addr - $remote_user [$time_iso8601] "$request" $status $body_bytes_sent "$http_user_agent" '
    '"$http_accept_language" "$device" "$token" "$country"'
)
VALUES = {
    "log.format": FORMAT,
    "log.fields": {"device_id": "device", "session_token": "token", "country": "country"},
    "log.records": ["language"],
}
START = datetime(2026, 1, 1, 8, tzinfo=UTC)
AGENTS = [f"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0" for n in (120, 121)] + [
    "curl/8.5.0"
]
STEPS_S = [
    0,
    1,
    1,
    1,
    20,
    60,
    600,
    1500,
    2400,
    3 * 3600,
    20 * 3600,
    26 * 3600,
    3 * 86_400,
    20 * 86_400,
    -30,
    -400,
    -4000,
]
ALICE = {"user": "alice7"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


def line(at: datetime, user="-", ip="198.51.100.7", agent=AGENTS[0], path="/p", status=200, **more) -> bytes:
    told = {"language": "en", "device": "-", "token": "-", "country": "-"} | more
    method = "POST" if path in ("/login", "/signup") else "GET"
    text = (
        f'{ip} - {user} [{at.isoformat()}] "{method} {path} HTTP/1.1" {status} 10 "{agent}" '
        f'"{told["language"]}" "{told["device"]}" "{told["token"]}" "{told["country"]}"\n'
    )
    return text.encode()


@st.composite
def logs(draw) -> list[tuple[str, str, bytes]]:
    """Lines with their user and address: few values of each, so that people share what can be shared."""
    at, made = (
        START,
        [("dave0", "192.0.2.1", line(START, "dave0", "192.0.2.1"))],
    )  # a file is named after its first line
    for _ in range(draw(st.integers(20, 60))):
        at += timedelta(seconds=draw(st.sampled_from(STEPS_S)))
        if not draw(st.integers(0, 15)):
            made.append(("", "", b"no request\n"))
            continue
        user = draw(st.sampled_from(["alice7", "alice7", "bob8", "carol9", "-"]))
        token = draw(st.sampled_from(["-", "-", f"{user}-1", "shared"]))
        ip = f"198.51.{draw(st.integers(100, 101))}.{draw(st.integers(1, 2))}"
        made.append(
            (
                user,
                ip,
                line(
                    at,
                    user,
                    ip,
                    draw(st.sampled_from(AGENTS)),
                    draw(st.sampled_from(["/p", "/q", "/login", "/signup", "/checkout"])),
                    draw(st.sampled_from([200, 401, 404])),
                    token=token if draw(st.booleans()) else "-",
                    device=draw(st.sampled_from(["-", "d1", "d2"])),
                    country=draw(st.sampled_from(["-", "DE", "JP"])),
                ),
            )
        )
    return made


def check(model, folder, lines, person, is_theirs, monkeypatch, **values) -> tuple[list[bool], set[str]]:
    """Take somebody out of a log and compare; returns whether what stood near was enough, and the days written."""
    seen = []

    def spied(*given, **options):
        done = leave_out(*given, **options)
        seen.append(done is not None)
        return done

    leave_out = desk_module.leave_out
    monkeypatch.setattr(desk_module, "leave_out", spied)
    sites = []
    for name, left in (("a", lines), ("b", [b"\n" if is_theirs(n) else one for n, one in enumerate(lines)])):
        site = Site(folder / name, model, **(VALUES | {"log.max_reject_share": 1.0} | values))
        site.append(b"".join(left))
        site.run()
        sites.append(site)
    before = {file.stat().st_ino for file in sites[0].store.rglob("*.parquet")}
    Desk(sites[0].config, load_keyring(sites[0].key)).erase(person)
    monkeypatch.setattr(desk_module, "leave_out", leave_out)
    trees = [site.tree() for site in sites]
    assert {name for name in trees[0].keys() | trees[1].keys() if trees[0].get(name) != trees[1].get(name)} == set()
    fresh = (file for file in sites[0].store.rglob("*.parquet") if file.stat().st_ino not in before)
    return seen, {file.parent.name.removeprefix("day=") for file in fresh}


def by_user(made):
    """Whose lines are alice's: by name, or by a token that she alone used."""
    tokens = {}
    for user, _, text in made:
        if user:
            tokens.setdefault(text.split(b'"')[-4], set()).add(user)
    own = {token for token, users in tokens.items() if users - {"-"} == {"alice7"} and token != b"-"}
    return lambda n: made[n][0] == "alice7" or (bool(made[n][0]) and made[n][2].split(b'"')[-4] in own)


def any_log(model, folder, made, by_address, monkeypatch):
    lines = [text for _, _, text in made]
    if by_address:
        check(model, folder, lines, {"client_ip": "198.51.100.1"}, lambda n: made[n][1] == "198.51.100.1", monkeypatch)
    else:
        check(model, folder, lines, ALICE, by_user(made), monkeypatch)


def months(n_days: int, days: dict[int, str]) -> list[bytes]:
    """A log of many days; a person comes on some of them, as in ``days``, with a device that may be shared."""
    lines = []
    for day in range(n_days):
        for n in range(25):
            at = START + timedelta(days=day, minutes=11 * n)
            told = {"user": f"user{(day + n) % 9}", "device": f"d{n % 5}", "country": "DE"}
            if day in days and n % 5 == 3:
                told = {"user": "alice7", "device": days[day], "country": "JP", "token": f"alice-{day}"}
            path = ("/p", "/login", "/q")[n % 3]
            lines.append(
                line(at, ip=f"198.51.{n % 3}.{n % 7}", agent=AGENTS[n % 3], path=path, status=200 + n % 2, **told)
            )
    return lines


@pytest.mark.parametrize(
    "days",
    [
        {3: "own", 40: "own"},
        {3: "d1", 40: "d2"},
        {40: "own", 59: "d1"},
        {57: "d3", 58: "own"},
        {day: f"d{day % 4}" for day in range(2, 58, 3)},
    ],
    ids=["two days", "with devices of others", "until the last day but one", "in what windows remember", "always"],
)
def test_only_what_stands_near_is_written(model, tmp_path, monkeypatch, days):
    """Days between and after are not touched, and the state at the end comes out as it should."""
    lines = months(60, days)
    is_theirs = [b"alice7" in one for one in lines]
    seen, written = check(model, tmp_path, lines, ALICE, is_theirs.__getitem__, monkeypatch)
    assert seen == [True]
    if not any(device.startswith("d") for device in days.values()):
        near = {(START + timedelta(days=day + n)).date().isoformat() for day in days for n in range(3)}
        assert written <= near


@settings(max_examples=4)
@given(made=logs(), by_address=st.booleans())
def test_any_log(model, tmp_path_factory, made, by_address):
    """People who share prefixes, tokens, devices and agents, late and rejected lines, by account and by address."""
    with pytest.MonkeyPatch.context() as patch:
        any_log(model, tmp_path_factory.mktemp("any"), made, by_address, patch)


@pytest.mark.slow
@settings(max_examples=150)
@given(made=logs(), by_address=st.booleans())
def test_any_log_at_length(model, tmp_path_factory, made, by_address):
    """The same at length."""
    with pytest.MonkeyPatch.context() as patch:
        any_log(model, tmp_path_factory.mktemp("any"), made, by_address, patch)


@pytest.mark.parametrize("keep", [50, 2], ids=["all models kept", "few kept"])
def test_models_of_the_store_learn_anew_as_far_as_they_must(model, tmp_path, monkeypatch, keep):
    """Those whose window holds a session that changed; where models are gone, a replay makes all anew."""
    values = {"log.format": "combined", "log.fields": {}, "log.records": [], "retrain.keep": keep}
    values |= {
        "retrain.every_days": 1,
        "retrain.window_days": 2,
        "retrain.max_flag_ratio": 50,
        "retrain.max_drift": 1.0,
    }
    lines = []
    for number, one in enumerate(sample_lines(10_000)):
        lines.append(one)
        if number in (3000, 3010, 3050):  # the second of four days
            lines.append(b"203.0.113.77 - alice7 [" + one.split(b"[", 1)[1])
    is_theirs = [b"alice7" in one for one in lines]
    seen, written = check(model, tmp_path, lines, ALICE, is_theirs.__getitem__, monkeypatch, **values)
    learnt = sorted((tmp_path / "a" / "store" / "models").glob("2015*.fraudlog"))
    assert len(learnt) == min(keep, 3)
    assert seen == [keep == 50]
    assert "2015-05-17" not in written
