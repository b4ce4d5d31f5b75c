"""Instants, durations, identity, Properties: the smaller rules."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core import Tracker
from segmentflow_core.domain.duration import parse_duration
from segmentflow_core.domain.event import SKIP_REASONS, SkipReason
from segmentflow_core.domain.identity import (
    REFUSALS,
    RESOLUTIONS,
    Given,
    Holders,
    Resolution,
    classify,
)
from segmentflow_core.domain.instant import (
    format_instant,
    from_microseconds,
    parse_instant,
    to_microseconds,
)
from segmentflow_core.domain.profile import Profile, with_properties
from segmentflow_core.testing import FINGERPRINT_SECRET, SequentialIds, a_request
from segmentflow_memory import MemoryStorage

NOW = datetime(2026, 6, 1, tzinfo=UTC)


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
    ],
)
def test_what_is_no_date_time_with_an_offset_is_refused_without_being_shown(text):
    with pytest.raises(ValueError, match=r"^is not") as refusal:
        parse_instant(text)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_survives_its_text_and_its_count(moment):
    assert parse_instant(format_instant(moment)) == moment
    assert from_microseconds(to_microseconds(moment)) == moment


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("PT1S", timedelta(seconds=1)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("P1DT12H", timedelta(hours=36)),
        ("P2W", timedelta(weeks=2)),
        ("P1W1DT1H1M1S", timedelta(weeks=1, days=1, hours=1, minutes=1, seconds=1)),
    ],
)
def test_a_duration_is_read(text, length):
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "1D", "P1Y", "P1M", "P1DT", "PT1", "P-1D", "P1D ", "PT0S", "P٣D"]
)
def test_a_bad_duration_is_refused(text):
    with pytest.raises(ValueError, match="must"):
        parse_duration(text)


def test_every_case_of_identity_has_a_row_and_every_refusal_an_error():
    found = set()
    for email, external_id, e, x, other in itertools.product(
        (None, "e"), (None, "x"), (None, "A"), (None, "A", "B"), (None, "other")
    ):
        if email is None and external_id is None:
            continue
        row = classify(email, external_id, e if email else None, x if external_id else None, other)
        found.add(row)
    assert found == set(RESOLUTIONS)
    assert set(REFUSALS) == {Resolution.EMAIL_REQUIRED, Resolution.CONFLICT}


_EMAIL, _OTHER = "e@example.com", "other@example.com"
_STORED = {
    Holders.NOBODY: [],
    Holders.E: [{"email": _EMAIL}],
    Holders.E_WITH_OTHER_EXTERNAL_ID: [{"email": _EMAIL, "externalId": "another"}],
    Holders.X: [{"email": _OTHER, "externalId": "x"}],
    Holders.SAME: [{"email": _EMAIL, "externalId": "x"}],
    Holders.DIFFERENT: [{"email": _EMAIL}, {"email": _OTHER, "externalId": "x"}],
}
_SENT = {
    Given.EMAIL: {"email": _EMAIL},
    Given.EXTERNAL_ID: {"externalId": "x"},
    Given.BOTH: {"email": _EMAIL, "externalId": "x"},
}


@pytest.mark.parametrize(("row", "resolution"), RESOLUTIONS.items(), ids=str)
def test_each_row_of_the_identity_table_happens(row, resolution):
    given, holders = row
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, ids=SequentialIds())
    stored = [
        tracker.track(a_request(profile=profile), f"stored {number}").profile_id
        for number, profile in enumerate(_STORED[holders])
    ]
    (result,) = tracker.track_many([(a_request(profile=_SENT[given]), "key")])
    if resolution in REFUSALS:
        assert type(result) is REFUSALS[resolution]
        assert len(tracker.records.events()) == len(stored)
        return
    profile = tracker.records.profile(result.profile_id)
    if resolution is Resolution.CREATE:
        assert result.profile_id not in stored
        assert (profile.email, profile.external_id) == (_EMAIL, _SENT[given].get("externalId"))
    else:
        assert [result.profile_id] == stored
    if given is Given.BOTH:
        assert (profile.email, profile.external_id) == (_EMAIL, "x")


def a_profile():
    return Profile("p", "a@example.com", None, {}, {}, NOW, NOW)


changes = st.dictionaries(
    st.sampled_from("abc"), st.none() | st.integers(0, 3), min_size=1, max_size=3
)


@given(st.lists(st.tuples(st.integers(0, 10**6), changes), unique_by=lambda c: c[0]), st.randoms())
def test_properties_end_the_same_whatever_order_events_arrive_in(sent, random):
    def received(order):
        profile = a_profile()
        for minutes, change in order:
            occurred_at = NOW - timedelta(minutes=minutes)
            profile = with_properties(profile, change, occurred_at, NOW)
        return profile.properties

    shuffled = list(sent)
    random.shuffle(shuffled)
    assert received(sent) == received(shuffled)


def test_at_equal_event_times_the_later_receipt_wins():
    when = NOW - timedelta(days=1)
    later = NOW + timedelta(seconds=1)
    first = with_properties(a_profile(), {"a": 1}, when, later)
    assert with_properties(first, {"a": 2}, when, NOW).properties == {"a": 1}
    assert with_properties(first, {"a": 2}, when, later).properties == {"a": 2}


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (False, 0), ([0], [False])])
def test_a_value_python_takes_for_equal_is_still_a_change(before, after):
    first = with_properties(a_profile(), {"a": before}, NOW, NOW)
    second = with_properties(first, {"a": after}, NOW, NOW)
    assert json.dumps(second.properties) == json.dumps({"a": after})


def test_an_event_of_the_future_counts_as_of_its_receipt():
    future = with_properties(a_profile(), {"a": 1}, NOW + timedelta(days=9), NOW)
    later = NOW + timedelta(seconds=1)
    assert with_properties(future, {"a": 2}, later, later).properties == {"a": 2}


def test_nothing_new_is_the_very_same_profile():
    profile = a_profile()
    assert with_properties(profile, {}, NOW, NOW) is profile
    newer = with_properties(profile, {"a": 1}, NOW, NOW)
    assert with_properties(newer, {"a": 2}, NOW - timedelta(days=1), NOW) is newer
    assert with_properties(newer, {"a": 1}, NOW, NOW) is newer


def test_a_profile_does_not_show_whose_it_is():
    assert repr(a_profile()) == "<Profile p>"


def test_every_skip_reason_is_explained():
    assert set(SKIP_REASONS) == set(SkipReason)
