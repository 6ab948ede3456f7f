"""One value -> more columns: what an agent, a language, an address and a path say, each distinct value once.

Nothing here is fetched from anywhere at run time: rules and published ranges are files of the package, databases and
lists are the user's own, and names are looked up only through a resolver that was given.
"""

from fraudlog.enriching.agents import AgentFacts, read_agent
from fraudlog.enriching.crawlers import CRAWLER_STATES, CrawlerVerifier
from fraudlog.enriching.endpoints import ENDPOINTS, EndpointMap, read_endpoint
from fraudlog.enriching.enricher import Enricher, enrich, enrich_table
from fraudlog.enriching.geo import CountryRanges, GeoDatabase
from fraudlog.enriching.languages import LanguageFacts, read_language
from fraudlog.enriching.networks import NetworkLists, read_address, read_addresses
from fraudlog.enriching.population import SiteMix
from fraudlog.enriching.resolving import SystemResolver
from fraudlog.enriching.shield import Shield

__all__ = [
    "CRAWLER_STATES",
    "ENDPOINTS",
    "AgentFacts",
    "CountryRanges",
    "CrawlerVerifier",
    "EndpointMap",
    "Enricher",
    "GeoDatabase",
    "LanguageFacts",
    "NetworkLists",
    "Shield",
    "SiteMix",
    "SystemResolver",
    "enrich",
    "enrich_table",
    "read_address",
    "read_addresses",
    "read_agent",
    "read_endpoint",
    "read_language",
]
