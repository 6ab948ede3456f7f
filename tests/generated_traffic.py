"""A made-up site with people, and a campaign of credential stuffing among them: many networks, two tries each.

People read pages with their assets, some log in, some of those forget their password; offices share a prefix, apps call
an API, a monitor asks for the health page. Nothing here is shared with what is to find the campaign.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

DAY = 86_400.0
LANGUAGES = ["en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr-FR,fr;q=0.9", "es-ES,es;q=0.9", "pl,en;q=0.7", "ja"]
SYSTEMS = [
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 10; K",
]


def agents():
    """Browsers, from common to rare."""
    chrome = [
        f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
        for version in (140, 139, 138, 132, 120)
        for system in SYSTEMS
    ]
    firefox = [
        f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
        for version in (142, 141, 128)
        for system in SYSTEMS[:3]
    ]
    return chrome + firefox


class Traffic:
    """Rows of a log, written down column by column."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.columns = {name: [] for name in ("at", "client_ip", "user_agent", "language", "method", "path", "status")}
        self.columns |= {"referrer": [], "user": [], "session_token": [], "is_attack": []}
        self.agents = agents()
        weights = 1 / np.arange(1, len(self.agents) + 1)
        self.weights = weights / weights.sum()

    def write(self, at, client, path, *, method="GET", status=200, referrer="https://shop.example/", attack=False):
        """Add one request of a client (address, agent, language, account, token)."""
        address, agent, language, user, token = client
        row = {"at": at, "client_ip": address, "user_agent": agent, "language": language, "user": user}
        row |= {"method": method, "path": path, "status": status, "referrer": referrer, "session_token": token}
        for name, value in (row | {"is_attack": attack}).items():
            self.columns[name].append(value)

    def client(self, address):
        """A browser as people have them."""
        language = LANGUAGES[min(int(self.rng.exponential(1.2)), len(LANGUAGES) - 1)]
        return address, str(self.rng.choice(self.agents, p=self.weights)), language, None, None

    def page(self, at, client, path, *, has_assets=True):
        """A page with what belongs to it; returns when it is read."""
        self.write(at, client, path, referrer=None if self.rng.random() < 0.3 else "https://shop.example/")
        for number in range(int(self.rng.integers(2, 6)) if has_assets else 0):
            self.write(
                at + 0.1 + number * 0.05, client, f"/static/{path.strip('/').replace('/', '-')}-{'abcdef'[number]}.js"
            )
        return at + float(self.rng.lognormal(3, 1))

    def person(self, client, start, *, logs_in):
        """One visit."""
        at, has_cache = start, self.rng.random() < 0.25
        comes_straight = logs_in and self.rng.random() < 0.25  # from a bookmark, with the password kept
        for _ in range(0 if comes_straight else int(self.rng.geometric(0.35))):
            at = self.page(at, client, f"/item/{int(self.rng.zipf(1.6)) * 7919 % 5003}", has_assets=not has_cache)
        if logs_in:
            self.login(client, at, has_assets=not has_cache)

    def login(self, client, at, *, has_assets):
        """Some forget their password; most of those remember, or give up."""
        at = self.page(at, client, "/login", has_assets=has_assets)
        is_wrong = self.rng.random() < 0.08
        while is_wrong:
            self.write(at, client, "/login", method="POST", status=401)
            at += float(self.rng.lognormal(2.3, 0.7))
            if self.rng.random() < 0.12:
                return
            is_wrong = self.rng.random() < 0.3
        self.write(at, client, "/login", method="POST", status=302)
        for name in ("orders", "settings")[: int(self.rng.integers(1, 3))]:
            at = self.page(at + 1, client, f"/account/{name}", has_assets=has_assets)

    def table(self):
        """All events, in order of time."""
        frame = pd.DataFrame(self.columns).sort_values("at", kind="stable").reset_index(drop=True)
        times = pd.Timestamp("2026-03-02T00:00:00Z") + pd.to_timedelta((frame["at"] * 1e6).astype("int64"), unit="us")
        events = frame.drop(columns="at").assign(
            timestamp=times.astype("datetime64[us, UTC]"),
            protocol="HTTP/2.0",
            bytes_sent=1000,
            source="made.log",
            line_number=np.arange(1, len(frame) + 1),
        )
        return events.astype({"status": "int16", "user": "str", "session_token": "str"}).assign(
            user=events["user"].astype("object").astype("str").where(events["user"].notna()),
            session_token=events["session_token"].astype("object").astype("str").where(events["session_token"].notna()),
        )


def site(seed, n_visits, *, days=3.0):
    """People of a site, offices, apps and a monitor."""
    traffic = Traffic(seed)
    rng = traffic.rng
    homes = [traffic.client(address(i)) for i in range(n_visits // 2)]
    desks = [traffic.client(f"198.18.{i // 40}.{i % 40 + 1}") for i in range(200)]
    for _ in range(n_visits):
        client = homes[int(rng.integers(len(homes)))] if rng.random() < 0.93 else desks[int(rng.integers(len(desks)))]
        start = float((rng.integers(int(days)) + np.clip(rng.normal(0.6, 0.18), 0, 0.99)) * DAY)
        traffic.person(client, start, logs_in=rng.random() < 0.15)
    for number in range(n_visits // 50):
        app = (address(10**6 + number), "ShopApp/3.2 (iPhone; iOS 18.6)", None, f"app{number}", f"tok{number}")
        for call in range(int(rng.integers(3, 20))):
            traffic.write(float(rng.random() * days * DAY) + call, app, "/api/v1/feed", referrer=None)
    for tick in range(int(days * 288)):
        traffic.write(tick * 300.0, ("192.0.2.9", "UptimeRobot/2.0", None, None, None), "/health", referrer=None)
    return traffic


def address(number):
    """An address in a /24 of its own."""
    return f"{20 + number // 65536 % 60}.{number // 256 % 256}.{number % 256}.{number % 200 + 9}"


def stuffing(traffic, n_addresses, *, days=3.0, agent="few", renders=False, browses=False, pause=None, seed=1):
    """The campaign: each address a network of its own, two tries, hours apart from the next.

    `agent`: few (four common ones), natural (as people's are), one (one rare). It may render the page of the login,
    browse two items first, and make one `pause` (seconds, give or take a twentieth) instead of any between tries.
    """
    rng = np.random.default_rng(seed)
    pools = {"few": traffic.agents[:4], "one": [traffic.agents[-3]], "natural": traffic.agents}
    pool = pools[agent]
    weights = traffic.weights if agent == "natural" else np.full(len(pool), 1 / len(pool))
    for number in range(n_addresses):
        chosen, language = str(rng.choice(pool, p=weights)), LANGUAGES[int(rng.integers(2))]
        client = (address(3 * 10**6 + number * 7), chosen, language, None, None)
        at = float(rng.random() * days * DAY)
        if browses:
            for step in (160, 130):
                item = f"/item/{int(rng.zipf(1.6)) * 7919 % 5003}"
                traffic.write(at - step, client, item, attack=True)
                traffic.write(at - step + 0.2, client, f"/static{item.replace('/', '-')}-a.js", attack=True)
        if renders:
            shown = at - (float(rng.lognormal(2, 0.7)) if pause is None else pause + float(rng.uniform(0, 0.05)))
            traffic.write(shown, client, "/login", attack=True)
            for asset in range(3):
                traffic.write(shown + 0.2 + asset * 0.05, client, f"/static/login-{'abc'[asset]}.js", attack=True)
        for attempt in range(2):
            got_in = rng.random() < 0.01
            status = 302 if got_in else 401
            when = at + attempt * (float(rng.uniform(2, 30)) if pause is None else pause + float(rng.uniform(0, 0.05)))
            traffic.write(when, client, "/login", method="POST", status=status, attack=True)
