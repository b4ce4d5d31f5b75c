"""Properties: the later event wins, whatever order events come in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.profile import (
    Profile,
    ProfileLimits,
    ProfileVersion,
    event_time,
)
from segmentflow_core.domain.profile import with_properties as changed_properties
from segmentflow_core.errors import ConfigurationError, ProfileTooLarge

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def with_properties(profile, changes, occurred_at, received_at, *limits):
    time, is_timed = event_time(occurred_at, received_at), occurred_at is not None
    changed = changed_properties(profile, changes, time, *limits, is_timed=is_timed)
    if changed is None:
        return profile
    properties, times = changed
    return evolve(profile, properties=properties, property_times=times)


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
    assert before.properties == {"a": 1}
    assert after.properties == {"b": 2}
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


# --- events without a time of their own ---------------------------------------------------------


def test_an_event_without_a_time_is_never_older_than_what_stands_whatever_the_clocks():
    ahead = with_properties(a_profile(), {"a": 1, "b": 1}, None, NOW + timedelta(seconds=5))
    behind = with_properties(ahead, {"a": 2, "b": None}, None, NOW)
    assert behind.properties == {"a": 2}
    again = with_properties(behind, {"b": 3}, None, NOW - timedelta(hours=1))
    assert again.properties == {"a": 2, "b": 3}


@given(
    st.lists(
        st.tuples(st.none() | st.integers(-100, 100), st.integers(-100, 100), changes), min_size=1
    )
)
def test_the_time_of_a_property_never_goes_back(sent):
    profile = a_profile()
    for occurred, received, change in sent:
        before = dict(profile.property_times)
        occurred_at = None if occurred is None else NOW + timedelta(seconds=occurred)
        profile = with_properties(profile, change, occurred_at, NOW + timedelta(seconds=received))
        assert all(profile.property_times[name] >= time for name, time in before.items())
        if occurred is None:
            kept = {name: value for name, value in change.items() if value is not None}
            assert {n: v for n, v in profile.properties.items() if n in change} == kept


# --- how much a Profile may hold ----------------------------------------------------------------


def test_a_profile_holds_so_many_properties_removed_ones_included():
    limits = ProfileLimits(max_properties=3)
    full = with_properties(a_profile(), {"a": 1, "b": 2, "c": None}, NOW, NOW, limits)
    assert with_properties(full, {"a": 2, "c": 1}, NOW, NOW, limits).properties["c"] == 1
    with pytest.raises(ProfileTooLarge) as refusal:
        with_properties(full, {"d": None}, NOW, NOW, limits)
    assert refusal.value.details == {"maxProperties": 3, "maxBytes": 100 * 1024}


def test_a_profile_holds_so_many_bytes():
    limits = ProfileLimits(max_bytes=len('{"a":"","b":null}') + 2 * 10)
    full = with_properties(a_profile(), {"a": "é" * 10, "b": None}, NOW, NOW, limits)
    with pytest.raises(ProfileTooLarge):
        with_properties(full, {"a": "é" * 11}, NOW, NOW, limits)


def test_a_profile_beyond_its_limits_may_shrink_but_not_grow():
    large = with_properties(a_profile(), {"a": "x" * 100, "b": 1, "c": 2}, NOW, NOW)
    tight = ProfileLimits(max_properties=2, max_bytes=20)
    smaller = with_properties(large, {"a": None}, NOW, NOW, tight)
    assert smaller.properties == {"b": 1, "c": 2}
    with pytest.raises(ProfileTooLarge):
        with_properties(smaller, {"b": "y" * 100}, NOW, NOW, tight)


def test_a_profile_beyond_its_limits_may_change_to_what_is_as_large():
    large = with_properties(a_profile(), {"a": "x" * 100, "b": 1}, NOW, NOW)
    tight = ProfileLimits(max_properties=1, max_bytes=20)
    changed = with_properties(large, {"a": "y" * 100}, NOW, NOW, tight)
    assert changed.properties == {"a": "y" * 100, "b": 1}


def test_an_email_that_is_not_there_was_never_given():
    assert Profile("p", None, "x", {}, {}, NOW, NOW).email_times == (0, 0, 0)


def test_a_removed_property_is_forgotten_thirty_days_after_its_removal_was_received():
    when = NOW - timedelta(days=90)
    gone = with_properties(a_profile(), {"a": None, "b": 1}, NOW, NOW)
    just_before = NOW + timedelta(days=30) - timedelta(microseconds=1)
    kept = with_properties(gone, {"a": 1, "b": 2}, when, just_before)
    assert kept.properties == {"b": 1}
    late = with_properties(gone, {"a": 1, "b": 2}, when, NOW + timedelta(days=30))
    assert late.properties == {"a": 1, "b": 1}


def test_what_is_forgotten_makes_room():
    limits = ProfileLimits(max_properties=2, forget_removed_after=timedelta(days=1))
    full = with_properties(a_profile(), {"a": None, "b": None}, NOW, NOW, limits)
    later = NOW + timedelta(days=1)
    assert set(with_properties(full, {"c": 1}, later, later, limits).property_times) == {"c"}


@pytest.mark.parametrize(
    "wrong",
    [{"max_properties": 0}, {"max_bytes": -1}, {"forget_removed_after": timedelta()}],
)
def test_limits_of_a_profile_are_positive(wrong):
    with pytest.raises(ConfigurationError):
        ProfileLimits(**wrong)
