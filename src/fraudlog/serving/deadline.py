"""Scoring that may wait, as for a shared state: in threads of its own, and only for as long as a request can."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.deciding import Decision
    from fraudlog.serving.judging import RequestJudge

__all__ = ["Timed"]

_MOST_WAITING: Final = 1_000


class Timed:
    """A `RequestJudge` that answers within a deadline, or with the policy's fallback.

    Where the state is slow for long, work is refused rather than piled up: a request is not waited for, and one that
    was answered is not taken in (``Backlog`` among the judge's failures).

    Parameters
    ----------
    judge : RequestJudge
    deadline_s : float
        Longest wait for a decision.
    threads : int, default 4
    most_waiting : int, default 1,000
        Most requests that wait for a thread.
    """

    def __init__(
        self, judge: RequestJudge, deadline_s: float, *, threads: int = 4, most_waiting: int = _MOST_WAITING
    ) -> None:
        if not deadline_s > 0:
            raise ConfigError("deadline_s must be above 0", parameter="deadline_s")
        self._judge = judge
        self._deadline_s = deadline_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fraudlog")
        self._free = threading.BoundedSemaphore(most_waiting + threads)

    def arrive(self, event: Mapping[str, Any]) -> Decision:
        """Do what `RequestJudge.arrive` does, for a thread that may wait."""
        waiting = self._begin(self._judge.arrive, event)
        if waiting is None:
            return self._judge.too_slow()
        try:
            return waiting.result(self._deadline_s)
        except TooSlow:
            waiting.cancel()
            return self._judge.too_slow()

    async def arrive_soon(self, event: Mapping[str, Any]) -> Decision:
        """Do the same for an event loop, which goes on meanwhile."""
        waiting = self._begin(self._judge.arrive, event)
        if waiting is None:
            return self._judge.too_slow()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(waiting), self._deadline_s)
        except TooSlow:  # from Python 3.11 on, the one of asyncio too
            return self._judge.too_slow()

    def leave(self, event: Mapping[str, Any]) -> None:
        """Do what `RequestJudge.leave` does, some time soon; nobody waits for it."""
        if self._begin(self._judge.leave, event) is None:
            self._judge.missed("Backlog")

    def _begin(
        self, work: Callable[[Mapping[str, Any]], Decision], event: Mapping[str, Any]
    ) -> Future[Decision] | None:
        """Hand work to a thread; None where too much waits already, or no thread can be had any more."""
        if not self._free.acquire(blocking=False):
            return None
        waiting = self._judge.safely(self._pool.submit, work, event)
        if waiting is None:
            self._free.release()
        else:
            waiting.add_done_callback(lambda _: self._free.release())
        return waiting
