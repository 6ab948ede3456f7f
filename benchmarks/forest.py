"""Everything that is claimed of the forest, measured beside its peers.

    python benchmarks/forest.py [section ...]

Sections: row, batch, reasons, forget, file, adbench, campaigns, log; all of them if none is named. Peers that are not
installed are left out, saying so. CPU seconds where threads are equal, wall clock for one row; ratios are what counts.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import forest_quality
import numpy as np
from sklearn.ensemble import IsolationForest

from fraudlog.detecting import ForestScorer, SessionForest, read_model, write_model
from fraudlog.detecting.attribution import contributions
from fraudlog.detecting.growing import from_sklearn
from fraudlog.detecting.population import Population
from fraudlog.detecting.scoring import path_lengths, scores_of
from fraudlog.errors import ModelError

PACKAGES = ("numpy", "scikit-learn", "numba", "onnxruntime", "skl2onnx", "treelite", "tl2cgen", "coniferest", "shap")


def sklearn_forest(n_trees: int = 100, n_features: int = 40) -> tuple[IsolationForest, np.ndarray]:
    """Return scikit-learn's forest of 256 rows a tree, and rows to score."""
    rows = np.random.default_rng(0).normal(size=(100_000, n_features)).astype(np.float32)
    return IsolationForest(n_estimators=n_trees, random_state=0).fit(rows), rows


def scorer_of(forest: IsolationForest, rows: np.ndarray) -> ForestScorer:
    """Return our scorer of scikit-learn's trees."""
    return ForestScorer(from_sklearn(forest), Population.of(rows[:8192], ["both"] * rows.shape[1]))


def latencies(score, rows: np.ndarray, warm: int = 300) -> tuple[float, float]:
    """Return p50 and p99 of one call for each row, in us."""
    for row in rows[:warm]:
        score(row)
    gc.disable()
    times = []
    for row in rows:
        start = time.perf_counter_ns()
        score(row)
        times.append(time.perf_counter_ns() - start)
    gc.enable()
    return tuple(np.percentile(times, [50, 99]) / 1e3)


def peers_of(forest: IsolationForest, rows: np.ndarray, flat) -> dict:
    """Return a function from rows to scores for each peer that is installed."""
    makers = {
        "onnxruntime, skl2onnx's model": lambda: _skl2onnx(forest, rows),
        "onnxruntime, our one-node model": lambda: _our_onnx(flat),
        "treelite, interpreter": lambda: _treelite(forest),
        "treelite, compiled to C (tl2cgen)": lambda: _tl2cgen(forest),
        "coniferest": lambda: _coniferest(rows),
    }
    peers = {}
    for name, make in makers.items():
        try:
            peers[name] = make()
        except ImportError as error:
            print(f"  ({name} left out: {error})")
    return peers


def _session(model: bytes, threads: int = 2):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options)


def _skl2onnx(forest: IsolationForest, rows: np.ndarray):
    from skl2onnx import to_onnx

    session = _session(to_onnx(forest, rows[:1], target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString())
    name = session.get_inputs()[0].name
    return lambda x: session.run(["scores"], {name: x})[0]


def _our_onnx(flat):
    onnx = importlib.import_module("fraudlog.detecting.onnx")
    session = _session(onnx.to_onnx(flat).SerializeToString())
    return lambda x: session.run(None, {"features": x})[0]


def _treelite(forest: IsolationForest):
    import treelite

    model = treelite.sklearn.import_model(forest)
    return lambda x: treelite.gtil.predict(model, x, nthread=2)


def _tl2cgen(forest: IsolationForest):
    import tl2cgen
    import treelite

    path = Path(tempfile.mkdtemp()) / "forest.so"
    tl2cgen.export_lib(treelite.sklearn.import_model(forest), "gcc", path, params={"parallel_comp": 4})
    predictor = tl2cgen.Predictor(path, nthread=2)
    return lambda x: predictor.predict(tl2cgen.DMatrix(x))


def _coniferest(rows: np.ndarray):
    from coniferest.isoforest import IsolationForest as Coniferest

    forest = Coniferest(n_trees=100, n_subsamples=256, random_seed=0, n_jobs=2)
    forest.fit(rows.astype(np.float64)[:20_000])
    return lambda x: forest.score_samples(x.astype(np.float64))


def row() -> None:
    """Time one row at a time."""
    forest, rows = sklearn_forest()
    ours = scorer_of(forest, rows)
    holed = rows[:3000].copy()
    holed[np.random.default_rng(1).random(holed.shape) < 0.1] = np.nan
    default = SessionForest(random_state=0).fit(rows).scorer_
    theirs = latencies(lambda x: forest.score_samples(x[np.newaxis]), rows[:150], 20)
    print("one row of 40 features, us           p50       p99     scikit-learn / it")
    table = {
        "scikit-learn, 100 x 256": theirs,
        "fraudlog, the same trees": latencies(ours.score_row, rows[:20_000]),
        "fraudlog, 10 % missing": latencies(ours.score_row, holed),
        "fraudlog, default trees": latencies(default.score_row, rows[:20_000]),
        "fraudlog, default, 10 % missing": latencies(default.score_row, holed),
    }
    for name, score in peers_of(forest, rows, ours.forest).items():
        table[name] = latencies(lambda x, score=score: score(x[np.newaxis]), rows[:1500], 100)
    for name, (p50, p99) in table.items():
        print(f"  {name:34s}{p50:9.1f} {p99:9.1f} {theirs[0] / p50:9.0f} x")
    mine = scores_of(ours.forest, path_lengths(ours.forest, rows))
    print(
        "  greatest difference from scikit-learn on 100,000 rows: "
        f"{np.abs(mine + forest.score_samples(rows)).max():.1e}"
    )


def clock(work, repeats: int = 3) -> tuple[float, float]:
    """Return the least wall and CPU seconds of some runs."""
    best = (np.inf, np.inf)
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        best = min(best, (time.perf_counter() - wall, time.process_time() - cpu))
    return best


def batch() -> None:
    """Time a million rows."""
    from joblib import parallel_backend

    kernel = importlib.import_module("fraudlog.detecting.kernel")
    forest, rows = sklearn_forest()
    million = np.tile(rows, (10, 1)) + np.random.default_rng(1).normal(size=(1_000_000, 1)).astype(np.float32)
    flat = from_sklearn(forest)

    def theirs(n_jobs: int) -> None:
        with parallel_backend("threading", n_jobs=n_jobs):
            forest.score_samples(million)

    kernel.path_lengths(flat, million[:1000])
    same = (kernel.path_lengths(flat, million[:50_000]) == path_lengths(flat, million[:50_000])).all()
    print("1,000,000 rows x 40, 100 x 256, s    wall      CPU     scikit-learn / it on as many threads (wall, CPU)")
    base = {}
    for n in (1, 2):
        base[n] = clock(lambda n=n: theirs(n), 2)
        _line(f"scikit-learn, {n} thread{'s' * (n > 1)}", base[n], base[n])
        _line(
            f"fraudlog with Numba, {n} thread{'s' * (n > 1)}",
            clock(lambda n=n: kernel.path_lengths(flat, million, n)),
            base[n],
        )
    _line("fraudlog, NumPy alone, 1 thread", clock(lambda: path_lengths(flat, million), 1), base[1])
    for name, score in peers_of(forest, rows, flat).items():
        if "interpreter" not in name:
            _line(f"{name}, 2 threads", clock(lambda score=score: score(million), 1), base[2])
    print(f"  Numba and NumPy give the same bits: {same}")
    read = clock(lambda: million.view(np.uint32).max())[0]
    once = clock(lambda: kernel.path_lengths(flat, million, 1))[0]
    print(
        f"  reading the rows once takes {read:.3f} s on one thread: the walk is {once / read:.0f} x from the memory-\n"
        f"  bound limit, at {once / (1e6 * flat.n_trees * flat.depth) * 1e9:.2f} ns a level: bound by look-ups in cache"
    )


def _line(name: str, found: tuple[float, float], base: tuple[float, float]) -> None:
    print(f"  {name:44s}{found[0]:8.2f} {found[1]:8.2f} {base[0] / found[0]:8.1f} x {base[1] / found[1]:8.1f} x")


def reasons() -> None:
    """Time contributions, add them up, plant anomalies, compare with SHAP."""
    forest, rows = sklearn_forest()
    ours = scorer_of(forest, rows)
    default = SessionForest(random_state=0, max_features=0.5).fit(rows).scorer_
    for name, scorer in (("100 x 256", ours), ("default trees, half the features each", default)):
        p50, p99 = latencies(lambda x, s=scorer: s.contributions(x[np.newaxis]), rows[:3000])
        both = latencies(lambda x, s=scorer: s.reason_order(x[np.newaxis]), rows[:3000])
        wall = clock(lambda s=scorer: s.contributions(rows[:5000]), 2)[0] / 5000 * 1e6
        base, parts = scorer.contributions(rows[:5000])
        gap = np.abs(base + parts.sum(axis=1) - scorer.anomaly_score(rows[:5000])).max()
        print(
            f"  {name}: contributions p50 {p50:.0f} us, p99 {p99:.0f} us; with order {both[0]:.0f} / {both[1]:.0f} us; "
            f"in a batch {wall:.0f} us a row; sum off by {gap:.0e}"
        )
    forest_quality.planted()
    try:
        shap = importlib.import_module("shap")
    except ImportError:
        print("  (shap left out)")
        return
    from scipy.stats import spearmanr

    asked = np.concatenate([rows[:200], rows[200:400] * 2])
    start = time.perf_counter()
    theirs = -shap.TreeExplainer(forest).shap_values(asked)
    each = (time.perf_counter() - start) / len(asked) * 1e3
    agreement = [spearmanr(a, b).statistic for a, b in zip(contributions(ours.forest, asked), theirs, strict=True)]
    first = (contributions(ours.forest, asked).argmax(1) == theirs.argmax(1)).mean()
    print(
        f"  SHAP's TreeExplainer: {each:.1f} ms a row; rank agreement {np.mean(agreement):.3f}, "
        f"same first feature {first:.2f}"
    )


def forget() -> None:
    """Forget a thousand owners, one by one, and compare with a forest that never saw them."""
    rng = np.random.default_rng(0)
    n, n_owners = 100_000, 20_000
    rows, owners = rng.normal(size=(n, 40)).astype(np.float32), rng.integers(0, n_owners, n).astype(str)
    ids, sources = np.arange(n), rng.integers(0, 30_000, n)
    for name, parameters in (("100 x 256", {"n_trees": 100, "max_samples": 256}), ("default", {})):
        make = lambda parameters=parameters: SessionForest(key=b"benchmark key 16", **parameters)  # noqa: E731
        forest = make().fit(rows, owners=owners, ids=ids, sources=sources)
        gone = rng.permutation(n_owners)[:1000].astype(str)
        times, grown = [], []
        for owner in gone:
            start = time.perf_counter()
            grown.append(forest.forget(owner))
            times.append((time.perf_counter() - start) * 1e3)
        keep = ~np.isin(owners, gone)
        again = make().fit(rows[keep], owners=owners[keep], ids=ids[keep], sources=sources[keep])
        ours, theirs = forest.to_arrays(), again.to_arrays()
        same = all(ours[key].tobytes() == theirs[key].tobytes() for key in ours)
        p50, p95, p99 = np.percentile(times, [50, 95, 99])
        print(
            f"  {name}: 1,000 owners of 100,000 rows; p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms\n"
            f"    trees grown anew {np.mean(grown):.1f} on average, {max(grown)} at most; "
            f"equal to never having seen them bit for bit: {same}"
        )


def file() -> None:
    """Write, load and attack model files."""
    rows = np.random.default_rng(0).normal(size=(20_000, 40)).astype(np.float32)
    for name, parameters in (("100 x 256", {"n_trees": 100, "max_samples": 256}), ("default", {})):
        arrays = SessionForest(random_state=0, **parameters).fit(rows).to_arrays()
        with tempfile.TemporaryDirectory() as folder:
            path, key = Path(folder) / "model.fraudlog", os.urandom(32)
            write_model(path, arrays, {"purposes": ["security"]}, key=key)
            loads = []
            for _ in range(30):
                start = time.perf_counter()
                scorer = ForestScorer.from_arrays(read_model(path, key=key)[0])
                scorer.score_row(rows[0])
                loads.append((time.perf_counter() - start) * 1e3)
            refused = _flip(path, key, np.random.default_rng(1), 10_000)
            print(
                f"  {name}: {path.stat().st_size / 1e3:.0f} kB; load and first score p50 {np.median(loads):.1f} ms, "
                f"worst {max(loads):.1f} ms; {refused:,} of 10,000 flipped bits refused"
            )


def _flip(path: Path, key: bytes, rng: np.random.Generator, n: int) -> int:
    data, refused = bytearray(path.read_bytes()), 0
    for spot in rng.integers(0, len(data) * 8, n).tolist():
        data[spot // 8] ^= 1 << spot % 8
        path.write_bytes(data)
        try:
            read_model(path, key=key)
        except ModelError:
            refused += 1
        data[spot // 8] ^= 1 << spot % 8
    path.write_bytes(data)
    return refused


SECTIONS = {
    "row": row,
    "batch": batch,
    "reasons": reasons,
    "forget": forget,
    "file": file,
    "adbench": forest_quality.adbench,
    "campaigns": forest_quality.campaigns,
    "log": forest_quality.real_log,
}


def main(names: list[str]) -> None:
    """Print the sections named."""
    found = [
        f"{name} {version(name)}"
        for name in PACKAGES
        if importlib.util.find_spec(name.replace("scikit-learn", "sklearn"))
    ]
    print(f"Python {sys.version.split()[0]}, {', '.join(found)}; {os.cpu_count()} cores")
    for name in names or list(SECTIONS):
        print(f"\n[{name}]", flush=True)
        SECTIONS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
