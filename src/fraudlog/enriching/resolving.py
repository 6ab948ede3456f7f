"""Reverse names confirmed forward, through a resolver that the caller gives, within a time limit, remembered."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Question = tuple[str, tuple[str, ...]]

__all__ = ["NameCheck", "Resolver", "SystemResolver"]

_WORKERS: Final = 8


class Resolver(Protocol):
    """What a resolver must do.

    It raises `LookupError` where there is no such name, and `TimeoutError` or `OSError` where no answer came.
    """

    def reverse(self, address: str) -> Iterable[str]:
        """Return the host names of `address`."""

    def forward(self, name: str) -> Iterable[str]:
        """Return the addresses of `name`."""


class SystemResolver:
    """The resolver of the operating system. Giving it to a verifier is what allows name lookups at all."""

    def reverse(self, address: str) -> list[str]:
        """Return the host names of `address`.

        Raises
        ------
        LookupError
            If it has none.
        """
        try:
            name, aliases, _ = socket.gethostbyaddr(address)
        except socket.herror:
            raise LookupError("no name") from None
        return [name, *aliases]

    def forward(self, name: str) -> list[str]:
        """Return the addresses of `name`.

        Raises
        ------
        LookupError
            If there is no such name.
        """
        try:
            found = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise TimeoutError("no answer") from None
            raise LookupError("no address") from None
        return [str(address[0]) for *_, address in found]


class NameCheck:
    """Asks whether the reverse name of an address lies under one of some domains and leads back to it.

    Parameters
    ----------
    resolver : Resolver
    time_limit_s : float
        Longest wait of one call to `confirm`, however many questions it holds.
    remember_s : float, default one day
        How long an answer is kept; a question without an answer is asked again.
    limit : int, default 100,000
        Most answers kept.
    """

    def __init__(
        self, resolver: Resolver, *, time_limit_s: float, remember_s: float = 86_400.0, limit: int = 100_000
    ) -> None:
        if time_limit_s <= 0:
            raise ConfigError(f"time_limit_s is {time_limit_s}; give a number above 0", parameter="time_limit_s")
        self._resolver = resolver
        self._time_limit_s = time_limit_s
        self._remember_s = remember_s
        self._limit = limit
        self._known: dict[Question, tuple[float, bool]] = {}

    def confirm(self, questions: Sequence[Question]) -> dict[Question, bool]:
        """Return the answers that came in time: True confirmed, False refuted; what no one knows is left out.

        Parameters
        ----------
        questions : sequence of (str, tuple of str)
            Address and domains.
        """
        now = time.monotonic()
        answers = {
            question: known[1] for question in questions if (known := self._known.get(question)) and known[0] > now
        }
        fresh = self._ask(
            [question for question in questions if question not in answers], deadline=now + self._time_limit_s
        )
        for question, answer in fresh.items():
            if len(self._known) >= self._limit:
                self._known.pop(next(iter(self._known)))
            self._known[question] = (now + self._remember_s, answer)
        return answers | fresh

    def _ask(self, questions: list[Question], *, deadline: float) -> dict[Question, bool]:
        """Share the questions among threads that nobody waits for after the deadline."""
        todo: queue.SimpleQueue[Question] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[Question, bool | None]] = queue.SimpleQueue()
        for question in questions:
            todo.put(question)

        def work() -> None:
            while time.monotonic() < deadline:
                try:
                    question = todo.get_nowait()
                except queue.Empty:
                    return
                done.put((question, self._answer(question)))

        for _ in range(min(_WORKERS, len(questions))):
            threading.Thread(target=work, daemon=True).start()
        answers: dict[Question, bool] = {}
        for _ in questions:
            try:
                question, answer = done.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if answer is not None:
                answers[question] = answer
        return answers

    def _answer(self, question: Question) -> bool | None:
        address, domains = question
        try:
            names = [name.rstrip(".").lower() for name in self._resolver.reverse(address)]
        except LookupError:
            return False
        except OSError:  # TimeoutError among them
            return None
        own = [name for name in names if any(name == domain or name.endswith(f".{domain}") for domain in domains)]
        return self._leads_back(own, ipaddress.ip_address(address)) if own else False

    def _leads_back(self, names: Iterable[str], address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool | None:
        is_unknown = False
        for name in names:
            try:
                if any(ipaddress.ip_address(found.split("%")[0]) == address for found in self._resolver.forward(name)):
                    return True
            except LookupError:
                continue
            except OSError:
                is_unknown = True
        return None if is_unknown else False
