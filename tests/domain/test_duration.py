"""Durations: those of ISO 8601 that are as long on every day of the year."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.duration import (
    DURATION_PATTERN,
    DURATION_SCHEMA_PATTERN,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("PT1S", timedelta(seconds=1)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("P1DT12H", timedelta(hours=36)),
        ("P2W", timedelta(weeks=2)),
        ("P1W1DT1H1M1S", timedelta(weeks=1, days=1, hours=1, minutes=1, seconds=1)),
        # An M behind the T is a minute; any part may be left out.
        ("PT1M", timedelta(minutes=1)),
        ("PT1H1S", timedelta(hours=1, seconds=1)),
        ("P1WT1M", timedelta(weeks=1, minutes=1)),
        # No part carries over into the next: the numbers are as large as they like.
        ("PT90M", timedelta(minutes=90)),
        ("PT36H", timedelta(hours=36)),
        ("P400D", timedelta(days=400)),
        ("P0DT1S", timedelta(seconds=1)),
        ("P007D", timedelta(days=7)),
        ("PT0.000001S", timedelta(microseconds=1)),
        ("PT999999999.999999S", timedelta(seconds=999_999_999, microseconds=999_999)),
        ("P999999D", timedelta(days=999_999)),
        ("P999999W", timedelta(weeks=999_999)),
    ],
)
def test_a_duration_is_read(text, length):
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text",
    [
        *("", "P", "PT", "1D", "P1Y", "P1M", "P1DT", "PT1", "P-1D", "P1D ", "PT0S", "P٣D"),
        # Letters are capitals, and in ISO 8601's order; each is used once.
        *("p1d", "P1d", "Pt1s", "P1D1W", "PT1S1M", "PT1M1H", "P1D1D", "P1H", "PT1D", "PT1W"),
        # What the calendar decides, and the alternative form of ISO 8601.
        *("P1Y2M3D", "P0Y1D", "P1MT1H", "P0001-02-03T04:05:06"),
        # Signs, points, separators.
        *("-P1D", "+P1D", "P+1D", "P1.5D", "PT1.5M", "PT1,5S", "PT.5S", "PT1.S", "PT0.1234567S"),
        *("P1 D", " P1D", "P1D\n", "P_1D", "P1_000D", "PT1e3S", "PT0x1S", "PTS", "PD", "PTT1S"),
        # More digits than a part may have.
        *("P1000000D", "P1000000W", "PT1000000H", "PT1000000M", "PT1000000000S"),
        # As long as nothing.
        *("P0D", "P0W", "PT0H", "PT0.000000S", "P0W0DT0H0M0S"),
    ],
)
def test_a_bad_duration_is_refused(text):
    with pytest.raises(ValueError, match="must"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["P1000000D", "P1W1000000D", "PT1000000M", "PT1000000000S", "PT1.1234567S"]
)
def test_a_part_of_too_many_digits_is_refused_with_the_bound(text):
    with pytest.raises(ValueError, match="at most 6 digits in each part, 9 in the seconds"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["P4111D ", "P0DT0S", "4111"])
def test_a_refusal_shows_nothing_of_the_text(text):
    with pytest.raises(ValueError, match="must") as refusal:
        parse_duration(text)
    assert text not in str(refusal.value)
    assert refusal.value.__context__ is None


@given(
    st.integers(0, 999_999),
    st.integers(0, 999_999),
    st.integers(0, 999_999),
    st.integers(0, 999_999),
    st.integers(0, 999_999),
)
def test_a_duration_is_the_sum_of_its_parts(weeks, days, hours, minutes, seconds):
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    text = f"P{weeks}W{days}DT{hours}H{minutes}M{seconds}S"
    if length:
        assert parse_duration(text) == length


@given(st.integers(1, 999_999_999_999_999))
def test_seconds_are_read_to_the_microsecond(microseconds):
    seconds, fraction = divmod(microseconds, 1_000_000)
    text = f"PT{seconds}.{fraction:06}S"
    assert parse_duration(text) == timedelta(microseconds=microseconds)


@given(st.text(st.sampled_from("PWDTHMS0123456789.-"), max_size=12))
def test_what_is_read_matches_the_pattern_that_schemas_show(text):
    written_well = re.fullmatch(DURATION_PATTERN, text) is not None
    try:
        parse_duration(text)
    except ValueError as refusal:
        read = "longer than nothing" in str(refusal)
    else:
        read = True
        assert re.search(DURATION_SCHEMA_PATTERN, text)
    assert read == written_well
