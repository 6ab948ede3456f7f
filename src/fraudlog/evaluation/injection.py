"""Attack-shaped traffic put into a log: the same log with campaigns between its lines, and the truth beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, exp, log
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from fraudlog.errors import ConfigError, InputError
from fraudlog.evaluation.kinds import KINDS
from fraudlog.evaluation.raids import Disguise, Plan, Raid
from fraudlog.evaluation.surroundings import Surroundings
from fraudlog.evaluation.visits import Trace
from fraudlog.schema import EVENTS, column_names, require_columns, to_arrow, to_pandas
from fraudlog.sessions import sessionize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fraudlog.enriching import EndpointMap
    from fraudlog.evaluation.raids import Kind

__all__ = ["Campaign", "Injected", "inject", "pick_kinds"]

_FEWEST_SESSIONS: Final = 12
_PLACE: Final = ("source", "line_number")
_OWN: Final = tuple(column_names(EVENTS))


class Injected(NamedTuple):
    """A log with attacks in it.

    Attributes
    ----------
    events : DataFrame of shape (n_events, n_columns)
        The log's own and the made-up events in order of time, numbered anew, so that neither line nor source tells
        them apart.
    labels : DataFrame of shape (n_events, 3)
        Of each event ``kind`` (null for the log's own), ``actor`` (the campaign's address, null likewise) and ``row``
        (place in the log given; null for a made-up event).
    left_out : dict of str to str
        Kinds that this log can't show, and why.
    """

    events: pd.DataFrame
    labels: pd.DataFrame
    left_out: dict[str, str]


@dataclass(frozen=True)
class Campaign:
    """Knobs of the attacks.

    Parameters
    ----------
    share : float, default 0.005
        Sessions of each kind for one of the log's own in the window, times the kind's `crowd`; at least 12.
    rate : float, default 1.0
        2 acts twice as fast, 0.5 half.
    addresses : int, optional
        Addresses of each campaign; default, as the kind has it.
    mimicry : float, default 0.5
        Chance, for each of seven traits, that an attacker looks like the site's visitors in it.
    seed : int, default 0
    """

    share: float = 0.005
    rate: float = 1.0
    addresses: int | None = None
    mimicry: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, is_fine, range_ in (
            ("share", 0 < self.share <= 1, "in (0, 1]"),
            ("rate", self.rate > 0, "above 0"),
            ("mimicry", 0 <= self.mimicry <= 1, "in [0, 1]"),
            ("addresses", self.addresses is None or self.addresses > 0, "at least 1"),
        ):
            if not is_fine:
                raise ConfigError(f"{name} must be {range_}", parameter=name)


def pick_kinds(names: Iterable[str] | None = None) -> list[Kind]:
    """Return the kinds of these names; all by default.

    Raises
    ------
    ConfigError
        If one is not known; the message lists all.
    """
    wanted = None if names is None else list(names)
    known = {kind.name: kind for kind in KINDS}
    if unknown := set(wanted or ()) - known.keys():
        raise ConfigError(f"no kind {', '.join(sorted(unknown))}; known are {', '.join(known)}", parameter="kinds")
    return list(KINDS) if wanted is None else [known[name] for name in wanted]


def inject(
    events: pd.DataFrame,
    kinds: Iterable[str] | None = None,
    campaign: Campaign | None = None,
    *,
    since: pd.Timestamp | None = None,
    endpoints: EndpointMap | None = None,
    agents: Sequence[str] | None = None,
) -> Injected:
    """Put attack-shaped traffic into a log.

    Paths, browsers, networks and accounts are the log's own where it has them; where it has no sign-in or checkout,
    one is made up. Only columns in which the log holds a value are filled, on the log's own clock.

    Parameters
    ----------
    events : DataFrame of shape (n_events, n_columns)
        As from `fraudlog.read_log`; not changed.
    kinds : iterable of str, optional
        Names out of `KINDS`; all by default.
    campaign : Campaign, optional
        Knobs; the same seed gives the same events.
    since : Timestamp, optional
        No attack before; what lies before stays clean, to be learnt from.
    endpoints : EndpointMap, optional
        What the site's paths are; default, the built-in rules.
    agents : sequence of str, optional
        Agents of browsers to hide behind; default, the log's own visitors'.

    Returns
    -------
    Injected

    Raises
    ------
    ConfigError
        If a kind is not known or a knob is out of range.
    InputError
        If no event lies after `since`.

    Examples
    --------
    >>> from fraudlog.evaluation import benign_events
    >>> events, _ = benign_events(days=1, people=20)
    >>> found = inject(events, ["carding"], Campaign(mimicry=0.2))
    >>> found.labels.kind.dropna().unique().tolist()
    ['carding']
    """
    require_columns(events, ["timestamp", "client_ip", "path"], table="events")
    campaign = campaign or Campaign()
    rows = pick_kinds(kinds)
    events = events[[name for name in _OWN if name in events.columns]].reset_index(drop=True)
    late = events if since is None else events[events["timestamp"] >= since]
    if late.empty:
        raise InputError("no event lies in the window that is to be attacked; choose an earlier one")
    stage = Surroundings.of(events, Random(campaign.seed), endpoints=endpoints, agents=agents)
    window = (late["timestamp"].min().timestamp(), late["timestamp"].max().timestamp())
    n_sessions = campaign.share * sessionize(late)["session_id"].nunique()
    trace, left_out = Trace(), {}
    for kind in rows:
        if missing := [name for name in kind.needs if name not in stage.recorded]:
            left_out[kind.name] = f"the log records no {', '.join(missing)}"
            continue
        # Of one kind alone as among others: a kind's draws do not depend on which others were asked for.
        each = max(_FEWEST_SESSIONS, round(n_sessions * kind.crowd)) // kind.campaigns
        for number in range(kind.campaigns):
            rng = Random(f"{campaign.seed}:{kind.name}:{number}")
            _attack(trace, stage, kind, campaign, rng, window, each)
    return _merged(events, trace, stage, left_out)


def _attack(
    trace: Trace, stage: Surroundings, kind: Kind, campaign: Campaign, rng: Random, window: tuple[float, float], n: int
) -> None:
    """Write down all sessions of one campaign."""
    plan = _plan(stage, kind, campaign, rng)
    disguise = Disguise.drawn(rng, campaign.mimicry, kind.always)
    n_addresses = min(n, campaign.addresses or ceil(n / kind.sessions_an_address))
    hosting = stage.hosting(rng)
    profiles = [stage.profile(rng, disguise) for _ in range(_n_profiles(rng, n_addresses, campaign.mimicry))]
    clients = [rng.choice(profiles).at(stage.home(rng, disguise, hosting), rng) for _ in range(n_addresses)]
    name = f"{kind.name}:{rng.getrandbits(32):08x}"
    for number, start in enumerate(_starts(rng, kind, window, n)):
        place = number % n_addresses
        # Whoever loads what a page needs keeps its cookies too.
        token = f"{rng.getrandbits(64):016x}" if disguise.assets and "session_token" in stage.recorded else None
        client = replace(clients[place], session_token=token)
        raid = Raid(trace, stage.site, client, rng, start, (f"{name}:{place}", kind.name))
        raid.protocol = rng.choice(stage.protocols) if disguise.agent else "HTTP/1.1"
        raid.prepare(plan, disguise)
        kind.act(raid)


def _starts(rng: Random, kind: Kind, window: tuple[float, float], n: int) -> list[float]:
    """Return when the sessions begin: around the kind's moments, or all over the window, one in each n-th of it."""
    if kind.moments:
        moments = [rng.uniform(*window) for _ in range(kind.moments)]
        return [rng.choice(moments) + rng.uniform(0, 40) for _ in range(n)]
    span = (window[1] - window[0]) / n
    return [window[0] + span * (place + rng.random()) for place in rng.sample(range(n), n)]


def _plan(stage: Surroundings, kind: Kind, campaign: Campaign, rng: Random) -> Plan:
    return Plan(
        pace_s=_between(rng, kind.pace_s) / campaign.rate,
        size=_between(rng, kind.size),
        jitter=rng.choice((0.0, 0.1, 0.5)),
        target=rng.choice(stage.site.items),
        refusal=rng.choices((402, 400, 422, 200, 302), (40, 20, 20, 10, 10))[0],
        accounts=stage.accounts,
        success=rng.uniform(0.002, 0.03),
    )


def _between(rng: Random, bounds: tuple[float, float]) -> float:
    return exp(rng.uniform(log(bounds[0]), log(bounds[1])))


def _n_profiles(rng: Random, n_addresses: int, mimicry: float) -> int:
    """Return how many different browsers a campaign shows: few without mimicry, up to half its addresses with."""
    return max(1, round(n_addresses * mimicry**2 * rng.uniform(0, 0.5)))


def _merged(events: pd.DataFrame, trace: Trace, stage: Surroundings, left_out: dict[str, str]) -> Injected:
    """Put the made-up events between the log's own, and number all anew."""
    made_up = trace.events()
    if stage.ticks_s >= 1:
        made_up["timestamp"] = made_up["timestamp"].dt.floor("s")
    labels = pd.concat(
        [pd.DataFrame({"kind": None, "actor": None, "row": np.arange(len(events))}),
         pd.DataFrame({"kind": made_up["group"], "actor": made_up["actor"], "row": None})],
        ignore_index=True,
    ).astype({"kind": "str", "actor": "str", "row": "Int64"})  # fmt: skip
    shown = [name for name in events.columns if name in stage.recorded and name in made_up]
    tables = [to_arrow(events.drop(columns=list(_PLACE), errors="ignore"), EVENTS), to_arrow(made_up[shown], EVENTS)]
    both = to_pandas(pa.concat_tables(tables, promote_options="default"))
    order = np.argsort(both["timestamp"].to_numpy(), kind="stable")
    numbered = both.take(order).reset_index(drop=True).assign(source="log", line_number=np.arange(1, len(both) + 1))
    return Injected(numbered, labels.take(order).reset_index(drop=True), left_out)
