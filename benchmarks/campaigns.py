"""Believable made-up sessions: five kinds of people behind homes, phones and offices, and four kinds of campaign.

Each session is simulated from what its actor does (how many pages, how fast, what else comes with a page), and the
features are computed from that, so that they hang together as those of a log do. A campaign is *scattered* (each bot
from a prefix of its own, a few sessions each, its own settings) or *clumped* (one program, one setting, few prefixes).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FEATURES = (
    "requests",
    "duration_s",
    "gap_mean_s",
    "gap_cv",
    "burst_10s",
    "pages",
    "asset_share",
    "distinct_path_share",
    "path_entropy",
    "depth_mean",
    "query_share",
    "post_share",
    "error_share",
    "not_found_share",
    "redirect_share",
    "bytes_sent",
    "bytes_cv",
    "referrer_share",
    "login_failures",
    "hour_from_noon",
    "head_share",
    "repeat_share",
)
"""What the sessions' columns mean."""

TRANSFORMS = dict.fromkeys(
    ("requests", "duration_s", "gap_mean_s", "gap_cv", "burst_10s", "pages", "bytes_sent", "login_failures"), "log1p"
)
"""Scale of each count, size and duration, as a catalogue of features would give it."""

CAMPAIGNS = ("scraper", "stuffing", "scanner", "slow")

# pages (log mean, log sd), seconds between pages (log mean, log sd), assets a page, share of repeats, depth, query,
# post, error, not found, referrer, kB a page (log mean), logins that fail
PEOPLE = {
    "bounce": (0.1, 0.3, 2.5, 1.0, 9.0, 0.02, 1.5, 0.10, 0.00, 0.00, 0.01, 0.85, 3.0, 0.00),
    "reader": (1.6, 0.7, 3.6, 0.9, 8.0, 0.08, 2.2, 0.10, 0.01, 0.01, 0.01, 0.92, 3.2, 0.00),
    "shopper": (2.4, 0.8, 3.0, 0.9, 10.0, 0.20, 2.8, 0.45, 0.08, 0.01, 0.02, 0.95, 3.3, 0.15),
    "app": (2.8, 0.9, 2.2, 1.1, 0.6, 0.50, 3.2, 0.30, 0.25, 0.03, 0.01, 0.05, 0.8, 0.10),
    "power": (3.6, 0.7, 2.6, 1.0, 4.0, 0.35, 3.5, 0.40, 0.12, 0.02, 0.03, 0.90, 2.8, 0.10),
}
SHARES = (0.34, 0.30, 0.20, 0.10, 0.06)
BOTS = {
    "scraper": (5.2, 0.5, 0.4, 0.3, 0.0, 0.01, 3.4, 0.60, 0.00, 0.02, 0.03, 0.00, 3.2, 0.00),
    "stuffing": (3.6, 0.5, 1.0, 0.4, 0.1, 0.95, 1.2, 0.00, 0.95, 0.90, 0.00, 0.30, 0.6, 0.95),
    "scanner": (4.6, 0.6, 0.2, 0.4, 0.0, 0.02, 2.6, 0.25, 0.05, 0.85, 0.80, 0.00, 0.4, 0.00),
    "slow": (2.8, 0.4, 5.6, 0.4, 0.0, 0.02, 3.4, 0.60, 0.00, 0.02, 0.02, 0.00, 3.2, 0.00),
}


class Sessions(NamedTuple):
    """Feature rows with where each came from and whether it is abusive."""

    rows: np.ndarray
    sources: np.ndarray
    labels: np.ndarray


def people(n: int, rng: np.random.Generator) -> Sessions:
    """Return `n` sessions of people: two thirds from homes and phones, the others from offices and carrier NAT."""
    kinds = rng.choice(len(PEOPLE), size=n, p=SHARES)
    settings = np.asarray(list(PEOPLE.values()))[kinds]
    rows = _features(settings, rng, spread=0.35, night=0.0)
    homes = rng.integers(0, max(1, n // 2), size=n)
    offices = -1 - np.minimum(rng.zipf(1.6, size=n), 200)
    return Sessions(rows, np.where(rng.random(n) < 0.67, homes, offices), np.zeros(n, dtype=int))


def campaign(kind: str, n: int, *, clumped: bool, rng: np.random.Generator, first_source: int = 10**7) -> Sessions:
    """Return `n` sessions of one campaign."""
    setting = np.asarray(BOTS[kind])
    if clumped:
        settings = np.repeat(_varied(setting[np.newaxis], rng, 0.2), n, axis=0)
        rows = _features(settings, rng, spread=0.03, night=0.5)
        sources = first_source + rng.integers(0, 3, size=n)
    else:
        settings = _varied(np.repeat(setting[np.newaxis], n, axis=0), rng, 0.35)
        rows = _features(settings, rng, spread=0.35, night=0.3)
        sources = first_source + rng.integers(0, max(1, n // 2), size=n)
    return Sessions(rows, sources, np.ones(n, dtype=int))


def joined(*parts: Sessions) -> Sessions:
    """Put sessions after one another."""
    return Sessions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _varied(settings: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """Give each actor settings of its own around the kind's."""
    factor = np.exp(rng.normal(0, spread, size=settings.shape))
    shares = slice(5, None)
    settings = settings.copy()
    settings[:, :2] += rng.normal(0, spread, size=settings[:, :2].shape)
    settings[:, 2] += rng.normal(0, spread, size=len(settings))
    settings[:, shares] = settings[:, shares] * factor[:, shares]
    return settings


def _share(n: np.ndarray, p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.binomial(n, np.clip(p, 0, 1)) / np.maximum(n, 1)


def _features(settings: np.ndarray, rng: np.random.Generator, *, spread: float, night: float) -> np.ndarray:
    n = len(settings)
    s = dict(
        zip(
            [
                "log_pages",
                "log_pages_sd",
                "log_gap",
                "log_gap_sd",
                "assets",
                "repeat",
                "depth",
                "query",
                "post",
                "error",
                "missing",
                "ref",
                "log_kb",
                "login",
            ],
            settings.T,
            strict=True,
        )
    )
    noise = lambda: np.exp(rng.normal(0, spread, size=n))  # noqa: E731 -- one word for one thing
    sd = s["log_pages_sd"] * min(1.0, spread * 3)
    pages = np.maximum(1, np.rint(np.exp(rng.normal(s["log_pages"], np.maximum(sd, 0.01))))).astype(int)
    assets = rng.poisson(pages * s["assets"] * noise())
    requests = pages + assets
    gap = np.exp(rng.normal(s["log_gap"], np.maximum(s["log_gap_sd"] / np.sqrt(pages), 0.02)))
    duration = gap * np.maximum(pages - 1, 0) + 0.3 * (assets > 0) * noise()
    gap_mean = np.where(requests > 1, duration / np.maximum(requests - 1, 1), np.nan)
    gap_cv = np.where(requests > 2, s["log_gap_sd"] * noise() * (1 + assets / np.maximum(pages, 1) / 4), np.nan)
    burst = np.minimum(requests, 1 + assets / np.maximum(pages, 1) + 10 / np.maximum(gap, 0.05) * noise())
    repeat = _share(requests, s["repeat"] * noise() + 0.02, rng)
    distinct = np.clip(1 - repeat, 1 / requests, 1)
    error = _share(requests, s["error"] * noise(), rng)
    kilobytes = np.exp(rng.normal(s["log_kb"], 0.2 + spread)) * pages + assets * 12 * noise()
    columns = {
        "requests": requests,
        "duration_s": duration,
        "gap_mean_s": gap_mean,
        "gap_cv": gap_cv,
        "burst_10s": burst,
        "pages": pages,
        "asset_share": assets / requests,
        "distinct_path_share": distinct,
        "path_entropy": np.log2(np.maximum(1, requests * distinct)) * (1 - 0.3 * repeat),
        "depth_mean": s["depth"] * noise() ** 0.5,
        "query_share": _share(requests, s["query"] * noise(), rng),
        "post_share": _share(requests, s["post"] * noise(), rng),
        "error_share": error,
        "not_found_share": np.minimum(error, _share(requests, s["missing"] * noise(), rng)),
        "redirect_share": _share(requests, 0.03 * noise(), rng),
        "bytes_sent": kilobytes * 1024,
        "bytes_cv": (0.4 + assets / requests) * noise(),
        "referrer_share": _share(requests, s["ref"] * noise() ** 0.3, rng),
        "login_failures": rng.poisson(np.clip(s["login"], 0, 1) * np.where(s["login"] > 0.5, pages, 1)),
        "hour_from_noon": np.abs((rng.normal(3, 4, size=n) + 12 * (rng.random(n) < night)) % 24 - 12),
        "head_share": _share(requests, np.full(n, 0.002), rng),
        "repeat_share": repeat,
    }
    return np.column_stack([columns[name] for name in FEATURES]).astype(np.float64)
