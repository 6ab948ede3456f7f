"""What an evaluation found, as one plain object: for JSON, for the page, for the table on a terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import jinja2
import numpy as np
import pandas as pd

from fraudlog.errors import InputError
from fraudlog.evaluation.kinds import KINDS
from fraudlog.evaluation.leaks import scan_leaks
from fraudlog.evaluation.metrics import auroc, average_precision, bootstrap, precision_at_k, recall_at_fpr
from fraudlog.evaluation.splits import entity_split, time_split
from fraudlog.evaluation.stress import DISCLAIMER, Design, risk_of
from fraudlog.reporting import safe_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.evaluation.splits import Split
    from fraudlog.evaluation.stress import Scorer, Stress

__all__ = ["labelled_findings", "render_findings", "stress_findings"]

_LEAKS_SHOWN: Final = 10
_DRAWS: Final = 100
_CAUTION: Final = (
    "Attacks shaped like these were put into your own log. What is found of them shows where the detector is blind on "
    "this site; real attackers are not drawn from a table, and your own sessions count as benign whatever they are."
)
_CAUTION_LABELS: Final = (
    "Figures hold for these labels on this log, as far as the labels are right and no column gives them away."
)


def stress_findings(stress: Stress, scorer: str = "risk") -> dict[str, Any]:
    """Return what a stress test found, in plain numbers and text.

    Parameters
    ----------
    stress : Stress
    scorer : str, default "risk"

    Returns
    -------
    dict
        ``what``, ``disclaimer``, ``caution``, ``kinds`` (one dict a kind), ``together``, ``leaks``, ``left_out`` and
        ``settings``; fit for JSON.
    """
    table = stress.table(scorer).set_index("kind")
    kinds = [
        {"kind": kind.name, "oat": kind.oat, "meaning": kind.meaning, "held_out": kind.held_out}
        | table.loc[kind.name].to_dict()
        for kind in KINDS
        if kind.name in table.index
    ]
    own = stress.overall[stress.overall["scorer"] == scorer]
    figures = {
        "recall": f"recall at {stress.settings['fpr']:g} of benign flagged, all kinds",
        "recall_at_budget": "recall at budget",
        "auroc": "AUROC",
        "ap": "average precision",
    }
    together = [
        {"name": name, "value": own[column].mean(), "low": own[column].min(), "high": own[column].max()}
        for column, name in figures.items()
    ]
    together[0] |= {"low": own["low"].min(), "high": own["high"].max()}
    return {
        "what": f"{len(kinds)} kinds of attack, {stress.settings['seeds']} seeds, "
        f"mimicry {stress.settings['mimicry']:g}",
        "disclaimer": DISCLAIMER,
        "caution": _CAUTION,
        "kinds": _plain(kinds),
        "together": _plain(together),
        "leaks": _plain(stress.leaks.head(_LEAKS_SHOWN).to_dict("records")),
        "left_out": stress.left_out,
        "settings": stress.settings,
    }


def labelled_findings(
    sessions: pd.DataFrame,
    labels: pd.Series,
    design: Design | None = None,
    *,
    scorer: Scorer = risk_of,
    step: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return how well a detector agrees with labels: split by time, and split by whose the sessions are.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
    labels : Series of shape (n_sessions,)
        As from `label_sessions`; null rows are learnt from, but not counted.
    design : Design, optional
    scorer : Scorer, default `risk_of`
    step : callable
        Told what is being done.

    Returns
    -------
    dict
        As `stress_findings`, without kinds.

    Raises
    ------
    InputError
        If neither split leaves both classes to be scored.
    """
    design = design or Design()
    known = labels.notna().to_numpy(bool)
    if not known.any():
        raise InputError("no label speaks of a session of this log; check the keys, and how the file names its columns")
    truth = labels.fillna(value=False).to_numpy(bool)
    splits = {
        "time": time_split(sessions, share=design.split),
        "entity": entity_split(sessions, share=design.split),
    }
    rows: list[dict[str, Any]] = []
    for name, split in splits.items():
        step(f"scoring, split by {name}")
        rows += _figures(name, sessions, truth, known, split, scorer, design)
    if not rows:
        raise InputError("neither split leaves both classes to be scored; give more labels, or another --split")
    leaks = scan_leaks(sessions[known], truth[known])
    return {
        "what": f"{int(known.sum()):,} labelled of {len(sessions):,} sessions, {int(truth.sum()):,} of them abusive",
        "disclaimer": "held against your labels",
        "caution": _CAUTION_LABELS,
        "kinds": [],
        "together": _plain(rows),
        "leaks": _plain(leaks.head(_LEAKS_SHOWN).to_dict("records")),
        "left_out": {},
        "settings": asdict(design),
    }


def _figures(
    name: str,
    sessions: pd.DataFrame,
    truth: np.ndarray[Any, np.dtype[np.bool_]],
    known: np.ndarray[Any, np.dtype[np.bool_]],
    split: Split,
    scorer: Scorer,
    design: Design,
) -> list[dict[str, Any]]:
    scored = split.score & known
    if not 0 < truth[scored].sum() < scored.sum():
        return []
    scores = scorer(sessions[split.learn].reset_index(drop=True), sessions[scored].reset_index(drop=True), 0)
    k = min(design.budget, int(scored.sum()))
    metrics = {
        "AUROC": auroc,
        "average precision": average_precision,
        f"recall at {design.fpr:g} of benign flagged": lambda y, s: recall_at_fpr(y, s, design.fpr),
        f"precision of the first {k}": lambda y, s: precision_at_k(y, s, k),
    }
    whose = sessions["ip_prefix"].to_numpy()[scored]
    found = {
        figure: bootstrap(metric, truth[scored], scores, groups=whose, n_draws=_DRAWS)
        for figure, metric in metrics.items()
    }
    return [{"name": f"{figure}, split by {name}"} | interval._asdict() for figure, interval in found.items()]


def render_findings(found: Mapping[str, Any]) -> str:
    """Return the findings as one self-contained page without scripts."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fraudlog.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"shown": safe_text}
    return environment.get_template("evaluation.html.j2").render(found=found)


def _plain(rows: list[dict[Any, Any]]) -> list[dict[str, Any]]:
    """Return rows with Python's own numbers, and None for what is not known."""
    return [{str(name): _one(value) for name, value in row.items()} for row in rows]


def _one(value: Any) -> Any:  # noqa: ANN401 -- a cell of any type
    if value is None or pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
