"""What the tests of serving share: requests, and a detector that learnt from the sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fraudlog.schema import EVENTS

if TYPE_CHECKING:
    import pyarrow as pa

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
START_US = 1_760_000_000_000_000
KEY = b"a key of the tests, 32 bytes lon"


def request(second: float = 0.0, ip: str = "203.0.113.9", **more: Any) -> dict[str, Any]:
    """One request of a person."""
    return {
        "timestamp": START_US + int(second * 1_000_000),
        "client_ip": ip,
        "method": "GET",
        "path": "/",
        "status": 200,
        "bytes_sent": 1000,
        "referrer": None,
        "user_agent": FIREFOX,
        "language": "en",
        **more,
    }


def probe(second: float = 0.0, ip: str = "203.0.113.9", **more: Any) -> dict[str, Any]:
    """One request of a scanner."""
    return request(second, ip, **{"path": "/.env", "status": 404, "user_agent": "sqlmap/1.7", "language": None} | more)


def events_in_order(table: pa.Table) -> list[dict[str, Any]]:
    """The events of a log as a service would have had them: without the columns that it does not record."""
    own = {column.name for column in EVENTS}
    names = [name for name in table.column_names if name in own and table[name].null_count < len(table)]
    ordered = table.select(names).sort_by([("timestamp", "ascending"), ("line_number", "ascending")])
    rows: list[dict[str, Any]] = ordered.to_pylist()
    return rows
