"""How well the detector judges: over bot shares, beside its best voice, with labels, on a budget, in microseconds.

``python benchmarks/judgement.py [shares|voices|feedback|budget|drift|row] ...``; all of them, if none is named.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

import fraudlog as fl
from fraudlog.deciding import ReviewPace, human_budget, review_budget
from fraudlog.detecting import Label
from fraudlog.evaluation import Campaign, Design, benign_events, inject
from fraudlog.evaluation.stress import trial
from fraudlog.sessions import feature_names

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.9)
NAMES = feature_names(in_forest=True)
ADVICE_ORDER = ("keep", "look", "fit")
HARD = {
    "driven browsers": (["headless_browser"], 0.15),
    "accounts and votes": (["account_takeover", "stuffing_residential", "skewing", "cashing_out"], 0.05),
}
MIMICS = HARD | {
    "slow scrapers": (["scraping_slow"], 0.05),
    "adverts clicked": (["ad_fraud"], 0.1),
    "five kinds": (["headless_browser", "scraping_slow", "ad_fraud", "spamming", "account_takeover"], 0.05),
}


def disguised(path: Path, seed: int) -> pd.DataFrame:
    """Return a real log's sessions: programs that name themselves are labelled, then given visitors' agents."""
    rng = np.random.default_rng(seed)
    events = fl.read_log(path).events
    agents = events["user_agent"].astype("object")
    program = fl.enrich(events)["is_automation"].fillna(value=False).to_numpy(bool) | agents.isna().to_numpy()
    actors = (events["client_ip"].astype("object") + "|" + agents.fillna("")).to_numpy()
    names = pd.unique(actors[program])
    new = dict(zip(names, rng.choice(agents[~program].unique(), len(names)), strict=True))
    changed = agents.to_numpy().copy()
    changed[program] = [new[actor] for actor in actors[program]]
    events = events.assign(user_agent=pd.array(changed, dtype="str"))
    of_session = fl.sessionize(events)["session_id"].to_numpy()
    labels = pd.Series(program).groupby(of_session).max()
    sessions = fl.build_sessions(events)
    return sessions.assign(label=sessions["session_id"].map(labels).to_numpy(bool))


def thinned(sessions: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Take sessions out of one class until programs have the share."""
    bots, people = (np.flatnonzero(sessions["label"] == one) for one in (True, False))
    wanted = share * len(people) / (1 - share)
    if wanted <= len(bots):
        bots = rng.choice(bots, max(3, int(wanted)), replace=False)
    else:
        people = rng.choice(people, max(3, int(len(bots) * (1 - share) / share)), replace=False)
    return sessions.iloc[np.sort(np.r_[bots, people])].reset_index(drop=True)


def plain_forest(learn: pd.DataFrame, seed: int, score: pd.DataFrame | None = None) -> np.ndarray:
    """Score with scikit-learn's forest, fitted on everything, medians where a value is missing."""
    values, later = (one.reindex(columns=NAMES).to_numpy(float) for one in (learn, learn if score is None else score))
    known = ~np.isnan(values).all(axis=0)
    middle = np.nanmedian(values[:, known], axis=0)
    values, later = (np.where(np.isnan(one[:, known]), middle, one[:, known]) for one in (values, later))
    return -IsolationForest(random_state=seed).fit(values).score_samples(later)


def shares() -> None:
    """Turn the bot share of a real log from 1 % to 90 %."""
    log = SHARED / "logs" / "elastic_apache_logs.log"
    for fewest in (3, 1):
        print(f"\n| bot share, sessions of {fewest} or more requests | plain forest | fraudlog: risk, mean (least) |")
        print("|---|---|---|")
        for share in SHARES:
            found = []
            for seed in range(3):
                sessions = disguised(log, seed)
                sessions = thinned(sessions[sessions["requests"] >= fewest], share, np.random.default_rng(seed))
                risk = fl.Detector(random_state=seed).fit(sessions).score(sessions)["risk"]
                both = [roc_auc_score(sessions["label"], one) for one in (plain_forest(sessions, seed), risk)]
                found.append(both)
            (plain, ours), least = np.mean(found, axis=0), np.min(found, axis=0)[1]
            print(f"| {share:.0%} | {plain:.2f} | {ours:.2f} ({least:.2f}) |", flush=True)


def attacked(kinds: list[str], share: float, seed: int) -> pd.DataFrame:
    """Return sessions of made-up people with an attack among them; programs that name themselves do not count."""
    events, _ = benign_events(days=5, people=200, seed=seed)
    found = inject(events, kinds, Campaign(mimicry=1.0, seed=seed, share=share))
    of_session = fl.sessionize(found.events)["session_id"].to_numpy()
    labels = pd.Series(found.labels["kind"].notna().to_numpy()).groupby(of_session).max()
    sessions = fl.build_sessions(found.events)
    sessions["label"] = sessions["session_id"].map(labels).to_numpy(bool)
    return sessions[(sessions["automation_share"] == 0) | sessions["label"]].reset_index(drop=True)


class Labelled(NamedTuple):
    """A labelled set: what is learnt from, what is scored, and which of that is abusive."""

    learn: pd.DataFrame
    score: pd.DataFrame
    truth: np.ndarray


def within(sessions: pd.DataFrame) -> Labelled:
    """Learn from the sessions that are scored, as nothing is known to be clean."""
    return Labelled(sessions, sessions, sessions["label"].to_numpy(bool))


def injected(events: pd.DataFrame, mimicry: float, seed: int, *, counts_all: bool) -> Labelled:
    """Put every kind of attack into the later part of a log, as the stress test does."""
    found = trial(events, None, Campaign(mimicry=mimicry, seed=seed, share=0.005), Design(counts_all=counts_all))
    return Labelled(found.learn, found.score[found.counts], found.kind.notna().to_numpy(bool)[found.counts])


def labelled_sets() -> dict[str, Callable[[int], Labelled]]:
    """Return what makes each labelled set of a seed, by name."""
    log = SHARED / "logs" / "elastic_apache_logs.log"

    def thin(share: float) -> Callable[[int], Labelled]:
        return lambda seed: within(thinned(disguised(log, seed), share, np.random.default_rng(seed)))

    def site(mimicry: float) -> Callable[[int], Labelled]:
        return lambda seed: injected(benign_events(14, 300, seed=500 + seed)[0], mimicry, seed, counts_all=True)

    sets = {f"real log, {share:.0%} disguised programs": thin(share) for share in (0.05, 0.25, 0.75)}
    sets |= {
        f"made-up people, {name}": lambda seed, made=made: within(attacked(*made, seed))
        for name, made in MIMICS.items()
    }
    sets |= {f"made-up sites, all kinds, mimicry {mimicry}": site(mimicry) for mimicry in (0.1, 0.5, 0.9)}
    real = fl.read_log(log).events
    return sets | {"real log, all kinds, mimicry 0.5": lambda seed: injected(real, 0.5, seed, counts_all=False)}


def beside(made: Labelled, seed: int) -> tuple[float, str, float, float]:
    """Return the AUROC of a plain forest, the best voice, its AUROC, and that of the risk."""
    detector = fl.Detector().fit(made.learn)
    alone = {
        voice: roc_auc_score(made.truth, np.nan_to_num(one.judge(made.score).strength, nan=-1e9))
        for voice, one in detector._hearing.voices.items()  # noqa: SLF001 -- each voice by itself
    }
    best = max(alone, key=lambda voice: alone[voice])
    plain = roc_auc_score(made.truth, plain_forest(made.learn, seed, made.score))
    return plain, best, alone[best], roc_auc_score(made.truth, detector.score(made.score)["risk"])


def voices() -> None:
    """Compare the risk with each voice alone, on every labelled set there is."""
    print("\n| set, three seeds | plain forest | best voice | risk | difference | worst |\n|---|---|---|---|---|---|")
    all_of_them = []
    for name, make in labelled_sets().items():
        plain, best, alone, risk = zip(*(beside(make(seed), seed) for seed in (1, 2, 3)), strict=True)
        less = np.subtract(risk, alone)
        all_of_them += less.tolist()
        leading = ", ".join(dict.fromkeys(best))
        cells = f"{np.mean(plain):.2f} | {np.mean(alone):.3f} ({leading}) | {np.mean(risk):.3f}"
        print(f"| {name} | {cells} | {less.mean():+.3f} | {less.min():+.3f} |", flush=True)
    fine = sum(one >= -0.01 for one in all_of_them)
    print(
        f"\nworst {min(all_of_them):+.3f}, mean {np.mean(all_of_them):+.3f}; {fine} of {len(all_of_them)} within 0.01"
    )


def feedback() -> None:
    """Give twenty labels a class on sets that are hard for a forest."""
    print("\n| set, two seeds | plain forest | risk | risk after 20 labels a class |\n|---|---|---|---|")
    for name, made in HARD.items():
        rows = []
        for seed in (1, 2):
            sessions = attacked(*made, seed)
            truth, rng = sessions["label"].to_numpy(), np.random.default_rng(seed)
            detector = fl.Detector().fit(sessions)
            before = detector.score(sessions)["risk"]
            picked = [rng.choice(np.flatnonzero(truth == one), 20, replace=False) for one in (True, False)]
            picked = np.concatenate(picked)
            detector.learn(Label("session", sessions["session_id"][row], bool(truth[row])) for row in picked)
            after, rest = detector.score(sessions)["risk"], np.setdiff1d(np.arange(len(sessions)), picked)
            scores = (plain_forest(sessions, seed), before, after)
            rows.append([roc_auc_score(truth[rest], one[rest]) for one in scores])
        cells = " | ".join(" / ".join(f"{value:.2f}" for value in column) for column in np.transpose(rows))
        print(f"| {name} | {cells} |", flush=True)


def replayed(seed: int) -> tuple[fl.Detector, pd.DataFrame, pd.DataFrame]:
    """Return a detector that learnt from two weeks, their scores, and those of the four weeks after with the truth."""
    events, _ = benign_events(days=42, people=120, seed=seed)
    attack = inject(events, campaign=Campaign(share=0.004, seed=seed))
    of_session = fl.sessionize(attack.events)["session_id"].to_numpy()
    truth = pd.Series(attack.labels["kind"].notna().to_numpy()).groupby(of_session).max()
    sessions = fl.build_sessions(attack.events)
    until = sessions["start"].min().floor("D") + pd.Timedelta("14D")
    is_past = (sessions["start"] < until).to_numpy()
    past, coming = sessions[is_past].reset_index(drop=True), sessions[~is_past].reset_index(drop=True)
    detector = fl.Detector().fit(past)
    later = detector.score(coming).assign(
        attack=coming["session_id"].map(truth).to_numpy(bool), program=coming["automation_share"].to_numpy() > 0
    )
    return detector, detector.score(past), later


def budget() -> None:
    """Learn from two weeks, and spend a day's reviews, or a share of people, on each of the four weeks after."""
    runs = {seed: replayed(seed) for seed in (5, 6, 7)}
    print("\n| reviews a day | sessions a day | fixed: days within 15 % | pace: days within 15 % |\n|---|---|---|---|")
    for wanted in (10, 20, 50):
        found = np.array([paced(wanted, known, later) for _, known, later in runs.values()])
        cells = " | ".join(f"{part.mean():.0%} ({part.min():.0%})" for part in found[:, 1:].T)
        print(f"| {wanted} | {found[:, 0].mean():.0f} | {cells} |", flush=True)
    print("\n| share of presumed humans | promised (90 %) | came, of people in four weeks |\n|---|---|---|")
    for share in (0.005, 0.01, 0.02, 0.05):
        for detector, _, later in runs.values():
            promised = human_budget(detector.human_risk_, share)
            people = later[~later["attack"] & ~later["program"]]
            came = (people["risk"] >= promised.risk).mean()
            interval = f"{promised.low:.2%} to {promised.high:.2%}"
            print(f"| {share:.1%} | {promised.expected:.2%} ({interval}) | {came:.2%} |", flush=True)


def paced(wanted: int, known: pd.DataFrame, later: pd.DataFrame) -> tuple[float, float, float]:
    """Return sessions a day, and the shares of days within 15 % by a fixed threshold and by a pace."""
    moments = later["start"].astype("datetime64[us, UTC]").astype("int64").to_numpy()
    days = later["start"].dt.date
    fixed = (later["risk"] >= review_budget(known, wanted).risk).groupby(days).sum()
    pace = ReviewPace(wanted, known)
    taken = [pace.admit(risk, int(at)) for risk, at in zip(later["risk"], moments, strict=True)]
    spent = pd.Series(taken, index=later.index).groupby(days).sum()
    within = [(np.abs(counts.iloc[:28] - wanted) <= 0.15 * wanted).mean() for counts in (fixed, spent)]
    return len(later) / days.nunique(), within[0], within[1]


def drift() -> None:
    """Plant in one day a tenth of sessions that were never there before, and ask for drift; and on the days without."""
    print("\n| a day of made-up traffic, and | sessions | keep | look | fit |\n|---|---|---|---|---|")
    said: dict[str, list[str]] = {}
    sizes: dict[str, list[int]] = {}
    for seed in (1, 2, 3):
        events, _ = benign_events(days=14, people=500, seed=seed)
        sessions = fl.build_sessions(events, population=None)
        until = sessions["start"].min().floor("D") + pd.Timedelta("10D")
        detector = fl.Detector(n_estimators=50).fit(sessions[sessions["start"] < until])
        for first in pd.date_range(until, periods=4):
            last = first + pd.Timedelta("1D")
            known = events[events["timestamp"] < last]
            for kind in ("nothing else", "headless_browser", "scraping_slow"):
                if kind != "nothing else":
                    known = inject(known, [kind], Campaign(share=0.1, seed=seed, mimicry=1.0), since=first).events
                window = fl.build_sessions(known, population=None)
                window = window[window["start"] >= first]
                said.setdefault(kind, []).append(detector.drift(window).advice)
                sizes.setdefault(kind, []).append(len(window))
                known = events[events["timestamp"] < last]
    for kind, advice in said.items():
        print(f"| {kind} | {np.mean(sizes[kind]):.0f} | {' | '.join(str(advice.count(w)) for w in ADVICE_ORDER)} |")


def row() -> None:
    """Time single rows, reasons and all."""
    sessions = fl.build_sessions(fl.read_log("data/sample/access.log.gz").table)
    detector = fl.Detector().fit(sessions)
    rows = sessions.reindex(columns=feature_names()).to_numpy(float).tolist()[:1000]
    print("\n| one row with its reasons | p50 us | p90 us | p99 us |\n|---|---|---|---|")
    for name, prepared in (("NumPy alone", False), ("prepared (extra `fast`)", True)):
        if prepared:
            detector.prepare()
        spent = []
        for values in rows:
            start = time.thread_time_ns()
            detector.score_one(values)
            spent.append((time.thread_time_ns() - start) / 1000)
        print(f"| {name} | " + " | ".join(f"{np.percentile(spent, at):.0f}" for at in (50, 90, 99)) + " |")


PARTS = {"shares": shares, "voices": voices, "feedback": feedback, "budget": budget, "drift": drift, "row": row}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
