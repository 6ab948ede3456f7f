"""An attacker's visit: the pen of `visits` with a pace, a disguise, and what the campaign knows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

from fraudlog.evaluation.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from fraudlog.evaluation.clients import Client

__all__ = ["Disguise", "Kind", "Plan", "Raid"]


@dataclass(frozen=True, slots=True)
class Disguise:
    """What of an attacker looks like a person; each is drawn with the chance `mimicry`.

    Parameters
    ----------
    agent : bool
        The agent is that of a browser of this very site's visitors; else a program's, an old one's, or none.
    language : bool
        The language is that browser's; else none, or the tool's default.
    hints : bool
        The client hints are that browser's; else none.
    referrer : bool
        Requests say where they come from.
    assets : bool
        Pages are opened with what they need.
    pauses : bool
        Pauses are spread as people's are; else they are a timer's, with some jitter.
    residential : bool
        Each address lies in a network the site's visitors come from; else they share a few hosting networks.
    """

    agent: bool = False
    language: bool = False
    hints: bool = False
    referrer: bool = False
    assets: bool = False
    pauses: bool = False
    residential: bool = False

    @classmethod
    def drawn(cls, rng: Random, mimicry: float, always: tuple[str, ...] = ()) -> Disguise:
        """Draw one."""
        return cls(**{row.name: row.name in always or rng.random() < mimicry for row in fields(cls)})


@dataclass(frozen=True)
class Plan:
    """What one campaign has settled on.

    Parameters
    ----------
    pace_s : float
        Seconds from act to act.
    size : float
        Acts of a session.
    jitter : float
        How uneven a timer is, 0..1.
    target : str
        The item it is after.
    refusal : int
        How the site refuses what it tries most.
    accounts : dict of str to (str or None)
        Accounts of the site, with a session token where the log records them.
    success : float
        Chance that one try succeeds.
    """

    pace_s: float
    size: float
    jitter: float
    target: str
    refusal: int
    accounts: dict[str, str | None]
    success: float


class Raid(Visit):
    """One visit of an attacker.

    Attributes
    ----------
    plan : Plan
    disguise : Disguise
    """

    plan: Plan
    disguise: Disguise

    def prepare(self, plan: Plan, disguise: Disguise) -> None:
        """Put plan and disguise on."""
        self.plan, self.disguise = plan, disguise
        self.sends_referrer, self.loads_assets = disguise.referrer, disguise.assets

    def acts(self) -> range:
        """Return the acts of this session: about as many as planned."""
        return range(max(1, round(self.plan.size * self.rng.uniform(0.7, 1.3))))

    def pause(self, times: float = 1.0) -> None:
        """Wait between two acts, as a person or as a timer does."""
        wanted = self.plan.pace_s * times
        if self.disguise.pauses:
            self.wait(max(wanted, self.rng.uniform(1.5, 6)), 0.8)
        else:
            self.now_s += wanted * (1 + self.plan.jitter * self.rng.uniform(-1, 1))

    def look(self, path: str, *, query: str | None = None) -> None:
        """Open a page: with what it needs, in disguise, and bare otherwise."""
        self.open(path, query=query)

    def succeeds(self) -> bool:
        """Say whether one try goes through."""
        return self.rng.random() < self.plan.success

    def post(self, path: str, status: int) -> None:
        """Send a form, without waiting for the page it leads to."""
        self.ask(path, status, method="POST", took_s=self.rng.lognormvariate(-2.0, 0.5))

    def become(self, client: Client) -> None:
        """Go on as somebody else."""
        self.client = client

    def account(self) -> str:
        """Return one account of the site."""
        return (
            self.rng.choice(list(self.plan.accounts)) if self.plan.accounts else f"user{self.rng.randrange(1, 9_999)}"
        )


class Kind(NamedTuple):
    """A kind of attack: one row of `fraudlog.evaluation.KINDS`.

    Parameters
    ----------
    name : str
        Stable, for options and tables.
    oat : str
        OWASP Automated Threat it is shaped after.
    meaning : str
        One sentence for a person.
    act : callable
        Makes one session.
    size, pace_s : tuple of float
        Range of a campaign's acts a session, and of the seconds between two acts; drawn on a logarithmic scale.
    sessions_an_address : float
        1 for an address that comes once.
    crowd : float
        How many times as many sessions as other kinds; what is low and slow is so by many.
    campaigns : int
        Independent campaigns that make these sessions up, each with its own disguise, pace and size.
    always : tuple of str
        What belongs to the disguise at any mimicry.
    moments : int
        How many moments all sessions gather at; 0 for any time.
    needs : tuple of str
        Columns without which a log can't show it.
    held_out : bool
        Nobody may look at it while a detector is being tuned.
    """

    name: str
    oat: str
    meaning: str
    act: Callable[[Raid], None]
    size: tuple[float, float]
    pace_s: tuple[float, float]
    sessions_an_address: float = 1.0
    crowd: float = 1.0
    campaigns: int = 3
    always: tuple[str, ...] = ()
    moments: int = 0
    needs: tuple[str, ...] = ()
    held_out: bool = False
