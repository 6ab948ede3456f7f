"""A first endpoint map for a site, proposed from its log, with the reason for each row.

What the built-in rules know by its form comes first; what they call a page is looked at through its traffic: learnt
assets, feeds that feed readers poll, health checks that come like a clock, forms that are posted and refused, and
scripts of a kind that this site has never answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.enriching.enricher import Enricher
from fraudlog.enriching.learning import AssetRule, looks_like_asset, path_traffic, template
from fraudlog.schema import EVENTS, require_columns, to_arrow

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TRAFFIC_RULES", "TrafficRule", "suggest_endpoints", "write_map"]

_COLUMNS: Final = ("template", "endpoint", "requests", "clients", "paths", "source", "why", "example")
_SCRIPT: Final = r"\.(?:php\d?|phtml|aspx?|cgi|jspx?|do|action|cfm|pl|exe|dll|axd|ashx)$"


@dataclass(frozen=True, slots=True)
class TrafficRule:
    """What the traffic of a path that has the form of a page can say about it.

    Parameters
    ----------
    endpoint : str
        What the path is then.
    why : str
        Reason in words.
    holds : callable
        Takes the table of `path_traffic` with the columns of this module, returns which rows it holds for.
    """

    endpoint: str
    why: str
    holds: Callable[[pd.DataFrame], pd.Series]


TRAFFIC_RULES: Final[tuple[TrafficRule, ...]] = (
    TrafficRule(
        "probe",
        "a script of a kind that this site has never answered",
        lambda row: (row["not_found_share"] >= 0.95) & row["is_script"] & ~row["is_kind_answered"],
    ),
    TrafficRule(
        "asset",
        "pages ask for it along with others, it leads nowhere, its size does not vary",
        lambda row: looks_like_asset(row, AssetRule()) & (row["ok_share"] >= 0.9),
    ),
    TrafficRule(
        "feed",
        "feed readers ask for it again and again, and hardly anybody else",
        lambda row: (row["feed_share"] >= 0.8) & (row["requests"] >= 3 * row["clients"]) & (row["leads"] < 0.2),
    ),
    TrafficRule(
        "health",
        "few clients ask for it like a clock and get the same answer",
        lambda row: (
            (row["requests"] >= 30) & (row["clients"] <= 3) & (row["gap_variation"] <= 0.2) & (row["sizes"] <= 2)
        ),
    ),
    TrafficRule(
        "login",
        "a form that is posted and often refused",
        lambda row: (row["post_share"] >= 0.3) & (row["denied_share"] >= 0.05) & (row["requests"] >= 10),
    ),
    TrafficRule(
        "api",
        "mostly posted to, and never redirects as forms do",
        lambda row: (
            (row["post_share"] >= 0.5)
            & (row["redirect_share"] <= 0.05)
            & (row["ok_share"] >= 0.5)
            & (row["requests"] >= 10)
        ),
    ),
    TrafficRule(
        "page",
        "people open it, and it leads on to other requests",
        lambda row: (row["ok_share"] >= 0.5) & (row["leads"] >= 0.2) & (row["people_clients"] >= 2),
    ),
)
"""Asked in order of every path that the built-in rules call a page."""


def suggest_endpoints(events: pd.DataFrame | pa.Table, *, fewest_requests: int = 3) -> pd.DataFrame:
    """Propose an endpoint map for the site that `events` came from.

    Parameters
    ----------
    events : DataFrame or Table of n rows
        As from `read_log`; needs ``timestamp``, ``client_ip``, ``path`` and ``referrer``.
    fewest_requests : int, default 3
        Paths with fewer requests are left out.

    Returns
    -------
    DataFrame, one row a path template, busiest first
        `template` (numbers as ``{n}``, identifiers as ``{id}``), `endpoint`, `requests`, `clients`, `paths`, `source`
        (form or traffic), `why`, `example`. A path about which nothing can be said is not proposed.

    Raises
    ------
    SchemaError
        If a needed column is missing.
    """
    table = Enricher().table(_known(events))
    traffic = path_traffic(table).join(_more(table))
    traffic = traffic[traffic["requests"] >= fewest_requests]
    if traffic.empty:
        return pd.DataFrame(columns=list(_COLUMNS))
    traffic = traffic.assign(**_decided(traffic)).dropna(subset="endpoint")
    traffic["template"] = [template(path) for path in traffic.index]
    traffic["example"] = traffic.index
    grouped = traffic.sort_values("requests", ascending=False).groupby(
        ["template", "endpoint", "source", "why"], sort=False
    )
    found = grouped.agg(
        requests=("requests", "sum"),
        clients=("clients", "max"),
        paths=("requests", "size"),
        example=("example", "first"),
    ).reset_index()
    return found.sort_values(["requests", "template"], ascending=[False, True], ignore_index=True)[list(_COLUMNS)]


def _known(events: pd.DataFrame | pa.Table) -> pa.Table:
    """Return the requests for a path without a query: a map is one of paths, a query speaks for itself."""
    table = to_arrow(events, EVENTS)
    require_columns(table, ["path"], table="events")
    table = table.filter(pc.is_valid(table["path"]))
    if "query" not in table.column_names:
        return table
    return table.filter(pc.equal(pc.fill_null(pc.utf8_length(table["query"].cast(pa.string())), 0), 0))


def _more(table: pa.Table) -> pd.DataFrame:
    """Return what proposals need beyond `path_traffic`: the usual endpoint, feed readers, rhythm, kinds of script."""
    rows = pd.DataFrame(
        {
            "path": table["path"].to_pandas(),
            "endpoint": table["endpoint"].cast(pa.string()).to_pandas(),
            "time_s": table["timestamp"].cast(pa.int64()).to_numpy() / 1e6,
            "is_feed_reader": _is(table, "bot_category", "feed"),
            "is_ok": table["status"].to_pandas().between(200, 299) if "status" in table.column_names else False,
        }
    )
    rows["kind"] = rows["path"].str.lower().str.extract(f"({_SCRIPT})", expand=False)
    grouped = rows.sort_values("time_s", kind="stable").groupby("path")
    gaps = grouped["time_s"].diff().groupby(rows["path"])
    answered = set(rows.loc[rows["is_ok"], "kind"].dropna())
    first = grouped.agg(
        by_form=("endpoint", _most_common), feed_share=("is_feed_reader", "mean"), kind=("kind", "first")
    )
    return first.assign(
        gap_variation=(gaps.std() / gaps.mean()).fillna(np.inf),
        is_script=first["kind"].notna(),
        is_kind_answered=first["kind"].isin(answered),
    )


def _is(table: pa.Table, column: str, value: str) -> pd.Series | bool:
    if column not in table.column_names:
        return False
    found: pd.Series = pc.fill_null(pc.equal(table[column].cast(pa.string()), value), fill_value=False).to_pandas()
    return found


def _most_common(values: pd.Series) -> str:
    return str(values.value_counts().index[0])


def _decided(traffic: pd.DataFrame) -> dict[str, pd.Series]:
    """Return endpoint, source and reason of each path: the rules' word unless that is "page", else the traffic's."""
    is_open = traffic["by_form"] == "page"
    endpoint = traffic["by_form"].where(~is_open)
    why = pd.Series("its form", index=traffic.index).where(~is_open)
    for rule in TRAFFIC_RULES:
        holds = is_open & endpoint.isna() & rule.holds(traffic)
        endpoint, why = endpoint.mask(holds, rule.endpoint), why.mask(holds, rule.why)
    return {"endpoint": endpoint, "source": is_open.map({True: "traffic", False: "form"}), "why": why}


def write_map(proposals: pd.DataFrame) -> str:
    r"""Return `proposals` as a TOML endpoint map for ``EndpointMap.from_file``.

    What the built-in rules know by its form is left out, and so are pages: the map holds what this site adds.

    Examples
    --------
    >>> row = {"template": "/img/{n}", "endpoint": "asset", "source": "traffic", "why": "it leads nowhere"}
    >>> print(write_map(pd.DataFrame([row | {"requests": 9}])))
    # Proposed by fraudlog from a log; read it, correct it, then give it to EndpointMap.from_file.
    <BLANKLINE>
    [[path]]
    endpoint = "asset"
    patterns = [
      '^/img/\d+$',  # 9 requests: it leads nowhere
    ]
    <BLANKLINE>
    """
    own = proposals[(proposals["source"] == "traffic") & (proposals["endpoint"] != "page")]
    lines = ["# Proposed by fraudlog from a log; read it, correct it, then give it to EndpointMap.from_file.", ""]
    for endpoint, rows in own.groupby("endpoint", sort=False):
        lines += ["[[path]]", f'endpoint = "{endpoint}"', "patterns = ["]
        lines += [
            f"  {_quoted(_pattern(row['template']))},  # {row['requests']} requests: {row['why']}"
            for row in rows.to_dict("records")
        ]
        lines += ["]", ""]
    return "\n".join(lines)


def _pattern(text: str) -> str:
    escaped = re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)
    return "^" + escaped.replace(r"\{n\}", r"\d+").replace(r"\{id\}", "[^/]+") + "$"


def _quoted(pattern: str) -> str:
    """Return a TOML string: literal where it can be, else with escapes, and never with a control character."""
    if "'" not in pattern and pattern.isprintable():
        return f"'{pattern}'"
    escaped = pattern.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in escaped) + '"'
