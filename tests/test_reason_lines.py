"""Lines to look at: those that count towards a reason, and the whole session where none stands out."""

from __future__ import annotations

import fraudlog as fl
from conftest import make_events
from fraudlog.reporting import reason_lines


def lines_of(code, *rows):
    events = fl.sessionize(make_events(*rows))
    assert events["session_id"].nunique() == 1
    (lines,) = reason_lines([{"code": code}], events)
    return [number for _, number in lines]


def test_probes_are_pointed_at():
    """Two of four lines ask for what only scanners ask for."""
    rows = [{"path": "/"}, {"path": "/.env"}, {"path": "/a.css"}, {"path": "/.git/config"}]
    assert lines_of("PROBE_PATHS", *rows) == [2, 4]


def test_answers_are_pointed_at():
    """Of a feature that the forest found odd, the lines that it counts."""
    rows = [{"path": "/"}, {"path": "/a", "status": 404}, {"path": "/b", "status": 404}]
    assert lines_of("UNUSUAL_NOT_FOUND", *rows) == [2, 3]


def test_pace_is_in_every_line():
    """Gaps are between lines: no single one has any."""
    assert lines_of("UNUSUAL_GAP_MEAN_S", {}, {}, {}) == [1, 2, 3]
    assert lines_of("UNUSUAL_OTHER", {}, {}) == [1, 2]


def test_every_flagged_session_has_lines_for_every_reason(sample_log, sample_scores):
    """On the real log, and no line that is not the session's own."""
    events = fl.sessionize(sample_log.table)
    for row in sample_scores.nlargest(15, "risk").itertuples():
        own = events[events["session_id"] == row.session_id]
        found = reason_lines(row.reasons, own)
        assert len(found) == len(row.reasons) > 0
        assert all(lines and {number for _, number in lines} <= set(own["line_number"]) for lines in found)
