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
}


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
    given = arguments.parse_args()
    clean, _, n_events, _ = built(site(5, given.visits))
    start = time.process_time()
    voice = Coordination().fit(clean, presumed_human(clean))
    fit_s = time.process_time() - start
    weights = -np.log1p(-np.array([row.weight for row in EVIDENCE]))
    print(f"{n_events:,} requests, {len(clean):,} sessions without a campaign; fitted in {fit_s:.2f} s CPU")
    print("| campaign | requests | session | prefix 1 h | manner 1 d | evidence | voice, fitted before | same log |")
    print("|---|---|---|---|---|---|---|---|")
    for name, how in CAMPAIGNS.items():
        traffic = site(6, given.visits)
        stuffing(traffic, given.addresses, **how)
        sessions, attacks, _, share = built(traffic)
        start = time.process_time()
        strength = voice.judge(sessions).strength
        judge_us = (time.process_time() - start) / len(sessions) * 1e6
        own = Coordination().fit(sessions, presumed_human(sessions)).judge(sessions).strength
        peers = [
            sessions[column].to_numpy(float)
            for column in ("login_failures", "prefix_failures_1h", "manner_failures_1d")
        ]
        peers += [fired(sessions) @ weights, strength, own]
        cells = " | ".join(f"{recall(peer, attacks):.2f}" for peer in peers)
        print(f"| {name} | {share:.2%} | {cells} |")
    print(f"judging: {judge_us:.2f} us a session of CPU, in a frame")


if __name__ == "__main__":
    main()
