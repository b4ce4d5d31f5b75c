"""Properties: the later event wins, whatever order events come in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.profile import Profile, ProfileVersion, with_properties

NOW = datetime(2026, 6, 1, tzinfo=UTC)


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


def test_null_removes_a_property_and_no_older_event_revives_it():
    kept = with_properties(a_profile(), {"a": 1, "b": 2}, NOW - timedelta(hours=2), NOW)
    gone = with_properties(kept, {"a": None}, NOW, NOW)
    assert gone.properties == {"b": 2}
    late = with_properties(gone, {"a": 1, "b": 3}, NOW - timedelta(hours=1), NOW)
    assert late.properties == {"b": 3}


def test_a_change_leaves_the_profile_it_was_made_to_as_it_was():
    before = with_properties(a_profile(), {"a": 1}, NOW, NOW)
    later = NOW + timedelta(seconds=1)
    after = with_properties(before, {"a": None, "b": 2}, later, later)
    assert (before.properties, before.updated_at) == ({"a": 1}, NOW)
    assert (after.properties, after.updated_at) == ({"b": 2}, later)
    assert (after.email, after.created_at) == (before.email, before.created_at)


@pytest.mark.parametrize(
    ("email", "external_id", "state"),
    [
        ("a@example.com", None, {"email": "a@example.com", "properties": {}}),
        (None, "x", {"externalId": "x", "properties": {}}),
        (
            "a@example.com",
            "x",
            {"email": "a@example.com", "externalId": "x", "properties": {}},
        ),
    ],
)
def test_an_identity_a_profile_does_not_have_is_missing_from_its_state(email, external_id, state):
    assert Profile("p", email, external_id, {}, {}, NOW, NOW).state() == state
    assert ProfileVersion("p", 1, email, external_id, {}).state() == state


def test_a_version_does_not_show_whose_it_is():
    assert repr(ProfileVersion("p", 2, "canary", "canary", {"a": "canary"})) == (
        "<ProfileVersion p 2>"
    )
