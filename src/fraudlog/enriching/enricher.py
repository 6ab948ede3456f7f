"""All derived columns of a table, a frame or one event."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.enriching.agents import NOTHING, AgentFacts, read_agent
from fraudlog.enriching.crawlers import CrawlerVerifier
from fraudlog.enriching.distinct import FactTable, distinct_rows, encode_once, gather
from fraudlog.enriching.endpoints import EndpointMap
from fraudlog.enriching.hints import HINT_COLUMNS, HintFacts, read_hints
from fraudlog.enriching.languages import LanguageFacts, read_language
from fraudlog.enriching.networks import NETWORK_COLUMNS, read_address, read_addresses
from fraudlog.enriching.population import MIX_COLUMNS
from fraudlog.schema import DERIVED, EVENTS, arrow_schema, column_names, is_shielded, to_arrow, to_pandas

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from fraudlog.enriching.geo import GeoSource
    from fraudlog.enriching.networks import NetworkLists
    from fraudlog.enriching.population import SiteMix

__all__ = ["Enricher", "enrich", "enrich_table"]

Frame = TypeVar("Frame", pd.DataFrame, pa.Table)

_TYPES: Final = {field.name: field.type for field in arrow_schema(DERIVED)}
_STORED: Final = {name: (kind.value_type if pa.types.is_dictionary(kind) else kind) for name, kind in _TYPES.items()}
_REMEMBERED: Final = 100_000
_MIX_INPUTS: Final = ("browser", "browser_version", "country", "user", "language_primary")
_OWN_FIRST: Final = ("country", "asn")
_AGENT_FIRST: Final = ("os", "browser")


class Enricher:
    """Adds the derived columns; remembers what it found about each distinct value between calls.

    Parameters
    ----------
    endpoints : EndpointMap, optional
        Default: the built-in rules.
    networks : NetworkLists, optional
        Without it the columns of lists are null.
    geo : GeoSource or sequence of GeoSource, optional
        Without it `country` and `asn` are what the log itself carries.
    crawlers : CrawlerVerifier, optional
        Default: published networks only, no name is looked up.
    mix : SiteMix, optional
        Without it the columns of `population` are left out.
    records : collection of str, optional
        Which of ``language`` and ``ch_ua`` the log records, so that a null says that the header did not come.
        Default: those of which the table at hand holds a value.

    Examples
    --------
    >>> enricher = Enricher()
    >>> agents = pa.array(["curl/8.5.0", "Wget/1.21", "curl/8.5.0"])
    >>> enricher.table(pa.table({"user_agent": agents}))["bot_name"].to_pylist()
    ['curl', 'Wget', 'curl']
    >>> enricher.computed["user_agent"]
    2
    """

    def __init__(
        self,
        *,
        endpoints: EndpointMap | None = None,
        networks: NetworkLists | None = None,
        geo: GeoSource | Sequence[GeoSource] | None = None,
        crawlers: CrawlerVerifier | None = None,
        mix: SiteMix | None = None,
        records: Collection[str] | None = None,
    ) -> None:
        self.endpoints = endpoints or EndpointMap()
        self.networks = networks
        self.geo: tuple[GeoSource, ...] = () if geo is None else (geo,) if hasattr(geo, "columns") else tuple(geo)
        self.crawlers = crawlers or CrawlerVerifier()
        self.mix = mix
        self.records = None if records is None else frozenset(records)
        self._agents = FactTable(read_agent, _fields(AgentFacts._fields))
        self._languages = FactTable(read_language, _fields(LanguageFacts._fields))
        self._read_hints = lru_cache(maxsize=_REMEMBERED)(self._look_at_hints)
        self._read_address = lru_cache(maxsize=_REMEMBERED)(lambda text: read_address(text, lists=self.networks))
        self._addresses_in_tables = 0

    @property
    def computed(self) -> dict[str, int]:
        """How many values of each input were looked at; every distinct value of a table once."""
        return {
            "user_agent": self._agents.computed,
            "language": self._languages.computed,
            "path": self.endpoints.computed,
            "client_ip": self._addresses_in_tables + self._read_address.cache_info().misses,
            "hints": self._read_hints.cache_info().misses,
        }

    @property
    def filled(self) -> dict[str, tuple[int, int]]:
        """How many values of each input are remembered, and how many may be."""
        caches = {"client_ip": self._read_address, "hints": self._read_hints}
        counts = {name: (cache.cache_info().currsize, _REMEMBERED) for name, cache in caches.items()}
        tables = {"user_agent": self._agents.filled, "language": self._languages.filled}
        return tables | {"path": self.endpoints.filled, "crawlers": self.crawlers.filled} | counts

    def table(self, events: pa.Table) -> pa.Table:
        """Return `events` with the columns of `schema.DERIVED` whose inputs it has; existing columns keep their place.

        Raises
        ------
        SchemaError
            If an input column holds another type than the schema says.
        """
        inputs = _inputs(events)
        found: dict[str, pa.Array] = {}
        if is_shielded(events):  # what its addresses said was read before they became pseudonyms
            found |= {name: _flat(events[name]) for name in column_names(DERIVED) if name in events.column_names}
        else:
            for step in (self._agent_columns, self._language_columns, self._address_columns, self._geo_columns):
                found |= step(inputs)
            found |= self._hint_columns(inputs)
            found |= self._crawler_columns(inputs, found)
            if "path" in inputs:
                found["endpoint"] = self.endpoints.column(inputs["path"], inputs.get("query"), inputs.get("status"))
        found |= self._mix_columns(inputs | found)
        for name in (name for name in column_names(DERIVED) if name in found):
            events = _with_column(events, name, found[name].cast(_TYPES[name]))
        return events

    def mixed(self, events: pa.Table) -> pa.Table:
        """Return an enriched table with the columns of `MIX_COLUMNS`, if there is a mix and it has none."""
        inputs = {name: events[name] for name in _MIX_INPUTS if name in events.column_names}
        found = self._mix_columns(inputs) if inputs and MIX_COLUMNS[0][0] not in events.column_names else {}
        for name, column in found.items():
            events = _with_column(events, name, column.cast(_TYPES[name]))
        return events

    def frame(self, events: pd.DataFrame) -> pd.DataFrame:
        """Return a copy of `events` with the derived columns; index and other columns stay as they are."""
        columns = (*DERIVED, *EVENTS) if is_shielded(events) else EVENTS
        known = tuple({column.name: column for column in columns if column.name in events.columns}.values())
        derived = self.table(to_arrow(events[column_names(known)], known))
        added = to_pandas(derived.select([name for name in column_names(DERIVED) if name in derived.column_names]))
        return events.assign(**{name: added[name].set_axis(events.index) for name in added.columns})

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the derived columns of one event, as `table` gives them for its row.

        For a service, which knows the headers: a key with None says that the header did not come. Takes microseconds
        for values seen before. Databases and names are asked as in `table`.
        """
        found: dict[str, Any] = {}
        facts = NOTHING
        if "user_agent" in event:
            facts = AgentFacts._make(self._agents.one(event["user_agent"]))
            found |= facts._asdict()
            for name in _AGENT_FIRST:
                found[name] = found[name] if found[name] is not None else event.get(name)
        if "language" in event:
            found |= zip(LanguageFacts._fields, self._languages.one(event["language"]), strict=True)
            found["is_language_absent"] = event["language"] is None if self._may_miss("language") else None
        if "client_ip" in event:
            found |= zip(NETWORK_COLUMNS, self._read_address(event["client_ip"]), strict=True)
        found |= self._geo_of(event)
        if any(name in event for name in HINT_COLUMNS):
            hints = self._read_hints(event.get("user_agent"), tuple(event.get(name) for name in HINT_COLUMNS))
            found |= (
                hints if "ch_ua" in event and self._may_miss("ch_ua") else hints._replace(is_ch_missing=None)
            )._asdict()
        if "user_agent" in event and "client_ip" in event:
            found["crawler_state"] = self._state_of(event, facts)
        if "path" in event:
            found["endpoint"] = self.endpoints.one(event["path"], event.get("query"), event.get("status"))
        if self.mix is not None:
            known = {**event, **found}
            found |= zip((name for name, _ in MIX_COLUMNS), self.mix.row(*map(known.get, _MIX_INPUTS)), strict=True)
        return found

    def _look_at_hints(self, agent: str | None, hints: tuple[str | None, ...]) -> HintFacts:
        return read_hints(agent, AgentFacts._make(self._agents.one(agent)), hints)

    def _may_miss(self, name: str) -> bool:
        return self.records is None or name in self.records

    def _agent_columns(self, inputs: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.Array]:
        if "user_agent" not in inputs:
            return {}
        found = self._agents.lookup(inputs["user_agent"])
        for name in _AGENT_FIRST:
            if name in inputs:
                found[name] = pc.coalesce(found[name].cast(pa.string()), _flat(inputs[name]))
        return found

    def _language_columns(self, inputs: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.Array]:
        if "language" not in inputs:
            return {}
        absent = _flat(pc.is_null(inputs["language"]))
        if not self._is_recorded("language", inputs):
            absent = pa.nulls(len(absent), pa.bool_())
        return {**self._languages.lookup(inputs["language"]), "is_language_absent": absent}

    def _is_recorded(self, name: str, inputs: Mapping[str, pa.ChunkedArray]) -> bool:
        """Return whether a null in column `name` says that the header did not come."""
        if name not in inputs:
            return False
        return inputs[name].null_count < len(inputs[name]) if self.records is None else name in self.records

    def _address_columns(self, inputs: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.Array]:
        if "client_ip" not in inputs:
            return {}
        encoded = encode_once(inputs["client_ip"])
        self._addresses_in_tables += len(encoded.dictionary)
        found = read_addresses(encoded.dictionary, lists=self.networks)
        return {name: gather(column, encoded.indices) for name, column in found.items()}

    def _geo_columns(self, inputs: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.Array]:
        """Return country, asn and organisation: the log's own values first, then each source in order."""
        found: dict[str, pa.Array] = {name: _flat(inputs[name]) for name in _OWN_FIRST if name in inputs}
        if "client_ip" not in inputs or not self.geo:
            return found
        encoded = encode_once(inputs["client_ip"])
        for source in self.geo:
            for name, column in source.columns(encoded.dictionary).items():
                rows = column.cast(_STORED[name]).take(encoded.indices)
                found[name] = pc.coalesce(found[name], rows) if name in found else rows
        return found

    def _geo_of(self, event: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: event[name] for name in _OWN_FIRST if name in event}
        if not self.geo or "client_ip" not in event:
            return own
        table = {"client_ip": pa.chunked_array([pa.array([event["client_ip"]], pa.string())])}
        found = {name: column[0].as_py() for name, column in self._geo_columns(table).items()}
        return found | {name: value for name, value in own.items() if value is not None}

    def _hint_columns(self, inputs: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.Array]:
        if not any(name in inputs for name in HINT_COLUMNS):
            return {}
        names = [name for name in ("user_agent", *HINT_COLUMNS) if name in inputs]
        columns = {name: encode_once(inputs[name]) for name in names}
        first, combination = distinct_rows(list(columns.values()))
        values = {name: column.take(pa.array(first)).to_pylist() for name, column in columns.items()}
        nothing = [None] * len(first)
        agents = values.get("user_agent", nothing)
        hints = zip(*(values.get(name, nothing) for name in HINT_COLUMNS), strict=True)
        rows = [self._read_hints(agent, hint) for agent, hint in zip(agents, hints, strict=True)]
        if not self._is_recorded("ch_ua", inputs):
            rows = [row._replace(is_ch_missing=None) for row in rows]
        return {
            name: gather(pa.array([getattr(row, name) for row in rows], _STORED[name]), combination)
            for name in HintFacts._fields
        }

    def _crawler_columns(
        self, inputs: Mapping[str, pa.ChunkedArray], found: Mapping[str, pa.Array]
    ) -> dict[str, pa.Array]:
        if "user_agent" not in inputs or "client_ip" not in inputs:
            return {}
        days = _days(inputs.get("timestamp"), len(inputs["user_agent"]))
        keys = [
            encode_once(inputs["user_agent"]),
            encode_once(inputs["client_ip"]),
            encode_once(pa.array(days).cast(pa.string())),
        ]
        first, combination = distinct_rows(keys)
        rows = pa.array(first)
        agents, addresses = (key.take(rows).to_pylist() for key in keys[:2])
        categories = found["bot_category"].take(rows).to_pylist()
        moments = np.array([np.nan if day is None else day for day in days.take(rows).to_pylist()], float)
        states = self.crawlers.states(agents, addresses, categories, moments)
        return {"crawler_state": gather(pa.array(states, pa.string()), combination)}

    def _state_of(self, inputs: Mapping[str, Any], facts: AgentFacts) -> str | None:
        moment = inputs.get("timestamp")
        day = np.nan if moment is None else _day(moment)
        return self.crawlers.state(inputs["user_agent"], inputs["client_ip"], facts.bot_category, day)

    def _mix_columns(self, columns: Mapping[str, Any]) -> dict[str, pa.Array]:
        if self.mix is None:
            return {}
        size = len(next(iter(columns.values()))) if columns else 0
        keys = [
            encode_once(_text(columns[name]) if name in columns else pa.nulls(size, pa.string()))
            for name in _MIX_INPUTS
        ]
        first, combination = distinct_rows(keys)
        values = zip(*(key.take(pa.array(first)).to_pylist() for key in keys), strict=True)
        rows = [self.mix.row(*row) for row in values]
        transposed = zip(*rows, strict=True) if rows else ((),) * len(MIX_COLUMNS)
        return {
            name: gather(pa.array(facts, kind), combination)
            for (name, kind), facts in zip(MIX_COLUMNS, transposed, strict=True)
        }


def _fields(names: Iterable[str]) -> list[tuple[str, pa.DataType]]:
    return [(name, _STORED[name]) for name in names]


def _inputs(events: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the columns of events that are known, with the types the schema declares."""
    known = to_arrow(events, EVENTS)
    return {name: known[name] for name in known.column_names}


def _flat(column: pa.ChunkedArray) -> pa.Array:
    plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    whole = plain.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks or [pa.array([], plain.type)])


def _text(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return column if pa.types.is_dictionary(column.type) else column.cast(pa.string())


def _day(moment: Any) -> float:  # noqa: ANN401 -- what a service calls a time
    """Return the day of a time, counted from 1970; an integer is in microseconds, as in a live session."""
    if type(moment) is int:
        return moment // 86_400_000_000
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        return moment.toordinal() - 719_163 if moment.tzinfo is UTC else moment.timestamp() // 86_400
    return float(pd.Timestamp(moment).timestamp() // 86_400)


def _days(timestamps: pa.ChunkedArray | None, size: int) -> pa.Array:
    """Return the day of each event counted from 1970, null where unknown."""
    if timestamps is None:
        return pa.nulls(size, pa.int64())
    return _flat(pc.divide(timestamps.cast(pa.int64()), 86_400_000_000))


def _with_column(events: pa.Table, name: str, column: pa.Array) -> pa.Table:
    if name in events.column_names:
        return events.set_column(events.column_names.index(name), name, column)
    return events.append_column(name, column)


def enrich_table(events: pa.Table, enricher: Enricher | None = None) -> pa.Table:
    """Return an Arrow table of events with the derived columns added.

    Parameters
    ----------
    events : Table of n rows
        Columns of `schema.EVENTS`, any of which may be missing. Strings may be plain or dictionary encoded.
    enricher : Enricher, optional
        Keeps what was found between the batches of a log; without it each call starts anew.

    Returns
    -------
    Table of n rows
        The columns of `schema.DERIVED` whose inputs the table has come behind, or in place of a column of their name.

    Raises
    ------
    SchemaError
        If an input column holds another type than the schema says.

    Examples
    --------
    >>> enrich_table(pa.table({"path": ["/wp-login.php", "/logo.png"]}))["endpoint"].to_pylist()
    ['login', 'asset']
    """
    return (enricher or Enricher()).table(events)


def enrich(events: Frame, enricher: Enricher | None = None) -> Frame:
    """Add what agents, languages, addresses and paths say to a table of events.

    Parameters
    ----------
    events : DataFrame or Table of n rows
        As from `read_log`; any column may be missing.
    enricher : Enricher, optional
        Endpoint map, network lists, databases and the site's mix; also remembers values between calls.

    Returns
    -------
    DataFrame or Table of n rows
        Of the kind given, with the columns of `fraudlog.schema.DERIVED` whose inputs the table has. A device log's own
        `os` and `browser` stay where the agent says nothing.

    Raises
    ------
    SchemaError
        If an input column holds another type than the schema says.

    Examples
    --------
    >>> events = pd.DataFrame({"user_agent": ["Wget/1.21.3"], "client_ip": ["198.51.100.9"], "path": ["/.env"]})
    >>> enrich(events)[["bot_category", "ip_prefix", "endpoint"]].iloc[0].tolist()
    ['tool', '198.51.100.0/24', 'probe']
    """
    enricher = enricher or Enricher()
    return enricher.table(events) if isinstance(events, pa.Table) else enricher.frame(events)
