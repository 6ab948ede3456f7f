"""What the traffic itself says about paths: how people come to them, how soon, and how their answers vary.

An asset is asked for by a page, along with others, again and again with the same answer, and leads nowhere. Its name
need not end in `.css`: the referrer and the size tell it from a page where the extension is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.enriching.agents import read_agent
from fraudlog.enriching.distinct import encode_once
from fraudlog.schema import EVENTS, require_columns, to_arrow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    import numpy.typing as npt

__all__ = ["AssetRule", "learn_assets", "path_traffic"]

_NEEDED: Final = ("timestamp", "client_ip", "path", "referrer")
_TOGETHER: Final = 3


@dataclass(frozen=True, slots=True)
class AssetRule:
    """From when on a path counts as an asset.

    Parameters
    ----------
    requests, clients : int
        Fewest requests by people, and fewest of their addresses.
    referred_share : float
        Least share of requests that came from a page of this site.
    together_share : float
        Least share of those that came along with others of the same page within a minute.
    leads : float
        Most requests that a request of the path leads to: a page leads to its own assets, an asset to nothing.
    sizes : int
        Most different sizes of its answers.
    """

    requests: int = 5
    clients: int = 3
    referred_share: float = 0.85
    together_share: float = 0.6
    leads: float = 0.1
    sizes: int = 2


def learn_assets(events: pd.DataFrame | pa.Table, rule: AssetRule | None = None) -> list[str]:
    """Return the paths that behave like assets, whatever they are called.

    Parameters
    ----------
    events : DataFrame or Table of n rows
        Needs ``timestamp``, ``client_ip``, ``path`` and ``referrer``; agent, status and size help.
    rule : AssetRule, optional

    Returns
    -------
    list of str
        For ``EndpointMap(assets=...)``.

    Raises
    ------
    SchemaError
        If a needed column is missing.
    """
    traffic = path_traffic(events)
    return list(traffic.index[looks_like_asset(traffic, rule or AssetRule())])


def looks_like_asset(traffic: pd.DataFrame, rule: AssetRule) -> pd.Series:
    """Return which rows of `path_traffic` fulfil `rule`."""
    return (
        (traffic["people_requests"] >= rule.requests)
        & (traffic["people_clients"] >= rule.clients)
        & (traffic["referred_share"] >= rule.referred_share)
        & (traffic["together_share"] >= rule.together_share)
        & (traffic["leads"] <= rule.leads)
        & (traffic["sizes"] <= rule.sizes)
        & (traffic["get_share"] >= 0.99)
    )


def path_traffic(events: pd.DataFrame | pa.Table) -> pd.DataFrame:
    """Return how each path is used.

    Parameters
    ----------
    events : DataFrame or Table of n rows
        As for `learn_assets`.

    Returns
    -------
    DataFrame, one row a path
        `requests` and `clients` of all; of people (agents that name no program) `people_requests`, `people_clients`,
        `referred_share` (came from a page of this site), `together_share` (of those, within a minute in which the
        client asked for three paths or more from that page), `leads` (requests that came from this path, for each
        request of it), `pages` (distinct pages it came from); `sizes` (distinct sizes of answers 200), `median_bytes`,
        `get_share`, `post_share`, `ok_share`, `not_found_share`, `redirect_share`, `denied_share` (401, 403) and
        `query_share`.

    Raises
    ------
    SchemaError
        If a needed column is missing.
    """
    require_columns(events, _NEEDED, table="events")
    rows = _rows(to_arrow(events, EVENTS))
    everybody = _shares(rows)
    people = rows[rows["is_person"]]
    referred = people[people["referrer_path"].notna() & (people["referrer_path"] != people["path"])]
    together = referred.assign(is_together=_is_together(referred))
    found = everybody.join(
        pd.DataFrame(
            {
                "people_requests": people.groupby("path").size(),
                "people_clients": people.groupby("path")["client"].nunique(),
                "referred": referred.groupby("path").size(),
                "together_share": together.groupby("path")["is_together"].mean(),
                "pages": referred.groupby("path")["referrer_path"].nunique(),
                "leads": referred.groupby("referrer_path").size(),
            }
        ),
    )
    counted = ["people_requests", "people_clients", "referred", "together_share", "pages", "leads"]
    found[counted] = found[counted].fillna(0.0)
    at_least_one = found["people_requests"].clip(lower=1)
    return found.assign(referred_share=found["referred"] / at_least_one, leads=found["leads"] / at_least_one).drop(
        columns="referred"
    )


def _rows(table: pa.Table) -> pd.DataFrame:
    """Return the columns needed as plain pandas, with each distinct agent and referrer looked at once."""
    table = table.filter(pc.is_valid(table["path"]))
    columns = set(table.column_names)
    rows = pd.DataFrame(
        {
            "time_s": table["timestamp"].cast(pa.int64()).to_numpy() / 1e6,
            "client": encode_once(table["client_ip"]).indices.to_numpy(zero_copy_only=False),
            "path": table["path"].to_pandas(),
        }
    )
    for name, kind in (("status", "float64"), ("bytes_sent", "float64")):
        rows[name] = table[name].to_pandas().astype(kind) if name in columns else np.nan
    rows["method"] = table["method"].cast(pa.string()).to_pandas() if "method" in columns else "GET"
    has_query = pc.greater(pc.utf8_length(table["query"].cast(pa.string())), 0) if "query" in columns else None
    rows["has_query"] = False if has_query is None else pc.fill_null(has_query, fill_value=False).to_pandas()
    rows["is_person"] = _each(table["user_agent"], _is_person).astype(bool) if "user_agent" in columns else True
    rows["referrer_path"] = _own_referrers(table["referrer"], set(rows["path"]))
    return rows


def _each(column: pa.ChunkedArray, look: Callable[[str | None], Any]) -> npt.NDArray[np.object_]:
    """Return what `look` says of each row, having asked it once for each distinct value."""
    encoded = encode_once(column)
    values = np.array([look(value) for value in [*encoded.dictionary.to_pylist(), None]], dtype=object)
    rows: npt.NDArray[np.intp] = pc.fill_null(encoded.indices, len(values) - 1).to_numpy()
    return values[rows]


def _is_person(agent: str | None) -> bool:
    return read_agent(agent).is_automation is False


def _own_referrers(referrers: pa.ChunkedArray, paths: set[str]) -> npt.NDArray[np.object_]:
    """Return the path of each referrer on this site, else None.

    The site's own hosts are those whose referrers mostly lead to paths of this log: foreign sites share few paths with
    it besides the root.
    """
    parts = {value: _split(value) for value in encode_once(referrers).dictionary.to_pylist()}
    hits: dict[str, list[int]] = {}
    for host, path in parts.values():
        if path and path != "/":
            hits.setdefault(host, []).append(path in paths)
    own = {host for host, found in hits.items() if host and sum(found) >= max(2, 0.6 * len(found))}

    def look(value: str | None) -> str | None:
        host, path = parts.get(value or "", ("", ""))
        return path if host in own else None

    return _each(referrers, look)


def _split(referrer: str) -> tuple[str, str]:
    try:
        parts = urlsplit(referrer)
    except ValueError:
        return "", ""
    return (parts.hostname or "").removeprefix("www."), parts.path or "/"


def _is_together(referred: pd.DataFrame) -> pd.Series:
    """Return for each request whether its client asked for three paths or more from the same page in that minute.

    The minute, since a log's seconds need not be in order, nor exact.
    """
    groups = referred.assign(minute=referred["time_s"] // 60).groupby(["client", "referrer_path", "minute"])
    return groups["path"].transform("nunique") >= _TOGETHER


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    status = rows["status"]
    flags: Mapping[str, pd.Series] = {
        "get_share": rows["method"].isin(["GET", "HEAD"]),
        "post_share": rows["method"] == "POST",
        "ok_share": status.between(200, 299) | (status == 304),
        "not_found_share": status.isin([404, 410]),
        "redirect_share": status.isin([301, 302, 303, 307, 308]),
        "denied_share": status.isin([401, 403]),
        "query_share": rows["has_query"].astype(bool),
    }
    grouped = rows.assign(**flags).groupby("path")
    ok = rows[status == 200].groupby("path")["bytes_sent"]
    return (
        pd.DataFrame(
            {
                "requests": grouped.size(),
                "clients": grouped["client"].nunique(),
                **{name: grouped[name].mean() for name in flags},
            }
        )
        .join(pd.DataFrame({"sizes": ok.nunique(), "median_bytes": ok.median()}))
        .fillna({"sizes": 0})
    )


def template(path: str) -> str:
    """Return `path` with what varies in it replaced: numbers, dates, identifiers.

    >>> template("/orders/8821/items/3f2504e0-4f89-11d3-9a0c-0305e82c3301")
    '/orders/{n}/items/{id}'
    """
    return "/".join(_segment(unquote(part)) for part in path.split("/"))


def _segment(part: str) -> str:
    if part.isdigit():
        return "{n}"
    letters = part.replace("-", "")
    has_digit = any(letter.isdigit() for letter in letters)
    is_hex = all(letter in "0123456789abcdefABCDEF" for letter in letters)
    is_token = len(part) >= 16 and part.isalnum()
    return "{id}" if has_digit and ((len(letters) >= 8 and is_hex) or is_token) else part
