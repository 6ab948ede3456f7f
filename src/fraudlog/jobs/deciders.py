"""Verdicts of whole days: worked out anew from all sessions of a day whenever some come to it, or to one before."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import pandas as pd
import pyarrow as pa

from fraudlog.deciding import VERDICTS, Policy
from fraudlog.errors import ConfigError
from fraudlog.schema import DECISIONS, to_arrow, to_pandas

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from fraudlog.jobs.config import JobConfig
    from fraudlog.jobs.models import Models
    from fraudlog.store import Transaction

__all__ = ["Decider", "policy_of"]

_SIMPLE: Final = ("daily_reviews", "human_share", "observe_at", "challenge_at", "deny_at", "ttl")


def policy_of(config: JobConfig) -> Policy:
    """Return the policy of a configuration: its own few keys, or those of the file that it names."""
    if config["policy.file"] is None:
        return Policy(**{name: config[f"policy.{name}"] for name in _SIMPLE})
    try:
        return Policy.from_toml(config["policy.file"])
    except ConfigError as error:
        raise ConfigError(f"policy.file: {error}", parameter="policy.file") from None


class Decider:
    """Decides on sessions by the day they started on, as the policy's budget counts them.

    A verdict depends on the sessions of its day and of some days before, so that the same sessions get the same
    verdicts however many runs they came in.

    Parameters
    ----------
    config : JobConfig
    models : Models
        Say what risks people have, for a policy that is to challenge a share of them.
    """

    def __init__(self, config: JobConfig, models: Models) -> None:
        self.policy = policy_of(config)
        self.models = models
        self.history = timedelta(days=config["policy.history_days"])
        self.longest = pd.Timedelta(config["sessions.max_duration"]).ceil("D").to_pytimedelta()

    def decide(self, first: date, change: Transaction) -> dict[str, int]:
        """Decide on all sessions that started on a day or after it.

        Parameters
        ----------
        first : date
        change : Transaction
            Has the sessions and their scores; gets the decisions.

        Returns
        -------
        dict of str to int
            Those sessions by verdict.
        """
        return self._decide(
            None, [day for day in change.after.days("scores") if day >= first - self.history], change, first
        )

    def decide_again(self, changed: Iterable[date], change: Transaction) -> None:
        """Decide on what hangs on sessions that changed, went or came, by the days they started on."""
        hang_on = {day + timedelta(days=n) for day in changed for n in range(self.history.days + 1)}
        days = change.after.days("scores")
        while hang_on:
            group = {min(hang_on)}
            while (after := max(group) + timedelta(days=1)) in hang_on:
                group.add(after)
            first, last = min(group) - self.history, max(group) + self.longest
            self._decide(group, [day for day in days if first <= day <= last], change, min(group))
            hang_on -= group

    def _decide(
        self, wanted: Collection[date] | None, days: Sequence[date], change: Transaction, first: date
    ) -> dict[str, int]:
        """Decide on the sessions that started on some days, or on any since the first; all ended within `days`."""
        sessions, scores, before = (
            _frame(change.read(table, days=days)) for table in ("sessions", "scores", "decisions")
        )
        started = scores["start"].dt.date
        chosen = sorted(set(started[started >= first]) if wanted is None else set(started) & set(wanted))
        if not chosen:
            return {}
        parts = []
        for day in chosen:
            rows = (started >= day - self.history) & (started <= day)
            policy = self.policy_on(day)
            decided = policy.decide(scores[rows].reset_index(drop=True), sessions[rows].reset_index(drop=True))
            parts.append(decided[(started[rows] == day).to_numpy()])
        fresh = pd.concat(parts, ignore_index=True)
        self._put(change, before[~before["session_id"].isin(fresh["session_id"])], fresh, scores)
        counts = fresh["verdict"].value_counts()
        return {verdict: int(counts.get(verdict, 0)) for verdict in VERDICTS}

    def policy_on(self, day: date) -> Policy:
        """Return the policy of a day: its share of presumed humans is measured by the model that spoke at its end."""
        if self.policy.human_share is None:
            return self.policy
        return self.policy.measured(self.models.on(day).human_risk_)

    def _put(self, change: Transaction, kept: pd.DataFrame, fresh: pd.DataFrame, scores: pd.DataFrame) -> None:
        """Put decisions into the parts of their sessions' ends, beside those that stay as they were."""
        tables = [to_arrow(frame, DECISIONS) for frame in (kept, fresh)]
        rows = pa.concat_tables([table.cast(tables[1].schema) for table in tables]).unify_dictionaries()
        ends = scores.set_index("session_id")["end"].loc[[*kept["session_id"], *fresh["session_id"]]]
        change.replace("decisions", rows, pa.array(ends.astype("datetime64[us, UTC]")))


def _frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame whose reasons are lists, as a detector gives them."""
    frame = to_pandas(table)
    if "reasons" in table.column_names:
        frame["reasons"] = pd.Series(table.column("reasons").to_pylist(), dtype=object)
    return frame
