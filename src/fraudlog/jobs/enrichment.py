"""The enricher of a configuration: a site's own map of endpoints, databases and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fraudlog.enriching import EndpointMap, Enricher, GeoDatabase, NetworkLists
from fraudlog.errors import ConfigError, FraudlogError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fraudlog.jobs.config import JobConfig

__all__ = ["enricher_of"]


def enricher_of(config: JobConfig) -> Enricher:
    """Return the enricher that a job's events go through.

    Raises
    ------
    ConfigError
        If a file that it names can't be read; the message names the key.
    """
    folder = config.file.parent
    parts: dict[str, Callable[[], object]] = {
        "endpoints": lambda: EndpointMap.from_file(config["enrich.endpoints"]),
        "geo": lambda: GeoDatabase([folder / name for name in config["enrich.databases"]]),
        "networks": lambda: NetworkLists.from_files(
            {name: folder / file for name, file in config["enrich.networks"].items()}
        ),
    }
    keys = {"endpoints": "enrich.endpoints", "geo": "enrich.databases", "networks": "enrich.networks"}
    given: dict[str, Any] = {}
    for part, make in parts.items():
        if config[keys[part]]:
            try:
                given[part] = make()
            except (FraudlogError, OSError) as error:
                raise ConfigError(f"{keys[part]}: {error}", parameter=keys[part]) from None
    return Enricher(records=config["log.records"], **given)
