"""Instants: which texts are date-times of RFC 3339, and how an instant is written and counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.instant import (
    format_instant,
    from_microseconds,
    parse_instant,
    to_microseconds,
)

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)

# Python knows offsets of whole minutes up to a day; RFC 3339 writes no others.
offsets = st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(lambda m: timezone(timedelta(minutes=m)))
far_from_the_ends = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-05-31T12:00:00.000Z", "2026-05-31T12:00:00.000Z"),
        ("2026-05-31T12:00Z", "2026-05-31T12:00:00.000Z"),
        ("2026-05-31t12:00:00z", "2026-05-31T12:00:00.000Z"),
        ("2026-05-31T14:00:00.5+02:00", "2026-05-31T12:00:00.500Z"),
        ("2026-05-31T06:29:00-05:31", "2026-05-31T12:00:00.000Z"),
        ("2026-05-31T12:00:00.1234567Z", "2026-05-31T12:00:00.123456Z"),
        ("2024-02-29T00:00-00:00", "2024-02-29T00:00:00.000Z"),
        ("0001-01-01T00:00Z", "0001-01-01T00:00:00.000Z"),
        # The examples of RFC 3339, section 5.8, but for its leap seconds.
        ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520Z"),
        ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57.000Z"),
        ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27.870Z"),
        # A small letter stands for its capital, separately for the time and the zone.
        ("2026-05-31T12:00:00z", "2026-05-31T12:00:00.000Z"),
        ("2026-05-31t12:00:00Z", "2026-05-31T12:00:00.000Z"),
        ("2026-05-31t14:00+02:00", "2026-05-31T12:00:00.000Z"),
        # An offset may carry over a day, a month and a year, and be as long as one day.
        ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00.000Z"),
        ("2025-12-31T23:30:00-01:00", "2026-01-01T00:30:00.000Z"),
        ("2026-05-31T12:00:00+23:59", "2026-05-30T12:01:00.000Z"),
        ("2026-05-31T12:00:00-23:59", "2026-06-01T11:59:00.000Z"),
        ("2026-05-31T12:00:00+00:00", "2026-05-31T12:00:00.000Z"),
        # The Gregorian calendar: every fourth year but three centuries of four.
        ("2000-02-29T12:00:00Z", "2000-02-29T12:00:00.000Z"),
        ("2028-02-29T12:00:00Z", "2028-02-29T12:00:00.000Z"),
        # The ends of the calendar, also where only the offset keeps within them.
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("0001-01-01T01:00+01:00", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T22:59:59-01:00", "9999-12-31T23:59:59.000Z"),
        # Digits past the microsecond are cut off, never rounded up.
        ("2026-05-31T12:00:00.9999999Z", "2026-05-31T12:00:00.999999Z"),
        ("2026-05-31T12:00:00.0000009Z", "2026-05-31T12:00:00.000Z"),
        (f"2026-05-31T12:00:00.{'9' * 40}Z", "2026-05-31T12:00:00.999999Z"),
    ],
)
def test_a_date_time_is_read_as_an_instant(text, instant):
    assert format_instant(parse_instant(text)) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-05-31",
        "2026-05-31T12:00:00",
        "2026-05-31 12:00:00Z",
        "2026-05-31T12:00:00Z ",
        "2026-05-31T12:00:00Z\n",
        "2026-05-31T12:00:00.Z",
        "2026-05-31T12:00:00+0200",
        "2026-05-31T12:00:00+02",
        "26-05-31T12:00:00Z",
        "2026-5-31T12:00:00Z",
        "2025-02-29T00:00Z",
        "2026-13-01T00:00Z",
        "2026-05-31T24:00Z",
        "2026-05-31T23:59:60Z",
        "2026-05-31T12:00:00+24:00",
        "2026-05-31T12:00:00+02:60",
        "0001-01-01T00:00+01:00",
        "٢٠٢٦-05-31T12:00:00Z",
        # Leap seconds: the two examples of RFC 3339, section 5.8.
        "1990-12-31T23:59:60Z",
        "1990-12-31T15:59:60-08:00",
        # Days, hours and minutes that no calendar or clock has.
        "1900-02-29T12:00:00Z",
        "2026-00-01T12:00:00Z",
        "2026-05-00T12:00:00Z",
        "2026-04-31T12:00:00Z",
        "2026-05-31T25:00:00Z",
        "2026-05-31T24:00:00.000Z",
        "2026-05-31T12:60:00Z",
        "2026-05-31T12:00:61Z",
        # Years before the first and after the last, given or come to by the offset.
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-2026-05-31T12:00:00Z",
        "+2026-05-31T12:00:00Z",
        "9999-12-31T23:59:59-00:01",
        # What ISO 8601 has and RFC 3339 has not.
        "20260531T120000Z",
        "2026-W22-7T12:00:00Z",
        "2026-151T12:00:00Z",
        "2026-05-31T12Z",
        "2026-05-31T1200Z",
        "2026-05-31T12:00:00,5Z",
        "2026-05-31T12:00.5Z",
        "2026-05-31T12:00:00+02:00:30",
        "2026-05-31T12:00:00+2:00",
        "2026-05-31T12:00:00\u221202:00",
        # Space, other letters, other digits.
        " 2026-05-31T12:00:00Z",
        "2026-05-31T12:00:00 Z",
        "2026-05-31_12:00:00Z",
        "2026-05-31T12:00:00UTC",
        "2026-05-31T12:00:00ZZ",
        "2026-05-31T12:00:00Z+02:00",
        "2026-05-31T12:00:00.٥Z",
        "2026-05-31T12:00:00+٠٢:00",
        "2026-05-31T12:00:00\0Z",
        f"2026-05-31T12:00:00.{'0' * 41}Z",
    ],
)
def test_what_is_no_date_time_with_an_offset_is_refused_without_being_shown(text):
    with pytest.raises(ValueError, match=r"^is not") as refusal:
        parse_instant(text)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize("text", ["2026-02-30T12:00Z", "2026-05-31T12:00:00+24:00", "0" * 400])
def test_a_refusal_is_one_of_two_sentences(text):
    with pytest.raises(ValueError, match="is not") as refusal:
        parse_instant(text)
    assert str(refusal.value) in {
        "is not an RFC 3339 date-time with an offset or Z",
        "is not a date and time of the calendar",
    }


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-05-31T12:00:00.000Z"),
        (NOON.replace(microsecond=1), "2026-05-31T12:00:00.000001Z"),
        (NOON.replace(microsecond=1000), "2026-05-31T12:00:00.001Z"),
        (NOON.replace(microsecond=999_999), "2026-05-31T12:00:00.999999Z"),
        (NOON.astimezone(timezone(timedelta(hours=5, minutes=45))), "2026-05-31T12:00:00.000Z"),
        (NOON.replace(tzinfo=timezone(timedelta())), "2026-05-31T12:00:00.000Z"),
        (datetime.min.replace(tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
        (datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_an_instant_is_written_in_utc_to_the_millisecond_or_the_microsecond(moment, text):
    assert format_instant(moment) == text


def test_what_is_read_is_in_utc_itself():
    assert parse_instant("2026-05-31T14:00+02:00").tzinfo is UTC
    assert parse_instant("2026-05-31T12:00-00:00").tzinfo is UTC


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_survives_its_text_and_its_count(moment):
    assert parse_instant(format_instant(moment)) == moment
    assert from_microseconds(to_microseconds(moment)) == moment


@given(far_from_the_ends, offsets)
def test_one_instant_has_one_text_whatever_offset_it_comes_with(moment, offset):
    moment = moment.replace(tzinfo=UTC)
    abroad = moment.astimezone(offset)
    assert format_instant(abroad) == format_instant(moment)
    assert parse_instant(abroad.isoformat()) == moment


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_counts_stand_in_the_order_of_their_instants(first, second):
    assert (to_microseconds(first) < to_microseconds(second)) == (first < second)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_780_228_800_000_001, "2026-05-31T12:00:00.000001Z"),
    ],
)
def test_microseconds_are_counted_from_1970(count, text):
    assert format_instant(from_microseconds(count)) == text
    assert to_microseconds(parse_instant(text)) == count
