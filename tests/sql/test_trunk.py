"""The way from `Tracker.track` to the first statement stays short enough to be read."""

from __future__ import annotations

from bench.trunk import trunk

LONGEST = 12


def test_the_first_sql_of_an_event_is_at_most_twelve_calls_deep():
    calls = trunk()
    assert calls[0] == "segmentflow_core.tracker: Tracker.track"
    assert len(calls) <= LONGEST, "\n".join(calls)
