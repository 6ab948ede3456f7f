"""Every format, one row each: how its lines are built, how values are escaped, and why.

``text`` formats are templates in nginx's notation (names in `variables.NGINX`); ``json``, ``w3c``, ``csv`` and
``frame`` are field maps (`fields`). The order of rows breaks ties: what is more specific stands first. Other packages
add rows through the entry point group ``fraudlog.formats``, whose objects are `Format` rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, Literal

from fraudlog.errors import ConfigError
from fraudlog.reading import fieldmaps
from fraudlog.reading.layout import Layout, compile_apache, compile_nginx

if TYPE_CHECKING:
    from fraudlog.reading.fieldmaps import Field

__all__ = ["FORMATS", "Format", "all_formats", "find_format", "is_template"]

Family = Literal["text", "json", "w3c", "csv", "frame"]


@dataclass(frozen=True)
class Format:
    """One log format.

    Parameters
    ----------
    name : str
        What ``format=`` takes and summaries say.
    family : str
        How a line is taken apart: text, json, w3c, csv or frame.
    reason : str
        Where the rules come from.
    templates : tuple of str
        Text: layouts in nginx's notation, tried in order.
    escapes : str
        Text and W3C: style of escapes, one of `escapes.STYLES`.
    is_open : bool
        Text: further values may follow and are read over.
    fields : tuple of Field
        The other families: which value fills which column.
    needs : tuple of str
        JSON: names that a record must have for the format to be detected.
    appends_peer : bool
        The server appends the peer's address to ``X-Forwarded-For`` before logging it, so its last hop is believed.
    """

    name: str
    family: Family
    reason: str
    templates: tuple[str, ...] = ()
    escapes: str = "c"
    is_open: bool = False
    fields: tuple[Field, ...] = ()
    needs: tuple[str, ...] = ()
    appends_peer: bool = False
    layouts: tuple[Layout, ...] = field(default=(), compare=False)

    def with_layouts(self) -> Format:
        """Return the row with its templates compiled."""
        if self.layouts or not self.templates:
            return self
        compiled = tuple(compile_nginx(text, escapes=self.escapes, is_open=self.is_open) for text in self.templates)
        return replace(self, layouts=compiled)


_CORE = '[$time_local] "$request" $status $body_bytes_sent'
_COMBINED = f'{_CORE} "$http_referer" "$http_user_agent"'
_ENVOY_HEAD = '[$iso_time] "$request" $status $response_flags'
_ENVOY_TAIL = (
    '$bytes_received $bytes_sent $duration_ms $upstream_time "$http_x_forwarded_for" "$http_user_agent" "$request_id" '
    '"$http_host" "$free_upstream_host"'
)
_HAPROXY = (
    "$client_and_port [$time_local] $frontend $backend "
    "$time_request/$time_queue/$time_connect/$time_response/$duration_ms $status $bytes_sent "
    "$captured_request_cookie $captured_response_cookie $termination_state $connections $queues "
)
_S3 = (
    "$bucket_owner $host [$time_local] $remote_addr $requester $request_number $operation $key "
    '"$request" $status $error_code $bytes_sent $object_size $duration_ms $turnaround_time '
    '"$http_referer" "$http_user_agent"'
)
_ALB = (
    "$type $iso_time $elb $client_and_port $target_and_port $duration_part $duration_part $duration_part $status "
    '$target_status $received_bytes $bytes_sent "$request_url" "$http_user_agent" $ssl_cipher $ssl_protocol'
)
_ELB = (
    "$iso_time $elb $client_and_port $target_and_port $duration_part $duration_part $duration_part $status "
    '$target_status $received_bytes $bytes_sent "$request_url"'
)

FORMATS: Final[tuple[Format, ...]] = (
    Format(
        "vhost_combined",
        "text",
        "Debian's Apache LogFormat vhost_combined; nginx with $host in front",
        (
            f"$host:$server_port $vhost_client $ident $remote_user {_COMBINED}",
            f"$host $vhost_client $ident $remote_user {_COMBINED}",
        ),
        is_open=True,
    ),
    Format(
        "bunkerweb",
        "text",
        "BunkerWeb's nginx log_format: combined behind host and request id",
        (
            f"$host $vhost_client - $request_id $remote_user {_COMBINED}",
            f"$host $vhost_client $ident $remote_user {_COMBINED}",
        ),
        is_open=True,
    ),
    Format(
        "traefik_clf",
        "text",
        "Traefik pkg/middlewares/accesslog/logger_formatters.go: combined, then count, router, server, duration; "
        "strings by Go's strconv.Quote",
        (f'$remote_addr $ident $remote_user {_COMBINED} $request_count "$free_router" "$free_server" $go_duration',),
        escapes="go",
    ),
    Format(
        "combined",
        "text",
        "Apache mod_log_config manual, nginx ngx_http_log_module: the log of most servers",
        (f"$remote_addr $ident $remote_user {_COMBINED}",),
        is_open=True,
    ),
    Format(
        "common",
        "text",
        "the Common Log Format of NCSA httpd; Apache mod_log_config manual",
        (f"$remote_addr $ident $remote_user {_CORE}",),
    ),
    Format(
        "nginx_proxy_manager",
        "text",
        "Nginx Proxy Manager's log_format proxy and standard; its default hosts log combined into the same folder",
        (
            (
                "[$time_local] $upstream_cache_status $upstream_status $status - $request_method $scheme $host "
                '"$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] [Sent-to '
                '$free_server] "$http_user_agent" "$http_referer"'
            ),
            (
                "[$time_local] $status - $request_method $scheme $host "
                '"$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] '
                '"$http_user_agent" "$http_referer"'
            ),
            f"$remote_addr $ident $remote_user {_COMBINED}",
        ),
    ),
    Format(
        "zoraxy",
        "text",
        "Zoraxy src/mod/dynamicproxy/logger: router, origin, client and agent in brackets, nothing escaped",
        (
            (
                "$log_date $log_time [$iso_time] [router:$router] [origin:$host] [client: $client_maybe_port] "
                "[useragent: $http_user_agent] $request_method $request_uri $status"
            ),
            (
                "[$iso_time] [router:$router] [origin:$host] [client: $client_maybe_port] [useragent: "
                "$http_user_agent] $request_method $request_uri $status"
            ),
        ),
        escapes="none",
    ),
    Format(
        "haproxy_http",
        "text",
        "HAProxy configuration manual 8.2.3, HTTP log format; captured headers in braces; times without zone",
        (
            _HAPROXY + '"$request"',
            _HAPROXY + '{$free_request_headers} "$request"',
            _HAPROXY + '{$free_request_headers} {$free_response_headers} "$request"',
        ),
        escapes="hash",
    ),
    Format(
        "envoy",
        "text",
        "Envoy access log documentation, default format string; headers are not escaped; Envoy appends the peer to "
        "X-Forwarded-For (use_remote_address)",
        (
            f"{_ENVOY_HEAD} {_ENVOY_TAIL}",
            f'{_ENVOY_HEAD} $response_code_details $connection_termination "$free_upstream_failure" ' + _ENVOY_TAIL,
        ),
        escapes="none",
        is_open=True,
        appends_peer=True,
    ),
    Format(
        "aws_alb",
        "text",
        "AWS: access logs for your Application Load Balancer; fields are only ever appended",
        (_ALB,),
        is_open=True,
    ),
    Format(
        "aws_elb",
        "text",
        "AWS: access logs for your Classic Load Balancer; agent and cipher since 2014-03",
        (_ELB + ' "$http_user_agent" $ssl_cipher $ssl_protocol', _ELB),
        is_open=True,
    ),
    Format(
        "aws_s3",
        "text",
        "AWS: Amazon S3 server access log format; fields are only ever appended",
        (_S3,),
        is_open=True,
    ),
    Format(
        "cloudfront",
        "w3c",
        "AWS: CloudFront standard logs: W3C with tabs, values URL-encoded, time-taken in seconds",
        escapes="url",
        fields=fieldmaps.CLOUDFRONT,
        needs=("x-edge-location",),
    ),
    Format(
        "w3c",
        "w3c",
        "W3C Extended Log File Format draft; IIS: blanks in agents as plus signs, time-taken in milliseconds, UTC",
        escapes="none",
        fields=fieldmaps.W3C,
    ),
    Format("caddy", "json", "Caddy modules/caddyhttp/logging.go", fields=fieldmaps.CADDY, needs=("request.uri", "ts")),
    Format(
        "traefik_json",
        "json",
        "Traefik pkg/middlewares/accesslog/logdata.go; durations in nanoseconds",
        fields=fieldmaps.TRAEFIK,
        needs=("ClientHost", "RequestPath"),
    ),
    Format(
        "gcp_load_balancer",
        "json",
        "Google Cloud: HttpRequest in LogEntry; latency as '0.012s'",
        fields=fieldmaps.GCP,
        needs=("httpRequest.requestUrl",),
    ),
    Format(
        "cloudflare_logpush",
        "json",
        "Cloudflare Logpush dataset http_requests; timestamps as RFC 3339, seconds or nanoseconds",
        fields=fieldmaps.CLOUDFLARE,
        needs=("EdgeStartTimestamp", "ClientIP"),
    ),
    Format(
        "azure_front_door",
        "json",
        "Azure Front Door: FrontDoorAccessLog properties; timeTaken in seconds",
        fields=fieldmaps.AZURE,
        needs=("properties.requestUri",),
    ),
    Format(
        "aws_waf",
        "json",
        "AWS WAF: log fields for a protection pack; headers are a list of name and value",
        fields=fieldmaps.AWS_WAF,
        needs=("httpRequest.clientIp", "webaclId"),
    ),
    Format(
        "cloudfront_json",
        "json",
        "AWS: CloudFront standard logs v2 and real-time logs as JSON: the field names of the W3C log",
        fields=fieldmaps.CLOUDFRONT_JSON,
        needs=("c-ip", "sc-status"),
    ),
    Format(
        "envoy_json",
        "json",
        "Envoy's typed JSON log with the names of Istio's and Envoy Gateway's defaults",
        fields=fieldmaps.ENVOY_JSON,
        needs=("start_time", "response_code"),
        appends_peer=True,
    ),
    Format(
        "nginx_json",
        "json",
        "nginx log_format escape=json whose keys are the variables' names",
        fields=fieldmaps.NGINX_JSON,
        needs=("remote_addr", "status"),
    ),
    Format("json", "json", "device and application logs as JSON lines; usual names", fields=fieldmaps.GENERIC),
    Format("csv", "csv", "device and application logs as CSV with a header; usual names", fields=fieldmaps.GENERIC),
    Format("frame", "frame", "Parquet files and data frames; usual names", fields=fieldmaps.GENERIC),
)
"""All built-in formats."""


@cache
def all_formats() -> dict[str, Format]:
    """Return every row by name, with those of entry points, compiled.

    >>> all_formats()["common"].family
    'text'
    """
    rows = list(FORMATS)
    for entry in entry_points(group="fraudlog.formats"):
        row = entry.load()
        rows.insert(0, row() if callable(row) else row)
    return {row.name: row.with_layouts() for row in rows}


def is_template(text: str) -> bool:
    """Tell an nginx or Apache format string from the name of a format."""
    return "$" in text or "%" in text


def find_format(text: str) -> Format:
    """Return the row of that name, or compile the string as nginx's or Apache's.

    Raises
    ------
    ConfigError
        If there is no such format; the message lists those there are.
    """
    formats = all_formats()
    if text in formats:
        return formats[text]
    if not is_template(text):
        raise ConfigError(
            f"format {text!r} is not known; use auto, the server's log_format string, or one of {', '.join(formats)}",
            parameter="format",
        )
    if text.lstrip().startswith("{") and "$" in text:
        return Format(
            "nginx log_format", "json", "compiled from the caller's string", fields=fieldmaps.from_nginx_json(text)
        )
    layout = compile_nginx(text) if "$" in text and "%" not in text.partition("$")[0] else compile_apache(text)
    name = "nginx log_format" if "$" in text else "Apache LogFormat"
    return Format(name, "text", "compiled from the caller's string", layouts=(layout,))
