"""How well the forest tells odd rows: on public sets, on made-up campaigns, on a real log."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from pathlib import Path

import numpy as np
from campaigns import CAMPAIGNS, FEATURES, TRANSFORMS, Sessions, campaign, joined, people
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

from fraudlog.detecting import SessionForest
from fraudlog.detecting.attribution import reason_order

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SCALES = {str(FEATURES.index(name)): scale for name, scale in TRANSFORMS.items()}
SEEDS = 5


def planted() -> None:
    """Plant one value far out in its feature's tail, and see how soon each order names it."""
    rng = np.random.default_rng(5)
    mixed = np.exp(rng.normal(size=(6000, 20)) @ np.linalg.qr(rng.normal(size=(20, 20)))[0] * 0.8)
    for name, rows, scales in (
        ("20 log-normal features", mixed, {str(n): "log1p" for n in range(20)}),
        ("22 session features", people(6000, rng).rows, SCALES),
    ):
        asked, where = rows[:1000].copy(), rng.integers(0, rows.shape[1], 1000)
        far = np.nanquantile(rows, 0.999, axis=0)[where]
        asked[np.arange(1000), where] = far * rng.uniform(1.1, 3.0, size=1000) + 0.01
        scorer = SessionForest(random_state=0, transforms=scales).fit(rows[1000:]).scorer_
        parts, tails = scorer.contributions(asked)[1], scorer.population.tails(asked.astype(np.float32))
        orders = {
            "contribution": np.argsort(-parts, axis=1),
            "tail": np.argsort(tails, axis=1, kind="stable"),
            "both (shown)": reason_order(parts, tails),
        }
        for order, features in orders.items():
            first = (features[:, 0] == where).mean()
            third = (features[:, :3] == where[:, np.newaxis]).any(axis=1).mean()
            print(f"  planted in {name}, by {order}: first {first:.3f}, in the first three {third:.3f}")


def _isotree(**parameters):
    module = importlib.import_module("isotree")

    def score(rows: np.ndarray, seed: int) -> np.ndarray:
        return module.IsolationForest(ntrees=100, random_seed=seed, nthreads=2, **parameters).fit(rows).predict(rows)

    return score


def _pyod(name: str):
    def score(rows: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG001 -- these have no chance in them
        return getattr(importlib.import_module(f"pyod.models.{name.lower()}"), name)().fit(rows).decision_scores_

    return score


def _ours(**parameters):
    return lambda rows, seed: SessionForest(random_state=seed, **parameters).fit(rows).anomaly_score(rows)


METHODS = {
    "scikit-learn, 100 x 256": lambda rows, seed: -IsolationForest(random_state=seed).fit(rows).score_samples(rows),
    "fraudlog, default": _ours(),
    "fraudlog, 200 x 1,024": _ours(max_samples=1024),
    "Extended IF (isotree)": _isotree(ndim=2, sample_size=256, missing_action="fail"),
    "SCiForest (isotree)": _isotree(
        ndim=2, sample_size=256, ntry=10, prob_pick_avg_gain=1, penalize_range=True, missing_action="fail"
    ),
    "fair-cut (isotree)": _isotree(ndim=1, sample_size=256, prob_pick_pooled_gain=1, missing_action="fail"),
    "ECOD": _pyod("ECOD"),
    "COPOD": _pyod("COPOD"),
    "HBOS": _pyod("HBOS"),
}
FIXED = ("ECOD", "COPOD", "HBOS")


def adbench() -> None:
    """Print AUROC and AP on the ADBench sets in reach."""
    files = sorted((SHARED / "adbench").glob("*.npz"))
    if not files:
        print("  (no ADBench sets here)")
        return
    print(
        f"  {len(files)} sets, {SEEDS} seeds; +- 2 standard errors; worst set, wins and losses by 0.005 AUROC\n"
        f"  {'':26s} {'AUROC':18s} {'AP':16s}  worst  wins  losses"
    )
    found: dict[str, np.ndarray] = {}
    for name, score in METHODS.items():
        package = "isotree" if "isotree" in name else "pyod" if name in FIXED else "sklearn"
        if importlib.util.find_spec(package) is None:
            print(f"  ({name} left out: {package} is not installed)")
            continue
        scores = found[name] = np.asarray([_set(path, score, 1 if name in FIXED else SEEDS) for path in files])
        means = scores.mean(axis=0)
        error = 2 * means.std(axis=0, ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.zeros(2)
        gap = scores.mean(axis=1)[:, 0] - next(iter(found.values())).mean(axis=1)[:, 0]
        print(
            f"  {name:26s} {means[:, 0].mean():.4f} +- {error[0]:.4f}   {means[:, 1].mean():.4f} +- {error[1]:.4f}   "
            f"{gap.min():+.3f} {(gap > 0.005).sum():3d} {(gap < -0.005).sum():3d}",
            flush=True,
        )
    print("\n  AUROC by set           " + "".join(f"{name.split(' (')[0][-13:]:>15s}" for name in found))
    for place, path in enumerate(files):
        row = "".join(f"{scores[place].mean(axis=0)[0]:15.3f}" for scores in found.values())
        print(f"  {path.stem:22s}{row}")


def _set(path: Path, score, n_seeds: int) -> list[tuple[float, float]]:
    data = np.load(path, allow_pickle=False)
    rows, labels = np.ascontiguousarray(data["X"], dtype=np.float64), data["y"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers'
        scores = [score(rows, seed) for seed in range(n_seeds)]
    return [(roc_auc_score(labels, one), average_precision_score(labels, one)) for one in scores]


CAPS = {
    "scikit-learn's way: 100 x 256, raw, no cap": {
        "n_trees": 100,
        "max_samples": 256,
        "transforms": {str(n): "identity" for n in range(len(FEATURES))},
    }
    | {"cap_per_source": None},
    "default (64 and 1,024 in turn, cap 2)": {},
    "default, no cap": {"cap_per_source": None},
    "200 x 1,024, no cap": {"max_samples": 1024, "cap_per_source": None},
    "200 x 1,024, cap 2": {"max_samples": 1024},
    "200 x 256, cap 2": {"max_samples": 256},
    "200 x 64, cap 2": {"max_samples": 64},
    "default, cap 1": {"cap_per_source": 1},
    "default, cap 4": {"cap_per_source": 4},
}


def campaigns(n_seeds: int = 2) -> None:
    """Print AUROC of four kinds of campaign at four shares of the training rows, scattered and clumped."""
    shares = (0.001, 0.01, 0.05, 0.10)
    print("  AUROC: mean over four campaigns and 2 seeds / worst campaign")
    print(
        f"  {'':44s}"
        + "".join(f"{shape + f' {share:.1%}':>17s}" for shape in ("scattered", "clumped") for share in shares)
    )
    for name, parameters in CAPS.items():
        cells = []
        for clumped in (False, True):
            for share in shares:
                by_kind = [
                    np.mean([_campaign(kind, share, seed, parameters, clumped=clumped) for seed in range(n_seeds)])
                    for kind in CAMPAIGNS
                ]
                cells.append(f"{np.mean(by_kind):.3f} / {min(by_kind):.3f}")
        print(f"  {name:44s}" + "".join(f"{cell:>17s}" for cell in cells), flush=True)


def _campaign(kind: str, share: float, seed: int, parameters: dict, *, clumped: bool) -> float:
    rng = np.random.default_rng([seed, CAMPAIGNS.index(kind), clumped])
    n, n_abusive = 20_000, int(20_000 * share)
    both = campaign(kind, n_abusive + 400, clumped=clumped, rng=rng)
    seen, unseen = Sessions(*(c[:n_abusive] for c in both)), Sessions(*(c[n_abusive:] for c in both))
    train, test = joined(people(n - n_abusive, rng), seen), joined(people(4000, rng), unseen)
    forest = SessionForest(**({"random_state": seed, "transforms": SCALES} | parameters))
    scores = forest.fit(train.rows, sources=train.sources).anomaly_score(test.rows)
    return roc_auc_score(test.labels, scores)


def real_log() -> None:
    """Print how the forest ranks declared programs among the sessions of a real log it was fitted on."""
    from fraudlog import build_sessions, read_log
    from fraudlog.detecting import presumed_human
    from fraudlog.detecting.inputs import feature_matrix, transforms_of, usable_features

    path = SHARED / "logs" / "elastic_apache_logs.log"
    if not path.exists():
        print("  (the log is not here)")
        return
    sessions = build_sessions(read_log(path).events)
    declared = sessions["is_automation"].fillna(value=0).to_numpy(float) > 0 if "is_automation" in sessions else None
    human = (
        presumed_human(sessions).to_numpy()
        if hasattr(presumed_human(sessions), "to_numpy")
        else presumed_human(sessions)
    )
    names = usable_features(sessions)
    rows = feature_matrix(sessions, names)
    scales = {next(iter(CAPS)): {str(place): "identity" for place in range(len(names))}}
    labels = ~human if declared is None else declared
    print(
        f"  {len(sessions)} sessions, {len(names)} features, {labels.mean():.0%} with evidence against them "
        "(a stand-in: there are no labels)"
    )
    for kept, fitted in (
        ("all sessions", np.ones(len(rows), dtype=bool)),
        ("presumed human", np.asarray(human, dtype=bool)),
    ):
        for name, parameters in CAPS.items():
            forest = SessionForest(
                **({"random_state": 0} | parameters | {"transforms": scales.get(name, transforms_of(names))})
            )
            scores = forest.fit(rows[fitted], sources=sessions["ip_prefix"][fitted]).anomaly_score(rows)
            print(f"  fitted on {kept}: {name:44s} AUROC {roc_auc_score(labels, scores):.3f}")
