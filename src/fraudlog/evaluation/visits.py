"""The pen that made-up traffic is written with: a trace of events, and a visit that one client makes to a site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa

from fraudlog.schema import EVENTS, arrow_schema, to_pandas

if TYPE_CHECKING:
    from random import Random

    from fraudlog.evaluation.clients import Client
    from fraudlog.evaluation.sites import Site

__all__ = ["Trace", "Visit"]

_SCHEMA: Final = {field.name: field.type for field in arrow_schema(EVENTS)}
_WRITTEN: Final = (
    "timestamp", "client_ip", "user", "session_token", "host", "method", "path", "query", "protocol", "status",
    "bytes_sent", "duration_s", "referrer", "user_agent", "language", "ch_ua", "ch_platform", "ch_mobile", "country",
    "asn",
)  # fmt: skip
_CLIENT: Final = ("client_ip", "user", "session_token", "user_agent", "language", "ch_ua", "ch_platform", "ch_mobile",
                  "country", "asn")  # fmt: skip
_NOTHING: Final = frozenset({204, 304})
_BODYLESS: Final = 160


class Trace:
    """Events as they are made up, column by column, each with who made it and what for.

    Attributes
    ----------
    columns : dict of str to list
        Events.
    actors, groups : list of str
        Who each event comes from, and what that one is.
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in _WRITTEN}
        self.actors: list[str] = []
        self.groups: list[str] = []

    def __len__(self) -> int:
        return len(self.actors)

    def add(self, actor: str, group: str, values: dict[str, Any]) -> None:
        """Write one event down; what `values` lacks is null."""
        for name, column in self.columns.items():
            column.append(values.get(name))
        self.actors.append(actor)
        self.groups.append(group)

    def events(self) -> pd.DataFrame:
        """Return the events in order of time, as `fraudlog.read_log` gives them, with ``actor`` and ``group``."""
        columns = self.columns | {"timestamp": [round(second * 1_000) * 1_000 for second in self.columns["timestamp"]]}
        arrays = [
            pa.array(values, _SCHEMA[name] if name != "timestamp" else pa.int64()) for name, values in columns.items()
        ]
        table = pa.table(arrays, names=list(columns))
        place = table.column_names.index("timestamp")
        table = table.set_column(place, "timestamp", table.column("timestamp").cast(_SCHEMA["timestamp"]))
        frame = to_pandas(table).assign(
            actor=pd.array(self.actors, dtype="str"), group=pd.array(self.groups, dtype="str")
        )
        return frame.sort_values("timestamp", kind="stable", ignore_index=True)


class Visit:
    """One client on a site: it moves a clock on and writes down what it asks for.

    Parameters
    ----------
    trace : Trace
        Where the events go.
    site : Site
    client : Client
    rng : Random
    start_s : float
        When it begins, in seconds since 1970.
    who : tuple of str
        The actor and its group, for the truth.

    Attributes
    ----------
    now_s : float
        The visit's clock.
    client : Client
        May change on the way: a person signs in, a phone changes its network.
    """

    def __init__(
        self, trace: Trace, site: Site, client: Client, rng: Random, start_s: float, who: tuple[str, str]
    ) -> None:
        self.trace, self.site, self.client, self.rng, self.now_s = trace, site, client, rng, start_s
        self._who = who
        self._cached: set[str] = set()
        self.before: str | None = None
        self.protocol = "HTTP/2.0"
        self.sends_referrer = True
        self.loads_assets = True

    def wait(self, seconds: float, spread: float = 0.8) -> None:
        """Let time pass: `seconds` at the median, spread as people's pauses are (log-normal), or not at all by 0."""
        self.now_s += seconds * self.rng.lognormvariate(0, spread) if spread else seconds

    def ask(
        self,
        path: str,
        status: int = 200,
        *,
        method: str = "GET",
        query: str | None = None,
        size: int | None = None,
        referrer: str | None = None,
        took_s: float | None = None,
    ) -> None:
        """Write one request down."""
        rng, took = self.rng, took_s if took_s is not None else self.rng.lognormvariate(-3.2, 0.7)
        if size is None:
            size = (
                0
                if status in _NOTHING or method == "HEAD"
                else self.site.weigh(path, rng)
                if status == 200
                else _BODYLESS
            )
        said = referrer or (self.site.origin + self.before if self.before else None)
        values = {name: getattr(self.client, name) for name in _CLIENT}
        self.trace.add(*self._who, values | {
            "timestamp": self.now_s,
            "host": self.site.origin.rpartition("/")[2],
            "method": method,
            "path": path,
            "query": query,
            "protocol": self.protocol,
            "status": status,
            "bytes_sent": size,
            "duration_s": round(took, 3),
            "referrer": said if self.sends_referrer else None,
        })  # fmt: skip
        self.now_s += took

    def open(self, path: str, *, query: str | None = None, referrer: str | None = None, status: int = 200) -> None:
        """Open a page as a browser does: the page, then what it needs and does not have yet."""
        self.ask(path, status, query=query, referrer=referrer)
        self.before = path
        if not self.loads_assets:
            return
        back = self.now_s
        for asset in self.site.needs(path):
            if asset in self._cached:
                continue
            self._cached.add(asset)
            self.now_s = back + self.rng.uniform(0.02, 0.9)
            self.ask(asset)
        self.now_s = max(back, self.now_s)

    def has_seen(self, share: float) -> None:
        """Say that a share of the site's assets is in the browser's cache from an earlier visit."""
        self._cached.update(asset for asset in self.site.assets if self.rng.random() < share)

    def send(self, path: str, status: int = 200, *, leads_to: str | None = None) -> None:
        """Send a form, and follow where it leads."""
        self.ask(path, status, method="POST", took_s=self.rng.lognormvariate(-2.0, 0.5))
        if leads_to is not None:
            self.open(leads_to)
