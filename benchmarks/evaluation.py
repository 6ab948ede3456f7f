"""What is found of 23 kinds of attack put into logs, beside plain detectors on the same features; CrowdSec's own cases.

python benchmarks/evaluation.py [benign] [real] [crowdsec] [--tuned] [--mimicry 0.5] [--seeds 5]
"""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import json
import re
import tempfile
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest

import fraudlog as fl
from fraudlog.errors import FraudlogError
from fraudlog.evaluation import KINDS, Campaign, Design, benign_events, kind_names, stress_test, threshold_at_fpr
from fraudlog.evaluation.metrics import recall_at_fpr
from fraudlog.evaluation.stress import trial
from fraudlog.sessions import transforms

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
FEATURES = list(transforms())
_CACHE = {}
CHALLENGE = fl.Policy().challenge_at


def _scored(learn, score, seed):
    """Return the detector's scores, fitted once for the two voices that are read from it."""
    if id(score) not in _CACHE:
        _CACHE.clear()
        _CACHE[id(score)] = fl.Detector(random_state=seed).fit(learn).score(score)
    return _CACHE[id(score)]


def risk(learn, score, seed):
    """Return the whole detector's word."""
    return _scored(learn, score, seed)["risk"].to_numpy(float)


def evidence(learn, score, seed):
    """Return what the evidence says by itself: its parts of the risk, as they add up in the reasons."""
    from fraudlog.detecting import EVIDENCE

    codes = {row.code for row in EVIDENCE}
    reasons = _scored(learn, score, seed)["reasons"]
    return np.array([sum(r["contribution"] for r in row if r["code"] in codes) for row in reasons])


def _matrix(learn, score):
    """Return the features as a plain detector takes them: raw, the median where there is none."""
    middle = learn[FEATURES].astype(float).median().fillna(0)
    return learn[FEATURES].astype(float).fillna(middle), score[FEATURES].astype(float).fillna(middle)


def plain_forest(learn, score, seed):
    """Return what scikit-learn's isolation forest makes of the features, fitted on all it is given."""
    train, test = _matrix(learn, score)
    return -IsolationForest(random_state=seed).fit(train.to_numpy()).score_samples(test.to_numpy())


def ecod(learn, score, seed):  # noqa: ARG001 -- it has no chance in it
    """Return what PyOD's ECOD makes of them."""
    from pyod.models.ecod import ECOD

    train, test = _matrix(learn, score)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ECOD().fit(train.to_numpy()).decision_function(test.to_numpy())


SCORERS = {"risk": risk, "evidence": evidence, "plain forest": plain_forest, "ECOD": ecod}


def made_up(kinds, campaign, design, first_site):
    """Print recall of each kind on made-up benign traffic: every seed another site, other people, other attacks."""
    found, groups = [], []
    for seed in range(design.seeds):
        events, truth = benign_events(14, 300, seed=first_site + seed)
        one = replace(design, seeds=1, counts_all=True)
        found.append(stress_test(events, kinds, replace(campaign, seed=seed), one, scorers=_scorers()))
        groups.append(_flagged(events, truth, design.fpr))
    whole = replace(
        found[-1],
        kinds=pd.concat([one.kinds for one in found]),
        overall=pd.concat([one.overall for one in found]),
    )
    _print(f"made-up benign traffic, {design.seeds} sites, mimicry {campaign.mimicry:g}", whole)
    rates = (
        pd.concat(groups)
        .groupby("group")
        .agg(sessions=("risk", "size"), flagged=("flagged", "mean"), high=("high", "mean"))
    )
    print("\n| welcome | sessions | flagged at that threshold | risk of 0.5 or more |\n|---|---|---|---|")
    for group, row in rates.iterrows():
        print(f"| {group} | {row['sessions']:.0f} | {row['flagged']:.1%} | {row['high']:.1%} |")


def _flagged(events, truth, fpr):
    """Return the benign sessions just scored, with what each is and whether it was flagged."""
    (scores,) = _CACHE.values()
    kinds = truth["group"].groupby(fl.sessionize(events)["session_id"].to_numpy()).first()
    own = scores.assign(group=scores["session_id"].map(kinds)).dropna(subset="group")
    return own.assign(flagged=own["risk"] >= threshold_at_fpr(own["risk"], fpr), high=own["risk"] >= CHALLENGE)


def real(kinds, campaign, design):
    """Print recall of each kind on real logs, against their sessions whose agent names no program."""
    for name in ("logs/elastic_apache_logs.log", "parser/advertools/nginx_access.log"):
        events = fl.read_log(SHARED / name).events
        try:
            found = stress_test(events, kinds, campaign, design, scorers=_scorers())
        except FraudlogError as error:
            print(f"\n{name}: {error}")
            continue
        _print(f"{name.rpartition('/')[2]}, mimicry {campaign.mimicry:g}", found)
        print(f"without the log's own robots in disguise: {_without_robots(events, kinds, campaign, design)}")


def _without_robots(events, kinds, campaign, design):
    """Return how many kinds reach 0.9 where sessions that ask for what no visitor of this site asks for do not count.

    A reading of the log found them: they ask for robots.txt under a browser's name, or for doors of programs that the
    site does not run.
    """
    recalls = []
    for seed in range(campaign.seed, campaign.seed + design.seeds):
        found = trial(events, kinds, replace(campaign, seed=seed), design)
        asked = (
            events["path"]
            .astype("str")
            .str.contains(r"robots\.txt|wp-login|/administrator|fckeditor|admin\.php", case=False)
        )
        robots = set(fl.sessionize(events)["session_id"].to_numpy()[asked.fillna(value=False).to_numpy(bool)])
        own = found.kind.isna().to_numpy(bool)
        counts = found.counts & ~(own & found.score["session_id"].isin(robots).to_numpy(bool))
        scores = risk(found.learn, found.score, seed)
        for kind in found.kind.dropna().unique():
            rows = counts & (own | (found.kind == kind).to_numpy(bool))
            recalls.append((kind, recall_at_fpr(~own[rows], scores[rows], design.fpr)))
    means = pd.DataFrame(recalls, columns=["kind", "recall"]).groupby("kind")["recall"].mean()
    return f"{int((means >= 0.9).sum())} of {len(means)} kinds at 0.9 or more, mean {means.mean():.2f}: " + ", ".join(
        f"{kind} {recall:.2f}" for kind, recall in means.items()
    )


def _scorers():
    return {name: scorer for name, scorer in SCORERS.items() if name != "ECOD" or importlib.util.find_spec("pyod")}


def _print(title, found):
    scorers = _scorers()
    tables = {name: found.table(name).set_index("kind") for name in scorers}
    print(f"\n{title}\n")
    print("| kind | sessions | " + " | ".join(scorers) + " | worst seed | AUROC |")
    print("|" + "---|" * (len(scorers) + 4))
    for kind in KINDS:
        if kind.name not in tables["risk"].index:
            continue
        own = tables["risk"].loc[kind.name]
        cells = " | ".join(f"{tables[name].loc[kind.name, 'recall']:.2f}" for name in scorers)
        star = " *" if kind.held_out else ""
        print(f"| {kind.name}{star} | {own['sessions']:.0f} | {cells} | {own['worst']:.2f} | {own['auroc']:.3f} |")
    means = {name: found.overall[found.overall["scorer"] == name] for name in scorers}
    cells = " | ".join(f"{means[name]['recall'].mean():.2f}" for name in scorers)
    print(f"| all together | | {cells} | {means['risk']['recall'].min():.2f} | {means['risk']['auroc'].mean():.3f} |")
    counts = {name: int((tables[name]["recall"] >= 0.9).sum()) for name in scorers}
    print("\nkinds at 0.9 or more: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    leaks = found.leaks[found.leaks["leak"].notna()]
    print("columns that tell all attacks apart alone: " + (", ".join(leaks["column"]) or "none"))
    for kind, why in found.left_out.items():
        print(f"left out: {kind}, since {why}")


def crowdsec():
    """Print how many of the sources CrowdSec alerts on are flagged, and how many quiet logs stay quiet.

    Each case is a log of a few lines, too short to learn from; the detector has learnt from made-up benign traffic. A
    source is flagged if a session is that holds a request of it: those of one /24 and agent are one session here.
    """
    detector = fl.Detector().fit(fl.build_sessions(benign_events(14, 300, seed=2026)[0]))
    sources, quiet, unread = {}, {}, []
    for line in (SHARED / "crowdsec" / "scenarios.jsonl").read_text().splitlines():
        case = json.loads(line)
        events = _case_events(SHARED / "crowdsec" / "logs" / case["test"] / case["log_file"])
        if events is None:
            unread.append(case["test"])
            continue
        scores = detector.score(fl.build_sessions(events)).set_index("session_id")["risk"]
        worst = fl.sessionize(events)["session_id"].map(scores).groupby(events["client_ip"].to_numpy()).max()
        alerting = {str(ipaddress.ip_address(source)) for alert in case["alerts"] for source in alert["sources"]}
        sources |= {(case["test"], source): worst.get(source, 0.0) for source in alerting}
        if not alerting:
            quiet[case["test"]] = worst.max()
    policy = fl.Policy()
    for name, limit in (("observe", policy.observe_at), ("challenge", policy.challenge_at)):
        flagged = sum(risk >= limit for risk in sources.values())
        print(f"\nsources that CrowdSec alerts on: {flagged} of {len(sources)} at {name} or above (risk {limit:g})")
        missed = (f"{test} {source}" for (test, source), risk in sources.items() if risk < limit)
        print(f"missed: {', '.join(missed) or 'none'}")
        loud = [f"{test} {risk:.2f}" for test, risk in quiet.items() if risk >= limit]
        print(f"quiet logs: {len(quiet) - len(loud)} of {len(quiet)} below; loud: {', '.join(loud) or 'none'}")
    print(f"not read as an access log: {', '.join(unread) or 'none'}")


def _case_events(path):
    """Read a case's log; a line's syslog head, if it has one, is cut off."""
    lines = path.read_bytes().splitlines(keepends=True)
    head = re.compile(rb"^[A-Z][a-z]{2} +\d+ [\d:]{8} \S+ \S+?(?:\[\d+\])?: ")
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.log"
        bare.write_bytes(b"".join(head.sub(b"", line) for line in lines))
        for file in (path, bare):
            try:
                events = fl.read_log(file).events
            except FraudlogError:
                continue
            if len(events):
                return events
    return None


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["benign", "real", "crowdsec"])
    parser.add_argument("--tuned", action="store_true", help="leave out the kinds that are held out")
    parser.add_argument("--mimicry", type=float, default=0.5)
    parser.add_argument("--share", type=float, default=0.005)
    parser.add_argument("--first-site", type=int, default=2026, help="seed of the first made-up site")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    names = ("numpy", "scikit-learn", "pyod") if importlib.util.find_spec("pyod") else ("numpy", "scikit-learn")
    print("fraudlog", fl.__version__, *(f"{name} {version(name)}" for name in names))
    kinds = kind_names(held_out=False) if arguments.tuned else None
    campaign = Campaign(mimicry=arguments.mimicry, share=arguments.share)
    design = Design(seeds=arguments.seeds)
    if "benign" in arguments.parts:
        made_up(kinds, campaign, design, arguments.first_site)
    if "real" in arguments.parts:
        real(kinds, campaign, design)
    if "crowdsec" in arguments.parts:
        crowdsec()


if __name__ == "__main__":
    main()
