"""Which value of a record fills which column: the field maps of JSON, W3C, CSV, Parquet and frames.

A *source* is the name of a value: dotted into nested objects (``request.headers.User-Agent``), a number for a list's
item, ``[name]`` for the item of a list of name/value pairs, ``a + b`` for two values joined by a blank. A name that
itself holds dots wins over the nested reading. Of several sources the first that has a value counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ConfigError
from fraudlog.reading.values import READERS
from fraudlog.reading.variables import NGINX, nginx_variable
from fraudlog.schema import EVENTS, column_names

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GENERIC", "Field", "declared", "from_nginx_json", "look_up"]


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a record and the column it fills.

    Parameters
    ----------
    column : str
        Column of ``schema.EVENTS``; empty where the reader fills several.
    sources : tuple of str
        Names to look under, the first with a value counts.
    reader : str
        Name in `values.READERS`; by default what the column needs.
    unit : str
        Unit of a time (s, ms, us, ns, auto) or duration.
    values : mapping of str to str, optional
        New names of values, as ``{"OK": "success"}``.
    """

    column: str
    sources: tuple[str, ...]
    reader: str = ""
    unit: str = "auto"
    values: Mapping[str, str] | None = None


DEFAULT_READERS: Final = {
    "timestamp": "time",
    "client_ip": "address_port",
    "status": "status",
    "bytes_sent": "count",
    "duration_s": "duration",
    "asn": "count",
    "path": "path",
    "query": "query",
    "protocol": "protocol",
}
"""Reader of a column where the field does not name one; ``text`` for the rest."""


def reader_of(field: Field) -> str:
    """Return the name of the reader of a field."""
    return field.reader or DEFAULT_READERS.get(field.column, "text")


def _f(column: str, *sources: str, reader: str = "", unit: str = "auto") -> Field:
    return Field(column, sources, reader, unit)


CLOUDFRONT: Final = (
    _f("timestamp", "date + time"),
    _f("client_ip", "c-ip"),
    _f("host", "x-host-header", "cs(Host)"),
    _f("method", "cs-method"),
    _f("path", "cs-uri-stem"),
    _f("query", "cs-uri-query"),
    _f("protocol", "cs-protocol-version"),
    _f("status", "sc-status"),
    _f("bytes_sent", "sc-bytes"),
    _f("duration_s", "time-taken", unit="s"),
    _f("referrer", "cs(Referer)"),
    _f("user_agent", "cs(User-Agent)"),
    _f("", "x-forwarded-for", reader="forwarded"),
    _f("country", "c-country"),
    _f("asn", "asn"),
)
CLOUDFRONT_JSON: Final = (_f("timestamp", "timestamp", "timestamp(ms)", "date + time"), *CLOUDFRONT[1:])
W3C: Final = (
    _f("timestamp", "date + time", "time"),
    _f("client_ip", "c-ip"),
    _f("user", "cs-username"),
    _f("host", "cs-host", "cs(Host)"),
    _f("method", "cs-method"),
    _f("path", "cs-uri-stem"),
    _f("query", "cs-uri-query"),
    _f("", "cs-uri", reader="uri"),
    _f("protocol", "cs-version"),
    _f("status", "sc-status"),
    _f("bytes_sent", "sc-bytes"),
    _f("duration_s", "time-taken", unit="ms"),
    _f("referrer", "cs(Referer)"),
    _f("user_agent", "cs(User-Agent)"),
    _f("language", "cs(Accept-Language)"),
    _f("", "X-Forwarded-For", "x-forwarded-for", "cs(X-Forwarded-For)", reader="forwarded"),
)
CADDY: Final = (
    _f("timestamp", "ts", unit="s"),
    _f("client_ip", "request.client_ip", "request.remote_ip", "request.remote_addr"),
    _f("user", "user_id"),
    _f("host", "request.host"),
    _f("method", "request.method"),
    _f("", "request.uri", reader="uri"),
    _f("protocol", "request.proto"),
    _f("status", "status"),
    _f("bytes_sent", "size"),
    _f("duration_s", "duration", unit="s"),
    _f("referrer", "request.headers.Referer.0"),
    _f("user_agent", "request.headers.User-Agent.0"),
    _f("language", "request.headers.Accept-Language.0"),
    _f("ch_ua", "request.headers.Sec-Ch-Ua.0"),
    _f("ch_platform", "request.headers.Sec-Ch-Ua-Platform.0"),
    _f("ch_platform_version", "request.headers.Sec-Ch-Ua-Platform-Version.0"),
    _f("ch_mobile", "request.headers.Sec-Ch-Ua-Mobile.0"),
    _f("ch_model", "request.headers.Sec-Ch-Ua-Model.0"),
    _f("", "request.headers.X-Forwarded-For.0", "request.headers.Forwarded.0", reader="forwarded"),
)
TRAEFIK: Final = (
    _f("timestamp", "StartUTC", "time"),
    _f("client_ip", "ClientHost", "ClientAddr"),
    _f("user", "ClientUsername"),
    _f("host", "RequestHost"),
    _f("method", "RequestMethod"),
    _f("", "RequestPath", reader="uri"),
    _f("protocol", "RequestProtocol"),
    _f("status", "DownstreamStatus"),
    _f("bytes_sent", "DownstreamContentSize"),
    _f("duration_s", "Duration", unit="ns"),
    _f("referrer", "request_Referer"),
    _f("user_agent", "request_User-Agent"),
    _f("language", "request_Accept-Language"),
    _f("ch_ua", "request_Sec-Ch-Ua"),
    _f("ch_platform", "request_Sec-Ch-Ua-Platform"),
    _f("ch_mobile", "request_Sec-Ch-Ua-Mobile"),
    _f("", "request_X-Forwarded-For", "request_Forwarded", reader="forwarded"),
)
GCP: Final = (
    _f("timestamp", "timestamp", "receiveTimestamp"),
    _f("client_ip", "httpRequest.remoteIp"),
    _f("method", "httpRequest.requestMethod"),
    _f("", "httpRequest.requestUrl", reader="url"),
    _f("protocol", "httpRequest.protocol"),
    _f("status", "httpRequest.status"),
    _f("bytes_sent", "httpRequest.responseSize"),
    _f("duration_s", "httpRequest.latency", unit="s"),
    _f("referrer", "httpRequest.referer"),
    _f("user_agent", "httpRequest.userAgent"),
    _f("country", "jsonPayload.clientRegion"),
    _f("tls_fingerprint", "jsonPayload.tlsJa4Fingerprint", "jsonPayload.tlsJa3Fingerprint"),
)
CLOUDFLARE: Final = (
    _f("timestamp", "EdgeStartTimestamp"),
    _f("client_ip", "ClientIP"),
    _f("host", "ClientRequestHost"),
    _f("method", "ClientRequestMethod"),
    _f("", "ClientRequestURI", "ClientRequestPath", reader="uri"),
    _f("protocol", "ClientRequestProtocol"),
    _f("status", "EdgeResponseStatus"),
    _f("bytes_sent", "EdgeResponseBytes", "EdgeResponseBodyBytes"),
    _f("duration_s", "EdgeTimeToFirstByteMs", unit="ms"),
    _f("referrer", "ClientRequestReferer"),
    _f("user_agent", "ClientRequestUserAgent"),
    _f("language", "RequestHeaders.accept-language"),
    _f("tls_fingerprint", "JA4", "JA3Hash"),
    _f("country", "ClientCountry"),
    _f("asn", "ClientASN"),
)
AZURE: Final = (
    _f("timestamp", "time"),
    _f("client_ip", "properties.clientIp", "properties.clientIP"),
    _f("host", "properties.hostName"),
    _f("method", "properties.httpMethod"),
    _f("", "properties.requestUri", reader="url"),
    _f("protocol", "properties.requestProtocol"),
    _f("protocol", "properties.httpVersion"),
    _f("status", "properties.httpStatusCode", "properties.httpStatus"),
    _f("bytes_sent", "properties.responseBytes", "properties.sentBytes"),
    _f("duration_s", "properties.timeTaken", unit="s"),
    _f("referrer", "properties.referer", "properties.referrer"),
    _f("user_agent", "properties.userAgent"),
    _f("country", "properties.clientCountry"),
)
AWS_WAF: Final = (
    _f("timestamp", "timestamp", unit="ms"),
    _f("client_ip", "httpRequest.clientIp"),
    _f("host", "httpRequest.headers.[host]"),
    _f("method", "httpRequest.httpMethod"),
    _f("path", "httpRequest.uri"),
    _f("query", "httpRequest.args"),
    _f("protocol", "httpRequest.httpVersion"),
    _f("status", "responseCodeSent"),
    _f("referrer", "httpRequest.headers.[referer]"),
    _f("user_agent", "httpRequest.headers.[user-agent]"),
    _f("language", "httpRequest.headers.[accept-language]"),
    _f("ch_ua", "httpRequest.headers.[sec-ch-ua]"),
    _f("ch_platform", "httpRequest.headers.[sec-ch-ua-platform]"),
    _f("ch_mobile", "httpRequest.headers.[sec-ch-ua-mobile]"),
    _f("tls_fingerprint", "ja4Fingerprint", "ja3Fingerprint"),
    _f("country", "httpRequest.country"),
)
ENVOY_JSON: Final = (
    _f("timestamp", "start_time"),
    _f("client_ip", "downstream_remote_address_without_port", "downstream_remote_address"),
    _f("host", "authority", ":authority"),
    _f("method", "method"),
    _f("", "x-envoy-origin-path", "path", reader="uri"),
    _f("protocol", "protocol"),
    _f("status", "response_code"),
    _f("bytes_sent", "bytes_sent"),
    _f("duration_s", "duration", unit="ms"),
    _f("referrer", "referer"),
    _f("user_agent", "user_agent", "user-agent"),
    _f("", "x_forwarded_for", "x-forwarded-for", reader="forwarded"),
)


def _nginx_fields() -> tuple[Field, ...]:
    """Turn the variables of nginx into fields of the same name; several names of one column are alternatives."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for name, variable in NGINX.items():
        if variable.reader:
            grouped.setdefault((variable.column, _json_reader(variable.reader), variable.unit), []).append(name)
    return tuple(Field(column, tuple(names), reader, unit) for (column, reader, unit), names in grouped.items())


def _json_reader(reader: str) -> str:
    return "time" if reader == "clf_time" else reader


NGINX_JSON: Final = _nginx_fields()
GENERIC: Final = (
    _f("timestamp", "timestamp", "@timestamp", "ts", "time", "datetime", "date_time", "eventTime", "event_time",
       "created_at", "time_local", "time_iso8601", "msec", "date"),
    _f("client_ip", "client_ip", "ip", "remote_addr", "remote_ip", "client.ip", "source.ip", "clientIp", "ip_address",
       "ipAddress", "source_ip", "src_ip", "client.address", "remote_host"),
    _f("user", "user", "user.id", "user.name", "user_id", "userId", "username", "account", "account_id", "login",
       "remote_user"),
    _f("session_token", "session_token", "session_id", "sessionId", "session.id", "session"),
    _f("host", "host", "hostname", "server_name", "http_host", "url.domain"),
    _f("method", "method", "http_method", "request_method", "http.request.method", "request.method"),
    _f("path", "path", "url.path"),
    _f("", "uri", "url", "request_uri", "url.original", "request.uri", "request.url", reader="url"),
    _f("", "request", reader="request"),
    _f("query", "query", "query_string", "url.query", "args"),
    _f("protocol", "protocol", "server_protocol", "http.version"),
    _f("status", "status", "status_code", "http_status", "http.response.status_code", "response.status", "response"),
    _f("bytes_sent", "bytes_sent", "bytes", "body_bytes_sent", "size", "http.response.body.bytes", "response_size"),
    _f("duration_s", "duration_s", "duration", "request_time", "latency", unit="s"),
    _f("duration_s", "duration_ms", "latency_ms", "elapsed_ms", "response_time_ms", unit="ms"),
    _f("referrer", "referrer", "referer", "http_referer", "http_referrer", "http.request.referrer"),
    _f("user_agent", "user_agent", "user_agent.original", "userAgent", "http_user_agent", "ua", "agent"),
    _f("language", "language", "accept_language", "http_accept_language", "acceptLanguage", "lang", "locale",
       "device.language"),
    _f("ch_ua", "ch_ua", "sec_ch_ua", "http_sec_ch_ua"),
    _f("ch_platform", "ch_platform", "sec_ch_ua_platform", "http_sec_ch_ua_platform"),
    _f("ch_platform_version", "ch_platform_version", "sec_ch_ua_platform_version", "http_sec_ch_ua_platform_version"),
    _f("ch_mobile", "ch_mobile", "sec_ch_ua_mobile", "http_sec_ch_ua_mobile"),
    _f("ch_model", "ch_model", "sec_ch_ua_model", "http_sec_ch_ua_model"),
    _f("os", "os", "device.os", "os.name", "device_os", "os_name", "platform", "device.platform"),
    _f("browser", "browser", "device.browser", "browser.name", "browser_name"),
    _f("device_id", "device_id", "deviceId", "device.id", "device.device_id"),
    _f("app_version", "app_version", "appVersion", "app.version", "device.app_version", "client_version"),
    _f("action", "action", "event", "event.action", "event_type", "eventType", "event_name"),
    _f("outcome", "outcome", "event.outcome", "result"),
    _f("tls_fingerprint", "tls_fingerprint", "ja4", "ja3", "ja3_hash", "tls.client.ja3"),
    _f("country", "country", "country_code", "client.geo.country_iso_code", "source.geo.country_iso_code"),
    _f("asn", "asn", "client.as.number", "source.as.number"),
    _f("", "x_forwarded_for", "http_x_forwarded_for", "forwarded", reader="forwarded"),
)  # fmt: skip
"""The usual names in device and application logs, ECS and OpenTelemetry among them."""

_JSON_PAIR = re.compile(r'"([^"]+)"\s*:\s*"?\$\{?(\w+)\}?"?', re.ASCII)


def from_nginx_json(template: str) -> tuple[Field, ...]:
    """Read ``{"ip":"$remote_addr", ...}``, an ``escape=json`` format string, as a field map.

    >>> [field.column for field in from_nginx_json('{"t":"$msec","ip":"$remote_addr"}')]
    ['timestamp', 'client_ip']
    """
    fields = []
    for key, name in _JSON_PAIR.findall(template):
        variable = nginx_variable(name)
        if variable.reader:
            fields.append(Field(variable.column, (key,), _json_reader(variable.reader), variable.unit))
    if not any(field.column == "timestamp" for field in fields):
        raise ConfigError("log format: it has no time; add $time_iso8601 or $msec", parameter="format")
    return tuple(fields)


def declared(fields: Mapping[str, Any], known: tuple[Field, ...] = ()) -> tuple[Field, ...]:
    """Read a caller's map of column to source; it replaces what `known` says of the same columns.

    Parameters
    ----------
    fields : mapping
        Column to source name, tuple of names, or `Field`.
    known : tuple of Field
        What the format itself says.

    Raises
    ------
    ConfigError
        If a column is not in the schema or a reader or unit does not exist.

    Examples
    --------
    >>> declared({"os": "device.os"})[0].sources
    ('device.os',)
    """
    columns = set(column_names(EVENTS)) - {"source", "line_number", "is_truncated"} | {"url", "request", "forwarded"}
    rows = []
    for column, value in fields.items():
        if column not in columns:
            raise ConfigError(
                f"fields: {column!r} is no column of events; there are {', '.join(sorted(columns))}", parameter="fields"
            )
        rows.append(_declare(column, value))
    taken = set(fields)
    return (
        *rows,
        *(field for field in known if field.column not in taken and (field.column or field.reader not in taken)),
    )


def _declare(column: str, value: str | tuple[str, ...] | Field) -> Field:
    composite = column in ("url", "request", "forwarded")
    name, reader = ("", column) if composite else (column, "")
    if not isinstance(value, Field):
        return Field(name, (value,) if isinstance(value, str) else tuple(value), reader)
    if reader_of(value) not in READERS or value.unit not in ("auto", "s", "ms", "us", "ns"):
        raise ConfigError(f"fields: {column!r} names an unknown reader or unit", parameter="fields")
    return Field(name, value.sources, value.reader or reader, value.unit, value.values)


def look_up(record: Mapping[str, Any], source: str) -> Any:  # noqa: ANN401 -- whatever JSON holds there
    """Return the value under a source name, or None.

    >>> look_up({"request": {"headers": {"User-Agent": ["curl/8"]}}}, "request.headers.User-Agent.0")
    'curl/8'
    """
    if source in record:
        return record[source]
    if " + " in source:
        parts = [look_up(record, name) for name in source.split(" + ")]
        return None if any(part is None for part in parts) else " ".join(map(str, parts))
    value: Any = record
    for step in source.split("."):
        value = _step(value, step)
        if value is None:
            return None
    return value


def _step(value: Any, step: str) -> Any:  # noqa: ANN401 -- as above
    if isinstance(value, dict):
        return value.get(step)
    if not isinstance(value, list):
        return None
    if step.startswith("["):
        wanted = step[1:-1]
        return next(
            (item.get("value") for item in value if isinstance(item, dict) and str(item.get("name")).lower() == wanted),
            None,
        )
    return value[int(step)] if step.isdigit() and int(step) < len(value) else None
