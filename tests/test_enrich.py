"""Derived columns: what an agent, an address, a language and a path say."""

from __future__ import annotations

import pandas as pd
import pytest

import fraudlog as fl
from conftest import make_events
from fraudlog.enriching.agents import agent_columns
from fraudlog.enriching.endpoints import endpoint_columns
from fraudlog.enriching.languages import language_columns
from fraudlog.enriching.networks import network_columns

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("agent", "browser", "os", "device", "program"),
    [
        (CHROME, "Chrome", "Windows", "desktop", None),
        (IPHONE, "Mobile Safari", "iOS", "mobile", None),
        ("curl/8.5.0", "curl", None, "other", "library"),
        (
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "bingbot",
            None,
            "other",
            "crawler",
        ),
        (CHROME.replace("Chrome/", "HeadlessChrome/"), "HeadlessChrome", "Windows", "desktop", "headless"),
        ("Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:Port Check)", None, None, "other", "scanner"),
    ],
)
def test_agents(agent, browser, os, device, program):
    """Browser, system and device class, and the kind of program if it names one."""
    row = agent_columns(agent)
    assert (row["browser"], row["os"], row["device_class"], row["bot_category"]) == (browser, os, device, program)
    assert row["is_automation"] == (program is not None)


@pytest.mark.parametrize(
    ("address", "prefix", "kind"),
    [
        ("8.8.8.8", "8.8.8.0/24", "global"),
        ("10.1.2.3", "10.1.2.0/24", "private"),
        ("127.0.0.1", "127.0.0.0/24", "loopback"),
        ("2606:4700::1:2:3:4", "2606:4700:0:0::/64", "global"),
        ("::ffff:8.8.8.8", "8.8.8.0/24", "global"),
    ],
)
def test_networks(address, prefix, kind):
    """The /24 or /64, IPv4 inside IPv6 taken out."""
    row = network_columns(address)
    assert (row["ip_prefix"], row["ip_class"]) == (prefix.replace("0:0::", ":"), kind)


@pytest.mark.parametrize(
    ("header", "primary"),
    [("de-CH,de;q=0.9", "de"), ("EN", "en"), ("*", None), ("", None), ("1234", None), (None, None)],
)
def test_languages(header, primary):
    """The first language, or nothing."""
    assert language_columns(header)["language_primary"] == primary


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/", "page"),
        ("/blog/tags/puppet", "page"),
        ("/logo.png", "asset"),
        ("/.git/config", "probe"),
        ("/phpMyAdmin/index.php", "probe"),
        ("/wp-login.php", "login"),
        ("/users/sign-in", "login"),
        ("/register", "signup"),
        ("/password/reset", "password_reset"),
        ("/checkout/", "checkout"),
        ("/wp-admin/", "admin"),
        ("/robots.txt", "robots"),
        ("/healthz", "health"),
        ("/blog/index.xml", "feed"),
        ("/api/v2/items", "api"),
        ("/search", "search"),
        ("/account/orders", "account"),
    ],
)
def test_endpoints(path, endpoint):
    """What a path is, by its form."""
    assert endpoint_columns(path)["endpoint"] == endpoint


def test_enrich_adds_columns_and_keeps_the_rows():
    """The rows and their order stand; a device log's own system is not overwritten."""
    events = make_events({}, {"user_agent": None}).assign(os=["Plan 9", None])
    enriched = fl.enrich(events)
    assert enriched["os"].tolist()[0] == "Plan 9"
    assert enriched["endpoint"].tolist() == ["page", "page"]
    assert enriched["browser"].isna().tolist() == [False, True]


def test_enrich_takes_what_is_there():
    """No agent column, no agent columns."""
    assert list(fl.enrich(pd.DataFrame({"client_ip": ["8.8.8.8"]}))) == ["client_ip", "ip_prefix", "ip_class"]
