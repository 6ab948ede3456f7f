"""Decisions and sessions made by hand, for tests of the exports."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

NOW = pd.Timestamp("2026-01-01T11:00:00Z")


def prefix_of(address):
    """Return the /24 or /64 of an address that is written plainly."""
    if ":" in address:
        return address.partition("::")[0] + "::/64"
    return address.rpartition(".")[0] + ".0/24"


def tables(*rows):
    """Return decisions and sessions, a row each: dicts of what differs from a denial of one address for an hour."""
    full = [
        {"client_ip": "203.0.113.9", "verdict": "deny", "scope": "session", "hours": 1.0, "codes": ["PROBE_PATH"]} | row
        for row in rows
    ]
    ids = [f"s{i}" for i in range(len(full))]
    reason = {"contribution": 0.5, "value": 1.0, "percentile": 0.9, "oat": "OAT-014"}
    decisions = pd.DataFrame(
        {
            "session_id": ids,
            "verdict": [row["verdict"] for row in full],
            "scope": [row["scope"] for row in full],
            "expires": [NOW + pd.Timedelta(hours=row["hours"]) for row in full],
            "reasons": [[{"code": code, **reason} for code in row["codes"]] for row in full],
        }
    )
    sessions = pd.DataFrame(
        {
            "session_id": ids,
            "client_ip": [row["client_ip"] for row in full],
            "ip_prefix": [row["client_ip"] and prefix_of(row["client_ip"]) for row in full],
            "user": [row.get("user") for row in full],
            "profile": [row.get("profile") for row in full],
            "user_agent": [row.get("user_agent") for row in full],
        }
    )
    return decisions, sessions


def program(name):
    """Return the path of a program, or skip where it is not installed."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path
