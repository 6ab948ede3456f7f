"""Every field of an event that an expression can read, a row each.

A field is a column of the log, or is computed from one value (each distinct value once), from the event before it in
the session, or from what other sessions did until then (`fraudlog.sessions.windows`). Numbers are whole and not
negative; what would be a fraction is counted in smaller units, and what could be huge is clamped to the field's bits,
so that sums of squares stay inside 64 bits and every evaluator gives the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CATEGORIES", "COLUMN_FIELDS", "FIELDS", "NUMBERS", "Field", "Origin"]

Origin = Literal["column", "value", "sequence", "window", "population"]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing known about an event.

    Parameters
    ----------
    name : str
        As expressions write it.
    meaning : str
        One phrase for a person.
    needs : tuple of str
        Columns of `schema.EVENTS` or `schema.DERIVED` it is read from.
    bits : int
        Largest number of bits of a number; 0 for text.
    origin : str
        ``column``: as it stands; ``value``: computed from one event; ``sequence``: from the event before; ``window``:
        from other sessions; ``population``: from a fitted table.
    """

    name: str
    meaning: str
    needs: tuple[str, ...]
    bits: int = 0
    origin: Origin = "column"

    @property
    def is_number(self) -> bool:
        """Whether it can be added and compared by size."""
        return self.bits > 0

    @property
    def is_sequential(self) -> bool:
        """Whether it is known only once events are in order."""
        return self.origin in ("sequence", "window")

    @property
    def is_computed(self) -> bool:
        """Whether no column of a log holds it as it stands."""
        return self.origin != "column"


def _columns(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, f"column {name}", (name,)) for name in names)


def _flags(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, f"column {name}: 1 or 0", (name,), 1) for name in names)


_FIELDS: Final[tuple[Field, ...]] = (
    *_columns("client_ip", "user", "session_token", "host", "method", "path", "query", "protocol", "referrer"),
    *_columns(
        "user_agent", "language", "os", "browser", "device_id", "action", "outcome", "tls_fingerprint", "country"
    ),
    *_columns("ch_ua", "ch_platform", "browser_version", "os_version", "device_class", "bot_name", "bot_category"),
    *_columns("crawler_state", "language_primary", "language_shape", "ip_prefix", "ip_class", "endpoint"),
    *_columns("agent_kind", "agent_conflict"),
    Field("section", "first part of the path", ("path",), origin="value"),
    Field("directory", "path up to its last slash", ("path",), origin="value"),
    Field("file", "last part of the path, in small letters (A to Z alone)", ("path",), origin="value"),
    Field("profile", "OS, browser and language", ("os", "browser", "language_primary"), origin="value"),
    Field("device", "device id, else OS, browser and class", ("device_id", "os", "browser"), origin="value"),
    Field("manner", "agent, language, protocol and TLS fingerprint", ("user_agent",), origin="value"),
    Field("shape", "what was asked for, and what came of it", ("endpoint", "status"), origin="value"),
    Field("country_language", "country with language", ("country", "language_primary"), origin="value"),
    Field("status", "HTTP status", ("status",), 10),
    Field("is_automation", "1 if the agent names a program", ("is_automation",), 1),
    *_flags("is_ch_malformed", "is_ch_missing", "is_ch_brand_same", "is_ch_version_same", "is_ch_platform_same"),
    *_flags("is_ch_mobile_same", "is_language_malformed", "is_language_unknown", "is_hosting", "is_tor"),
    Field("browser_age", "major versions behind this site's own users", ("browser_age",), 12),
    Field("asn", "autonomous system", ("asn",), 32),
    Field("bytes_sent", "size of the answer, clamped to 256 GB", ("bytes_sent",), 38),
    Field("bytes_log2", "bits of that size", ("bytes_sent",), 6, "value"),
    Field("duration_ms", "time to answer, clamped to 12 days", ("duration_s",), 30, "value"),
    Field("depth", "parts of the path", ("path",), 12, "value"),
    Field("path_length", "characters of the path", ("path",), 20, "value"),
    Field("path_number", "last number in the path, its last 13 digits", ("path",), 44, "value"),
    Field("query_length", "characters of the query", ("query",), 20, "value"),
    Field("utc_hour", "hour of the day, UTC", (), 5, "value"),
    Field("local_hour", "hour of the day by the country's one offset", ("country",), 5, "value"),
    Field("coarseness", "2 if the time is a whole minute, 1 a whole second, else 0", (), 2, "value"),
    Field("time_ms", "milliseconds since 1970", (), 46, "value"),
    Field("gap_ms", "milliseconds since the event before", (), 36, "sequence"),
    Field("gap_log2", "bits of that gap", (), 6, "sequence"),
    Field("page_gap_ms", "milliseconds between two pages", ("endpoint",), 36, "sequence"),
    Field("prefix_users_1h", "users of this prefix in the last hour", ("ip_prefix", "user"), 24, "window"),
    Field("prefix_users_1d", "users of this prefix in the last day", ("ip_prefix", "user"), 24, "window"),
    Field("prefix_agents_1h", "agents of this prefix in the last hour", ("ip_prefix", "user_agent"), 24, "window"),
    Field("prefix_agents_1d", "agents of this prefix in the last day", ("ip_prefix", "user_agent"), 24, "window"),
    Field("user_prefixes_1d", "prefixes of this user in the last day", ("user", "ip_prefix"), 24, "window"),
    Field("user_countries_1d", "countries of this user in the last day", ("user", "country"), 10, "window"),
    Field("profile_users_1d", "users of this profile in the last day", ("os", "browser", "user"), 24, "window"),
    Field("user_devices_30d", "devices of this user in 30 days", ("user", "os", "browser"), 24, "window"),
    Field("user_device_new", "1 if this device was not seen for this user in 30 days", ("user", "os"), 1, "window"),
    Field("device_users_30d", "users of this device in 30 days", ("device_id", "user"), 24, "window"),
    Field("manner_prefixes_1d", "prefixes of this manner in a day", ("user_agent", "ip_prefix"), 24, "window"),
    Field("manner_logins_1d", "prefixes that log in in this manner", ("user_agent", "endpoint"), 24, "window"),
    Field("manner_failures_1d", "prefixes that fail to, in this manner", ("user_agent", "status"), 24, "window"),
    Field("manner_signups_1d", "prefixes that sign up in this manner", ("user_agent", "endpoint"), 24, "window"),
    Field("manner_refusals_1d", "prefixes refused to pay in this manner", ("user_agent", "status"), 24, "window"),
    *(
        Field(f"{kind}_{door}{among}_1d", meaning, ("client_ip", "endpoint", "status"), 24, "window")
        for door in ("logins", "signups")
        for kind, among, meaning in (
            ("straight", "", "prefixes that came here straight, asked the same and got the same"),
            ("straight", "_of", "prefixes that asked the same here and got the same"),
            ("rhythm", "", "prefixes that did so as long after their last step here"),
            ("rhythm", "_of", "prefixes that did so after a step here"),
        )
    ),
    Field("user_speed_kmh", "least speed since this user's last place", ("user", "country"), 30, "window"),
    Field("prefix_failures_1h", "failed logins of this prefix in the last hour", ("ip_prefix", "status"), 30, "window"),
    Field("prefix_requests_10m", "requests of this prefix in the last 10 minutes", ("ip_prefix",), 30, "window"),
    Field("agent_rarity", "how rare the agent is, 1/1024 bit", ("user_agent",), 20, "population"),
    Field("language_rarity", "how rare the language is, 1/1024 bit", ("language",), 20, "population"),
    Field("profile_rarity", "how rare the profile is, 1/1024 bit", ("os", "browser"), 20, "population"),
    Field("country_language_rarity", "how rare this language is here, 1/1024 bit", ("country",), 20, "population"),
)

FIELDS: Final[dict[str, Field]] = {field.name: field for field in _FIELDS}
"""All fields by name."""

NUMBERS: Final = tuple(name for name, field in FIELDS.items() if field.is_number)
CATEGORIES: Final = tuple(name for name, field in FIELDS.items() if not field.is_number)
COLUMN_FIELDS: Final = tuple(name for name, field in FIELDS.items() if not field.is_computed)
