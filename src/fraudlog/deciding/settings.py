"""What a policy's settings may be: a row for each, with the sentence that says so."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fraudlog.deciding.decision import SCOPES, VERDICTS
from fraudlog.errors import ConfigError
from fraudlog.sessions.definition import microseconds

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping

    from fraudlog.deciding.policy import Policy

__all__ = ["check", "read_toml", "table_of", "typed"]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_share(value: object) -> bool:
    return _is_number(value) and 0.0 <= float(value) <= 1.0  # type: ignore[arg-type] # told a line above


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_SHARE: Final = "must lie between 0 and 1"
_COUNT: Final = "is below 0 or no whole number"
_CHECKS: Final[tuple[tuple[str, Callable[[Any], bool], str], ...]] = (
    ("daily_reviews", lambda v: v is None or _is_count(v), f"{_COUNT}; use 0 or more, or None for no limit"),
    ("human_share", lambda v: v is None or (_is_share(v) and v < 1), "must lie between 0 and 1; 0.005 is 0.5 %"),
    ("observe_at", _is_share, _SHARE),
    ("challenge_at", _is_share, _SHARE),
    ("deny_at", lambda v: v is None or _is_share(v), f"{_SHARE}, or be None to deny nobody"),
    ("challenge_confidence", _is_share, _SHARE),
    ("deny_confidence", _is_share, _SHARE),
    ("scopes", lambda v: "session" in v and set(v) <= set(SCOPES), f"must hold session, and may hold {SCOPES[1:]}"),
    ("shared_users", _is_count, _COUNT),
    ("shared_agents", _is_count, _COUNT),
    ("max_collateral", lambda v: v is None or _is_count(v), f"{_COUNT}; use 0 or more, or None for no limit"),
    ("escalation", lambda v: _is_number(v) and 1.0 <= v <= 100.0, "must lie between 1 and 100; 1 lengthens nothing"),
    ("fallback", lambda v: v in VERDICTS[:3], f"is one of {', '.join(VERDICTS[:3])}: no model, no denial"),
    ("dry_run", lambda v: isinstance(v, bool), "is true or false"),
)


def check(policy: Policy) -> None:
    """Check all settings, each by itself and then against each other."""
    for name, holds, message in _CHECKS:
        if not holds(getattr(policy, name)):
            raise ConfigError(f"{name} {message}", parameter=name)
    for name in ("ttl", "max_ttl", "memory"):
        microseconds(getattr(policy, name), name)
    steps = [policy.observe_at, policy.challenge_at, *([] if policy.deny_at is None else [policy.deny_at])]
    if steps != sorted(steps):
        raise ConfigError("thresholds must rise: observe_at, challenge_at, deny_at", parameter="observe_at")
    if microseconds(policy.ttl, "ttl") > microseconds(policy.max_ttl, "max_ttl"):
        raise ConfigError("ttl is longer than max_ttl", parameter="ttl")


def typed(value: object, kind: type, name: str) -> Any:  # noqa: ANN401 -- one of `kind`, or a tuple of them
    """Return a nested setting as what it is: of a mapping, the class it names the settings of."""
    if name == "allow":
        return value if isinstance(value, kind) else kind(**table_of(value, _names(kind), name))
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{name} must be a list of tables", parameter=name)
    return tuple(row if isinstance(row, kind) else kind(**table_of(row, _names(kind), name)) for row in value)


def _names(kind: type) -> list[str]:
    return list(kind.__dataclass_fields__)  # type: ignore[attr-defined] # a dataclass of this room


def table_of(settings: object, names: Collection[str], table: str) -> dict[str, Any]:
    """Return settings by name, if there is a setting of each name."""
    if not isinstance(settings, dict):
        raise ConfigError(f"{table} must be a table of settings", parameter=table)
    unknown = [str(name) for name in settings if name not in names]
    if unknown:
        raise ConfigError(f"{table} has no setting {unknown[0]}; it has {', '.join(names)}", parameter=unknown[0])
    return dict(settings)


def read_toml(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Read a TOML file of settings."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read ({error.strerror})", parameter="policy") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}", parameter="policy") from None
