"""Taking a person out by what stands near them: exact on any log, and a replay only where more hangs on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fraudlog.subjects.desk as desk_module
from fraudlog.privacy import load_keyring
from fraudlog.subjects import Desk
from job_support import Site, small_model

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


def check(model, folder, lines, person, is_theirs, monkeypatch, **values) -> list[bool]:
    """Take somebody out of a log and compare; returns whether what stood near was enough, each time."""
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
    Desk(sites[0].config, load_keyring(sites[0].key)).erase(person)
    monkeypatch.setattr(desk_module, "leave_out", leave_out)
    trees = [site.tree() for site in sites]
    assert {name for name in trees[0].keys() | trees[1].keys() if trees[0].get(name) != trees[1].get(name)} == set()
    return seen


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
