from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from segmentflow_cli.times import read_duration, read_moment, read_seconds

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("5m", timedelta(minutes=5)),
        ("PT5M", timedelta(minutes=5)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("36h", timedelta(hours=36)),
        ("90s", timedelta(seconds=90)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("P1DT12H", timedelta(days=1, hours=12)),
        ("PT0.5S", timedelta(seconds=0.5)),
    ],
)
def test_a_duration_is_short_or_iso_8601(text, length):
    assert read_duration(text) == length
    assert read_moment(text, NOW) == NOW - length


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5M", "5 m", "-5m", "0d", "1h1d", "1.5h", "P", "PT", "1y", "٥m", "p7d"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(
        ValueError, match="Must be a duration such as 5m, 7d, 1d12h or PT5M; a part has at most 6"
    ):
        read_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-05-31", datetime(2026, 5, 31, tzinfo=UTC)),
        ("2026-05-31T12:00:00Z", datetime(2026, 5, 31, 12, tzinfo=UTC)),
        ("2026-05-31T14:00+02:00", datetime(2026, 5, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_date_or_a_date_time(text, moment):
    assert read_moment(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-02-30", "2026-05-31T12:00", "7", "999999d", "P9999999W"]
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError, match="Must be a date-time such as"):
        read_moment(text, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("0", 0), ("0.5", 0.5), ("5m", 300), ("PT0.5S", 0.5)]
)
def test_seconds_are_a_number_or_a_duration(text, seconds):
    assert read_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "nan", "1e3", "5 m", "٣", "0m", "99999999999"])
def test_what_is_neither_seconds_nor_a_duration_is_refused(text):
    with pytest.raises(ValueError, match="Must be a duration such as"):
        read_seconds(text)
