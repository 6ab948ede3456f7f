"""A campaign of 500 networks with two tries each, at half a percent of the traffic: who finds it, and at what cost.

The traffic is made up (tests/generated_traffic.py). Columns: recall at 0.1 % of the others' sessions, fitted on an
earlier period without a campaign and on the very log. Peers: failed logins of a session (what a limit by address sees),
failed logins of its prefix within an hour, networks that failed in its manner (the count without any expectation), and
the evidence alone.

Run: PYTHONPATH=src:tests python benchmarks/coordination.py [--visits 16500] [--addresses 500]
"""

import argparse
import time

import numpy as np

import fraudlog as fl
from fraudlog.detecting.coordination import Coordination
from fraudlog.detecting.evidence import EVIDENCE, fired, presumed_human
from generated_traffic import site, stuffing

CAMPAIGNS = {
    "four common browsers": {"agent": "few"},
    "one rare browser": {"agent": "one"},
    "four common browsers that load the page": {"agent": "few", "renders": True},
    "browsers as people have them": {"agent": "natural"},
    "the same, that load the page": {"agent": "natural", "renders": True},
    "the same, that browse first, with one pause": {
        "agent": "natural",
        "renders": True,
        "browses": True,
        "pause": 4.1,
    },
    "the same, that browse first, with people's pauses": {"agent": "natural", "renders": True, "browses": True},
}

PEERS = ("login_failures", "prefix_failures_1h", "manner_failures_1d")


def built(traffic):
    """Return sessions, which are the campaign's, the number of requests and the campaign's share of them."""
    events = traffic.table()
    attacks = events.pop("is_attack").to_numpy()
    ids = fl.sessionize(events)["session_id"]
    sessions = fl.build_sessions(events)
    return sessions, sessions["session_id"].isin(set(ids[attacks])).to_numpy(), len(events), attacks.mean()


def recall(strength, attacks):
    """Return the share of the campaign above what one in a thousand others reach."""
    said = np.nan_to_num(strength)
    return (said[attacks] > np.quantile(said[~attacks], 0.999, method="higher")).mean()


def main():
    """Print the table."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--visits", type=int, default=16_500)
    arguments.add_argument("--addresses", type=int, default=500)
    arguments.add_argument("--days", type=float, default=3.0)
    arguments.add_argument("--seeds", type=int, default=3)
    given = arguments.parse_args()
    clean, _, n_events, _ = built(site(5, given.visits, days=given.days))
    start = time.process_time()
    voice = Coordination().fit(clean, presumed_human(clean))
    fit_s = time.process_time() - start
    weights = -np.log1p(-np.array([row.weight for row in EVIDENCE]))
    print(f"{n_events:,} requests, {len(clean):,} sessions without a campaign; fitted in {fit_s:.2f} s CPU")
    heads = ("campaign", "requests", "session", "prefix 1 h", "manner 1 d", "evidence")
    print(f"| {' | '.join(heads)} | fitted before (least) | same log (least) |")
    print("|---|---|---|---|---|---|---|---|")
    for name, how in CAMPAIGNS.items():
        rows = []
        for seed in range(given.seeds):
            traffic = site(6 + seed, given.visits, days=given.days)
            stuffing(traffic, given.addresses, days=given.days, seed=seed, **how)
            sessions, attacks, _, share = built(traffic)
            own = Coordination().fit(sessions, presumed_human(sessions)).judge(sessions).strength
            peers = [sessions[column].to_numpy(float) for column in PEERS]
            peers += [fired(sessions) @ weights, voice.judge(sessions).strength, own]
            rows.append([recall(peer, attacks) for peer in peers])
        mean, least = np.mean(rows, axis=0), np.min(rows, axis=0)
        cells = [f"{value:.2f}" for value in mean[:4]]
        cells += [f"{mean[at]:.2f} ({least[at]:.2f})" for at in (4, 5)]
        print(f"| {name} | {share:.2%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
