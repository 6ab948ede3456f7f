"""Scoring that may wait, as for a shared state: in threads of its own, and only for as long as a request can."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from typing import TYPE_CHECKING, Any

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fraudlog.deciding import Decision
    from fraudlog.serving.judging import RequestJudge

__all__ = ["Timed"]


class Timed:
    """A `RequestJudge` that answers within a deadline, or with the policy's fallback.

    Parameters
    ----------
    judge : RequestJudge
    deadline_s : float
        Longest wait for a decision.
    threads : int, default 4
    """

    def __init__(self, judge: RequestJudge, deadline_s: float, *, threads: int = 4) -> None:
        if not deadline_s > 0:
            raise ConfigError("deadline_s must be above 0", parameter="deadline_s")
        self._judge = judge
        self._deadline_s = deadline_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fraudlog")

    def arrive(self, event: Mapping[str, Any]) -> Decision:
        """Do what `RequestJudge.arrive` does, for a thread that may wait."""
        try:
            return self._pool.submit(self._judge.arrive, event).result(self._deadline_s)
        except TooSlow:
            return self._judge.too_slow()

    async def arrive_soon(self, event: Mapping[str, Any]) -> Decision:
        """Do the same for an event loop, which goes on meanwhile."""
        waiting = asyncio.wrap_future(self._pool.submit(self._judge.arrive, event))
        try:
            return await asyncio.wait_for(waiting, self._deadline_s)
        except TooSlow:  # from Python 3.11 on, the one of asyncio too
            return self._judge.too_slow()

    def leave(self, event: Mapping[str, Any]) -> None:
        """Do what `RequestJudge.leave` does, some time soon; nobody waits for it."""
        self._pool.submit(self._judge.leave, event)
