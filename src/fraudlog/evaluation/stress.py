"""The stress test: attacks put into the later part of a log, a detector fitted on the earlier, and what it finds.

It shows what a detector would do about traffic shaped like these kinds on this site. It is no accuracy in the field:
real attackers are not drawn from this table, and the log's own sessions count as benign whatever they are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
import pandas as pd

from fraudlog.detecting import Detector
from fraudlog.enriching import read_agent
from fraudlog.errors import ConfigError, InputError
from fraudlog.evaluation.injection import Campaign, inject
from fraudlog.evaluation.leaks import scan_leaks
from fraudlog.evaluation.metrics import auroc, average_precision, bootstrap, recall_at_budget, recall_at_fpr
from fraudlog.evaluation.splits import time_split
from fraudlog.sessions import build_sessions, sessionize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fraudlog.enriching import EndpointMap

    Floats = NDArray[np.float64]

__all__ = ["DISCLAIMER", "Design", "Stress", "Trial", "risk_of", "stress_test", "trial"]

DISCLAIMER: Final = "stress test, not field accuracy"
_SMALLEST: Final = 30


class Scorer(Protocol):
    """Anything that learns from earlier sessions and scores later ones; high is abusive."""

    def __call__(self, learn: pd.DataFrame, score: pd.DataFrame, seed: int) -> Floats:
        """Return one score for each session of `score`."""
        ...


@dataclass(frozen=True)
class Design:
    """How a stress test is run.

    Parameters
    ----------
    seeds : int, default 5
        How often, each time with other attacks.
    split : float, default 0.6
        Share of the time to learn from; the attacks lie in the rest.
    fpr : float, default 0.01
        Share of the log's own sessions that may be flagged.
    budget : int, default 20
        Reviews a day.
    counts_all : bool, default False
        Count every session of the log's own as benign; by default those whose agent names a program do not count, since
        nobody knows which of them were welcome.
    """

    seeds: int = 5
    split: float = 0.6
    fpr: float = 0.01
    budget: int = 20
    counts_all: bool = False

    def __post_init__(self) -> None:
        for name, is_fine, range_ in (
            ("seeds", self.seeds >= 1, "at least 1"),
            ("split", 0 < self.split < 1, "between 0 and 1"),
            ("fpr", 0 <= self.fpr <= 1, "in [0, 1]"),
            ("budget", self.budget >= 1, "at least 1"),
        ):
            if not is_fine:
                raise ConfigError(f"{name} must be {range_}", parameter=name)


class Trial(NamedTuple):
    """One seed's sessions.

    Attributes
    ----------
    learn : DataFrame
        Sessions of the earlier, clean part.
    score : DataFrame
        Sessions of the later part.
    kind : Series of shape (n_scored,)
        Kind of attack of each, null for the log's own.
    actor : Series of shape (n_scored,)
        Whose it is: the campaign's address, else the prefix.
    counts : ndarray of bool, shape (n_scored,)
        Whether it counts: attacks, and those of the log's own that stand for benign ones.
    left_out : dict of str to str
        Kinds that the log can't show, and why.
    """

    learn: pd.DataFrame
    score: pd.DataFrame
    kind: pd.Series
    actor: pd.Series
    counts: NDArray[np.bool_]
    left_out: dict[str, str]


@dataclass(frozen=True)
class Stress:
    """What a stress test found.

    Attributes
    ----------
    kinds : DataFrame of shape (n_scorers x n_kinds x n_seeds, 8)
        ``scorer``, ``kind``, ``seed``, ``sessions``, ``recall`` (at `fpr`), ``recall_at_budget``, ``auroc``, ``ap``.
    overall : DataFrame of shape (n_scorers x n_seeds, 8)
        The same of all kinds together, with bootstrap interval ``low`` and ``high`` of the recall.
    leaks : DataFrame
        Columns that alone tell the attacks of the last seed from the log's own sessions; see `scan_leaks`.
    settings : dict
        What it was run with.
    left_out : dict of str to str
        Kinds that the log can't show, and why.
    """

    kinds: pd.DataFrame
    overall: pd.DataFrame
    leaks: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def table(self, scorer: str = "risk") -> pd.DataFrame:
        """Return one row a kind: the mean over the seeds, and the worst and best recall."""
        own = self.kinds[self.kinds["scorer"] == scorer].groupby("kind", sort=False)
        means = own[["sessions", "recall", "recall_at_budget", "auroc", "ap"]].mean()
        return means.assign(worst=own["recall"].min(), best=own["recall"].max()).reset_index()


def risk_of(learn: pd.DataFrame, score: pd.DataFrame, seed: int) -> Floats:
    """Fit a `Detector` and return the risks."""
    risks: Floats = Detector(random_state=seed).fit(learn).score(score)["risk"].to_numpy(np.float64)
    return risks


def trial(
    events: pd.DataFrame,
    kinds: Iterable[str] | None = None,
    campaign: Campaign | None = None,
    design: Design | None = None,
    *,
    endpoints: EndpointMap | None = None,
    agents: Sequence[str] | None = None,
) -> Trial:
    """Put attacks into the later part of a log, and build the sessions of both parts.

    Parameters
    ----------
    events : DataFrame of shape (n_events, n_columns)
        As from `fraudlog.read_log`.
    kinds, campaign, endpoints, agents
        As `inject` takes them.
    design : Design, optional
        Where the cut lies, and which of the log's own sessions count.

    Raises
    ------
    InputError
        If fewer than 30 of the log's own sessions lie in the later part.
    """
    design = design or Design()
    first, last = events["timestamp"].min(), events["timestamp"].max()
    cut = first + (last - first) * design.split
    found = inject(events, kinds, campaign, since=cut, endpoints=endpoints, agents=agents)
    ids = sessionize(found.events)["session_id"].to_numpy()
    sessions = build_sessions(found.events)
    parts = time_split(sessions, at=cut)
    late = sessions[parts.score].reset_index(drop=True)
    kind = late["session_id"].map(found.labels["kind"].groupby(ids).first()).astype("str")
    actor = (
        late["session_id"]
        .map(found.labels["actor"].groupby(ids).first())
        .astype("str")
        .fillna(late["ip_prefix"].astype("str"))
    )
    own = kind.isna().to_numpy(bool)
    counted = own if design.counts_all else own & ~_names_program(late)
    if counted.sum() < _SMALLEST:
        raise InputError(
            f"only {int(counted.sum())} sessions of the log's own are left to be told from attacks; give a longer log, "
            f"with at least {_SMALLEST}"
        )
    return Trial(sessions[parts.learn].reset_index(drop=True), late, kind, actor, counted | ~own, found.left_out)


def _names_program(sessions: pd.DataFrame) -> NDArray[np.bool_]:
    agents = sessions["user_agent"].astype("str")
    programs = {agent for agent in agents.dropna().unique() if read_agent(agent).is_automation}
    named: NDArray[np.bool_] = agents.isin(programs).to_numpy(bool)
    return named


def stress_test(
    events: pd.DataFrame,
    kinds: Iterable[str] | None = None,
    campaign: Campaign | None = None,
    design: Design | None = None,
    *,
    scorers: Mapping[str, Scorer] | None = None,
    endpoints: EndpointMap | None = None,
    agents: Sequence[str] | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> Stress:
    """Stress a detector with attacks put into a log: a stress test, not field accuracy.

    Parameters
    ----------
    events : DataFrame of shape (n_events, n_columns)
        As from `fraudlog.read_log`; not changed.
    kinds : iterable of str, optional
        Names out of `KINDS`; all by default.
    campaign : Campaign, optional
        Knobs; its seed is the first.
    design : Design, optional
        How it is run.
    scorers : mapping of str to Scorer, optional
        What to test; default, the risk of a `Detector`.
    endpoints, agents
        As `inject` takes them.
    step : callable
        Told what is being done.

    Returns
    -------
    Stress

    Examples
    --------
    >>> from fraudlog.evaluation import Campaign, Design, benign_events
    >>> events, _ = benign_events(days=6, people=60)
    >>> found = stress_test(events, ["vulnerability_scanning"], Campaign(mimicry=0.2), Design(seeds=1))
    >>> found.table()[["kind", "recall"]].values.tolist()
    [['vulnerability_scanning', 1.0]]
    """
    campaign, design = campaign or Campaign(), design or Design()
    rows, overall = [], []
    for seed in range(campaign.seed, campaign.seed + design.seeds):
        step(f"attacking, seed {seed}")
        found = trial(events, kinds, replace(campaign, seed=seed), design, endpoints=endpoints, agents=agents)
        for name, scorer in (scorers or {"risk": risk_of}).items():
            step(f"scoring, {name}, seed {seed}")
            scores = scorer(found.learn, found.score, seed)
            rows += [{"scorer": name, "seed": seed} | row for row in _by_kind(found, scores, design)]
            overall.append({"scorer": name, "seed": seed} | _together(found, scores, design))
    settings = asdict(design) | asdict(campaign)
    leaks = scan_leaks(found.score[found.counts], found.kind[found.counts].notna())
    return Stress(pd.DataFrame(rows), pd.DataFrame(overall), leaks, settings, found.left_out)


def _by_kind(found: Trial, scores: Floats, design: Design) -> list[dict[str, Any]]:
    """Return the figures of each kind against the log's own sessions, as if the others had not been."""
    own = found.counts & found.kind.isna().to_numpy(bool)
    rows = []
    for kind in found.kind.dropna().unique():
        rows_of = own | (found.kind == kind).to_numpy(bool)
        rows.append({"kind": kind} | _figures(found, scores, rows_of, design))
    return rows


def _together(found: Trial, scores: Floats, design: Design) -> dict[str, Any]:
    labels = found.kind.notna().to_numpy(bool)[found.counts]
    interval = bootstrap(
        lambda y, s: recall_at_fpr(y, s, design.fpr),
        labels,
        scores[found.counts],
        groups=found.actor[found.counts].to_numpy(),
    )
    return _figures(found, scores, found.counts, design) | {"low": interval.low, "high": interval.high}


def _figures(found: Trial, scores: Floats, rows: NDArray[np.bool_], design: Design) -> dict[str, Any]:
    labels, values = found.kind.notna().to_numpy(bool)[rows], scores[rows]
    days = found.score["start"].dt.floor("D").to_numpy()[rows]
    return {
        "sessions": int(labels.sum()),
        "recall": recall_at_fpr(labels, values, design.fpr),
        "recall_at_budget": recall_at_budget(labels, values, days, design.budget),
        "auroc": auroc(labels, values),
        "ap": average_precision(labels, values),
    }
