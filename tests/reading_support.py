"""What the tests of the reading room share."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).parent / "corpus" / "reading"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shared_data(name: str) -> Path:
    """Return a file of the shared data, or skip the test."""
    path = Path(__file__).parents[2] / "shared" / "data" / name
    if not path.exists():
        pytest.skip(f"the shared data are not beside this checkout: {name}")
    return path


def corpus_rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of one corpus file."""
    return [json.loads(line) for line in (CORPUS / f"{name}.jsonl").read_text("utf-8").splitlines()]


def formats_with_corpus() -> list[str]:
    """Return the names of formats that have a corpus."""
    return sorted(path.stem for path in CORPUS.glob("*.jsonl"))


def as_expected(row: dict[str, Any] | str | None) -> dict[str, Any]:
    """Turn what a reader returned into the form of the corpus."""
    if not isinstance(row, dict):
        return {"reject": row}
    plain = {name: value for name, value in row.items() if value is not None}
    if not plain.pop("is_truncated", False):
        plain.pop("is_truncated", None)
    if isinstance(plain["timestamp"], int):
        plain["timestamp"] = EPOCH + timedelta(microseconds=plain["timestamp"])
    plain["timestamp"] = plain["timestamp"].isoformat()
    return {name: value for name, value in plain.items() if name not in ("source", "line_number")}
