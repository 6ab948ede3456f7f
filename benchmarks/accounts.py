"""Logins judged by the history of their account: what it costs, and what it tells apart.

Made-up accounts live in a network with a browser and a language; one in ten travels, one in fifteen has a new phone. A
stolen account is used from elsewhere, with the thief's browser or with the owner's, with the owner's language or not.
Peers: a new country, a new device, either. Then a real sshd log with brute force (elastic/examples): accepted logins
are learnt and judged, each without itself, and refused ones of known accounts are judged.

Run: PYTHONPATH=src:tests python benchmarks/accounts.py
"""

import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from fraudlog.detecting.accounts import Accounts
from fraudlog.detecting.histories import COLUMNS, AccountHistory
from fraudlog.detecting.voices import PLACES, Parameters, Row

AUTH = Path(__file__).parent.parent.parent / "shared" / "data" / "login" / "elastic_auth.log"
LINE = re.compile(r"(Accepted|Failed) (?:password|publickey) for (?:invalid user )?(\S+) from (\S+) port")


def home(rng, user):
    """Return place, device and language of an account's owner."""
    country = rng.choice(["US", "DE", "FR", "JP", "BR"], p=[0.4, 0.2, 0.2, 0.1, 0.1])
    place = {"client_ip": f"a{user}", "ip_prefix": f"p{user}", "asn": f"{country}{rng.integers(6)}", "country": country}
    version, system = rng.integers(3), rng.choice(["Windows", "Mac", "Android", "iOS"])
    browser = rng.choice(["Chrome", "Firefox", "Safari"], p=[0.6, 0.2, 0.2])
    device = {"user_agent": f"{browser} {version} {system}", "browser": browser, "os": system}
    device["device_class"] = "mobile" if system in ("Android", "iOS") else "desktop"
    tongue = {"US": "en", "DE": "de", "FR": "fr", "JP": "ja", "BR": "pt"}[country]
    return place, device, {"language": f"{tongue},en;q=0.{rng.integers(6, 9)}", "language_primary": tongue}


def logins(rng, n_users):
    """Histories, then one more login of each account by its owner, then one by a thief of each kind."""
    homes = [home(rng, user) for user in range(n_users)]
    past, own, stolen = [], [], {"own language": [], "own browser": [], "nothing of the owner": []}
    for user, (place, device, tongue) in enumerate(homes):
        row = {"user": f"u{user}"} | place | device | tongue
        past += [
            row | ({"client_ip": f"b{rng.integers(10**6)}"} if rng.random() < 0.3 else {})
            for _ in range(int(rng.integers(4, 25)))
        ]
        now = dict(row)
        if rng.random() < 0.1:
            now |= home(rng, 10**6 + user)[0]
        if rng.random() < 1 / 15:
            now |= home(rng, user)[1]
        own.append(now)
        thief = home(rng, 2 * 10**6 + user)
        stolen["own language"].append({"user": f"u{user}"} | thief[0] | thief[1] | tongue)
        stolen["own browser"].append({"user": f"u{user}"} | thief[0] | device | thief[2])
        stolen["nothing of the owner"].append({"user": f"u{user}"} | thief[0] | thief[1] | thief[2])
    return past, own, stolen, homes


def frame(rows):
    """Return logins as a table of sessions."""
    return pd.DataFrame(rows).assign(session_id=[f"s{i}" for i in range(len(rows))], login_failures=0.0)


def quality(rng):
    """Print what is told apart."""
    past, own, stolen, homes = logins(rng, 2_000)
    voice = Accounts(Parameters(key=b"benchmark of accounts")).fit(frame(past), np.ones(len(past), bool))
    people = voice.judge(frame(own).assign(session_id="new")).strength
    print("| stolen account, with | AUROC | recall at 1 % of owners | new country | new device | either |")
    print("|---|---|---|---|---|---|")
    for name, rows in stolen.items():
        strength = voice.judge(frame(rows).assign(session_id="new")).strength
        cells = [roc_auc_score(np.r_[np.zeros(len(people)), np.ones(len(rows))], np.r_[people, strength])]
        cells.append((strength > np.quantile(people, 0.99)).mean())
        for columns in (["country"], ["user_agent"], ["country", "user_agent"]):

            def is_new(row, columns=columns):
                known = homes[int(row["user"][1:])]
                return any(row[column] != {**known[0], **known[1]}[column] for column in columns)

            labels = [0] * len(own) + [1] * len(rows)
            cells.append(roc_auc_score(labels, [is_new(row) for row in own + rows]))
        print(f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")


def cost(rng):
    """Print what a login costs."""
    values = rng.integers(1000, 1 << 60, (200_000, len(COLUMNS)), dtype=np.uint64)
    history = AccountHistory()
    start = time.process_time()
    history.learn((np.arange(len(values)) % 20_000).tolist(), values)
    learn_us = (time.process_time() - start) / len(values) * 1e6
    asked = values[:20_000].tolist()
    start = time.process_time()
    for user, row in enumerate(asked):
        history.risk(user, row)
    risk_us = (time.process_time() - start) / len(asked) * 1e6
    past, own, _, _ = logins(rng, 2_000)
    voice = Accounts(Parameters(key=b"benchmark of accounts")).fit(frame(past), np.ones(len(past), bool))
    rows = [Row(np.full(len(PLACES), np.nan), row | {"session_id": f"n{i}"}) for i, row in enumerate(own)]
    start = time.process_time()
    for row in rows:
        voice.judge_one(row)
    first_us = (time.process_time() - start) / len(rows) * 1e6
    start = time.process_time()
    for row in rows:
        voice.judge_one(row)
    again_us = (time.process_time() - start) / len(rows) * 1e6
    strange = [
        Row(row.features, row.entities | {name: f"{row.entities.get(name)} {i}" for name in COLUMNS})
        for i, row in enumerate(rows)
    ]
    start = time.process_time()
    for row in strange:
        voice.judge_one(row)
    new_us = (time.process_time() - start) / len(rows) * 1e6
    print(f"learning {learn_us:.1f} us a login, its risk {risk_us:.1f} us; as a voice, with the tokens of new values,")
    print(f"{first_us:.1f} us, with all values new {new_us:.1f} us, with values met before {again_us:.1f} us (CPU)")


def real():
    """Judge a real log of sshd."""
    if not AUTH.exists():
        print("elastic_auth.log is absent")
        return
    found = [LINE.search(line) for line in AUTH.read_text("utf-8", "replace").splitlines()]
    rows = [
        {"user": match[2], "client_ip": match[3], "ip_prefix": match[3].rpartition(".")[0], "kind": match[1]}
        for match in found
        if match
    ]
    accepted = [row for row in rows if row["kind"] == "Accepted"]
    refused = [row for row in rows if row["kind"] == "Failed"]
    voice = Accounts(Parameters(key=b"benchmark of accounts")).fit(frame(accepted), np.ones(len(accepted), bool))
    owners = voice.judge(frame(accepted)).strength
    strangers = voice.judge(frame(refused).assign(session_id="new")).strength
    owners, strangers = owners[~np.isnan(owners)], strangers[~np.isnan(strangers)]
    usual = {(row["user"], row["client_ip"]) for row in accepted}
    own = sum((row["user"], row["client_ip"]) in usual for row in refused)
    print(f"sshd: {len(accepted)} accepted logins, each judged without itself: {(owners < 0).mean():.0%} below 1;")
    print(f"{len(refused)} refused, {len(strangers)} of them of known accounts, {own} from where their owners log in:")
    print(f"{(strangers < 0).mean():.0%} below 1")


if __name__ == "__main__":
    rng = np.random.default_rng(7)
    quality(rng)
    cost(rng)
    real()
